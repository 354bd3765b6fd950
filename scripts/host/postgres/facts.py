"""Facts of the cluster on this host. Plain data: tests read them from files. Nothing here changes anything or fails."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path

from contract.dataclass import dataclass
from contract.services.postgres import REPLICATION_ROLE

from ..frame import rolefile
from ..frame.due import Due
from ..frame.rolefile import Role
from ..frame.systemd import Units
from ..frame.witness import Silent
from . import overrides, roles
from . import text as pg_text
from . import volume as pg_volume
from .config import limits, managed_files
from .copy import COMPLETE
from .desired import Desired
from .known import Clusters
from .layout import MARK, OWNER_ROLE, SLOT, PostgresLayout
from .mark import Mark, read_mark
from .peer import MARKER, Peer, ask_peer
from .restart import STARTS, Running, due
from .server import LIMITS_IN_FORCE, TIMELINE, Server
from .sync import FOLLOWS, Seen
from .versions import VERSIONS
from .volume import Volume


@dataclass(frozen=True)
class Cluster:
    """The data directory. `managed`: made by this software. Positions as PostgreSQL writes them.

    `history`: (timeline, position at which it was left) up to its own; `rewindable`, `limits`, `segment`: see `text.ControlData`.
    """

    managed: bool
    running: bool
    standby_signal: bool
    recovery_signal: bool = (
        False  # left behind by somebody: the next start would recover from an archive that is not there
    )
    state: str = "unknown"
    system_identifier: str | None = None
    timeline: int = 0
    checkpoint: str = "0/0"
    minimum_recovery: str = "0/0"
    history: tuple[tuple[int, str], ...] = ()
    rewindable: bool = True
    limits: Mapping[str, int] = field(default_factory=dict)
    segment: int = 16 << 20


@dataclass(frozen=True)
class Live:
    """What the running server says. `slot` is the slot for the peer: None, "good", "unreserved", "lost" or "active"."""

    in_recovery: bool
    timeline: int
    replay_lsn: str | None = None
    receive_lsn: str | None = None
    paused: bool = False
    streaming: bool = False
    reload_due: bool = False
    restart_due: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()  # settings in the files that the server would not take
    overrides: tuple[str, ...] = ()  # see `overrides`
    slot: str | None = None
    roles: tuple[str, ...] = ()  # roles that are missing or not as wanted
    left: Mapping[str, int] = field(
        default_factory=dict
    )  # logins of before a rotation that still let in: how many sessions there are of each
    database: bool = True  # whether it and its schema have their owners
    marker: str | None = None  # see `peer.MARKER`
    limits: Mapping[str, int] = field(default_factory=dict)  # `text.LIMITS` as they are in force
    sync: Seen | None = None
    version: int = 0  # as `server_version_num` has it
    starts: Mapping[str, Running] = field(default_factory=dict)  # by name, what it takes at its start alone
    collations: tuple[str, ...] = ()  # databases whose indexes were sorted by another version of the system's library
    unavailable: tuple[str, ...] = ()  # extensions that this host does not have
    extensions: tuple[str, ...] = ()  # wanted in the shop's database, and not there
    stray_slots: tuple[
        str, ...
    ] = ()  # logical ones of this host's time as primary, in the way of the copies of its primary's


@dataclass(frozen=True)
class Facts:
    """All of it. `copy`, `rewound`: None, "partial", or "complete" for one of this epoch. `mark`: see `rejoin`.

    `floors`: see `config`. `raised`: limits that the configuration raises on a running primary. With these, or with any `due`, the peer was
    asked for its own.
    `promoted`: by this very run, so that clients come back to it now.
    """

    role: Role | None = None
    volume: Volume = field(default_factory=Volume)
    files: tuple[str, ...] = ()
    enabled: bool = True
    cluster: Cluster | None = None
    copy: str | None = None
    rewound: str | None = None
    mark: Mark | None = None
    live: Live | None = None
    peer: Peer | None = None
    floors: Mapping[str, int] = field(default_factory=dict)
    raised: Mapping[str, int] = field(default_factory=dict)
    due: Mapping[str, str] = field(default_factory=dict)  # of a running primary: configured, and waiting for a restart
    promoted: bool = False
    known: (
        tuple[str, ...] | None
    ) = ()  # what tells that the shop has a cluster, where this host has none; None: nobody says
    other_version: int | None = (
        None  # of a cluster that this software made, where there is none of the version that is wanted
    )
    recorded: bool = True  # whether that could be told of this one, too
    libraries: tuple[str, ...] = ()  # wanted at the server's start, and not on this host


def gather(desired: Desired, layout: PostgresLayout, server: Server, units: Units, clusters: Clusters) -> Facts:
    """Reads everything that the plan may ask for; the peer only when this host is to follow it."""
    cluster = read_cluster(layout, server)
    live = read_live(desired, layout, server) if cluster and cluster.running else None
    active = desired.envelope.active
    raised = _raised(desired, live) if active else {}
    due = _due(desired, live) if active else {}
    known = () if cluster or not active else _known(clusters)
    first = active and cluster is None and known == ()
    peer = ask_peer(desired, layout) if raised or due or first or not active else None
    if first and peer is not None and peer.error is None:
        known = (f"{desired.peer.name}'s {peer.system_identifier}",)
    identifier = cluster.system_identifier if cluster else None
    floors = {} if active and not (live and live.in_recovery) else _floors(cluster, peer)
    return Facts(
        role=rolefile.read(layout.base),
        volume=pg_volume.look(layout, desired.volume_id),
        files=tuple(Due(layout.base, "postgres").stale(managed_files(desired, layout, floors))),
        enabled=units.enabled(layout.unit),
        cluster=cluster,
        copy=_copy(layout.fresh, desired.envelope.role().epoch),
        rewound=_copy(layout.rewinding, desired.envelope.role().epoch),
        mark=read_mark(layout),
        live=live,
        peer=peer,
        floors=floors,
        raised=raised,
        due=due,
        known=known,
        other_version=None if cluster else other_version(layout),
        recorded=identifier is None or clusters.recorded(identifier),
        libraries=tuple(name for name in desired.preload if not layout.library(name).exists()),
    )


def other_version(layout: PostgresLayout) -> int | None:
    """The newest version but the one that is wanted of which this software made a cluster here."""
    every = (replace(layout, version=version) for version in VERSIONS if version != layout.version)
    return max(
        (it.version for it in every if (it.data / "PG_VERSION").is_file() and (it.data / MARK).is_file()), default=None
    )


def _known(clusters: Clusters) -> tuple[str, ...] | None:
    try:
        return clusters.known()
    except Silent:
        return None


def _raised(desired: Desired, live: Live | None) -> dict[str, int]:
    if live is None or live.in_recovery:
        return {}
    return {name: value for name, value in limits(desired).items() if value > live.limits.get(name, value)}


def _due(desired: Desired, live: Live | None) -> dict[str, str]:
    if live is None or live.in_recovery:
        return {}
    loaded = {"shared_preload_libraries": ",".join(desired.preload)} if desired.preload else {}
    return due({**desired.parameters, **loaded}, live.starts)


def _floors(cluster: Cluster | None, peer: Peer | None) -> dict[str, int]:
    """The primary's values: those that this standby has replayed, and those that it will."""
    floors = dict(cluster.limits) if cluster else {}
    for name, value in (peer.limits if peer else {}).items():
        floors[name] = max(value, floors.get(name, value))
    return floors


def read_cluster(layout: PostgresLayout, server: Server) -> Cluster | None:
    """None when there is no data directory."""
    data = layout.data
    if not (data / "PG_VERSION").is_file():
        return None
    control = server.control_data()
    flags = (
        (data / MARK).is_file(),
        server.pid() is not None,
        (data / "standby.signal").exists(),
        (data / "recovery.signal").exists(),
    )
    if control is None:
        return Cluster(*flags)
    # A standby's last restart point may lie on an older timeline than what it has replayed since.
    timeline = max(control.timeline, control.minimum_recovery_timeline)
    return Cluster(
        *flags,
        control.state,
        control.system_identifier,
        timeline,
        control.checkpoint,
        control.minimum_recovery,
        read_history(data, timeline),
        control.rewindable,
        control.limits,
        control.segment,
    )


def read_history(data: Path, timeline: int) -> tuple[tuple[int, str], ...]:
    """How the cluster in `data` came to `timeline`; empty for the first one, and when there is no file."""
    try:
        return tuple(pg_text.history((data / "pg_wal" / f"{timeline:08X}.history").read_text(errors="replace")))
    except OSError:
        return ()


def read_live(desired: Desired, layout: PostgresLayout, server: Server) -> Live | None:
    """None when the server does not answer."""
    managed = [file.path for file in managed_files(desired, layout) if layout.conf in file.path.parents]
    newest = _newest(managed, time.time())
    variables = {
        "slot": SLOT,
        "database": desired.database,
        "owner": OWNER_ROLE,
        "logins": roles.array(roles.known()),
        "replication": REPLICATION_ROLE,
        "newest": str(newest),
        "standby": f"dr_{desired.envelope.peer}",
        "extensions": roles.array(desired.extensions),
    }
    known = VERSIONS[desired.version]
    collations, strays = (
        _COLLATIONS if known.database_collations else "null",
        _STRAYS if known.failover_slots else "null",
    )
    found = server.ask(
        f"select {_LIVE}::jsonb || jsonb_build_object('collations', {collations}, 'strays', {strays})", variables
    )
    if found is None:
        return None
    within = found["database"] and not found["in_recovery"]
    inside = (server.ask(_INSIDE, variables, database=desired.database) if within else None) or {}
    return Live(
        found["in_recovery"],
        found["timeline"],
        found["replay_lsn"],
        found["receive_lsn"],
        found["paused"],
        found["streaming"],
        found["reload_due"],
        tuple(found["restart_due"] or ()),
        tuple(found["faults"] or ()),
        overrides.found(layout),
        found["slot"],
        tuple(
            name
            for name, password in roles.wanted(desired).items()
            if not roles.as_wanted((found["roles"] or {}).get(name), name, password)
        ),
        roles.left(found["roles"] or {}, roles.logins(desired)),
        found["database"] and inside.get("schema", True),
        found["marker"],
        found["limits"] or {},
        Seen(found["in_recovery"], found["sync"], found["follows"]),
        found["version"],
        {name: (value, unit, kind) for name, (value, unit, kind) in found["starts"].items()},
        tuple(found["collations"] or ()),
        tuple(found["unavailable"] or ()),
        tuple(inside.get("extensions") or ()),
        tuple(found["strays"] or ()),
    )


def _newest(paths: Sequence[Path], now: float) -> float:
    """When the last of them was written, seconds since 1970, for comparison with when the server has read them.

    One that was written later than `now` was so by a clock that has been put back since. No reload would ever be after it, so it counts from then on.
    """
    written = (path.lstat().st_mtime for path in paths if os.path.lexists(path))
    return max((at for at in written if at <= now), default=0.0)


def _copy(fresh: Path, epoch: int) -> str | None:
    if not fresh.exists():
        return None
    try:
        made = json.loads((fresh / COMPLETE).read_bytes())
    except (OSError, ValueError):
        return "partial"
    return "complete" if made == {"epoch": epoch} else "partial"


# A parameter that waits for a restart is marked in the same way, and is no fault; one that is in the file no more has no name there.
FAULTS = """select json_agg(distinct coalesce(name, error)) from pg_file_settings f
  where error is not null and error not like '%cannot be changed without restarting%'
  and not exists (select from pg_settings s where s.name = f.name and pending_restart)"""
_INSIDE = f"""select json_build_object('schema', {roles.SCHEMA_AS_WANTED}, 'extensions', (select json_agg(name)
  from unnest(:'extensions'::text[]) as wanted (name) where not exists (select from pg_extension where extname = wanted.name)))"""  # noqa: S608
_COLLATIONS = """(select json_agg(datname order by datname) from pg_database
  where datcollversion is not null and datcollversion is distinct from pg_database_collation_actual_version(oid))"""
_STRAYS = """(select json_agg(slot_name order by slot_name) from pg_replication_slots
  where pg_is_in_recovery() and slot_type = 'logical' and failover and not synced and not active)"""
_LIVE = f"""json_build_object(
  'in_recovery', pg_is_in_recovery(), 'timeline', {TIMELINE},
  'replay_lsn', pg_last_wal_replay_lsn(), 'receive_lsn', pg_last_wal_receive_lsn(),
  'paused', case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() <> 'not paused' else false end,
  'streaming', exists (select from pg_stat_wal_receiver where status = 'streaming'),
  'reload_due', extract(epoch from pg_conf_load_time()) < :'newest'::float8,
  'restart_due', (select json_agg(name order by name) from pg_settings where pending_restart),
  'faults', ({FAULTS}),
  'slot', (select case when wal_status = 'lost' then 'lost' when active then 'active' when restart_lsn is null then 'unreserved' else 'good' end
           from pg_replication_slots where slot_name = :'slot'),
  'roles', {roles.FOUND},
  'marker', {MARKER}, 'limits', {LIMITS_IN_FORCE},
  'sync', current_setting('synchronous_standby_names') <> '', 'follows', {FOLLOWS}, 'version', current_setting('server_version_num')::int, 'starts', {STARTS},
  'unavailable', (select json_agg(wanted.name) from unnest(:'extensions'::text[]) as wanted (name)
                  where not exists (select from pg_available_extensions a where a.name = wanted.name)),
  'database', {roles.DATABASE_AS_WANTED})"""  # noqa: S608
