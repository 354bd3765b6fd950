"""`/var/lib/dr/role.json`: what this host is. Written before a service starts; the guard believes nothing else.

A copy lies in `/run/dr`, which is memory: the dead-man of the lease must not wait for a disk.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from contract import sites

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

    def write(self, layout: Layout) -> None:
        make_folder(layout.var, 0o711)
        # PostgreSQL's archiver, which is not root, asks for the role before it stores anything.
        layout.var.chmod(0o711)
        if self.role == PRIMARY:  # a moment too early it only makes the dead-man look
            self.mirror(layout)
        write_atomically(_path(layout), self._text(), 0o644)
        self.mirror(layout)

    def mirror(self, layout: Layout) -> None:
        """The copy, where it differs."""
        path = layout.run / "role.json"
        try:
            same = path.read_bytes() == self._text()
        except OSError:
            same = False
        if not same:
            make_folder(layout.run)
            write_atomically(path, self._text(), 0o644)

    def _text(self) -> bytes:
        return (json.dumps(self.document(), sort_keys=True) + "\n").encode()


def read(layout: Layout) -> Role | None:
    """None when there is none, or none that can be understood: then this host has no role."""
    try:
        found = json.loads(_path(layout).read_bytes())
        return Role(str(found["site"]), str(found["peer"]), sites.Role(found["role"]), int(found["epoch"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _path(layout: Layout) -> Path:
    return layout.var / "role.json"
