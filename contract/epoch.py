"""The epoch in force, as the fence link tells it to every link after it."""

from __future__ import annotations

from dataclasses import dataclass

from . import sites
from .checks import boolean, integer, line, optional, text
from .fields import key, part

NUMBER = integer(1, 99_999_999)
LSN = text(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", "a position in the WAL, like 16/B374D848")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where the old primary ended."""

    lsn: str = key(LSN, "start of its shutdown checkpoint record")
    timeline: int = key(integer(1, 2**32 - 1), "its timeline")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Which proof the epoch stands on."""

    rung: int | None = key(optional(integer(0, 4)), "rung of the fence ladder, 0 for the first epoch")


@dataclass(frozen=True, kw_only=True)
class LastSeenCache:
    """What the old master's last heartbeat told."""

    offset: int | None = key(optional(integer(0, 2**63 - 1)), "of its replication stream", default=None)
    replication_id: str | None = key(optional(line), "of its replication stream", default=None)


@dataclass(frozen=True, kw_only=True)
class LastSeen:
    """What the lost site's last heartbeats told."""

    redis: LastSeenCache | None = part(LastSeenCache, "its cache", optional=True)


@dataclass(frozen=True, kw_only=True)
class InForce:
    """The fence link's answer: the same on every run within the epoch."""

    schema: int = key(integer(1, 1), "form of this document", default=1)
    epoch: int = key(NUMBER, "its number")
    active: str = key(sites.A_SITE, "the site that is active")
    previous: str | None = key(optional(sites.A_SITE), "the site that was", default=None)
    planned: bool = key(boolean, "whether the old primary was stopped cleanly", default=False)
    checkpoint: Checkpoint | None = part(Checkpoint, "where it ended, of a planned move", optional=True)
    fence: Rung | None = part(Rung, "the proof", optional=True)
    last_seen: LastSeen | None = part(LastSeen, "of the lost site, of an unplanned move", optional=True)
    entrance: str | None = key(optional(line), "public address of the active site's shop", default=None)
