"""Two sorted listings and the manifest, merged in one pass: what differs, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from .compare import Clocks, Verdict, from_listings, unchanged
from .listing import Entry
from .state import Row, State
from .store import Bucket

PER_SHARD = 100_000  # known keys that are worth a listing of their own: 100 answers, some 20 s of a store that takes its time over each
MOST_SHARDS = 4
PER_PAGE = (
    995  # of the 1,000 that one answer holds: room for new keys, lest a range ends with an answer of its own for a few
)


class Range(NamedTuple):
    """Keys with after < key <= until."""

    after: bytes = b""
    until: bytes | None = None


class Step(NamedTuple):
    """One key that needs something. `source` is None for one that only the target or only the manifest has."""

    verdict: Verdict | None
    source: Entry | None
    target: Entry | None
    row: Row | None


@dataclass
class Counts:
    """What one pass saw. Bytes are the source's."""

    source: int = 0
    target: int = 0
    source_bytes: int = 0
    same: int = 0
    target_only: int = 0
    newest: str = field(default="")

    def __iadd__(self, other: Counts) -> Counts:
        for name in ("source", "target", "source_bytes", "same", "target_only"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def shards(state: State, wanted: int) -> list[Range]:
    """Ranges of about the same number of keys, by what the manifest knows; one range when it knows nothing."""
    number = wanted or min(MOST_SHARDS, state.known() // PER_SHARD)
    cuts = sorted(set(state.bounds(number, PER_PAGE))) if number > 1 else []
    return [Range(after, until) for after, until in zip([b"", *cuts], [*cuts, None], strict=True)]


def merge(
    source: Bucket, target: Bucket, state: State, part: Range, *, counts: Counts, clocks: Callable[[], Clocks]
) -> Iterator[Step]:
    """Steps of one range in key order; what is the same is only counted. Raises StoreError, and then nothing of this pass may be deleted."""
    with ExitStack() as stack:
        here = stack.enter_context(source.ahead(*part))
        there = stack.enter_context(target.ahead(*part))
        rows = state.rows(*part)
        a, b, row = next(here, None), next(there, None), next(rows, None)
        while a is not None or b is not None or row is not None:
            if (
                a is not None
                and b is not None
                and row is not None
                and a.key == b.key == row.key
                and unchanged(a, b, row)
            ):
                counts.source += 1
                counts.target += 1
                counts.same += 1
                counts.source_bytes += a.size
                a, b, row = next(here, None), next(there, None), next(rows, None)
                continue
            key = min(item[0] for item in (a, b, row) if item is not None)
            left, right = a if a is not None and a.key == key else None, b if b is not None and b.key == key else None
            pair = row if row is not None and row.key == key else None
            counts.target += right is not None
            if left is not None:
                counts.source += 1
                counts.source_bytes += left.size
                yield Step(from_listings(left, right, pair, clocks()), left, right, pair)
                a = next(here, None)
            else:
                counts.target_only += right is not None
                yield Step(None, None, right, pair)
            if right is not None:
                b = next(there, None)
            if pair is not None:
                row = next(rows, None)
