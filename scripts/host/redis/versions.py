"""Which server can read another's full copy. Pure.

A replica that gets a copy in a format newer than its own has emptied itself before it finds out, or at best keeps what it had and never follows.
So the order is always the same: the standby's software first, the leader's after it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# The format of saved data, by the first version that wrote it. Between them, nothing changed.
_FORMATS = {
    "redis": (((7, 0), 10), ((7, 2), 11), ((7, 4), 12), ((8, 6), 13), ((8, 8), 14), ((8, 10), 15)),
    "valkey": (((7, 2), 11), ((9, 0), 80)),
}
_FOREIGN = range(12, 80)  # what Valkey leaves to Redis, and refuses


class Software(NamedTuple):
    """`engine`: "redis" or "valkey"; `version`: "8.0.2"."""

    engine: str
    version: str

    def __str__(self) -> str:
        return f"{self.engine} {self.version}"

    @property
    def release(self) -> tuple[int, int] | None:
        """Major and minor; None when the version says nothing."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else None

    @property
    def format(self) -> int | None:
        """Of what it writes, as far as it is known."""
        release = self.release
        known = [number for since, number in _FORMATS.get(self.engine, ()) if release is not None and since <= release]
        return known[-1] if known else None


def announced(text: str) -> Software | None:
    """From what a server says to `--version`; None when it is another program."""
    found = re.match(r"(Redis|Valkey) server v=(\S+)", text)
    return Software(found[1].lower(), found[2]) if found else None


def unreadable(reader: Software | None, writer: Software | None) -> bool:
    """Whether `reader` certainly cannot load what `writer` saves, or nobody knows because `writer` is newer than all that is known."""
    if reader is None or writer is None or reader.release is None or writer.release is None:
        return False
    if reader.engine == writer.engine:
        if reader.release >= writer.release:
            return False
        if writer.release > _FORMATS[writer.engine][-1][0]:
            return True
    ours, theirs = reader.format, writer.format
    if ours is None or theirs is None:
        return False
    return theirs > ours or (reader.engine == "valkey" and theirs in _FOREIGN)
