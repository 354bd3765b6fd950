"""What the client was promised: one JSON line an event, and its comparison with what the surviving database holds. All but the file is pure."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[
    str, Any
]  # {"event": attempt | ack | fail, "key", "at": wall clock, "mono": monotonic, "address", "status", "site", "ms", "error"}
# An event of a ledger of carts and uploads also names its "kind", and what was written: "product" and "quantity", or "md5".
CART, UPLOAD = "cart", "upload"


class Ledger:
    """Appends events, each on disk before `note` returns to its caller."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a")

    def note(self, event: str, key: str, **details: Any) -> None:
        line = json.dumps({"event": event, "key": key, "at": time.time(), "mono": time.monotonic(), **details})
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def close(self) -> None:
        with self._lock:
            self._file.close()


@dataclass(frozen=True)
class Comparison:
    """The ledger against the rows of one database."""

    acknowledged: int
    lost: list[Event]  # acknowledgements whose order is not there
    duplicated: list[str]  # keys that stand more than once
    unacknowledged_but_present: int  # the answer was lost, the order was not
    failed_attempts: int


@dataclass(frozen=True)
class Kept:
    """What became of all acknowledged writes of one kind, by what the active region holds."""

    acknowledged: int
    found: int  # at least once
    lost: list[Event]  # acknowledgements whose write is not there, or not as it was acknowledged
    twice: list[str]  # keys that are there more than once

    def figures(self) -> dict[str, int]:
        """As counts."""
        return {
            "acknowledged": self.acknowledged,
            "found": self.found,
            "lost": len(self.lost),
            "twice": len(self.twice),
        }


def kept(events: Iterable[Event], kind: str, times: Callable[[Event], int]) -> Kept:
    """`times`: how often the write of an acknowledgement is there."""
    acks = {event["key"]: event for event in events if event["event"] == "ack" and event.get("kind") == kind}
    held = {key: times(ack) for key, ack in acks.items()}
    return Kept(
        acknowledged=len(acks),
        found=sum(count > 0 for count in held.values()),
        lost=[ack for key, ack in acks.items() if held[key] < 1],
        twice=sorted(key for key, count in held.items() if count > 1),
    )


def kept_carts(events: Iterable[Event], carts: Mapping[str, Mapping[str, int]]) -> Kept:
    """`carts`: token -> product -> quantity. Once is one line with the quantity that was acknowledged; more of it, or another line, is more."""

    def times(ack: Event) -> int:
        lines = dict(carts.get(ack["key"], {}))
        own, rest = divmod(lines.pop(str(ack["product"]), 0), int(ack["quantity"]))
        return own + len(lines) if own and not rest else 0

    return kept(events, CART, times)


def kept_uploads(events: Iterable[Event], objects: Mapping[str, Sequence[str]]) -> Kept:
    """`objects`: key -> MD5 of each version, the newest first; none for one that was deleted. Once is one version with the acknowledged bytes."""

    def times(ack: Event) -> int:
        versions = objects.get(ack["key"], ())
        return len(versions) if versions and versions[0] == ack["md5"] else 0

    return kept(events, UPLOAD, times)


def read(path: Path) -> list[Event]:
    """Every whole line of a ledger that may still be written."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def compare(events: Sequence[Event], rows: Iterable[Mapping[str, Any]]) -> Comparison:
    """`rows`: {"idempotency_key", ...} of every order in the surviving database."""
    held = Counter(str(row["idempotency_key"]) for row in rows)
    acks = {event["key"]: event for event in events if event["event"] == "ack"}
    tried = {event["key"] for event in events if event["event"] == "attempt"}
    return Comparison(
        acknowledged=len(acks),
        lost=[ack for key, ack in acks.items() if key not in held],
        duplicated=sorted(key for key, count in held.items() if count > 1),
        unacknowledged_but_present=sum(key in held and key not in acks for key in tried),
        failed_attempts=sum(event["event"] == "fail" for event in events),
    )


def longest_gap(events: Sequence[Event], since: float | None = None, until: float | None = None) -> float:
    """The longest time without an acknowledgement within the bounds, in seconds by the monotonic clock.

    A bound that is given counts as an edge: silence from `since` to the first acknowledgement, and from the last one to `until`, is a gap too.
    """
    times = [event["mono"] for event in events if event["event"] == "ack"]
    inside = [mono for mono in times if (since is None or mono >= since) and (until is None or mono <= until)]
    edges = [edge for edge in (since, until) if edge is not None]
    return max((later - earlier for earlier, later in itertools.pairwise(sorted(inside + edges))), default=0.0)


def first_ack_after(events: Sequence[Event], mono: float) -> float | None:
    """When the first order after `mono` was acknowledged, by the monotonic clock."""
    return min((event["mono"] for event in events if event["event"] == "ack" and event["mono"] > mono), default=None)
