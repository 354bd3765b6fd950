"""What a promoted standby owes the archive: WAL of the old primary's timeline that the old one did not get to store.

A standby marks what it receives as archived, because its primary archives. When that one is stopped or dies, its last segments are nowhere
but here, and without them a restore ends before the move, also before a planned one. So they are marked as waiting again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..frame.files import sync_folder
from ..postgres.text import history, lsn
from .layout import ArchiveLayout

SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")


def owed(
    here: Iterable[str], stored: Sequence[set[str]], ancestors: Sequence[tuple[int, str]], timeline: int, size: int
) -> list[str]:
    """Files of pg_wal (`here`) that a repository lacks and that belong to this cluster's own past: whole segments of an ancestor before the
    point at which it was left, and histories up to `timeline`. `size`: bytes of a segment. Pure.
    """
    left = {number: lsn(position) for number, position in ancestors}
    found = []
    for name in here:
        segment, past = SEGMENT.fullmatch(name), HISTORY.fullmatch(name)
        if segment is not None:
            own, high, low = (int(part, 16) for part in segment.groups())
            fits = (high << 32) + (low + 1) * size <= left.get(own, 0)
        else:
            fits = past is not None and int(past[1], 16) in (*left, timeline)
        if fits and any(name not in one for one in stored):
            found.append(name)
    return sorted(found)


def ancestors(wal: Path, timeline: int) -> list[tuple[int, str]]:
    """Timelines before this one and where each was left; empty for the first."""
    try:
        return history((wal / f"{timeline:08X}.history").read_text())
    except OSError:
        return []


def mark(layout: ArchiveLayout, wal: Path, names: Sequence[str]) -> None:
    """Let the server's archiver send these files. Marks of files that are gone meanwhile are nothing to it."""
    status = wal / "archive_status"
    with layout.postgres.acting():
        for name in names:
            ready, done = status / f"{name}.ready", status / f"{name}.done"
            if done.exists():
                done.rename(ready)
            else:
                ready.touch(0o600)
        sync_folder(status)
