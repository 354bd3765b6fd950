"""Two sorted listings and the manifest, merged in one pass: what differs, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from .compare import Clocks, Verdict, from_listings
from .listing import Ahead, Entry
from .state import Row, State
from .store import Bucket

PER_SHARD = 20_000  # known keys that are worth a listing of their own
MOST_SHARDS = 4


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
    cuts = sorted(set(state.bounds(number))) if number > 1 else []
    return [Range(after, until) for after, until in zip([b"", *cuts], [*cuts, None], strict=True)]


def merge(source: Bucket, target: Bucket, state: State, part: Range, *, counts: Counts, clocks: Callable[[], Clocks]) -> Iterator[Step]:
    """Steps of one range in key order; what is the same is only counted. Raises StoreError, and then nothing of this pass may be deleted."""
    with ExitStack() as stack:
        here = stack.enter_context(Ahead(source.entries(*part)))
        there = stack.enter_context(Ahead(target.entries(*part)))
        rows = state.rows(*part)
        a, b, row = next(here, None), next(there, None), next(rows, None)
        while a is not None or b is not None or row is not None:
            key = min(item[0] for item in (a, b, row) if item is not None)
            in_a, in_b, known = a is not None and a[0] == key, b is not None and b[0] == key, row is not None and row[0] == key
            left, right, pair = a if in_a else None, b if in_b else None, row if known else None
            if left is not None:
                counts.source += 1
                counts.source_bytes += left.size
                verdict = from_listings(left, right, pair, clocks())
                if verdict is Verdict.SAME:
                    counts.same += 1
                else:
                    yield Step(verdict, left, right, pair)
            else:
                counts.target_only += right is not None
                yield Step(None, None, right, pair)
            if in_a:
                a = next(here, None)
            if in_b:
                counts.target += 1
                b = next(there, None)
            if known:
                row = next(rows, None)
