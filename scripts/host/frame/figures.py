"""What a job tells the node exporter: a file in a folder of the job's own, and a link to it where the text collector looks.

The collector's folder may be another user's, and holds what other jobs tell: so no job writes there, and root places the link.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from contract.dataclass import dataclass

from .files import make_folder, read_own, write_atomically
from .layout import Layout
from .reach import entered, ids_of

COLLECTED, OWN = "/var/lib/prometheus/node-exporter", "/var/lib/dr/metrics"


@dataclass(frozen=True)
class Figures:
    """`name`: of the job, `dr_assets`; `user`: who runs it."""

    layout: Layout
    name: str
    user: str

    @property
    def folder(self) -> Path:
        """The user's."""
        return self.layout.at(f"{OWN}/{self.name}")

    @property
    def path(self) -> Path:
        """What the job writes."""
        return self.folder / f"{self.name}.prom"

    @property
    def link(self) -> Path:
        """What the collector reads."""
        return self.layout.at(f"{COLLECTED}/{self.name}.prom")

    def placed(self) -> bool:
        """Whether both are there."""
        try:
            return self.path.is_file() and self.link.readlink() == self.path
        except OSError:
            return False

    def former(self) -> bool:
        """Whether a job of an older version has told its own there, as root; one that is still at work would put that in the link's place."""
        return self.link.is_file() and not self.link.is_symlink()

    def place(self) -> None:
        """Whoever reads goes on reading: what root's job of an older version has written there is taken along. Raises OSError."""
        make_folder(self.link.parent)
        make_folder(self.folder, 0o755, self.user)
        if not self.path.exists():
            told = b""  # to the collector a link to nothing is a fault
            with contextlib.suppress(OSError):
                told = read_own(self.link)
            write_atomically(self.path, told, 0o644, ids_of(self.user) if os.geteuid() == 0 else None)
        fresh = f".{self.link.name}.{os.urandom(8).hex()}"
        with entered(self.link.parent) as folder:
            os.symlink(self.path, fresh, dir_fd=folder)
            os.replace(fresh, self.link.name, src_dir_fd=folder, dst_dir_fd=folder)
