"""The agent at work: it beats, it listens, it enforces the lease. Whatever is slow runs in threads; the loop only looks at what they left."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from contract.dataclass import dataclass
from contract.wire.channel import NoAnswer

from ..frame import rolefile
from ..frame.boots import boot, boottime
from ..frame.desired import SCHEMA
from ..frame.layout import Layout
from ..frame.locks import busy
from ..frame.log import Log
from ..frame.rolefile import PRIMARY
from ..frame.witness import Silent
from . import lease
from .beat import Beat
from .channel import Worker
from .config import Config
from .epochs import Epochs
from .facts import Facts
from .files import fingerprint
from .grants import Grants
from .holding import Holding
from .lease import Action, Heard, Newest
from .memory import OVERRIDE, Note
from .notify import notify
from .outside import Pauses, Reading
from .peer import Asker, Endpoint, Grant
from .troubles import DEADMAN, EPOCHS, ROLE, Troubles, kept
from .unit import Control
from .witness import WitnessChannel

TICK_S, DOUBT_S, FACTS_S, READY_S = 1.0, 0.1, 0.5, 6.0
EPOCH_EVERY = 3  # beats between two looks at the epoch of a host that is no primary
RESTARTING = "agent-restarting"  # in /run/dr: when the successor of this agent was ordered
RESTARTING_S = 30.0


@dataclass(frozen=True)
class Parts:
    """What the loop works with; tests put others in."""

    config: Config
    layout: Layout
    log: Log
    facts: Facts
    control: Control
    witness: WitnessChannel
    asker: Asker


class Agent:
    """One host's agent."""

    def __init__(self, parts: Parts) -> None:
        self.config, self.layout, self.log = parts.config, parts.layout, parts.log
        self._facts, self._control, self._witness, self._asker = parts.facts, parts.control, parts.witness, parts.asker
        self._grants = Grants(parts.layout)
        self.endpoint = Endpoint(
            parts.layout,
            self.config.counterpart.name,
            (self.config.own.address, self.config.own.port),
            self._grant,
            parts.log,
        )
        # Written by one thread each, read by all: whole values, replaced.
        self._block: dict[str, Any] = {}
        self._block_at = float("-inf")
        self._put: tuple[float | None, Reading | None] = (None, None)
        self._newest: Newest | None = None
        self._granted: Grant | None = None
        self._clock: Reading | None = None  # the counterpart's, also of an answer that grants nothing
        self._troubles = Troubles(parts.log)
        self._sequence = 0
        self._holding = Holding(parts.layout, self.config.terms.stop_s)
        self._role: rolefile.Role | None = None
        self._settled = float("-inf")  # since when nobody has changed what this host is
        self._recalled = False
        self._past: tuple[dict[str, Any], float] | None = (
            None  # what the agent before this one said last, until the facts have it
        )
        self._read = threading.Event()  # the facts of this beat are there
        self._wake, self._over = threading.Event(), threading.Event()
        limit = self.config.terms.question_s
        self._workers = {
            "service": Worker("service", self._read_facts, parts.facts.abort, limit, parts.log),
            "witness": Worker("witness", self._ask_witness, parts.witness.abort, 2 * limit, parts.log),
            "counterpart": Worker("counterpart", self._ask_counterpart, parts.asker.abort, limit, parts.log),
        }
        self._started, self._fingerprint, self._boot = boottime(), fingerprint(parts.layout), boot()
        (parts.layout.run / RESTARTING).unlink(missing_ok=True)
        old, role = Note.read(parts.layout), rolefile.known(parts.layout)
        primary = role is not None and role.role == PRIMARY
        self._pauses = Pauses()
        self._epochs = Epochs(parts.witness.witness.bucket, old.epoch if old else None)
        self.memory = lease.first(
            old.memory if old else None, self._started, primary=primary, running=self._control.running()
        )

    def run(self) -> None:
        """Until `stop` is called."""
        for worker in self._workers.values():
            worker.start()
        self.endpoint.start()
        next_beat, ready = self._started, False
        while not self._over.is_set():
            now = boottime()
            if now >= next_beat:
                self._beat()
                next_beat = max(next_beat + self.config.terms.heartbeat_s, now)
            self._enforce()
            ready = ready or self._tell_ready(now)
            _still_here()
            self._wake.wait(self._pause(boottime(), next_beat))
            self._wake.clear()
        self.endpoint.stop()
        self._leave()

    def stop(self) -> None:
        """Safe in a signal handler."""
        self._over.set()
        self._wake.set()

    def _tell_ready(self, now: float) -> bool:
        """Ready once it was tried to be heard: services that are ordered after the agent find their lease, or its absence."""
        tried = all(self._workers[name].rounds > 0 for name in ("witness", "counterpart"))
        if not tried and now - self._started < READY_S:
            return False
        self._note(now)
        notify("READY=1")
        return True

    def _pause(self, now: float, next_beat: float) -> float:
        """How long nothing has to be done."""
        due = [next_beat, now + (DOUBT_S if self._pauses.awaited else TICK_S)]
        runs_out = lease.deadline(self.config.terms, self.memory, rolefile.known(self.layout))
        if runs_out is not None and runs_out > now:
            due.append(runs_out)
        return max(min(due) - now, 0.0)

    # --- in the loop's own thread

    def _beat(self) -> None:
        self._read.clear()
        for worker in self._workers.values():
            worker.kick()
        self._note(boottime())

    def _enforce(self) -> None:
        role, unread = kept(self.layout)
        self._troubles.tell(ROLE, unread)
        before = self._take_contacts()
        now = boottime()  # after them: a contact that is later than now would count as none
        heard = Heard(
            now=now,
            role=role,
            newest=self._newest,
            running=self._control.running(),
            writes=self._facts.writes(self._block) if self._fresh(now) else None,
            handover=self.config.service == "redis",
            override=self._override(),
            unwanted=self._unwanted(role, now),
            untold=self._holding.over(now),
        )
        terms = self.config.terms
        missed = lease.missed(terms, before, self.memory, heard)
        decision = missed or lease.decide(terms, self.memory, heard)
        changed = decision.memory != self.memory
        self.memory = decision.memory
        held = self._hold(heard)
        if decision.action is Action.STOP:
            self._stop_service(decision.message or "")
        elif decision.message is not None:
            self.log.warning(decision.message)
        if decision.action is Action.START and held:
            self._control.start()
        if changed:
            self._note(now)
        if heard.override is not None and role is not None and lease.silent_s(self.memory, role, now) < terms.lease_s:
            (self.layout.run / OVERRIDE).unlink(missing_ok=True)  # somebody answers again: the lease is what counts

    def _hold(self, heard: Heard) -> bool:
        """Before anything is started or stopped. Whether the dead-man knows: it would end at once what is started without that."""
        until = lease.held_until(self.config.terms, self.memory, heard)
        trouble = self._holding.tell(until, heard.role)
        self._troubles.tell(DEADMAN, trouble)
        return trouble is None

    def _unwanted(self, role: rolefile.Role | None, now: float) -> bool:
        """Whether a writer runs where none may. What is known of it must be younger than its role, and than the last run that was at work with it."""
        if role != self._role or busy(self.layout, self.config.service):
            self._role, self._settled = role, now
        if role is None or role.role == PRIMARY:
            return False
        settled_s = self.config.terms.heartbeat_s + FACTS_S
        known = self._fresh(now) and self._block_at - self._settled > settled_s and self._facts.writes(self._block)
        return bool(known) or (now - self._settled > settled_s and self._control.writers())

    def _fresh(self, now: float) -> bool:
        """Whether what is known of the service is of now: a server that hangs answers nobody."""
        return now - self._block_at < 3 * self.config.terms.heartbeat_s

    def _stop_service(self, why: str) -> None:
        if not self._control.running():
            self.log.warning(f"{self.config.service} is down and stays down: {why}")
            return
        began = boottime()
        self.log.warning(f"stopping {self.config.service}: {why}")
        if self._control.stop(self.config.terms.stop_s, _still_here):
            self.log.warning(
                f"{self.config.service} is down after {boottime() - began:.1f} s; `dr-host agent status` says why"
            )
        else:
            self.log.error(
                f"{self.config.service}: found processes that outlive a kill, wanted none; it may still write; cut this host's power"
            )

    def _take_contacts(self) -> lease.Memory:
        """Returns what was known without the new ones, as old as it is by the clocks of others."""
        (put_at, read), granted = self._put, self._granted
        stood_s = self._pauses.take(read, self._clock, boottime())
        if stood_s > 0:
            self.log.warning(f"this machine stood still for {stood_s:.0f} s, which its clock has not counted")
        for name in self._pauses.awaited:
            self._workers[name].kick()
        before = memory = lease.aged(self.memory, stood_s)
        if put_at is not None and put_at > (memory.witness_at or 0):
            memory = replace(memory, witness_at=put_at)
        if granted is not None and granted.granted and granted.sent > (memory.granted_at or 0):
            memory = replace(memory, granted_at=granted.sent, granted_epoch=granted.epoch)
        self.memory = memory
        return before

    def _override(self) -> int | None:
        try:
            return int((self.layout.run / OVERRIDE).read_text())
        except (OSError, ValueError):
            return None

    def _note(self, now: float) -> None:
        note = Note(
            memory=self.memory,
            started=self._started,
            beat=now,
            fingerprint=self._fingerprint,
            epoch=self._epochs.known(rolefile.known(self.layout), self._newest),
            witness=self._troubles.get("witness"),
            counterpart=self._troubles.get("counterpart"),
        )
        try:
            note.write(self.layout)
        except OSError as error:
            self._troubles.tell(
                "memory",
                f"{self.layout.run}/lease.json: cannot be written ({error.strerror}); a restarted agent would be too strict",
            )

    def _leave(self) -> None:
        """The agent is told to go. A primary without it has no lease, so it goes first, unless another agent takes over at once."""
        mark = self.layout.run / RESTARTING
        try:
            restarting = 0 <= boottime() - float(mark.read_text()) < RESTARTING_S
        except (OSError, ValueError):
            restarting = False
        role = rolefile.known(self.layout)
        if (
            not restarting
            and role is not None
            and role.role == PRIMARY
            and self._facts.writes(self._block) is not False
        ):
            why = "its lease agent was stopped"
            self.memory = replace(self.memory, state=lease.STOPPED, why=why, stopped_at=boottime())
            self._stop_service(why)
        self._note(boottime())

    # --- in threads of their own

    def _read_facts(self) -> None:
        past, self._past = self._past, None
        if past is not None:
            self._facts.recall(*past)
        self._block = self._facts.read()
        self._block_at = boottime()
        self._read.set()

    def _ask_witness(self) -> None:
        self._read.wait(FACTS_S)
        role = rolefile.known(self.layout)
        self._sequence += 1
        primary = role is not None and role.role == PRIMARY
        key = f"heartbeats/{self.config.site}/{self.config.host}.json"
        try:
            self._recall(key, role)
            beat = self.heartbeat(role)
            put_at = self._witness.put(key, beat)
            self._put = put_at, self._witness.reading
            self._facts.told(beat[self.config.service])
            if primary or self._sequence % EPOCH_EVERY == 1:
                self._newest = self._witness.newest(sure=self.memory.state != lease.HELD or self._grants.denies)
                self._troubles.tell(EPOCHS, self._epochs.lost(role, self._newest))
        except Silent as error:
            self._troubles.tell("witness", str(error))
        else:
            self._troubles.tell("witness", None)
            if self._troubles.get(EPOCHS) is None:  # else nobody knows what the newest is
                self._end_denial()
        self._wake.set()

    def _end_denial(self) -> None:
        ended = self._grants.end(self._newest)
        if ended is not None and self._newest is not None:
            self.log.warning(
                f"the denial of epochs below {ended.epoch_next} has ended: it was for {ended.hold_s:g} s, and the witness "
                f"still names epoch {self._newest.epoch} the newest; grants again"
            )

    def _recall(self, key: str, role: rolefile.Role | None) -> None:
        """Once, before the first beat lays itself over what the agent before this one knew. Raises Silent."""
        if self._recalled:
            return
        found, age_s = self._witness.get(key) or ({}, 0.0)
        self._recalled = True
        block = found.get(self.config.service)
        if (
            role is None
            or role.role != PRIMARY
            or (found.get("role"), found.get("epoch")) != (PRIMARY, role.epoch)
            or not isinstance(block, dict)
        ):
            return
        self._past = block, age_s
        self._read.clear()
        self._workers["service"].kick()
        self._read.wait(FACTS_S)

    def _ask_counterpart(self) -> None:
        role = rolefile.known(self.layout)
        if role is None or role.role != PRIMARY:
            self._troubles.keep("counterpart", "not asked: this host is no primary")
            return
        try:
            found = self._asker.ask(self.config.site, role.epoch, self._block if self._fresh(boottime()) else None)
        except NoAnswer as error:
            self._troubles.tell("counterpart", f"{self.config.counterpart.name}: no answer ({error})")
            return
        # What it knows may be older than this epoch; what it grants is the epoch that was asked for.
        self._clock = found.reading
        self._granted = replace(found, epoch=role.epoch)
        self._troubles.tell(
            "counterpart",
            None
            if found.granted
            else f"{self.config.counterpart.name}: does not grant epoch {role.epoch}, it knows {found.epoch}",
        )
        self._wake.set()

    def _grant(self, asked: int, block: dict[str, Any] | None) -> dict[str, Any]:
        role = rolefile.known(self.layout)
        known = self._epochs.known(role, self._newest)
        granted = self._grants.answer(asked, role, known, block)
        return {
            "schema": SCHEMA,
            "site": self.config.site,
            "role": role.role if role else None,
            "epoch": known,
            "granted": granted,
            "clock": boottime(),
            "boot": self._boot,
        }

    def heartbeat(self, role: rolefile.Role | None) -> dict[str, Any]:
        """The object at the witness."""
        beat = Beat(
            role=role,
            memory=self.memory,
            now=boottime(),
            sequence=self._sequence,
            boot=self._boot,
            witness_epoch=self._epochs.known(role, self._newest),
            trouble=self._troubles.get(EPOCHS),
            block=self._block,
        )
        return beat.document(self.config)


def _still_here() -> None:
    notify("WATCHDOG=1")
