"""Was there ever more than one writer? From the samples that `sampler.py` takes on the database and cache hosts of both sites. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

APART_S = (
    1.0  # samples further apart than this say nothing of the time between them: the host was off, or the sampler was
)


@dataclass(frozen=True)
class Span:
    """From the first to the last of neighbouring samples in which a database took writes, by the wall clock that all hosts share."""

    begin: float
    end: float


def spans(samples: Iterable[Mapping[str, Any]]) -> list[Span]:
    """`samples`: {"t", "writer"} in order. With "until", when the answer was there, a span begins at the first answer: the server may have
    become a writer after it was asked.
    """
    found: list[Span] = []
    last: float | None = None
    for sample in samples:
        if sample["writer"]:
            if last is not None and sample["t"] - last <= APART_S:
                found[-1] = Span(found[-1].begin, max(found[-1].begin, sample["t"]))
            else:
                begin = sample.get("until", sample["t"])
                found.append(Span(begin, begin))
            last = sample["t"]
        else:
            last = None
    return found


def overlaps(one: Iterable[Span], other: Iterable[Span]) -> list[tuple[float, float]]:
    """Every stretch of time (begin, end) in which both sides took writes."""
    found = []
    for left, right in itertools.product(one, other):
        begin, end = max(left.begin, right.begin), min(left.end, right.end)
        if begin <= end:
            found.append((begin, end))
    return sorted(found)


def of_site(caches: Iterable[Iterable[Mapping[str, Any]]]) -> list[Span]:
    """Spans in which any of a site's servers took writes; `caches`: the samples of each. Inside a site two may stand side by side."""
    return sorted((span for samples in caches for span in spans(samples)), key=lambda span: span.begin)


def silence(samples: Iterable[Mapping[str, Any]], since: float) -> float | None:
    """Seconds from `since` to the last sample in which the database still took writes; None when it did in none."""
    times = [sample["t"] for sample in samples if sample["writer"] and sample["t"] >= since]
    return max(times) - since if times else None


def outage(samples: Iterable[Mapping[str, Any]]) -> float | None:
    """The longest time between two samples, of either side, in which a database took writes; None with fewer than two such samples."""
    times = sorted(sample["t"] for sample in samples if sample["writer"])
    return max((later - earlier for earlier, later in itertools.pairwise(times)), default=None)
