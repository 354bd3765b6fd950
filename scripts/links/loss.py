"""What an unplanned promotion would lose, from the lost site's last heartbeats and what this site has received. Pure.

A position is the last that anybody knows: whatever was written after it is not in the figure, which is why `unseen_s` says how long
that can have gone on. A primary that the witness did not hear may have sold on with this site's grants: then the figure is unknown, unless
a position came with them. Formats: docs/interfaces.md, section 4.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, replace
from typing import Any

from contract.dataclass import dataclass
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
    redis: dict[str, Any] | None  # {"offset", "replication_id", "keys"} of the lost master, for the new master's report
    # {"replicated_until", "unreplicated"} of this site's copier: what was uploaded there later is not here
    assets: dict[str, Any] | None
    heartbeat_age_s: float | None  # of the position
    archive: dict[str, Any] | None = None  # what was replayed for this count: {"replayed_bytes", "complete", "why"}
    # how long this site granted it to write on after the position; None: not longer than `unseen_s`
    granted_on_s: float | None = None

    def document(self) -> dict[str, Any]:
        """For the epoch's object."""
        return asdict(self)


def _position(text: Any) -> int | None:
    """As `lsn`; None for what is none: it comes from another host."""
    try:
        return lsn(text)
    except (ValueError, AttributeError):
        return None


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


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What the lost database's counterpart here knows of it: seconds are its host's own. None: it cannot be asked, or grants nothing."""

    last_s: float | None  # since its last grant; None: none since its host is up
    up_s: float  # of its host
    block: dict[str, Any] | None = None  # the position that came with the newest question, as in a heartbeat ...
    age_s: float = 0.0  # ... and when it came

    @property
    def contact_s(self) -> float:
        """Since when nothing was granted for certain."""
        return self.up_s if self.last_s is None else self.last_s

    @classmethod
    def read(cls, facts: dict[str, Any]) -> Granted | None:
        """From `agent status`."""
        last, up, peer = facts.get("last_granted_s"), facts.get("up_s"), facts.get("peer")
        if up is None or not _is_number(up):
            return None
        told = (
            peer
            if isinstance(peer, dict) and isinstance(peer.get("block"), dict) and _is_number(peer.get("age_s"))
            else {}
        )
        return cls(
            last_s=None if last is None or not _is_number(last) else float(last),
            up_s=float(up),
            block=told.get("block"),
            age_s=float(told.get("age_s", 0.0)),
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def arrived(facts: dict[str, Any]) -> int | None:
    """How far the WAL of a standby reaches, from its `postgres status`: what it received since its start, or what it had before."""
    found = [_position(facts.get(name)) for name in ("receive_lsn", "replay_lsn")]
    return max((each for each in found if each is not None), default=None)


def measure(
    own: Own, beats: dict[str, Heartbeat | None], unseen_s: float | None, granted: Granted | None = None
) -> Loss:
    """`beats`: the lost site's, by host ("db-1"); `unseen_s`: how long a primary writes on after its last contact, None without a lease."""
    heard = beats.get(first(DATABASE))
    last = _newer(heard, granted)
    lag_bytes, lag_s = _database(own.database, last)
    on_s = _granted_on(last, heard, unseen_s, granted)
    if on_s is not None:
        lag_bytes, lag_s = None, None
    late = _late(last)
    master = _master(beats)
    theirs = master.get("offset")
    return Loss(
        bytes=lag_bytes,
        seconds=lag_s,
        unseen_s=None if unseen_s is None else unseen_s + late,
        redis_bytes=max(theirs - own.offset, 0) if isinstance(theirs, int) and own.offset is not None else None,
        redis={name: master.get(name) for name in ("offset", "replication_id", "keys")}
        if isinstance(theirs, int)
        else None,
        assets={name: own.assets.get(name) for name in ("replicated_until", "unreplicated")} if own.assets else None,
        heartbeat_age_s=round(last.age_s + late, 1) if last else None,
        granted_on_s=on_s,
    )


def stopped(loss: Loss, own: dict[str, Any], checkpoint: dict[str, Any]) -> Loss:
    """The same where the old primary has been stopped cleanly, at a checkpoint that this site has not seen: its end is known to the byte."""
    end, reached = _position(checkpoint.get("lsn")), arrived(own)
    known = end is not None and reached is not None and checkpoint.get("timeline") == own.get("timeline")
    missing = max(end - reached, 0) if known and end is not None and reached is not None else None
    return replace(loss, bytes=missing, seconds=None, unseen_s=0.0, granted_on_s=None)


def _newer(beat: Heartbeat | None, granted: Granted | None) -> Heartbeat | None:
    """The newest position of the lost database: the one at the witness, or the one that came with its question for a grant."""
    if beat is None or granted is None or granted.block is None or granted.age_s >= beat.age_s:
        return beat
    heard, told = _written(beat.block("postgres")), _written(granted.block)
    if heard is not None and told is not None and told < heard:
        return beat  # nobody writes backwards: the host that it came to stood still, and its clock has not counted that
    return replace(beat, document={**beat.document, "postgres": granted.block}, age_s=granted.age_s)


def _granted_on(
    last: Heartbeat | None, heard: Heartbeat | None, unseen_s: float | None, granted: Granted | None
) -> float | None:
    """How long it may have written after its last known position because somebody here heard it; None when not longer than every primary may."""
    if last is None or heard is None or unseen_s is None:
        return None
    contact_s = min(heard.age_s, granted.contact_s if granted else 0.0)
    return last.age_s - contact_s if last.age_s - contact_s > unseen_s else None


def _master(beats: dict[str, Heartbeat | None]) -> dict[str, Any]:
    """What the lost site's cache said: the one that said last that it leads, for an older one may have been led away from. Else the first."""
    caches = [beat for name, beat in beats.items() if kind_of(name) == CACHE and beat is not None]
    leading = [beat for beat in caches if beat.block("redis").get("role") == "master"]
    found = min(leading, key=lambda beat: beat.age_s, default=beats.get(first(CACHE)))
    return found.block("redis") if found else {}


def _late(beat: Heartbeat | None) -> float:
    """How long before its last heartbeat the lost primary's position was last known: it may have been silent by then, or down."""
    block = beat.block("postgres") if beat else {}
    trail = _trail(block)
    return trail[0][0] if trail and not block.get("write_lsn") else 0.0


def _database(own: dict[str, Any], beat: Heartbeat | None) -> tuple[int | None, float | None]:
    theirs = beat.block("postgres") if beat else {}
    comparable = (
        beat is not None
        and beat.document.get("role") == Role.PRIMARY
        and theirs.get("system_identifier") == own.get("system_identifier")
    )
    trail = _trail(theirs)
    written, received = _written(theirs), arrived(own)
    if not comparable or written is None or received is None or theirs.get("timeline") != own.get("timeline"):
        return None, None
    lag = max(written - received, 0)
    if lag == 0:
        return 0, 0.0
    # The oldest moment at which the primary was already past what we have.
    missing = [seconds for seconds, position in trail if position > received]
    complete = len(missing) < len(trail)
    return lag, float(max(missing)) if missing and complete else None


def _written(block: dict[str, Any]) -> int | None:
    """How far it had written when it was last known."""
    trail = _trail(block)
    return _position(block.get("write_lsn")) or (trail[0][1] if trail else None)


def _trail(block: dict[str, Any]) -> list[tuple[float, int]]:
    """Seconds before the heartbeat, and the position then; the newest first. What cannot be read is left out."""
    rows = block.get("trail")
    found = []
    for row in rows if isinstance(rows, list) else ():
        position = _position(row[1]) if isinstance(row, list) and len(row) == 2 else None
        if position is not None and _is_number(row[0]):
            found.append((float(row[0]), position))
    return found


def over(loss: Loss, budget: LossBudget, peer: str) -> list[str]:
    """Why the loss is over the budget, a phrase each; empty when it is within."""
    if loss.granted_on_s is not None:
        return [
            f"how much region {peer} had written that is not here is unknown: its last position is {loss.heartbeat_age_s:.0f} s old, and it may have "
            f"written on for {loss.granted_on_s:.0f} s after it, because this region heard it while the witness did not"
        ]
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
