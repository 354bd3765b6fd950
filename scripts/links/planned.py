"""The planned move's rung: the peer is well, and its database is stopped cleanly over ssh, after everything that speaks against a move was asked.

What it changes it can take back (`CleanStop.leave`): until the next epoch is claimed, the old primary is the only one that may write. A mark at
the witness says that it was begun, until it is taken back in full: the peer's next `pulumi up` puts right whatever a killed run has left there.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from typing import Any

from contract.accept import asked
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import DrError, Failed, Refused
from contract.hosts import DATABASE, first
from contract.limits import QUICK_S, STOP_S
from contract.sites import Role, other
from scripts.clients.hosts import CONNECT_S, Answer, Hosts, Unreachable
from scripts.clients.witness import Witness
from scripts.links import certificates
from scripts.links.listener import Listener
from scripts.links.loss import arrived, lsn
from scripts.links.rungs import Proof, Rung, RungFailed, held

HEARD_S = 3.0  # for the answer of a process that waits for the question
LOOK_S = 0.05  # between two looks at whether a host is known to be off
CLOSE_BYTES = 4 * 2**20  # a standby this close is there within a second on any link that serves replication


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How the peer's database host answered, and by the bastion of which site; `via` is None when no way leads there."""

    via: str | None
    answer: Answer | None
    silent: tuple[str, ...]  # why the ways before do not lead there


def look(hosts: Hosts, database: str, connect_s: int = CONNECT_S, *, off: Callable[[], str] = lambda: "") -> Seen:
    """Ask the peer's database host how it is, by every way at once; the first way that leads there is taken.

    `connect_s`: as of `Hosts.execute`. `off`: why no way can lead there; as soon as it is known none is waited for.
    """
    silent, told = list[str](), {"schema": 1}
    with ExitStack() as left:
        pool = ThreadPoolExecutor(len(hosts.routes(database)) or 1)
        left.callback(pool.shutdown, wait=False)  # a question that nobody waits for ends by its own limit
        asked = {
            pool.submit(hosts.call, database, way, "postgres status", told, QUICK_S, connect_s=connect_s): way
            for way in hosts.routes(database)
        }
        while asked:
            answered = wait(asked, LOOK_S, FIRST_COMPLETED).done
            for future in [each for each in asked if each in answered]:  # of two that answer at once always the same
                way = asked.pop(future)
                try:
                    return Seen(via=way, answer=future.result(), silent=tuple(silent))
                except Unreachable as error:
                    silent.append(str(error))
            if not answered and off():
                silent.append(off())
                break
    return Seen(via=None, answer=None, silent=tuple(silent))


def words(facts: dict[str, Any]) -> str:
    """What a database is, by its `postgres status`."""
    if not facts.get("running"):
        return f"down, control file: {facts.get('cluster_state')}"
    return "in recovery" if facts.get("in_recovery") else "a primary"


class CleanStop(Rung):
    """Rung 1: over ssh the peer's workers are quiesced and its database is stopped; its control file says "shut down"."""

    number, name = 1, "ssh"

    def __init__(
        self,
        hosts: Hosts,
        witness: Witness,
        newest: Epoch,
        *,
        seen: Seen,
        own: dict[str, Any],
        apps: Sequence[str],
        lossy: bool = False,
        ended: Sequence[str] = (),
    ) -> None:
        """`own`: `postgres status` of the standby that shall be promoted; `apps`: names, within each site, of the hosts with workers.

        `lossy`: the operator has accepted a loss for this epoch, so a standby that does not follow is no reason against it. `ended`: certificates
        that are needed there and have ended.
        """
        super().__init__()
        self._hosts, self._witness, self._newest, self._seen, self._own = hosts, witness, newest, seen, own
        self._site, self._peer = other(newest.active), newest.active
        self._database, self._lossy, self._ended = f"{first(DATABASE)}.{newest.active}", lossy, ended
        self._apps = [f"{app}.{newest.active}" for app in apps]
        self._via, self._attempt, self._stopping, self._resumed = "", str(uuid.uuid4()), False, False
        # From the moment in which the epoch may be at the witness: until when, by the clock of `time.monotonic`, one that is silent is asked.
        self.claiming: float | None = None
        self._ear: Listener  # the old primary's host, asked while the shop cannot write
        self.behind = False  # the standby did not follow when the old primary was stopped
        self.checkpoint: dict[str, Any] = {}  # {"lsn", "timeline"} of the shutdown, once it is proven

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`. Raises Refused, nothing changed, when the peer is well and the standby is not; a failure on the way is taken back."""
        self._via, theirs = self._well()
        self._ready(theirs)
        self._ear = Listener(self._hosts, self._database, self._via, "postgres", HEARD_S)
        self._witness.unsettle(self._newest)
        with held(self):
            self._each(self._via, "app quiesce")
            # Also where it is stopped already: from here on no other run can undo what this one stands on.
            self._stopping = True
            stopped = self._stop()
            self.checkpoint = stopped.facts["checkpoint"]
            if self._resumed and self._lossy and not self._own.get("streaming"):
                reached = arrived(self._own)
                self.behind = reached is None or reached <= lsn(self.checkpoint["lsn"])  # where the last record begins
        return Proof(rung=self.number, evidence={"cluster_state": "shut down", **self.checkpoint})

    def still(self) -> None:
        """Nobody has started it again: a run of its own stack puts right what was begun, and cannot know that this attempt lives. Raises Failed."""
        if found := self._moved():
            raise Failed(
                f"{found}; a run of region {self._peer} was at work beside this one; let only one of the two run"
            )

    def hold(self) -> str:
        """The same once the epoch is claimed, and whatever was started in between is stopped again: it has asked the witness a moment too early.

        Returns why nobody can say that it is down; empty when it is.
        """
        try:
            if found := self._moved():
                print(
                    f"WARNING fence: {found}; a run of region {self._peer} was at work beside this one, so it is stopped again; what it has written since "
                    f"is kept there as evidence when region {self._peer} follows",
                    file=sys.stderr,
                )
                self._stop()
        except DrError as error:
            return str(error)
        return ""

    def _moved(self) -> str:
        """How it is, where that is not as this attempt has left it; else empty. Raises Failed where it cannot be asked."""
        told = self._ear.facts()
        role = told.get("role") or {}
        if role.get("role") == Role.STANDBY and (role.get("epoch") or 0) > self._newest.epoch:
            return ""  # its own stack was run since, and it follows
        started = told.get("running") or role.get("role") != Role.FENCED
        stopped_at = told.get("checkpoint_lsn") or self.checkpoint["lsn"]  # a host that cannot read it has not moved it
        if not started and stopped_at == self.checkpoint["lsn"]:
            return ""
        found = f"is {words(told)} again" if started else f"was started and is shut down at {stopped_at}"
        return f"{self._database}: {found}, wanted it stopped as this attempt has left it, at {self.checkpoint['lsn']}"

    def _stop(self) -> Answer:
        """As this attempt's. Raises Failed."""
        told = {"schema": 1, "epoch_next": self._newest.epoch + 1, "attempt": self._attempt}
        return self._hosts.must(self._database, self._via, "postgres stop", told, STOP_S)

    def leave(self) -> str:
        """The old primary writes again, and workers work, also where the answer to `quiesce` was lost. Says what is so now."""
        if self.claiming is not None:
            claimed = self._claimed(self.claiming)
            if claimed:
                return claimed
        try:
            way, restarted = self._resume() if self._stopping else (self._via, False)
        except DrError as error:
            return (
                f"and the old primary {self._database} could not be restarted ({error}): the shop cannot write; run the same again, or "
                f"`pulumi up -s region-{self._peer}`, which starts it"
            )
        if self._each(way, "app resume"):
            with suppress(DrError):
                self._witness.settle(self._newest)
        done = (
            "was restarted and writes"
            if restarted
            else "is stopped, as an attempt before this one has left it"
            if self._resumed and not self._stopping
            else "was not stopped and writes on"
        )
        return f"the old primary {self._database} {done}; no epoch was claimed"

    def _claimed(self, until: float) -> str:
        """Why the old primary has to stay stopped, as far as the witness tells; empty when no epoch was claimed. It is asked once more in any case."""
        while True:
            try:
                newest = self._witness.newest()
            except DrError as error:
                if time.monotonic() > until:
                    return (
                        f"and whether epoch {self._newest.epoch + 1} was claimed is not known ({error}), so {self._database} was left stopped and the "
                        f"shop cannot write; once the witness answers, run the same again, or `pulumi up -s region-{self._peer}` to stay there"
                    )
                time.sleep(1.0)
                continue
            if newest is not None and newest.epoch > self._newest.epoch:
                return f"epoch {newest.epoch} belongs to {newest.active} by now, so {self._database} was left stopped; run the same again"
            return ""

    def _well(self) -> tuple[str, dict[str, Any]]:
        """The way to the peer's database host and its status: a running primary, or one that an interrupted attempt has shut down cleanly."""
        via, answer = self._seen.via, self._seen.answer
        if via is None or answer is None:
            raise RungFailed(*self._seen.silent)
        if not _can_hand_over(answer.facts):
            raise RungFailed(
                *self._seen.silent, f"{self._database} answers, but {_state(answer)}, not a running primary"
            )
        return via, answer.facts

    def _ready(self, theirs: dict[str, Any]) -> None:
        """What speaks against stopping it. When an interrupted attempt has stopped it already, there is nothing left to stream from."""
        self._resumed = resumed = not theirs["running"]
        here = f"{first(DATABASE)}.{self._site}"
        if self._ended and not (resumed or self._lossy):
            raise Refused(certificates.refusal(self._ended, self._site, self._newest.epoch))
        self.behind = not (self._own.get("streaming") or resumed)
        if self.behind and not self._lossy:
            raise Refused(
                f"{here}: is not streaming from {self._database} ({words(self._own)}), wanted a streaming standby: a move now could lose "
                f"orders; nothing was changed; see `dr-host postgres status` there, and run `pulumi up -s region-{self._site}` once it streams; or, to "
                f"leave region {self._peer} without what has not arrived, set {asked('data_loss', self._newest.epoch)}"
            )
        if self._own.get("paused"):
            raise Refused(
                f"{here}: replay is paused, wanted a replaying standby: it would refuse to be promoted; nothing was changed; run "
                "`SELECT pg_wal_replay_resume()` there, or mend what paused it (a parameter that is lower than the primary's)"
            )
        # A primary that stops waits until its standby has everything: one that is far behind would hold up the shop for as long as that takes.
        written, reached = theirs.get("write_lsn"), arrived(self._own)
        if not self.behind and written and reached is not None and lsn(written) - reached > CLOSE_BYTES:
            raise Refused(
                f"{here}: is {lsn(written) - reached} bytes of WAL behind {self._database}, wanted at most {CLOSE_BYTES}: the shop could not "
                f"write until they had arrived; nothing was changed; wait until it has caught up (`dr-host postgres status` there), or see what slows "
                "the link"
            )

    def _resume(self) -> tuple[str, bool]:
        """By the way that led to the old primary, or by another where that one is dead by now: it may be what the move failed by.

        Returns the way, and whether there was something to undo: its host may have refused to stop it.
        """
        told = {"schema": 1, "attempt": self._attempt}
        *others, last = dict.fromkeys((self._via, *self._hosts.routes(self._database)))
        for way in others:
            try:
                return way, self._resumed_by(way, told)
            except Unreachable as error:
                print(f"WARNING fence: {error}", file=sys.stderr)
        return last, self._resumed_by(last, told)

    def _resumed_by(self, way: str, told: dict[str, Any]) -> bool:
        done = self._hosts.must(self._database, way, "postgres resume", told, STOP_S)
        return bool((done.document or {}).get("changed", True))

    def _each(self, via: str, command: str) -> bool:
        """Best effort on all app hosts at once: a worker that cannot be stopped cannot write either once its database is down, for no other site's
        database lets it in. Whether all did.
        """

        def one(name: str) -> bool:
            try:
                self._hosts.must(name, via, command, {"schema": 1}, QUICK_S)
            except DrError as error:
                print(f"WARNING fence: {error}", file=sys.stderr)
                return False
            return True

        with ThreadPoolExecutor(len(self._apps) or 1) as pool:
            return all(list(pool.map(one, self._apps)))


def _can_hand_over(facts: dict[str, Any]) -> bool:
    if facts.get("running"):
        return facts.get("in_recovery") is False
    fenced = (facts.get("role") or {}).get("role") == "fenced"
    return facts.get("cluster_state") == "shut down" and fenced


def _state(answer: Answer) -> str:
    if answer.document is None:
        return f"dr-host said nothing (exit code {answer.code}: {answer.message})"
    return f"its database is {words(answer.facts)}"
