"""What the client was promised: one JSON line an event, and its comparison with what the surviving database holds. All but the file is pure."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[
    str, Any
]  # {"event": attempt | ack | fail, "key", "at": wall clock, "mono": monotonic, "address", "status", "site", "ms", "error"}


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
