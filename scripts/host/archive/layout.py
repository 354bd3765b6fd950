"""Where the WAL archive's own files live on a database host."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from contract.dataclass import dataclass

from ..frame.figures import Figures
from ..frame.files import write_atomically
from ..postgres import archiving
from ..postgres.layout import PostgresLayout

OUTSIDE = "outside"  # stands for a repository's name where a restore takes a copy from elsewhere


@dataclass(frozen=True)
class ArchiveLayout:
    """Two repositories, named by the site whose region holds them. Everything is of PostgreSQL's user: its archiver works here."""

    postgres: PostgresLayout = field(default_factory=PostgresLayout)

    @property
    def user(self) -> str:
        return self.postgres.user

    def leave(self, path: Path) -> None:
        """Remove a file from one of these folders, as who owns them."""
        with self.postgres.acting():
            path.unlink(missing_ok=True)

    def open(self) -> None:
        """See `follow`."""
        with self.postgres.acting():
            write_atomically(self.follow, b"", 0o644)

    @property
    def memory(self) -> Path:
        """What verbs without a desired document need to know. No secrets."""
        return self.folder / "archive.json"

    @property
    def folder(self) -> Path:
        """State, queues and locks."""
        return archiving.folder(self.postgres)

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def follow(self) -> Path:
        """While it is there, a standby's server fetches WAL from the archive."""
        return archiving.follow(self.postgres)

    @property
    def repair(self) -> Path:
        """WAL on its way from one repository to the other."""
        return self.folder / "repair"

    @property
    def conf(self) -> Path:
        return self.postgres.base.at("/etc/dr/archive")

    def config(self, repository: str) -> Path:
        """pgBackRest's configuration of one repository: keys and passphrase are in it."""
        return self.conf / f"{repository}.conf"

    def spool(self, repository: str) -> Path:
        return self.folder / f"spool-{repository}"

    def locks(self, repository: str) -> Path:
        return self.folder / f"locks-{repository}"

    @property
    def ca(self) -> Path:
        """CA of the repositories' servers, where it is not one that the system trusts."""
        return self.conf / "s3-ca.pem"

    @property
    def outside_ca(self) -> Path:
        return self.conf / "outside-ca.pem"

    @property
    def logs(self) -> Path:
        return self.postgres.base.at("/var/log/pgbackrest")

    @property
    def figures(self) -> Figures:
        """What `check` tells the node exporter."""
        return Figures(self.postgres.base, "dr_archive", self.user)

    @property
    def seen(self) -> Path:
        """The status as the last `check` has found it, with its time: for whoever has no time to ask the repositories."""
        return self.folder / "seen.json"

    @property
    def rehearsed(self) -> Path:
        """When a rehearsal last proved a restore here."""
        return self.folder / "rehearsed.json"

    @property
    def due(self) -> Path:
        """Written anew by a `check` that finds a backup due at once: `dr-archive-due.path` looks at it."""
        return self.folder / "due"

    @property
    def check_lock(self) -> Path:
        return self.folder / "check.lock"
