"""What this host grants to its counterpart on the other site, and the word to grant nothing more.

Both the agent and `dr-host agent deny` work under one lock on files: after `deny` has answered, no grant follows, also not from an agent
that is started later. `/var/lib/dr/deny.json` outlives a boot.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..frame.files import make_folder, write_atomically
from ..frame.layout import Layout
from ..frame.rolefile import PRIMARY, Role
from .channel import boottime


def grants(asked: int, *, role: Role | None, known: int | None, denied_below: int | None) -> bool:
    """Pure: whether a primary of epoch `asked` on the other site may go on. `known`: the newest epoch that this host has heard of."""
    if denied_below is not None and asked < denied_below:
        return False
    if role is not None and (role.epoch > asked or (role.role == PRIMARY and role.epoch == asked)):
        return False
    return known is None or known <= asked


class Grants:
    """The files of one host."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def answer(self, asked: int, role: Role | None, known: int | None) -> bool:
        """Decide, and keep when it was granted."""
        with self._locked():
            granted = grants(asked, role=role, known=known, denied_below=self._denied_below())
            if granted:
                write_atomically(
                    self._layout.run / "granted.json", json.dumps({"at": boottime(), "epoch": asked}).encode()
                )
        return granted

    def deny(self, epoch_next: int) -> float | None:
        """From now on grant nothing for epochs below `epoch_next`. Returns the seconds since the last grant, None when there was none."""
        make_folder(self._layout.var, 0o700)
        with self._locked():
            write_atomically(self._layout.var / "deny.json", json.dumps({"epoch_next": epoch_next}).encode())
            return self.last_granted_s()

    def allow(self) -> bool:
        """Undo `deny`; whether there was one."""
        with self._locked():
            found = (self._layout.var / "deny.json").exists()
            (self._layout.var / "deny.json").unlink(missing_ok=True)
        return found

    def last_granted_s(self) -> float | None:
        """Seconds since the last grant since the boot."""
        at = _number(self._layout.run / "granted.json", "at")
        return None if at is None else max(boottime() - float(at), 0.0)

    def denied_below(self) -> int | None:
        """As given to `deny`; None when all is allowed."""
        with self._locked():
            return self._denied_below()

    def _denied_below(self) -> int | None:
        path = self._layout.var / "deny.json"
        if not path.exists():
            return None
        found = _number(path, "epoch_next")
        # A file that cannot be read was meant as a denial.
        return (1 << 62) if found is None else int(found)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self._layout.run)
        handle = os.open(self._layout.run / "grants.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _number(path: Any, key: str) -> float | None:
    try:
        return float(json.loads(path.read_bytes())[key])
    except (OSError, ValueError, KeyError, TypeError):
        return None
