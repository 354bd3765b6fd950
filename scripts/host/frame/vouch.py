"""A word to the guard, for as long as one start takes: the stop which this start undoes was the caller's own, so nobody has taken over on its proof.

Where the witness is silent that is as good as its word. It lies in `/run/dr/resume.json`, and whoever gives it takes it away again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from .boots import boottime
from .files import make_folder, write_atomically
from .layout import Layout

OVERRIDE = "override-start"  # in /var/lib/dr: the operator's own word, the epoch in which a primary may start although nobody confirms it
LASTS_S = 60.0  # of one that a killed process has left behind


@contextmanager
def vouched(layout: Layout, epoch: int) -> Iterator[None]:
    """Around the start of a primary of `epoch`."""
    make_folder(layout.run)
    path = layout.run / "resume.json"
    write_atomically(path, json.dumps({"epoch": epoch, "at": boottime()}).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def given(layout: Layout) -> int | None:
    """The epoch of which a primary may be started now on that word; None when nobody has given it."""
    try:
        found = json.loads((layout.run / "resume.json").read_bytes())
        epoch, at = int(found["epoch"]), float(found["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return epoch if 0 <= boottime() - at < LASTS_S else None


def typed(layout: Layout) -> int | None:
    """The epoch of the operator's word; None when there is none."""
    try:
        return int((layout.var / OVERRIDE).read_text().strip())
    except (OSError, ValueError):
        return None
