"""`/var/lib/dr/role.json`: what this host is. Written before a service starts; the guard believes nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .files import make_folder, write_atomically
from .layout import Layout

PRIMARY, STANDBY, FENCED = "primary", "standby", "fenced"


@dataclass(frozen=True)
class Role:
    """`role` is PRIMARY, STANDBY or FENCED; `epoch` the one in which it was given."""

    site: str
    peer: str
    role: str
    epoch: int

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def but(self, role: str) -> Role:
        """The same host and epoch in another role."""
        return replace(self, role=role)

    def write(self, layout: Layout) -> None:
        make_folder(layout.var, 0o711)
        # PostgreSQL's archiver, which is not root, asks for the role before it stores anything.
        layout.var.chmod(0o711)
        write_atomically(_path(layout), (json.dumps(self.document(), sort_keys=True) + "\n").encode(), 0o644)


def read(layout: Layout) -> Role | None:
    """None when there is none, or none that can be understood: then this host has no role."""
    try:
        found = json.loads(_path(layout).read_bytes())
        role = Role(str(found["site"]), str(found["peer"]), str(found["role"]), int(found["epoch"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return role if role.role in (PRIMARY, STANDBY, FENCED) else None


def _path(layout: Layout) -> Path:
    return layout.var / "role.json"
