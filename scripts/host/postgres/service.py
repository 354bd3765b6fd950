"""PostgreSQL on this host as a service that converges: the steps of `plan`, one method each."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from contract.accept import over
from contract.errors import Failed, say
from contract.services.postgres import REPLICATION_ROLE

from ..frame.commands import CommandFailed
from ..frame.log import Log
from ..frame.plan import Step
from ..frame.systemd import Units
from ..frame.wait import until
from ..frame.witness import Silent
from . import copy as pg_copy
from . import evidence as pg_evidence
from . import facts as pg_facts
from . import peer as pg_peer
from . import roles, session
from . import sync as pg_sync
from . import volume as pg_volume
from .applied import Applied
from .desired import Desired
from .expiry import Expiry
from .facts import Facts, Live
from .known import Clusters
from .layout import OWNER_ROLE, SLOT, PostgresLayout
from .mark import COPY, EXPIRED, read_mark
from .plan import Want, plan
from .rejoin import Rejoin
from .scram import verifier
from .server import Server
from .sync import ARMED, OFF, Move
from .text import conninfo

REPLAY_S, FOLLOW_S = 10.0, 60.0


class Postgres:
    """`plan.Service` of the database host."""

    def __init__(
        self, desired: Desired, layout: PostgresLayout, server: Server, units: Units, log: Log, *, clusters: Clusters
    ) -> None:
        self.desired, self.layout, self.server, self.units, self.log = desired, layout, server, units, log
        epoch = desired.envelope.epoch
        if epoch is None:
            raise Failed(
                "document.epoch: found nothing, wanted the epoch in force; nothing was changed; run the fence first"
            )
        self.epoch = epoch
        self.clusters = clusters
        role = desired.envelope.role()
        self.want = Want(role, epoch, desired.peer.name, desired.mode, desired.version, _empty(desired))
        self.applied = Applied(desired, layout, server, units, log)
        self.rejoin = Rejoin(desired, layout, server, log)
        self.floors: Mapping[str, int] = {}
        self.promoted = False
        self.too_small = False  # the file system could not be grown: no reason to stop here

    def facts(self) -> Facts:
        found = pg_facts.gather(self.desired, self.layout, self.server, self.units, self.clusters)
        self.floors = found.floors
        if self.too_small:
            found = replace(found, volume=replace(found.volume, grown=False))
        return replace(found, promoted=self.promoted)

    def plan(self, facts: Facts) -> Sequence[Step]:
        return plan(self.want, facts)

    def apply(self, step: Step) -> None:
        getattr(self, "_do_" + step.name.replace("-", "_"))(step.detail)

    def verify(self, facts: Facts) -> dict[str, Any]:
        live, cluster = facts.live, facts.cluster
        if cluster is None or live is None or live.in_recovery == self.want.active:
            raise Failed(
                say(
                    subject="database of this host",
                    found="no answer" if live is None else "a standby" if live.in_recovery else "a primary",
                    wanted=f"a {self.want.role.role}",
                    consequence="the site has no database in its role",
                    remedy="see `dr-host postgres status`",
                )
            )
        checkpoint = self.epoch.checkpoint
        if self.want.active and checkpoint and live.timeline <= checkpoint.timeline:
            raise Failed(
                f"promoted cluster: found timeline {live.timeline}, wanted one after {checkpoint.timeline}; it could not be told from the old "
                "primary's; stop it (`dr-host postgres stop`) and see its log"
            )
        self._compare(live, facts.peer)
        if self.want.active and live.left:
            told = ", ".join(f"{name} ({sessions} sessions)" for name, sessions in live.left.items())
            self.log.warning(
                f"logins of before a rotation: found {told} in use, wanted none; they are still let in, so that nobody is cut off; see in "
                "pg_stat_activity who that is, and run the same again"
            )
        return {
            "role": self.want.role.role,
            "epoch": self.epoch.epoch,
            "version": self.desired.version,
            "timeline": live.timeline,
            "system_identifier": cluster.system_identifier,
            "data_directory": str(self.layout.data),
            "mode": self.desired.mode,
            "evidence": [str(folder) for folder in pg_evidence.existing(self.layout)],
        }

    def _compare(self, live: Live, peer: pg_peer.Peer | None) -> None:
        """Whether this host reads the data as the one that wrote them does. A primary is in service already: it only says so."""
        if peer is not None and live.version < peer.version:
            self.log.warning(
                f"PostgreSQL {live.version} here is older than {peer.version} on {self.want.peer}: update the standby first, then move the shop"
            )
        if not live.collations:
            return
        text = say(
            subject=f"collation of {', '.join(live.collations)}",
            found="another version of the system's library than that of its indexes",
            wanted="the same",
            consequence="rows would be missed and unique keys doubled after a take-over",
            remedy="give the database hosts of both sites the same image, then `reindex database` and `alter database ... refresh collation version`",
        )
        if live.in_recovery:
            raise Failed(text)
        self.log.warning(text)

    def _do_wait_for_volume(self, _: str) -> None:
        pg_volume.wait(self.layout, self.desired.volume_id or "")

    def _do_format_volume(self, _: str) -> None:
        pg_volume.format_device(str(pg_volume.find(self.layout, self.desired.volume_id or "")))

    def _do_grow_volume(self, _: str) -> None:
        device = str(pg_volume.find(self.layout, self.desired.volume_id or ""))
        try:
            pg_volume.grow(device)
        except CommandFailed as error:
            self.too_small = True
            self.log.warning(
                say(
                    subject=f"file system of {device}",
                    found=f"smaller than its volume, and not to be grown ({error.done.reason})",
                    wanted="all of the volume",
                    consequence="the database has the room that it had",
                    remedy=f"see `dmesg`, and run `resize2fs {device}`",
                )
            )

    def _do_mount_volume(self, _: str) -> None:
        pg_volume.mount(self.layout, str(pg_volume.find(self.layout, self.desired.volume_id or "")), self.units)

    def _do_files(self, _: str) -> None:
        self.applied.write(self.floors)

    def _do_role(self, _: str) -> None:
        self.want.role.write(self.layout.base)

    def _do_initialise(self, _: str) -> None:
        pg_copy.initialise(self.desired, self.layout)

    def _do_record_cluster(self, _: str) -> None:
        """Before its first start it is a condition: no order may be in a database that nobody would miss. One that serves is held up by nothing."""
        control = self.server.control_data()
        if control is None:
            return
        try:
            self.clusters.record(control.system_identifier, self.want.role)
        except Silent as error:
            if self.server.pid() is None:
                raise Failed(
                    f"{error}; the database was made, and is not started before the witness knows it"
                ) from None
            self.log.warning(f"{error}; the next run records this cluster there")

    def _do_enable(self, _: str) -> None:
        self.units.enable(self.layout.unit)

    def _do_start(self, _: str) -> None:
        if not self.want.active:
            pg_sync.disarm(self.layout)
        self.applied.start()

    def _do_stop(self, _: str) -> None:
        self.server.stop()

    def _do_restart(self, _: str) -> None:
        self.applied.restart()

    def _do_reload(self, _: str) -> None:
        self.applied.reload()

    def _do_drop_recovery_signal(self, _: str) -> None:
        pg_copy.drop(self.layout, self.layout.data / "recovery.signal")

    def _do_promote(self, _: str) -> None:
        checkpoint = self.epoch.checkpoint
        if self.epoch.planned and checkpoint is not None:
            self.server.wait_replayed(checkpoint.lsn, checkpoint.timeline, REPLAY_S)
        timeline = self.server.promote()
        self.promoted = True
        self.log.info(f"promoted to timeline {timeline}")

    def _do_sync(self, state: str) -> None:
        on = state == "on"
        says = "commits wait for the standby" if on else "commits do not wait for a standby"
        peer = self.desired.envelope.peer
        pg_sync.apply(self.layout, self.server, peer, Move(on, ARMED if on else OFF, says))

    def _do_extension(self, name: str) -> None:
        self.server.sql(roles.EXTENSION, {"name": name}, database=self.desired.database, limit_s=60)

    def _do_drop_logical_slots(self, names: str) -> None:
        for name in names.split(", "):
            self.server.sql("select pg_drop_replication_slot(:'name')", {"name": name})

    def _do_resume_replay(self, _: str) -> None:
        self.server.resume_replay()

    def _do_reset_overrides(self, _: str) -> None:
        self.applied.drop_overrides()

    def _do_slot(self, _: str) -> None:
        """Keeps WAL for the peer from the last checkpoint on. The checkpoint that the promotion put off may then run by itself."""
        script = """select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = :'slot' and not active;
            select pg_create_physical_replication_slot(:'slot', true)
            where not exists (select from pg_replication_slots where slot_name = :'slot');"""
        self.server.sql(script + _MARK, {"slot": SLOT, **self._marker()})
        target = {
            "host": str(self.layout.sockets),
            "port": str(self.server.port),
            "user": "postgres",
            "dbname": "postgres",
            "options": session.options(self.layout.version),
        }
        become = self.layout.user if os.geteuid() == 0 else None
        subprocess.Popen(
            [self.layout.program("psql"), "-Xq", "-d", conninfo(target), "-c", "checkpoint"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            user=become,
            group=become,
        )

    def _do_marker(self, _: str) -> None:
        self.server.sql(_MARK, self._marker())

    def _marker(self) -> dict[str, str]:
        role = self.want.role
        return {"replication": REPLICATION_ROLE, "marker": pg_peer.marker(role.epoch, role.site)}

    def _do_drop_slot(self, _: str) -> None:
        """A standby's own slot would keep WAL for nobody."""
        self.server.sql(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = :'slot' and not active",
            {"slot": SLOT},
        )

    def _do_role_in_database(self, name: str) -> None:
        password = roles.wanted(self.desired)[name]
        self.server.sql(roles.script(name), {"name": name, "owner": OWNER_ROLE, "verifier": verifier(password)})

    def _do_shut_out(self, name: str) -> None:
        self.server.sql(roles.SHUT_OUT, {"name": name})

    def _do_database(self, _: str) -> None:
        variables = {"database": self.desired.database, "owner": OWNER_ROLE}
        self.server.sql(roles.CREATE_DATABASE, variables, limit_s=60)
        self.server.sql(roles.SETTLE_DATABASE, variables, database=self.desired.database, limit_s=60)

    def _do_say(self, why: str) -> None:
        self.log.warning(f"the data directory of this host cannot follow: {why}")

    def _do_evidence(self, _: str) -> None:
        self.rejoin.keep_evidence(self._peer())

    def _do_recover(self, _: str) -> None:
        self.rejoin.recover()

    def _do_rewind(self, _: str) -> None:
        timeline = self._peer().timeline
        self.rejoin.rewind(lambda: pg_peer.ask_peer(self.desired, self.layout).checkpointed >= timeline)

    def _do_settle(self, _: str) -> None:
        self.rejoin.settle()

    def _peer(self) -> pg_peer.Peer:
        peer = pg_peer.ask_peer(self.desired, self.layout)
        if peer.error is not None:
            raise Failed(
                f"database of the active site, {self.want.peer}: found {peer.error}, wanted an answer; run the same again"
            )
        return peer

    def _do_standby_signal(self, _: str) -> None:
        pg_copy.signal_standby(self.layout, self.layout.data)

    def _do_discard_copy(self, _: str) -> None:
        pg_copy.discard(self.layout)

    def _do_peer_slot(self, _: str) -> None:
        pg_peer.prepare_slot(self.desired, self.layout)

    def _do_copy(self, _: str) -> None:
        pg_copy.copy(self.desired, self.layout, self._peer().tablespaces)

    def _do_set_aside(self, why: str) -> None:
        pg_copy.set_aside(self.layout, f"{why}-{self.epoch.epoch}")

    def _do_swap(self, what: str) -> None:
        mark = read_mark(self.layout)
        if mark is not None and mark.stage == EXPIRED:
            self.rejoin.mark(COPY, mark.why)  # it speaks of the data that go
        pg_copy.swap(self.layout, self.layout.rewinding if what else None)

    def _do_follow(self, _: str) -> None:
        """Wait until both ends say that WAL flows, and what the primary wrote in its own time is seen here."""
        seen: dict[str, Any] = {}
        expiry = Expiry(self.server)

        def flows() -> bool:
            live, peer = (
                pg_facts.read_live(self.desired, self.layout, self.server),
                pg_peer.ask_peer(self.desired, self.layout),
            )
            if expiry.holds(live, peer, time.monotonic()):
                return True
            seen.update(
                here=live is not None and live.streaming, there=peer.sees, error=peer.error, slot=peer.slot, peer=peer
            )
            seen.update(
                timeline=live and live.timeline, wanted=peer.timeline, marker=live and live.marker, written=peer.marker
            )
            return (
                bool(seen["here"])
                and peer.sees == "streaming"
                and live is not None
                and (live.timeline, live.marker) == (peer.timeline, peer.marker)
            )

        pg_peer.prepare_slot(self.desired, self.layout)
        flowing = until(flows, FOLLOW_S, 0.2)
        if expiry.certain:
            self.rejoin.expired("the primary no longer has the WAL that this standby needs")
        elif flowing:
            self.rejoin.prove(seen["peer"])
        else:
            raise Failed(
                say(
                    subject="replication to this standby",
                    found=f"receiver {'streaming' if seen['here'] else 'not streaming'}, "
                    f"sender {seen['there'] or seen['error'] or 'absent'}, slot {seen['slot']}, timeline {seen['timeline']} (there {seen['wanted']}), "
                    f"marker {seen['marker']!r} (there {seen['written']!r})",
                    wanted=f"streaming at both ends and the primary's marker here within {FOLLOW_S:g} s",
                    consequence="this site cannot take over without loss",
                    remedy="see the log of this server, run the same again",
                )
            )


# The role is there but for the first start ever.
_MARK = """select format('comment on role %I is %L', rolname, :'marker') from pg_roles where rolname = :'replication' \\gexec
"""


def _empty(desired: Desired) -> int | None:
    """The epoch of the operator's word for an empty database, while the word counts."""
    at = desired.begin_empty_at
    return None if at is not None and over(at) else desired.begin_empty
