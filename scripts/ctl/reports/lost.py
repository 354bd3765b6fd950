"""What a move has lost, as the epoch says it that it has claimed: any host of either region can have written what that goes by."""

from __future__ import annotations

import datetime

from contract import fields
from contract.answers import AssetsStatus
from contract.checks import optional
from contract.dataclass import dataclass
from contract.epoch import Epoch, LastSeenCache
from contract.errors import Failed
from contract.fields import key, part
from contract.forms import COUNT, SECONDS
from contract.report import Figure, Loss


@dataclass(frozen=True, kw_only=True)
class Counted:
    """`loss` of an epoch's object, as the fence has counted it."""

    bytes: int | None = key(optional(COUNT), "of WAL", default=None)
    seconds: float | None = key(optional(SECONDS), "of writes", default=None, unit="s")
    unseen_s: float | None = key(optional(SECONDS), "after its last heartbeat", default=None, unit="s")
    redis_bytes: int | None = key(optional(COUNT), "of the cache's stream", default=None)
    redis: LastSeenCache | None = part(LastSeenCache, "the lost master", optional=True)
    assets: AssetsStatus | None = part(AssetsStatus, "of this site's copier", optional=True)


def of(moved: Epoch | None) -> Loss:
    """`moved`: the epoch that the move has claimed; None where it has claimed none, or nobody knows."""
    if moved is None:
        return Loss(method="not counted: the epoch of this move was not seen")
    if moved.loss is None:
        if moved.planned and moved.checkpoint:
            return Loss(
                bytes=0,
                seconds=0.0,
                unseen_s=0.0,
                transactions=0,
                method=f"the old primary was stopped cleanly at {moved.checkpoint.get('lsn')}, and that was replayed before the epoch was claimed; cache and "
                "assets are not counted",
            )
        return Loss(method="not known: the epoch says nothing of it")
    try:
        found = fields.heard(Counted, moved.loss, f"epoch {moved.epoch}:loss", "it is not counted")
    except Failed as error:
        return Loss(method=f"not known: {error}")
    assets = found.assets
    return Loss(
        bytes=found.bytes,
        seconds=found.seconds,
        unseen_s=found.unseen_s,
        cache_bytes=found.redis_bytes,
        cache_offset=found.redis.offset if found.redis else None,
        assets=assets.unreplicated.count if assets and assets.unreplicated else None,
        assets_until=_spelled(assets.replicated_until) if assets else None,
        method="by the lost region's last heartbeats and what the other one had received, before the epoch was claimed; transactions are counted when it is "
        "back (evidence.json of that epoch)",
    )


def rpo(loss: Loss, declared: int | None) -> Figure:
    """The most that it can have been: known where the seconds are, and for how long was written after the last that was heard."""
    seconds, unseen = loss.seconds, loss.unseen_s
    if (seconds, unseen) == (0, 0):
        return Figure(declared_s=declared, measured_s=0.0, method=loss.method)
    if seconds is None:
        why = (
            loss.method
            if loss.bytes is None
            else f"not known: nobody has counted how many seconds {loss.bytes} bytes are"
        )
        return Figure(declared_s=declared, method=why)
    had = f"{seconds:g} s of writes had not arrived by the last heartbeats"
    if unseen is None:
        return Figure(declared_s=declared, method=f"not known: {had}, and nobody knows how long was written after them")
    return Figure(
        declared_s=declared,
        measured_s=round(seconds + unseen, 1),
        method=f"at most: {had}, and {unseen:g} s at most were written after them",
    )


def _spelled(at: float | None) -> str | None:
    if at is None:
        return None
    try:
        found = datetime.datetime.fromtimestamp(at, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{found:%Y-%m-%dT%H:%M:%SZ}" if 2000 <= found.year < 2100 else None
