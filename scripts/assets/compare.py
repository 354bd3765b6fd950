"""Is the copy what the source has? Pure decisions, first from listings and the manifest, then, only where those do not tell, from both headers.

A time alone decides nothing, and neither does an ETag of many parts: those only say that it is worth a look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from .listing import Entry
from .metadata import Origin, is_md5, origin, parse_time, same_content, same_metadata
from .state import Row

# Listings show whole seconds on some stores, and two clocks are never the same.
MARGIN_S = 2.0


class Verdict(Enum):
    """What to do with a key that the source has."""

    SAME = auto()
    RECORD = auto()  # the same, and the manifest does not know it yet
    COPY = auto()
    LOOK = auto()  # ask both sides for the headers
    HOLD = auto()  # the target has something newer: not overwritten, listed
    STALE = auto()  # a copier of a later epoch was here: this one is of the past and must stop


@dataclass(frozen=True)
class Clocks:
    """Seconds that each store's clock is ahead of this machine's."""

    source: float = 0.0
    target: float = 0.0


@dataclass(frozen=True)
class Finding:
    """`over`: the target's etag that may be replaced, None for nothing. `reason` goes into the result; `back`: the source's object is older than the copy."""

    verdict: Verdict
    over: str | None = None
    reason: str = ""
    back: bool = False


def unchanged(source: Entry, target: Entry, row: Row) -> bool:
    """Both sides look as the manifest has them."""
    return (
        source.etag == row.source_etag
        and source.time == row.source_time
        and source.size == row.size == target.size
        and target.etag == row.target_etag
        and target.time == row.target_time
        and not row.missing_runs
    )


def untouched(target: Entry | None, row: Row | None) -> str | None:
    """The etag of the target's object when it still is the one that was seen to be the same as the source's; None when it is not, or nobody knows."""
    if target is None or row is None or not row.source_etag:
        return None
    same = target.etag == row.target_etag and row.target_time in ("", target.time)
    return target.etag if same else None


def from_listings(source: Entry, target: Entry | None, row: Row | None, clocks: Clocks) -> Verdict:
    """By what costs nothing."""
    if target is None:
        return Verdict.COPY
    if row is not None and unchanged(source, target, row):
        return Verdict.SAME
    if row is not None and target.etag == row.target_etag and target.size == row.size:
        if (source.etag, source.time, source.size) == (row.source_etag, row.source_time, row.size):
            return Verdict.LOOK if row.target_time and target.time != row.target_time else Verdict.RECORD
        if target.time == row.target_time and row.source_time and source.time > row.source_time:
            return Verdict.COPY
    alike = row is None and source.size == target.size and is_md5(source.etag) and source.etag == target.etag
    # Written after the source's last change, so its metadata are of that change too.
    if alike and parse_time(target.time) - clocks.target > parse_time(source.time) - clocks.source + MARGIN_S:
        return Verdict.RECORD
    return Verdict.LOOK


def from_headers(
    source: Mapping[str, str],
    target: Mapping[str, str] | None,
    epoch: int | None,
    clocks: Clocks,
    known: str | None = None,
) -> Finding:
    """By what both stores say of this object now. Headers in lower case; `known`: as `untouched` told."""
    if target is None:
        return Finding(Verdict.COPY)
    over = target.get("etag", "").strip('"')
    sizes = source.get("content-length") == target.get("content-length")
    note, back = origin(target), origin(source)
    if note is not None and note.epoch > (epoch or note.epoch):
        return Finding(Verdict.STALE, over, f"written by a copier of epoch {note.epoch}")
    # The source's object may itself be a copy of this very one: the direction has turned since.
    if (
        sizes
        and (same_content(source, target) or (back is not None and back.etag == over))
        and not same_metadata(source, target)
    ):
        return Finding(Verdict.RECORD, over)
    return _over_copy(source, note, over, sizes) if note else _over_native(source, target, over, clocks, known)


def _undone(over: str) -> Finding:
    """Nothing was written at the target, so the change is the source's: an object goes back when its newest version is deleted."""
    return Finding(Verdict.COPY, over, "the source went back to an older version than was copied", back=True)


def _over_copy(source: Mapping[str, str], note: Origin, over: str, sizes: bool) -> Finding:
    """The target's object was written by a copier: of this version of the source's, of an older one, or of a newer one."""
    changed, version = parse_time(source["last-modified"]), source.get("x-amz-version-id", "")
    same_version = note.version == version if version and note.version else abs(note.time - changed) < MARGIN_S
    if sizes and same_version and note.etag == source.get("etag", "").strip('"'):
        return Finding(Verdict.RECORD, over)
    if note.time > changed + MARGIN_S and not same_version:
        return _undone(over)
    return Finding(Verdict.COPY, over)


def _over_native(
    source: Mapping[str, str], target: Mapping[str, str], over: str, clocks: Clocks, known: str | None
) -> Finding:
    """The target's object was not written by a copier: only an older one gives way, or one that the source had too."""
    if (
        parse_time(target["last-modified"]) - clocks.target
        > parse_time(source["last-modified"]) - clocks.source + MARGIN_S
    ):
        if known is not None and known == over:
            return _undone(over)
        return Finding(Verdict.HOLD, over, "written at the target after the source's last change")
    return Finding(Verdict.COPY, over, "written at the target, older than the source's")
