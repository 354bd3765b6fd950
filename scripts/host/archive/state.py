"""What the archive remembers between calls: the alarm, repositories that are left out, an epoch that outruns this host."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from ..frame.files import write_atomically
from .layout import ArchiveLayout


@dataclass
class State:
    """`alarm`: {"repository", "segment", "epoch", "message", "at"}: somebody else wrote this cluster's WAL. `suspended`: by repository,
    {"from": first segment not sent there, "since", "why"}. `gaps`: by repository, {"from"}: what was not sent and is not yet filled in.
    `dropped`: {"from", "to"}, WAL that no repository took and the disk had no room for, or that is in none; a good backup in each repository ends it,
    and `passed` names those that have one. `hold`: {"epoch", "active"} when
    the witness knows a newer epoch in which another site is active. `silent_since`: by the clock since boot. `drain`: see `Window`.
    """

    alarm: dict[str, Any] | None = None
    suspended: dict[str, dict[str, str]] = field(default_factory=dict)
    gaps: dict[str, dict[str, str]] = field(default_factory=dict)
    dropped: dict[str, str] | None = None
    passed: list[str] = field(default_factory=list)
    hold: dict[str, Any] | None = None
    backups: dict[str, dict[str, Any]] = field(default_factory=dict)
    compared: int = 0  # the timeline on which both repositories were held against each other
    looked: int = 0  # the timeline on which the repositories were searched for WAL that none of them has
    inherited: int = 0  # the timeline up to which all that the old primary owed is in the archive
    silent_since: float | None = None  # a standby that does not stream
    drain: dict[str, Any] | None = None


def load(layout: ArchiveLayout) -> State:
    """An empty one when there is none that can be understood."""
    try:
        found = json.loads(layout.state.read_bytes())
        return State(**{key: found[key] for key in asdict(State()) if key in found})
    except (OSError, ValueError, TypeError):
        return State()


@contextmanager
def change(layout: ArchiveLayout) -> Iterator[State]:
    """Load, let the caller change it, store: one at a time, whether root or PostgreSQL's user does it."""
    with layout.postgres.acting():
        handle = os.open(layout.folder / "state.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        state = load(layout)
        before = asdict(state)
        yield state
        if asdict(state) != before:
            with layout.postgres.acting():
                write_atomically(layout.state, (json.dumps(asdict(state), sort_keys=True) + "\n").encode(), 0o640)
    finally:
        os.close(handle)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
