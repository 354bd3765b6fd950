"""`/var/lib/dr/role.json`: what this host is. Written before a service starts; the guard believes nothing else.

A copy lies in `/run/dr`, which is memory: the dead-man of the lease must not wait for a disk.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from contract import sites
from contract.dataclass import dataclass
from contract.errors import Refused, say

from .files import make_folder, write_atomically
from .layout import Layout

PRIMARY, STANDBY, FENCED = sites.Role


@dataclass(frozen=True)
class Role:
    """`epoch`: the one in which the role was given."""

    site: str
    peer: str
    role: sites.Role
    epoch: int

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def but(self, role: sites.Role) -> Role:
        """The same host and epoch in another role."""
        return replace(self, role=role)

    def write(self, layout: Layout, *, undo: bool = False) -> None:
        """Raises Refused for an epoch before the one that is there; `undo`: but for the role that this very run has changed, and nothing came of it."""
        if not undo:
            never_back(layout, self.epoch)
        make_folder(layout.var, 0o711)
        # PostgreSQL's archiver, which is not root, asks for the role before it stores anything.
        layout.var.chmod(0o711)
        if self.role == PRIMARY:  # a moment too early it only makes the dead-man look
            self.mirror(layout)
        write_atomically(_path(layout), self._text(), 0o644)
        self.mirror(layout)

    def mirror(self, layout: Layout) -> None:
        """The copy, where it differs."""
        path = _copy(layout)
        try:
            same = path.read_bytes() == self._text()
        except OSError:
            same = False
        if not same:
            make_folder(layout.run)
            write_atomically(path, self._text(), 0o644)

    def _text(self) -> bytes:
        return (json.dumps(self.document(), sort_keys=True) + "\n").encode()


def never_back(layout: Layout, epoch: int) -> None:
    """No host goes back in epochs: another site may have been active since, and its writes are in the data here. Raises Refused."""
    role = read(layout)
    if role is not None and epoch < role.epoch:
        raise Refused(
            say(
                subject="epoch of this host",
                found=f"{role.epoch} ({role.role}) in its role file, and {epoch} as the one in force",
                wanted=f"epoch {role.epoch} or a later one at the witness",
                consequence="a witness that has lost epochs would make a writer of a site that is none, nothing was changed",
                remedy="put them back as docs/failover.md says under 'The witness has lost its epochs'",
            )
        )


def read(layout: Layout) -> Role | None:
    """None when there is none, or none that can be understood: then this host has no role."""
    return _read(_path(layout))


def known(layout: Layout) -> Role | None:
    """The same, and where that cannot be read its copy in memory: for whoever keeps a primary from writing on, a disk that fails is no end of its role."""
    return read(layout) or _read(_copy(layout))


def _read(path: Path) -> Role | None:
    try:
        found = json.loads(path.read_bytes())
        return Role(str(found["site"]), str(found["peer"]), sites.Role(found["role"]), int(found["epoch"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path(layout: Layout) -> Path:
    return layout.var / "role.json"


def _copy(layout: Layout) -> Path:
    return layout.run / "role.json"
