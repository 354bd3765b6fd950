"""WAL that no repository has although one has later WAL: a restore ends before it. Seen in the repositories, so that every host can know."""

from __future__ import annotations

from collections.abc import Set
from itertools import pairwise

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
    # What is held, and not what is not: a name that somebody put there may be as far away as a number goes.
    known = [begin - 1, *(number for number in sorted(at) if number >= begin)]
    gaps = [(left + 1, right - 1) for left, right in pairwise(known) if right > left + 1]
    if not gaps:
        return None
    before = at.get(gaps[0][0] - 1) or first or "00000001"
    ends = {"from": gaps[0][0], "to": gaps[-1][1]}
    return {end: segment_name(int(before[:8], 16), number * size, size) for end, number in ends.items()}
