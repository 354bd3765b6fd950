"""Where things live on a host. Tests put everything below a scratch folder; nothing else in this package spells a root path."""

from __future__ import annotations

from pathlib import Path

from contract.dataclass import dataclass

RECORD = ".sha256"  # behind an archive's name: the digests that it may have (`components/remote.py`)


@dataclass(frozen=True)
class Layout:
    """`root` is `/` on a host."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        """The place of absolute `path` of a host."""
        return self.root / path.lstrip("/")

    @property
    def etc(self) -> Path:
        """CA, certificate, key and the witness's address of this host."""
        return self.at("/etc/dr")

    @property
    def var(self) -> Path:
        """What this host remembers: the role, last results."""
        return self.at("/var/lib/dr")

    @property
    def run(self) -> Path:
        """Locks and short-lived files; gone after a boot."""
        return self.at("/run/dr")

    @property
    def units(self) -> Path:
        """Folder of systemd units and drop-ins written here."""
        return self.at("/etc/systemd/system")

    @property
    def tool(self) -> Path:
        """This software as installed on a host."""
        return self.at("/opt/dr/dr-host.pyz")
