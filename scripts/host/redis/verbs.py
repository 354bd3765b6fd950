"""`dr-host redis converge`: the cache of this host, as master or as replica of the other site's.

What it never does: `CONFIG REWRITE` (the file is rendered), a decision about who is active. Where a site has several caches, Sentinel decides
which of the active site's leads, and this joins it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from contract import sites
from contract.errors import Failed, Refused, say

from ..frame import rolefile
from ..frame.call import Call, Verb
from ..frame.commands import run
from ..frame.due import Due
from ..frame.files import ManagedFile, differing, write_atomically
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.plan import LOOK_AGAIN, Step, converge
from ..frame.result import Result
from ..frame.rolefile import PRIMARY
from ..frame.systemd import Heard, Systemd
from ..frame.witness import Silent, Witness
from . import data as redis_data
from . import takeover as redis_takeover
from .config import ARMED, LENT, Desired, directives, files
from .engine import find_engine
from .group import others, place
from .handover import cost, hand_over
from .leader import Access, Word, side_by_side, word
from .look import differing_directives, look
from .machine import disk_warning, warnings
from .plan import ACL, GIVEN_UP, TLS, decided_by_the_witness, plan, spare
from .sentinel import Sentinel, let_go
from .server import PEER_S, START_S, Broken, Process, ask
from .state import MASTER, REPLICA, Facts, Instance, Wanted
from .status import status
from .takeover import COLD, HANDOVER, PROMOTION, STARTED, Loss, Takeover
from .versions import Software, announced, unreadable
from .wire import ErrorReply, Server, Unreachable, keys_of, parse_info

INFO = ("INFO", "everything")


class Redis:
    """The service, for `plan.converge`."""

    def __init__(self, desired: Desired, layout: Layout, log: Log, units: Heard) -> None:
        self._desired, self._layout, self._log, self._units = desired.beside(Access.of_host(layout)), layout, log, units
        self._engine = find_engine(layout)
        self._role = desired.envelope.role()
        self._settings = directives(desired, self._engine, layout)
        self._armed = False  # whether it asks for the replica that `min_replicas` names
        self._attended: bool | None = (
            None  # whether it had that one when this run first saw it lead: what attaches meanwhile is the next run's
        )
        self._process = Process(desired, self._engine, layout, units)
        self._spare: str | None = None  # see `plan.spare`
        self._silence: dict[str, str] = {}  # of those that did not answer, why
        self._before = (
            desired.last_seen.keys
        )  # of the old master: how many keys, by its heartbeat or by its own word in this run
        self._due = Due(layout, "redis")  # files that the server has not read
        self._sentinel = Sentinel(desired, self._role, self._engine, layout, units)
        self._place = place(desired, None, {}, data=False)
        self.wanted = self._wanted()

    def _wanted(self) -> Wanted:
        desired, epoch, at = self._desired, self._desired.envelope.epoch, self._place
        return Wanted(
            active=at.leads,
            planned=bool(epoch and epoch.planned),
            epoch=self._role.epoch,
            own=desired.local.address,
            peer=at.other.address,
            peer_name=at.other.name,
            maxmemory=desired.maxmemory,
            min_replicas=0 if at.chained else desired.min_replicas,
            cold=desired.cold,
            role=at.role,
            chained=at.chained,
            pair=tuple(server.address for server in (*desired.members, *desired.peers)),
            peer_keys=desired.last_seen.keys,
            before="" if desired.envelope.active else desired.envelope.peer,
        )

    def facts(self) -> Facts:
        """See `plan.Service`."""
        found, data = rolefile.read(self._layout), redis_data.present(self._layout, self._engine)
        local, local_error = look(self._desired.local)
        seen = self._look_around()  # after it: one that is followed is not behind whoever follows it
        instances = {name: instance for name, (instance, _) in seen.items()}
        said = self._sentinels_word(local) if found == self._role.but(PRIMARY) else None
        self._place = place(self._desired, local, instances, data=data, said=said)
        self.wanted = self._wanted()
        self._settle_settings(local)
        if local is not None:
            try:
                local = replace(local, differing=differing_directives(self._desired.local, self._settings))
            except (Unreachable, ErrorReply) as error:
                local, local_error = None, str(error)
        peer, peer_error = seen[self._place.other.name]
        if peer is not None and peer.role == MASTER and self.wanted.active:
            self._before = peer.keys
        bare = local is not None and local.role == REPLICA and not local.link_up and local.keys == 0
        facts = Facts(
            held=bare and redis_data.hold_keys(self._layout, self._engine),
            installed=self._installed(),
            unit_active=self._units.active(self._engine.unit),
            unit_enabled=self._units.enabled(self._engine.unit),
            data=data,
            recorded=redis_takeover.read(self._layout, self._role.epoch) is not None,
            had_data=redis_data.marker(self._layout).exists(),
            role=found.role if found else None,
            role_epoch=found.epoch if found else None,
            stale_files=tuple(differing(self._files(standby=not self.wanted.active))),
            unloaded=self._due.names(),
            standby_conf=not self._conf(standby=True).differs(),
            sentinel=self._sentinel.facts(),
            local=local,
            local_error=local_error,
            peer=peer,
            peer_error=peer_error,
        )
        if decided_by_the_witness(facts, self.wanted):
            facts = replace(facts, peer_followed=self._peer_followed())
        return facts

    def _installed(self) -> Software | None:
        program = str(self._layout.at(self._engine.binary))
        return announced(run([program, "--version"], limit_s=5, check=False).out)

    def _sentinels_word(self, local: Instance | None) -> Word | None:
        """Where they work already: a leader that does not answer this run may lead all the same."""
        access = Access.of_host(self._layout)
        if access is None or not access.sentinels or not self._sentinel.wanted:
            return None
        return word(access.sentinels, self._desired.local.address if local is None else None)

    def _settle_settings(self, local: Instance | None) -> None:
        """What this host's server should run with, in the place that it has."""
        if local is not None and local.role == MASTER and self._attended is None:
            self._attended = local.replicas >= self._desired.min_replicas
        self._armed = self._place.joined or (self._place.leads and bool(self._attended))
        self._settings = directives(self._desired, self._engine, self._layout, armed=self._armed)

    def _peer_followed(self) -> bool | None:
        """Whether the peer site ever followed; None when the witness does not say."""
        try:
            return Witness.of_host(self._layout).has(f"followed/{self._role.peer}.json")
        except Silent as error:
            self._log.warning(str(error))
            return None

    def _look_around(self) -> dict[str, tuple[Instance | None, str | None]]:
        """The other caches, by name. A dead one is asked once: each question costs its whole time-out, and this runs while nobody can order."""
        asked = [server for server in others(self._desired) if server.name not in self._silence]
        found = dict(zip((server.name for server in asked), side_by_side(look, asked), strict=True))
        self._silence |= {name: why for name, (_, why) in found.items() if why is not None}
        return {name: (None, why) for name, why in self._silence.items()} | found

    def plan(self, facts: Facts) -> Sequence[Step]:
        """See `plan`; Sentinel rests while roles change."""
        if self._place.waits is not None:
            raise Refused(
                say(
                    subject="leader of the caches",
                    found=self._place.waits,
                    wanted="one that leads alone",
                    consequence="nothing was changed",
                    remedy="Sentinel settles that within half a minute: run the same again; see `dr-host redis status` on each cache host",
                )
            )
        self._spare = spare(facts, self.wanted)
        steps = [*self._sentinel.off(facts.sentinel), *plan(facts, self.wanted)]
        if LOOK_AGAIN not in steps:
            steps += self._sentinel.on(facts.sentinel, self._leader)
        if facts.peer is None and self.wanted.active and facts.local is not None and facts.local.role == REPLICA:
            self._log.warning(
                f"peer {self.wanted.peer_name} does not answer ({facts.peer_error}): what it took last is lost if it never came here"
            )
        self._compare_limits(facts.peer)
        self._compare_versions(facts)
        return steps

    @property
    def _leader(self) -> Server:
        """Of this site, if it is the active one."""
        return self._desired.local if self._place.leads else self._place.other

    def _compare_limits(self, peer: Instance | None) -> None:
        """A replica ignores its limit until it is promoted; with another one than its master's it would evict keys that moment."""
        here = (self._desired.maxmemory, self._desired.policy)
        if peer is not None and (peer.maxmemory, peer.policy) != here:
            self._log.warning(
                f"limit of {self.wanted.peer_name}: found {peer.maxmemory} bytes with {peer.policy}, wanted {here[0]} with {here[1]} as here; "
                "after a move keys would be evicted that were kept before; make dr:redis equal in both stacks and run `pulumi up` of both"
            )

    def _compare_versions(self, facts: Facts) -> None:
        """Of a pair that works: the next full copy would not."""
        if facts.local is None or facts.peer is None:
            return
        own, other = (self._desired.local.name, facts.local), (self.wanted.peer_name, facts.peer)
        leader, follower = (own, other) if self.wanted.active else (other, own)
        if unreadable(follower[1].software, leader[1].software):
            self._log.warning(
                f"version of {follower[0]}: found {follower[1].software}, wanted at least that of its leader {leader[0]}, {leader[1].software}; it cannot "
                f"take a full copy, so a cut of the link that lasts leaves it behind; upgrade {follower[0]} now, and next time the standby first"
            )

    def apply(self, step: Step) -> None:
        """See `plan` for what each name means."""
        if step.name.startswith("sentinel-"):
            self._sentinel.apply(step, self._leader)
            return
        actions: dict[str, Callable[[], None]] = {
            "write": lambda: self._write(step.detail),
            "write-conf": lambda: self._conf(standby=step.detail == "standby").write(),
            "daemon-reload": lambda: self._load(self._units.daemon_reload, "/systemd/"),
            "enable": lambda: self._units.enable(self._engine.unit),
            "role": lambda: self._role.but(sites.Role(step.detail)).write(self._layout),
            "start": lambda: self._launch(restart=False),
            "restart": lambda: self._launch(restart=True),
            "set": lambda: self._local("CONFIG", "SET", step.detail, self._settings[step.detail]),
            "load-acl": lambda: self._load(lambda: self._local("ACL", "LOAD"), ACL),
            "load-tls": lambda: self._load(lambda: self._local("CONFIG", "SET", *_reloaded(self._settings)), *TLS),
            "keep-diverged": lambda: self._process.keep(self._role.epoch, self._settings),
            "follow": lambda: self._local("REPLICAOF", self._place.other.address, self._place.other.port),
            "await-link": lambda: self._process.await_link(self._place.other),
            "promote": lambda: self._promote(PROMOTION),
            "promote-cold": lambda: self._promote(COLD, ("FLUSHALL", "ASYNC")),
            "forget-data": lambda: redis_data.marker(self._layout).unlink(missing_ok=True),
            "record-promotion": lambda: self._count(PROMOTION, ask(self._desired.local, last=INFO)),
            "record-start": lambda: self._record(
                Takeover(self._role.epoch, STARTED, Loss(None, f"this cache {step.detail} when it was to take over"))
            ),
            "arm-peer": lambda: self._peer("CONFIG", "SET", ARMED, self._desired.min_replicas),
            "promote-peer": self._borrow,
            "turn-peer": lambda: self._peer("REPLICAOF", self._desired.local.address, self._desired.local.port),
            "handover": self._hand_over,
        }
        actions[step.name]()

    def verify(self, facts: Facts) -> dict[str, Any]:
        """See `plan.Service`."""
        role = MASTER if self.wanted.active else REPLICA
        self._sentinel.verify(facts.sentinel)
        local = facts.local
        if local is None or local.role != role or local.differing or facts.stale_files:
            found = f"nobody answering ({facts.local_error})" if local is None else f"a {local.role}"
            wrong = ", ".join([*(local.differing if local else ()), *facts.stale_files])
            raise Failed(
                say(
                    subject="cache of this host",
                    found=found + (f" with other settings: {wrong}" if wrong else ""),
                    wanted=f"a {role} as configured",
                    consequence="it has no place in its role",
                    remedy=f"read `journalctl -u {self._engine.unit}`, then run the same again",
                )
            )
        if not redis_data.marker(self._layout).exists():
            write_atomically(
                redis_data.marker(self._layout), b"The guard does not start a primary whose data is gone since.\n"
            )
        free = redis_data.free(self._layout, self._engine)
        for line in (*warnings(self._layout, self._desired.memory), disk_warning(free, self._desired.maxmemory)):
            if line is not None:
                self._log.warning(line)
        takeover = self._counted(local.keys) if self.wanted.active else None
        if local.unwritten and role == MASTER:
            raise Failed(
                say(
                    subject="cache of this host",
                    found=f"a master that cannot write its files ({free} bytes free)",
                    wanted="one that takes writes",
                    consequence="it refuses every write; what it holds is there",
                    remedy=f"free the disk of {self._layout.at(self._engine.data)}, it takes writes by itself then; run the same again",
                )
            )
        told = {
            "engine": self._engine.name,
            "epoch": self._role.epoch,
            "role": self._role.role,
            "version": local.version,
        }
        return told | ({"takeover": takeover.facts()} if takeover else {})

    def _borrow(self) -> None:
        """Have the one that holds the keys lead until they are here. A standby's refuses writes meanwhile: its agent stops a writer."""
        if self._place.other in self._desired.peers:
            self._peer("CONFIG", "SET", ARMED, LENT)
        self._peer("REPLICAOF", "NO", "ONE")

    def _hand_over(self) -> None:
        try:
            let_go(self._desired, self._place.other)
        except (Unreachable, ErrorReply) as error:
            raise Failed(
                f"{self._place.other.name}: {error}; wanted a leader to take over from; nothing was handed over; run the same again"
            ) from None
        held_s = hand_over(self._desired.local, self._place.other)
        self._record(Takeover(self._role.epoch, HANDOVER, cost(held_s), held_ms=round(held_s * 1000, 1)))
        if self._place.other in self._desired.peers:
            with suppress(Unreachable, ErrorReply):  # whoever makes a leader of it sets it as well
                self._peer("CONFIG", "SET", ARMED, 0)

    def _promote(self, way: str, *then: tuple[str | int, ...]) -> None:
        """Promote, then look what that cost: nothing is asked before the cache can be written to."""
        self._count(way, ask(self._desired.local, ("REPLICAOF", "NO", "ONE"), *then, last=INFO))

    def _count(self, way: str, answer: str) -> None:
        info = parse_info(answer)
        lost = redis_takeover.loss(info, self._desired.last_seen)
        self._record(Takeover(self._role.epoch, way, lost, keys_of(info)))

    def _record(self, takeover: Takeover) -> None:
        """The first word in an epoch stays: what comes later in it, as a rebuilt host that fetches its keys, is no takeover."""
        told = replace(takeover, before=self._before)
        if told.epoch > 1 and redis_takeover.read(self._layout, told.epoch) is None:
            told.write(self._layout)
        (self._log.info if told.lost.bytes == 0 and not told.fewer else self._log.warning)(told.text())

    def _counted(self, keys: int) -> Takeover | None:
        """The record of this epoch; its keys where they could not be counted sooner, for the server was only started."""
        found = redis_takeover.read(self._layout, self._role.epoch)
        if found is None or found.keys is not None:
            return found
        found = replace(found, keys=keys)
        found.write(self._layout)
        (self._log.warning if found.fewer else self._log.info)(f"{found.way}: {found.counted()}")
        return found

    def _files(self, *, standby: bool) -> list[ManagedFile]:
        armed = self._armed and (self._place.joined or not standby)
        return files(
            self._desired, self._engine, self._layout, follows=self._place.other if standby else None, armed=armed
        )

    def _conf(self, *, standby: bool) -> ManagedFile:
        return next(file for file in self._files(standby=standby) if file.path.name == "dr.conf")

    def _write(self, path: str) -> None:
        if path.endswith((ACL, *TLS)) or "/systemd/" in path:
            self._due.add([path])
        next(file for file in self._files(standby=not self.wanted.active) if str(file.path) == path).write()

    def _load(self, bring: Callable[[], None], *parts: str) -> None:
        """Into force, what has one of these in its path."""
        bring()
        self._due.done(path for path in self._due.names() if any(part in path for part in parts))

    def _launch(self, *, restart: bool) -> None:
        self._sentinel.step_aside()
        try:
            self._process.launch(restart=restart)
        except Broken as error:
            if self._spare is None:
                raise
            self._do_without(error.words, self._spare)
        self._due.done(self._due.names())

    def _do_without(self, words: str, why: str) -> None:
        """Put the files aside. A follower then starts and fetches; for one that is to lead, the plan decides anew what an empty one does."""
        self._units.stop(self._engine.unit, START_S)  # or systemd would try again by itself in the middle of this
        kept = redis_data.put_aside(self._layout, self._engine)
        self._log.warning(f"append-only files of this cache: cannot be read ({words}), kept as {kept}; {why}")
        if not self._conf(standby=True).differs():
            self._process.launch(restart=False)
        recorded = redis_takeover.read(self._layout, self._role.epoch)
        if why == GIVEN_UP and recorded is not None and (recorded.way, recorded.keys) == (STARTED, None):
            replace(recorded, way=COLD, lost=Loss(None, "the files of this cache could not be read")).write(
                self._layout
            )

    def _local(self, *words: str | int) -> None:
        ask(self._desired.local, words)

    def _peer(self, *words: str | int) -> None:
        ask(self._place.other, words, limit_s=PEER_S)


def _reloaded(settings: Mapping[str, str]) -> list[str]:
    """Setting certificate files to what they are makes the server read them again; all in one command, so that they match."""
    return [word for name in ("tls-ca-cert-file", "tls-cert-file", "tls-key-file") for word in (name, settings[name])]


def run_converge(call: Call) -> Result:
    """Verb `converge`."""
    return converge(Redis(Desired.read(call.document), call.layout, call.log, Systemd()), call)


VERBS = {"converge": Verb(run_converge), "status": Verb(status, locked=False, reads=False)}
