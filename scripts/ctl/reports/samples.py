"""What customers met, from a file of samples: one JSON object a line, `{"at": 1796000000.25, "what": "order", "ok": true}`."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from contract import fields
from contract.checks import boolean, one_of
from contract.dataclass import dataclass
from contract.errors import Failed, Usage
from contract.fields import key
from contract.forms import SECONDS
from contract.report import MOST_POINTS, Figure, Point, Samples
from contract.wire import document

MOST_FILE, MOST_LINE = 2**26, 1000  # bytes


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line: an order that was placed, or a health probe, and whether it was answered well."""

    at: float = key(SECONDS, "when it was answered, in seconds since 1970", unit="s")
    what: str = key(one_of("order", "probe"), "an order, or a health probe")
    ok: bool = key(boolean, "whether it was answered well")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """`source`: SHA-256 of the file; samples in the order of their times."""

    source: str
    samples: tuple[Sample, ...]


def take(file: Path) -> Taken:
    """Raises Usage."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_FILE + 1)
    except OSError as error:
        raise _unread(file, f"cannot be read ({error.strerror})") from None
    if len(content) > MOST_FILE:
        raise _unread(file, f"found more than {MOST_FILE} bytes")
    found = [_sample(file, number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    return Taken(
        source=hashlib.sha256(content).hexdigest(), samples=tuple(sorted(found, key=lambda it: (it.at, it.what)))
    )


def _sample(file: Path, number: int, line: bytes) -> Sample:
    subject = f"file {file}, line {number}"
    try:
        if len(line) > MOST_LINE:
            raise ValueError(f"more than {MOST_LINE} bytes")
        return fields.heard(Sample, document.mapping(line), subject, "no sample of the file was taken; correct it")
    except ValueError:
        raise _unread(file, f"found no JSON object of at most {MOST_LINE} bytes in line {number}") from None
    except Failed as error:
        raise Usage(str(error)) from None


def _unread(file: Path, found: str) -> Usage:
    return Usage(
        f"file {file}: {found}, wanted samples, one JSON object a line; no sample of it was taken; name it with --samples"
    )


def told(taken: Taken, began: float) -> Iterator[Samples]:
    """Of each kind that there is, in pieces of whole seconds. `began`: of the event, in seconds since 1970."""
    for what in ("order", "probe"):
        own = [it for it in taken.samples if it.what == what]
        if own:
            every = max(math.ceil((own[-1].at - own[0].at + 1) / MOST_POINTS), 1)
            yield Samples(
                what=what,
                source=taken.source,
                count=len(own),
                failed=sum(not it.ok for it in own),
                every_s=min(every, 999_999),
                points=tuple(_points(own, began, every))[:MOST_POINTS],
            )


def _points(own: Iterable[Sample], began: float, every: int) -> Iterator[Point]:
    pieces: dict[int, list[bool]] = {}
    for it in own:
        pieces.setdefault(math.floor((it.at - began) / every), []).append(it.ok)
    for number in sorted(pieces):
        good = sum(pieces[number])
        at = float(max(min(number * every, 1e9), -1e9))
        yield Point(at_s=at, done=good, failed=len(pieces[number]) - good)


def outage(taken: Taken | None, began: float, ended: float) -> Figure:
    """The longest time without an order that was taken, of those that touch the event. Both in seconds since 1970."""
    if taken is None:
        return Figure(method="not measured: no samples were given")
    good = [it.at for it in taken.samples if it.what == "order" and it.ok]
    if not good or good[0] > began:
        return Figure(method="not known: no order was taken before it in the samples")
    if good[-1] < ended:
        return Figure(
            method=f"not known: the last order in the samples was taken {_spelled(good[-1])}, before it ended"
        )
    gaps = [(after - before, before) for before, after in pairwise(good) if after >= began and before <= ended]
    longest, since = max(gaps, default=(0.0, began))
    return Figure(
        measured_s=round(longest, 3),
        method=f"longest time between two orders that were taken, from {_spelled(since)}, of {len(good)} samples of good orders",
    )


def _spelled(at: float) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%H:%M:%S.%f}"[:-3] + " UTC"
    except (OverflowError, ValueError, OSError):
        return f"at {at:g}"
