"""What looks after the archive every minute, as PostgreSQL's user: on the primary its places in the repositories, an epoch that outran this host, and what a
repository missed; on a standby whether it has to fetch WAL from the archive. It also writes the metrics.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from contract.errors import Refused

from ..frame import rolefile
from ..frame.boots import boottime
from ..frame.commands import Done
from ..frame.files import write_atomically
from ..frame.log import Log
from ..frame.rolefile import PRIMARY, STANDBY, Role
from ..frame.wait import until
from ..frame.witness import Silent
from ..postgres.layout import PostgresLayout
from ..postgres.server import TIMELINE, Server
from . import fetch
from . import inherit as archive_inherit
from . import state as archive_state
from .desired import Memory
from .holes import SEGMENT, hole
from .inherit import owed
from .layout import ArchiveLayout
from .push import may_write, waiting
from .tool import DIFFERENT_CONTENT, LOCKED, PARTLY_THERE, Info, PgBackRest, explain, stanza, system_identifier
from .word import Word, hear

FOLLOW_AFTER_S = 60.0  # a standby that does not stream for so long fetches from the archive
REPAIR_S = 240.0  # one run's share of sending what a repository missed
LOCKED_S = 20.0


class Check:
    """`server`: this host's cluster, asked only."""

    def __init__(
        self, layout: ArchiveLayout, memory: Memory, server: Server, log: Log, word: Word | None = None
    ) -> None:
        """`word`: the witness's, where this process has lost the right to ask for it."""
        self.layout, self.memory, self.server, self.log, self.word = layout, memory, server, log, word
        self.tool = PgBackRest(layout, memory.port)
        self._infos: dict[str, Info | None] = {}  # of this run: a dead region is asked once, and both at the same time

    @property
    def postgres(self) -> PostgresLayout:
        return self.layout.postgres

    def run(self) -> dict[str, Any]:
        """Do what is due; the status afterwards."""
        role = rolefile.read(self.postgres.base)
        self._infos = {}
        if role is not None and role.role == PRIMARY:
            self._primary(role)
        elif role is not None and role.role == STANDBY:
            self._standby()
        found = self.status()
        self._metrics(found)
        with self.postgres.acting():
            write_atomically(self.layout.seen, json.dumps({"at": time.time(), **found}, sort_keys=True).encode(), 0o640)
        return found

    # --- primary

    def _primary(self, role: Role) -> None:
        self._ask_witness(role)
        try:
            may_write(role, archive_state.load(self.layout))
            place = stanza(self.layout)
        except Refused as error:
            self.log.warning(str(error))
            return
        self.layout.leave(self.layout.follow)
        for repository, info in self._ask_repositories(place).items():
            if info is None:
                self.log.warning(f"repository {repository}: no answer; what it misses is sent when it answers")
                continue
            if not info.exists:
                self._make_place(repository, place)
                self._infos[repository] = self.tool.info(repository, place)
            self._take_back(repository)
        self._compare(place)
        self._fill(place)
        self._inherit(place)
        self._look_for_holes(place)

    def _ask_repositories(self, place: str) -> dict[str, Info | None]:
        if not self._infos:
            with ThreadPoolExecutor(max_workers=2) as pool:
                found = pool.map(lambda name: self.tool.info(name, place), self.memory.repositories)
                self._infos = dict(zip(self.memory.repositories, found, strict=True))
        return dict(self._infos)

    def _ask_witness(self, role: Role) -> None:
        """Remember a newer epoch of another site: the archiver, which cannot ask, refuses from now on."""
        try:
            newest = (self.word or hear(self.postgres.base, role.epoch))()
        except Silent as error:
            self.log.warning(f"{error}; whether this host is still the primary is for its lease to say")
            return
        newer = newest is not None and newest.epoch > role.epoch and newest.site != role.site
        with archive_state.change(self.layout) as state:
            state.hold = {"epoch": newest.epoch, "active": newest.site} if newer and newest is not None else None

    def _make_place(self, repository: str, place: str) -> None:
        done = Done(LOCKED, "", "")

        def tried() -> bool:
            nonlocal done
            done = self.tool.call(repository, place, "stanza-create", limit_s=300)
            return done.code != LOCKED

        # The archiver's own try at a repository without a place holds the lock for as long as it takes to see that, and comes again each second.
        until(tried, LOCKED_S, 0.2)
        if done.code:
            removed = "; somebody has removed a part of it: docs/restore.md, backups were removed"
            more = removed if done.code in PARTLY_THERE else ""
            self.log.warning(f"repository {repository}: no place for {place} could be made: {explain(done)}{more}")
        else:
            self.log.info(f"repository {repository}: place for {place} made")

    def _take_back(self, repository: str) -> None:
        """It answers again: new WAL goes there at once, and what it missed is a gap until it is filled in."""
        with archive_state.change(self.layout) as state:
            left_out = state.suspended.pop(repository, None)
            if left_out is not None:
                state.gaps[repository] = {"from": left_out["from"]}
                self.log.info(
                    f"repository {repository}: answers again, gets new WAL, and has a gap from {left_out['from']} on"
                )

    def _compare(self, place: str) -> None:
        """Once for each promotion, and where this host's own record is gone: what a repository lacks is seen in the repositories. The host that
        left it out may be the one that was lost.
        """
        now = self._timeline()
        if now is None or now <= archive_state.load(self.layout).compared or None in self._infos.values():
            return
        stored = {name: self._wal(name, place) for name in self.memory.repositories}
        wal = {name: it for name, it in stored.items() if it is not None}
        if len(wal) < len(stored):
            return
        own, peer = self.memory.repositories
        under_way = set(waiting(self.layout))
        lacks = {
            name: [it for it in to_fill(wal[other], wal[name]) if it not in under_way] if wal[name] else []
            for name, other in ((own, peer), (peer, own))
        }
        with archive_state.change(self.layout) as state:
            state.compared = now
            for name, missing in lacks.items():
                if missing and name not in state.suspended:
                    state.gaps.setdefault(name, {"from": missing[0]})
        for name, missing in lacks.items():
            if missing:
                self.log.warning(
                    f"repository {name}: lacks {len(missing)} WAL files that the other has, {missing[0]} to {missing[-1]}"
                )

    def _fill(self, place: str) -> None:
        """Send WAL that one repository has and the other lacks."""
        for repository in list(archive_state.load(self.layout).gaps):
            other = next(name for name in self.memory.repositories if name != repository)
            there, here = (self._wal(name, place) for name in (other, repository))
            if there is None or here is None:
                continue
            missing = to_fill(there, here)
            deadline = time.monotonic() + REPAIR_S
            while missing and time.monotonic() < deadline and self._send(missing[0], other, repository, place):
                missing.pop(0)
            if not missing:
                with archive_state.change(self.layout) as state:
                    state.gaps.pop(repository, None)
                self.log.info(f"repository {repository}: the gap is filled in from {other}")

    def _wal(self, repository: str, place: str) -> dict[str, int] | None:
        info = self._infos.get(repository)
        if info is None or info.archive is None:
            return {} if info is not None else None
        return self.tool.wal(repository, place, info.archive)

    def _send(self, name: str, source: str, target: str, place: str) -> bool:
        path = self.layout.repair / name
        try:
            for repository, command in (
                (source, ("archive-get", name, str(path))),
                (target, ("archive-push", str(path))),
            ):
                done = self.tool.call(repository, place, command[0], "--no-archive-async", *command[1:], limit_s=120)
                if done.code == DIFFERENT_CONTENT:
                    self.log.error(
                        f"WAL segment {name}: repositories {source} and {target} have different content: see docs/restore.md, split brain"
                    )
                if done.code:
                    self.log.warning(f"repository {repository}: {command[0]} of {name}: {explain(done)}")
                    return False
            return True
        finally:
            self.layout.leave(path)

    def _inherit(self, place: str) -> None:
        """Once for each promotion."""
        now = self._timeline()
        if now is None or now <= max(archive_state.load(self.layout).inherited, 1):
            return
        wal, control = self.postgres.data / "pg_wal", self.server.control_data()
        stored = [self._wal(name, place) for name in self.memory.repositories]
        known = [set(it) for it in stored if it is not None]
        names = owed(
            [path.name for path in wal.iterdir()],
            known,
            archive_inherit.ancestors(wal, now),
            now,
            control.segment if control else 16 << 20,
        )
        if names:
            archive_inherit.mark(self.layout, wal, names)
            self.log.info(
                f"archive: {len(names)} files that the old primary did not store are sent from here: {names[0]} to {names[-1]}"
            )
        elif len(known) == len(stored):
            with archive_state.change(self.layout) as state:
                state.inherited = now

    def _look_for_holes(self, place: str) -> None:
        """Once for each promotion, when all that this host could send is there, and where its own record is gone: what was dropped is written down by
        the host that dropped it, which may be the one that was lost.
        """
        now, state = self._timeline(), archive_state.load(self.layout)
        if now is None or now <= state.looked or (now > 1 and now > state.inherited) or None in self._infos.values():
            return
        under_way = waiting(self.layout)  # before the look: what arrives meanwhile is in one of both
        stored = [self._wal(name, place) for name in self.memory.repositories]
        wal, control = self.postgres.data / "pg_wal", self.server.control_data()
        if None in stored:
            return
        starts = [info.backups[-1].wal for info in self._infos.values() if info is not None and info.backups]
        held = set(under_way).union(*(it for it in stored if it is not None))
        past = {timeline for timeline, _ in archive_inherit.ancestors(wal, now)} | {now}
        found = hole(
            held, past, max(starts, key=lambda name: name[8:], default=None), control.segment if control else SEGMENT
        )
        with archive_state.change(self.layout) as state:
            state.looked = now
            state.dropped = state.dropped or found
        if found is not None:
            self.log.error(
                f"archive: WAL from {found['from']} to {found['to']} is in no repository; a restore cannot go past it from older backups; "
                '`{"type": "full"}` for `dr-host archive backup`'
            )

    # --- standby

    def _standby(self) -> None:
        streaming = self.server.ask(
            "select to_json(exists (select from pg_stat_wal_receiver where status = 'streaming'))"
        )
        with archive_state.change(self.layout) as state:
            clock = boottime()
            if streaming is not False or not state.silent_since or state.silent_since > clock:
                state.silent_since = clock if streaming is False else None
            drain = fetch.window(state.drain, clock)
            if drain is None:
                state.drain = None
            follow = drain is not None or follows(streaming, state.silent_since, clock)
        if follow:
            self.layout.open()
        else:
            self.layout.leave(self.layout.follow)

    # --- what it looks like

    def _timeline(self) -> int | None:
        found = self.server.ask(f"select to_json({TIMELINE})")
        return found if isinstance(found, int) else None

    def status(self) -> dict[str, Any]:
        """Live facts, null for what cannot be learned."""
        state, role = archive_state.load(self.layout), rolefile.read(self.postgres.base)
        try:
            place = f"dr-{system_identifier(self.layout)}"
        except Refused:
            place = None
        infos = self._ask_repositories(place) if place else {}
        repositories: dict[str, Any] = {}
        for repository in self.memory.repositories:
            info = infos.get(repository)
            repositories[repository] = {
                **_facts(info),
                "left_out": state.suspended.get(repository),
                "gap": state.gaps.get(repository),
                "failed_backup": state.backups.get(repository),
            }
        ready = waiting(self.layout)
        return {
            "role": role.document() if role else None,
            "cluster": place,
            "timeline": self._timeline(),
            "dropped": state.dropped,
            "alarm": state.alarm,
            "hold": state.hold,
            "waiting": len(ready),
            "oldest_waiting": ready[0] if ready else None,
            "archiver": self.server.ask(_ARCHIVER),
            "repositories": repositories,
            "follows_archive": self.layout.follow.exists(),
        }

    def _metrics(self, found: dict[str, Any]) -> None:
        if self.layout.figures.folder.is_dir():  # else a host that an older version prepared
            with self.postgres.acting():
                write_atomically(self.layout.figures.path, metrics(found).encode(), 0o644)


def follows(streaming: bool | None, silent_since: float | None, clock: float) -> bool:
    """Whether a standby fetches from the archive: only once streaming has failed for a while, because a promotion waits for the archive. Pure."""
    return streaming is False and silent_since is not None and clock - silent_since >= FOLLOW_AFTER_S


def to_fill(there: dict[str, int], here: dict[str, int]) -> list[str]:
    """What the other repository has and this one lacks, oldest first, from this one's own beginning on. Pure."""
    first = min((name[8:] for name in here if len(name) == 24), default=None)
    return sorted(
        name for name in there if name not in here and (first is None or len(name) < 24 or name[8:24] >= first)
    )


def _facts(info: Info | None) -> dict[str, Any]:
    if info is None:
        return {
            "reachable": False,
            "backups": None,
            "oldest_backup": None,
            "newest_backup": None,
            "wal_first": None,
            "wal_last": None,
            "backup_timeline": None,
            "damaged_backups": None,
        }
    stops = [backup.stop for backup in info.backups]
    return {
        "reachable": True,
        "backups": len(stops),
        "oldest_backup": min(stops, default=None),
        "newest_backup": max(stops, default=None),
        "wal_first": info.first,
        "wal_last": info.last,
        "backup_timeline": max((int(it.wal[:8], 16) for it in info.backups), default=None),
        "damaged_backups": len(info.damaged),
    }


def metrics(found: dict[str, Any]) -> str:
    """Status in the text format of Prometheus. Unknown values are left out. Pure."""
    archiver = found["archiver"] or {}
    values: list[tuple[str, str, Any]] = [
        ("dr_archive_split_brain", "", int(found["alarm"] is not None)),
        ("dr_archive_hold", "", int(found["hold"] is not None)),
        ("dr_archive_dropped", "", int(found["dropped"] is not None)),
        ("dr_archive_waiting_files", "", found["waiting"]),
        ("dr_archive_failed_total", "", archiver.get("failed")),
        ("dr_archive_last_age_seconds", "", archiver.get("age_s")),
    ]
    for name, it in sorted(found["repositories"].items()):
        label = f'{{repository="{name}"}}'
        values += [
            ("dr_archive_repository_up", label, int(it["reachable"])),
            ("dr_archive_repository_left_out", label, int(it["left_out"] is not None)),
            ("dr_archive_repository_gap", label, int(it["gap"] is not None)),
            ("dr_archive_backup_failed", label, int(it["failed_backup"] is not None)),
            ("dr_archive_damaged_pages", label, int(bool((it["failed_backup"] or {}).get("damage")))),
            ("dr_archive_newest_backup_timestamp_seconds", label, it["newest_backup"]),
        ]
    kinds = dict.fromkeys(name for name, _, _ in values)
    lines = []
    for kind in kinds:
        lines.append(f"# TYPE {kind} {'counter' if kind.endswith('_total') else 'gauge'}")
        lines += [f"{name}{label} {value}" for name, label, value in values if name == kind and value is not None]
    return "\n".join(lines) + "\n"


_ARCHIVER = """
select json_build_object('failed', failed_count, 'last', last_archived_wal, 'last_failed', last_failed_wal,
                         'age_s', extract(epoch from now() - last_archived_time)::int)
from pg_stat_archiver"""


def data_of(path: str) -> str | None:
    """The data directory to which an absolute target of a restore_command belongs."""
    return path.rsplit("/pg_wal/", 1)[0] if path.startswith("/") and "/pg_wal/" in path else None
