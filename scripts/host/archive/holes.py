"""WAL that no repository has although one has later WAL: a restore ends before it. Seen in the repositories, so that every host can know."""

from __future__ import annotations

from collections.abc import Set

from ..postgres.text import segment_name, segment_start

SEGMENT = 16 << 20  # bytes, where no server says


def hole(held: Set[str], past: Set[int], first: str | None, size: int) -> dict[str, str] | None:
    """What nobody has although later WAL is there, as {"from", "to"}: the first and the last segment that is missing, by their names on the timeline
    before. `past`: the timelines that count; `first`: what a restore begins with, None for the oldest that is held. Pure.
    """
    at = {
        segment_start(name[8:], size) // size: name
        for name in sorted(held)
        if len(name) == 24 and int(name[:8], 16) in past
    }
    begin = min(at, default=0) if first is None else segment_start(first[8:], size) // size
    missing = sorted(set(range(begin, max(at, default=0))) - at.keys())
    if not missing:
        return None
    timeline = int((at.get(missing[0] - 1) or first or "1")[:8], 16)
    return {
        end: segment_name(timeline, number * size, size) for end, number in (("from", missing[0]), ("to", missing[-1]))
    }
