"""What a run did and what it still owes, counted while many threads work."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from .listing import Entry
from .metadata import parse_time


def show(key: bytes) -> str:
    """A key in a result: text where it is text."""
    return key.decode("utf-8", "backslashreplace")


@dataclass
class Debt:
    """Objects that the source has and the target has not, or not in this version. `oldest`: by the source's clock, seconds since 1970."""

    count: int = 0
    bytes: int = 0
    oldest: float | None = None

    def add(self, entry: Entry) -> None:
        self.count += 1
        self.bytes += entry.size
        changed = parse_time(entry.time)
        self.oldest = changed if self.oldest is None else min(self.oldest, changed)


@dataclass
class Tally:
    """Safe to use from several threads. Lists hold the first `listed` entries, counts are of all."""

    listed: int
    counts: dict[str, int] = field(default_factory=dict)
    copied_bytes: int = 0
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _open: dict[bytes, Entry] = field(default_factory=dict)
    _failed: Debt = field(default_factory=Debt)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, entry: Entry) -> None:
        """This object has to be copied, or looked at."""
        with self._lock:
            self._open[entry.key] = entry

    def done(self, entry: Entry, what: str, copied: int = 0) -> None:
        """The target has it now, or the source has it no more."""
        with self._lock:
            self._open.pop(entry.key, None)
            self.counts[what] = self.counts.get(what, 0) + 1
            self.copied_bytes += copied

    def moved(self, copied: int) -> None:
        """Bytes that were written."""
        with self._lock:
            self.copied_bytes += copied

    def owe(self, entry: Entry, what: str, why: str) -> None:
        """The target does not have it after this run."""
        with self._lock:
            self._open.pop(entry.key, None)
            self._failed.add(entry)
        self.note(what, key=show(entry.key), why=why)

    def note(self, what: str, **entry: Any) -> None:
        """Counted, and listed while there is room."""
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1
            rows = self.lists.setdefault(what, [])
            if len(rows) < self.listed:
                rows.append(entry)

    def debt(self) -> Debt:
        """What is owed at this moment."""
        with self._lock:
            total = Debt(self._failed.count, self._failed.bytes, self._failed.oldest)
            for entry in self._open.values():
                total.add(entry)
            return total
