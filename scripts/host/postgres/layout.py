"""Where PostgreSQL lives: Debian's folders, or a scratch root of a test with another user and other programs."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path

from contract.dataclass import dataclass

from ..frame.layout import Layout
from ..frame.reach import acting_as

CLUSTER = "main"
SLOT = "dr_peer"
OWNER_ROLE = "shop_owner"  # of the shop's schema and tables; nobody logs in as it
MARK = "dr.cluster"  # in a data directory made by this software; base backups carry it along


@dataclass(frozen=True)
class Papers:
    """Files by which a client of ours signs in and knows where it is; libpq reads the key of its own user or of root alone."""

    passfile: Path
    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class PostgresLayout:
    """`user` owns the server and its files; `local` is the address of the machine itself."""

    base: Layout = field(default_factory=Layout)
    version: int = 17
    user: str = "postgres"
    programs: Path | None = None
    local: str = "127.0.0.1"
    tool: str = "/usr/bin/python3 /opt/dr/dr-host.pyz"  # how the server calls this software: it archives through it

    def acting(self) -> AbstractContextManager[None]:
        """Work on files below folders of the server's user, which root does with that user's rights: a link there leads no further than them."""
        return acting_as(self.user)

    def program(self, name: str) -> str:
        """Path of PostgreSQL's own program, not of Debian's wrapper, which costs a tenth of a second."""
        return str((self.programs or Path(f"/usr/lib/postgresql/{self.version}/bin")) / name)

    def library(self, name: str) -> Path:
        """Where the package of a loadable library puts it."""
        return Path(self.program("postgres")).parents[1] / "lib" / f"{name}.so"

    @property
    def mount(self) -> Path:
        """Where the data volume is mounted."""
        return self.base.at("/var/lib/postgresql")

    def disk(self) -> int:
        """Bytes of the file system that holds the data, or will."""
        folder = self.mount
        while not folder.exists():
            folder = folder.parent
        found = os.statvfs(folder)
        return found.f_blocks * found.f_frsize

    @property
    def data(self) -> Path:
        return self.mount / str(self.version) / CLUSTER

    @property
    def fresh(self) -> Path:
        """A data directory in the making; never started."""
        return self.data.with_name(f"{CLUSTER}.new")

    @property
    def rewinding(self) -> Path:
        """The data directory while it is being rewound. Under this name nothing starts it; half way it is scrap."""
        return self.data.with_name(f"{CLUSTER}.rewinding")

    @property
    def rejoin(self) -> Path:
        """What is under way with data that cannot follow; see `rejoin.Mark`."""
        return self.data.with_name(f"{CLUSTER}.rejoin.json")

    @property
    def evidence(self) -> Path:
        """What a primary wrote that its successor never saw, by epoch. Never removed by this software."""
        return self.mount / "evidence"

    @property
    def conf(self) -> Path:
        """Configuration, outside the data directory."""
        return self.base.at(f"/etc/postgresql/{self.version}/{CLUSTER}")

    @property
    def passfile(self) -> Path:
        return self.conf / "replication.pgpass"

    @property
    def tls(self) -> Path:
        return self.conf / "tls"

    @property
    def papers(self) -> Papers:
        """The server's own, in its managed files."""
        return Papers(self.passfile, self.tls / "ca.pem", self.tls / "client.crt", self.tls / "client.key")

    @property
    def sockets(self) -> Path:
        return self.base.at("/run/postgresql")

    @property
    def pid_file(self) -> Path:
        return self.sockets / f"{self.version}-{CLUSTER}.pid"

    @property
    def log(self) -> Path:
        """The server's own, where Debian has it."""
        return self.base.at(f"/var/log/postgresql/postgresql-{self.version}-{CLUSTER}.log")

    @property
    def unit(self) -> str:
        return f"postgresql@{self.version}-{CLUSTER}.service"

    @property
    def mount_unit(self) -> str:
        return "var-lib-postgresql.mount"

    @property
    def memory(self) -> Path:
        """What `status`, `stop`, `resume` and `takeover`, which get no desired document, need to know. No secrets."""
        return self.base.var / "postgres.json"
