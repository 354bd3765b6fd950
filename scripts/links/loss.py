"""What an unplanned promotion would lose, from the lost site's last heartbeats and what this site has received. Pure.

A heartbeat is the last that anybody knows: whatever was written after it is not in the figure, which is why `unseen_s` says how long
that can have gone on. Formats: docs/interfaces.md, section 4.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any

from contract.heartbeat import Heartbeat
from contract.hosts import CACHE, DATABASE, first, kind_of
from contract.installation import LossBudget
from contract.sites import Role


@dataclass(frozen=True, kw_only=True)
class Loss:
    """None is unknown, and unknown counts as over any budget. `redis_bytes` and the assets are told, and are no part of the budget."""

    bytes: int | None  # WAL that the lost primary had written and this site has not received
    seconds: float | None  # how long the lost primary had been writing it
    unseen_s: float | None  # how long it can have written after its last heartbeat; without a lease nobody knows
    redis_bytes: int | None  # of the replication stream
    redis: dict[str, Any] | None  # {"offset", "replication_id"} of the lost master, for the new master's report
    assets: (
        dict[str, Any] | None
    )  # {"replicated_until", "unreplicated"} of this site's copier: what was uploaded there later is not here
    heartbeat_age_s: float | None  # of the position in it

    def document(self) -> dict[str, Any]:
        """For the epoch's object."""
        return asdict(self)


def lsn(text: str) -> int:
    """The byte position of `16/B374D848`. Raises ValueError."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


@dataclass(frozen=True, kw_only=True)
class Own:
    """What this site has: facts of its `postgres status`, its cache's offset, facts of its `assets status`; None is unknown."""

    database: dict[str, Any]
    offset: int | None = None
    assets: dict[str, Any] | None = None


def arrived(facts: dict[str, Any]) -> int | None:
    """How far the WAL of a standby reaches, from its `postgres status`: what it received since its start, or what it had before."""
    return max((lsn(facts[name]) for name in ("receive_lsn", "replay_lsn") if facts.get(name)), default=None)


def measure(own: Own, beats: dict[str, Heartbeat | None], unseen_s: float | None) -> Loss:
    """`beats`: the lost site's, by host ("db-1")."""
    database = beats.get(first(DATABASE))
    lag_bytes, lag_s = _database(own.database, database)
    late = _late(database)
    master = _master(beats)
    theirs = master.get("offset")
    return Loss(
        bytes=lag_bytes,
        seconds=lag_s,
        unseen_s=None if unseen_s is None else unseen_s + late,
        redis_bytes=max(theirs - own.offset, 0) if isinstance(theirs, int) and own.offset is not None else None,
        redis={"offset": theirs, "replication_id": master.get("replication_id")} if isinstance(theirs, int) else None,
        assets={name: own.assets.get(name) for name in ("replicated_until", "unreplicated")} if own.assets else None,
        heartbeat_age_s=round(database.age_s + late, 1) if database else None,
    )


def _master(beats: dict[str, Heartbeat | None]) -> dict[str, Any]:
    """What the lost site's cache said: the one that said last that it leads, for an older one may have been led away from. Else the first."""
    caches = [beat for name, beat in beats.items() if kind_of(name) == CACHE and beat is not None]
    leading = [beat for beat in caches if beat.block("redis").get("role") == "master"]
    found = min(leading, key=lambda beat: beat.age_s, default=beats.get(first(CACHE)))
    return found.block("redis") if found else {}


def _late(beat: Heartbeat | None) -> float:
    """How long before its last heartbeat the lost primary's position was last known: it may have been silent by then, or down."""
    block = beat.block("postgres") if beat else {}
    trail = block.get("trail") or ()
    return float(trail[0][0]) if trail and not block.get("write_lsn") else 0.0


def _database(own: dict[str, Any], beat: Heartbeat | None) -> tuple[int | None, float | None]:
    theirs = beat.block("postgres") if beat else {}
    comparable = (
        beat is not None
        and beat.document.get("role") == Role.PRIMARY
        and theirs.get("system_identifier") == own.get("system_identifier")
    )
    trail = theirs.get("trail") or ()
    written, received = theirs.get("write_lsn") or (trail[0][1] if trail else None), arrived(own)
    if not comparable or not written or not received or theirs.get("timeline") != own.get("timeline"):
        return None, None
    lag = max(lsn(written) - received, 0)
    if lag == 0:
        return 0, 0.0
    # The oldest moment at which the primary was already past what we have.
    missing = [seconds for seconds, position in trail if lsn(position) > received]
    complete = len(missing) < len(trail)
    return lag, float(max(missing)) if missing and complete else None


def over(loss: Loss, budget: LossBudget, peer: str) -> list[str]:
    """Why the loss is over the budget, a phrase each; empty when it is within."""
    if loss.bytes is None:
        beat = (
            "it has no heartbeat"
            if loss.heartbeat_age_s is None
            else f"its last heartbeat ({loss.heartbeat_age_s:.0f} s ago) does not fit this site"
        )
        return [f"how much region {peer} had written that is not here is unknown: {beat}"]
    found = []
    if loss.bytes > budget.max_lag_bytes:
        found.append(f"{loss.bytes} bytes of WAL are not here, wanted at most {budget.max_lag_bytes}")
    if loss.seconds is None:
        found.append("how many seconds of writes are not here is unknown: more than its last heartbeat reaches back")
    elif loss.seconds > budget.max_lag_s:
        found.append(f"{loss.seconds:.0f} s of writes are not here, wanted at most {budget.max_lag_s:g}")
    return found


def sentence(loss: Loss) -> str:
    """For the operator."""
    seen = "unknown" if loss.bytes is None else f"{loss.bytes} bytes of WAL"
    seconds = "" if loss.seconds is None else f", {loss.seconds:.0f} s of writes"
    cache = "unknown" if loss.redis_bytes is None else f"{loss.redis_bytes} bytes"
    until = (loss.assets or {}).get("replicated_until")
    assets = (
        "unknown"
        if until is None
        else f"what was uploaded since {datetime.datetime.fromtimestamp(until, datetime.UTC):%H:%M:%S} UTC"
    )
    after = (
        "after its last heartbeat"
        if loss.unseen_s is None
        else f"in at most {loss.unseen_s:g} s after its last heartbeat"
    )
    return f"not received here: database {seen}{seconds} (and what it wrote {after}), cache {cache}, assets {assets}"
