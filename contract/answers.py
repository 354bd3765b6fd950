"""What hosts answer to the operator's verbs, as far as anything is decided by it: any host may answer anything.

A fact that has no field here reaches nobody (`fields.heard`), one of another form is no answer. Null is unknown. Which verb answers with which is in
`verbs.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import boolean, integer, listing, mapping, one_of, optional
from .dataclass import dataclass
from .epoch import Checkpoint
from .fields import key, part
from .forms import COUNT, EPOCH, LSN, PHRASE, SECONDS, SERIAL, TIMELINE, TREE
from .heard import BeatPostgres
from .sites import A_SITE, Role


@dataclass(frozen=True, kw_only=True)
class RoleFile:
    """The host's own role file."""

    site: str | None = key(optional(A_SITE), "of the host", default=None)
    peer: str | None = key(optional(A_SITE), "the other one", default=None)
    role: str | None = key(optional(one_of(*Role)), "its role", default=None)
    epoch: int | None = key(optional(EPOCH), "of it", default=None)


@dataclass(frozen=True, kw_only=True)
class PostgresStatus:
    """`postgres status`."""

    running: bool | None = key(optional(boolean), "whether the server runs", default=None)
    in_recovery: bool | None = key(optional(boolean), "whether it follows", default=None)
    timeline: int | None = key(optional(TIMELINE), "of its WAL", default=None)
    receive_lsn: str | None = key(optional(LSN), "how far it has received", default=None)
    replay_lsn: str | None = key(optional(LSN), "how far it has replayed", default=None)
    write_lsn: str | None = key(optional(LSN), "how far it has written", default=None)
    paused: bool | None = key(optional(boolean), "whether its replay stands still", default=None)
    streaming: bool | None = key(optional(boolean), "whether it is in a stream", default=None)
    cluster_state: str | None = key(optional(PHRASE), "of its control file", default=None)
    checkpoint_lsn: str | None = key(optional(LSN), "its last checkpoint's, by its control file", default=None)
    system_identifier: str | None = key(optional(SERIAL), "of the cluster", default=None)
    disk_free: int | None = key(optional(COUNT), "of the data's file system", default=None, unit="bytes")
    role: RoleFile | None = part(RoleFile, "of the host", optional=True)


@dataclass(frozen=True, kw_only=True)
class PostgresLogins:
    """`postgres logins`."""

    in_recovery: bool | None = key(optional(boolean), "whether the server follows", default=None)
    logins: Mapping[str, int] | None = key(
        optional(mapping(r"[a-z_0-9]{1,63}", COUNT)),
        "sessions of each of the shop's logins that is let in",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class PostgresStop:
    """`postgres stop`."""

    cluster_state: str | None = key(optional(PHRASE), "of its control file", default=None)
    checkpoint: Checkpoint = part(Checkpoint, "where it has ended")


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What the counterpart said last of its service."""

    epoch: int | None = key(optional(integer(0, 999_999_999)), "in which it asked", default=None)
    age_s: float | None = key(optional(SECONDS), "since it was received", default=None)
    block: BeatPostgres | None = part(BeatPostgres, "as in its heartbeat", optional=True)


@dataclass(frozen=True, kw_only=True)
class AgentStatus:
    """`agent status`."""

    last_granted_s: float | None = key(optional(SECONDS), "since the last grant", default=None)
    up_s: float | None = key(optional(SECONDS), "since the host is up", default=None)
    peer: Peer | None = part(Peer, "the counterpart", optional=True)


@dataclass(frozen=True, kw_only=True)
class AgentDeny:
    """`agent deny`."""

    last_granted_s: float | None = key(optional(SECONDS), "since the last grant", default=None)
    agent_up_s: float = key(SECONDS, "since the agent runs")


@dataclass(frozen=True, kw_only=True)
class RedisStatus:
    """`redis status`."""

    offset: int | None = key(optional(COUNT), "of its stream", default=None)


@dataclass(frozen=True, kw_only=True)
class Unreplicated:
    """What the copier has not brought over yet."""

    count: int | None = key(optional(COUNT), "objects", default=None)
    bytes: int | None = key(optional(COUNT), "of them", default=None)
    oldest: float | None = key(optional(SECONDS), "when the oldest was uploaded, in seconds since 1970", default=None)


@dataclass(frozen=True, kw_only=True)
class AssetsStatus:
    """`assets status`."""

    replicated_until: float | None = key(optional(SECONDS), "seconds since 1970", default=None)
    unreplicated: Unreplicated | None = part(Unreplicated, "what is missing", optional=True)


@dataclass(frozen=True, kw_only=True)
class Drained:
    """`archive drain`."""

    replayed_bytes: int | None = key(optional(COUNT), "beyond the stream", default=None)
    complete: bool | None = key(optional(boolean), "whether that was all", default=None)
    why: tuple[str, ...] = key(listing(PHRASE), "what could not be had", default=())


@dataclass(frozen=True, kw_only=True)
class Checksums:
    """Of every page of what was restored."""

    blocks: int | None = key(optional(COUNT), "pages", default=None)
    bad: int | None = key(optional(COUNT), "of them that are damaged", default=None)


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a restore has brought back."""

    recovered_to: str | None = key(optional(PHRASE), "the time of its last transaction", default=None)


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """`archive rehearse`."""

    restored: Restored = part(Restored, "what came back")
    databases: Mapping[str, Any] = key(TREE, "tables and rows of each", default={})
    checksums: Checksums = part(Checksums, "pages")
    restore_s: float = key(SECONDS, "until it was there")
    all_s: float = key(SECONDS, "until it was counted and checked")
