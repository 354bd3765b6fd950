"""The epoch: as it stands at the witness (`Epoch`), and as the fence link tells it to every link after it (`InForce`)."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from . import sites
from .checks import Unwanted, boolean, integer, optional
from .dataclass import dataclass
from .errors import Failed
from .fields import heard, key, part
from .forms import COUNT, ENTRANCE, EPOCH, ID, LSN, PHRASE, TIMELINE, TREE
from .plain import shown


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where the old primary ended."""

    lsn: str = key(LSN, "start of its shutdown checkpoint record")
    timeline: int = key(TIMELINE, "its timeline")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Which proof the epoch stands on."""

    rung: int | None = key(optional(integer(0, 4)), "rung of the fence ladder, 0 for the first epoch")


@dataclass(frozen=True, kw_only=True)
class LastSeenCache:
    """What the old master's last heartbeat told."""

    offset: int | None = key(optional(COUNT), "of its replication stream", default=None)
    replication_id: str | None = key(optional(ID), "of its replication stream", default=None)
    keys: int | None = key(optional(COUNT), "how many it had", default=None)


@dataclass(frozen=True, kw_only=True)
class LastSeen:
    """What the lost site's last heartbeats told."""

    redis: LastSeenCache | None = part(LastSeenCache, "its cache", optional=True)


@dataclass(frozen=True, kw_only=True)
class InForce:
    """The fence link's answer: the same on every run within the epoch."""

    schema: int = key(integer(1, 1), "form of this document", default=1)
    epoch: int = key(EPOCH, "its number")
    active: str = key(sites.A_SITE, "the site that is active")
    previous: str | None = key(optional(sites.A_SITE), "the site that was", default=None)
    planned: bool = key(boolean, "whether the old primary was stopped cleanly", default=False)
    checkpoint: Checkpoint | None = part(Checkpoint, "where it ended, of a planned move", optional=True)
    fence: Rung | None = part(Rung, "the proof", optional=True)
    last_seen: LastSeen | None = part(LastSeen, "of the lost site, of an unplanned move", optional=True)
    entrance: str | None = key(optional(ENTRANCE), "public address of the other site's shop", default=None)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One term of one active site, an object at the witness. Whoever created it owns it; nobody overwrites it."""

    epoch: int
    active: str
    previous: str | None
    planned: bool
    checkpoint: dict[str, Any] | None = None  # {"lsn", "timeline"} of the clean shutdown, planned moves only
    fence: dict[str, Any] = field(default_factory=dict)  # {"rung": n, "evidence": {...}}
    loss: dict[str, Any] | None = None  # what an unplanned move has left behind, as far as anybody knows
    claimed_at: str = ""  # RFC 3339, the claimer's clock: for reports only
    claimed_by: str = ""
    reason: str = ""
    version: str = ""  # of the program that claimed it
    token: str | None = (
        None  # of this claim alone: two that are alike in all else are told apart when an answer was lost
    )

    def told(self, entrance: str | None) -> InForce:
        """What the chain's later links of a site are told: the same on every run within the epoch. `entrance`: the other site's public address."""
        seen = (self.loss or {}).get("redis")
        return InForce(
            epoch=self.epoch,
            active=self.active,
            previous=self.previous,
            planned=self.planned,
            checkpoint=Checkpoint(**self.checkpoint) if self.checkpoint else None,
            fence=Rung(rung=self.fence.get("rung")),
            last_seen=LastSeen(redis=_cache(seen) if seen else None) if self.loss else None,
            entrance=entrance,
        )

    @classmethod
    def from_document(cls, document: dict[str, Any], name: str) -> Epoch:
        """From the object at the witness; `name` is its key. Raises Failed."""
        otherwise = (
            "it is not an epoch, so nobody can tell which region is active; look at the bucket's older versions of that object and restore the one "
            "that was created first"
        )
        subject = f"witness object {name}"
        try:
            TREE(document)  # of what is for the record alone, too: it is read by people
        except Unwanted as error:
            raise Failed(f"{subject}: found {shown(document)}, wanted {error}; {otherwise}") from None
        found = heard(Claimed, document, subject, otherwise)
        if name != f"epochs/{found.epoch:08d}.json":
            raise Failed(f"{subject}:epoch: found {found.epoch}, wanted that of its name; {otherwise}")
        known = {name: document[name] for name in cls.__dataclass_fields__ if document.get(name) is not None}
        said = {name: getattr(found, name) for name in ("claimed_at", "claimed_by", "reason", "version")}
        return cls(**{"previous": None, **known, **said})


@dataclass(frozen=True, kw_only=True)
class Lost(LastSeen):
    """What an unplanned move has left behind: the rest of it is for the record."""


@dataclass(frozen=True, kw_only=True)
class Proven:
    """What the epoch stands on: the evidence is for the record."""

    rung: int | None = key(optional(integer(0, 4)), "rung of the fence ladder", default=None)
    evidence: dict[str, Any] = key(TREE, "what was seen", default={})


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """`epochs/<number>.json`, in its form."""

    epoch: int = key(EPOCH, "its number")
    active: str = key(sites.A_SITE, "the site that is active")
    previous: str | None = key(optional(sites.A_SITE), "the site that was")
    planned: bool = key(boolean, "whether the old primary was stopped cleanly")
    checkpoint: Checkpoint | None = part(Checkpoint, "where it ended", optional=True)
    fence: Proven | None = part(Proven, "the proof", optional=True)
    loss: Lost | None = part(Lost, "what it has left behind", optional=True)
    claimed_at: str = key(PHRASE, "when, by the claimer's clock", default="")
    claimed_by: str = key(PHRASE, "who has claimed it", default="")
    reason: str = key(PHRASE, "why", default="")
    version: str = key(PHRASE, "of the program that has claimed it", default="")
    token: str | None = key(optional(ID), "of this claim alone", default=None)


def _cache(seen: dict[str, Any]) -> LastSeenCache:
    return LastSeenCache(offset=seen.get("offset"), replication_id=seen.get("replication_id"), keys=seen.get("keys"))
