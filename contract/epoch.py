"""The epoch: as it stands at the witness (`Epoch`), and as the fence link tells it to every link after it (`InForce`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import sites
from .checks import boolean, integer, line, optional, text
from .errors import Usage
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
    keys: int | None = key(optional(integer(0, 2**63 - 1)), "how many it had", default=None)


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
    entrance: str | None = key(optional(line), "public address of the other site's shop", default=None)


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
        """From the object at the witness; `name` is its key, for the message. Raises Usage."""
        faults = [f"{key} is missing" for key in ("epoch", "active", "previous", "planned") if key not in document]
        faults += [
            f"{key} is of another kind"
            for key, kinds in _KINDS.items()
            if key in document and not isinstance(document[key], kinds)
        ]
        number, active = document.get("epoch"), document.get("active")
        if not faults and (isinstance(number, bool) or name != f"epochs/{number:08d}.json"):
            faults.append(f"epoch is {number}")
        if not faults and active not in sites.SITES:
            faults.append(f"active is {str(active)[:40]!r}, wanted a or b")
        if faults:
            raise Usage(
                f"witness object {name}: is not an epoch ({', '.join(faults)}); nobody can tell which region is active; "
                "look at the bucket's older versions of that object and restore the one that was created first"
            )
        return cls(**{key: document[key] for key in cls.__dataclass_fields__ if key in document})


_KINDS: dict[str, Any] = {
    "epoch": int,
    "active": str,
    "previous": str | None,
    "planned": bool,
    "checkpoint": dict | None,
    "fence": dict,
    "loss": dict | None,
    **dict.fromkeys(("claimed_at", "claimed_by", "reason", "version"), str),
}


def _cache(seen: dict[str, Any]) -> LastSeenCache:
    return LastSeenCache(offset=seen.get("offset"), replication_id=seen.get("replication_id"), keys=seen.get("keys"))
