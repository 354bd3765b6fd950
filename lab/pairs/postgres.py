"""Two real PostgreSQL servers on loopback in scratch folders, driven by the product's own code.

Root runs them as `postgres`, anybody else as oneself. Both hosts share 127.0.0.1, each with a port of its own.
"""

from __future__ import annotations

import getpass
import io
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from contract.errors import Failed
from contract.hosts import DATABASE, first, fqdn_of
from contract.services.postgres import APP_ROLE, REPLICATION_ROLE, WORKER_ROLE
from contract.sites import SITES
from lab.pairs.loopback import free_port
from scripts.ctl.stacks.secrets import CLIENT, Authority
from scripts.host.frame import plan, rolefile
from scripts.host.frame.call import Call
from scripts.host.frame.commands import run
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.result import Result
from scripts.host.frame.rolefile import Role
from scripts.host.frame.wait import until
from scripts.host.frame.witness import Silent
from scripts.host.postgres.desired import Desired
from scripts.host.postgres.layout import PostgresLayout
from scripts.host.postgres.server import Server
from scripts.host.postgres.service import Postgres

PASSWORD = r"""p'w\d x%@#é$HOME:"q" """  # noqa: S105 - of servers that live for a test


def newest_version() -> int:
    """The newest server version on this machine."""
    return max(int(path.name) for path in Path("/usr/lib/postgresql").iterdir() if (path / "bin" / "initdb").exists())


def certificates() -> dict[str, dict[str, str]]:
    """A private CA and one certificate per database host: {"a": {"ca", "cert", "key"}, "b": ...}."""
    authority = Authority("dr")
    return {
        site: {"ca": authority.certificate_pem, **authority.issue([fqdn_of(first(DATABASE), site)])} for site in SITES
    }


def clients(authority: Authority) -> dict[str, Any]:
    """The CA of the database's clients and one certificate per role: {"ca", "shop": {"cert", "key"}, ...}."""
    roles = (APP_ROLE, WORKER_ROLE, REPLICATION_ROLE)
    made: dict[str, Any] = {role: authority.issue([role], purposes=(CLIENT,)) for role in roles}
    return {"ca": authority.certificate_pem, **made}


# Of a host that talks to nobody.
_NOBODY: dict[str, Any] = {role: {"cert": role, "key": role} for role in (APP_ROLE, WORKER_ROLE, REPLICATION_ROLE)}


class Manual:
    """A service manager that knows units by name only."""

    def __init__(self) -> None:
        self.on: set[str] = set()

    def active(self, unit: str) -> bool:
        return unit in self.on

    def running(self, unit: str) -> bool:
        return unit in self.on

    def down(self, unit: str) -> bool:
        return unit not in self.on

    def enabled(self, unit: str) -> bool:
        return unit in self.on

    def enable(self, unit: str) -> None:
        self.on.add(unit)

    def disable(self, unit: str) -> None:
        self.on.discard(unit)

    def start(self, unit: str, limit_s: float) -> None:
        raise AssertionError(f"start of {unit}: this pair starts servers by pg_ctl")

    restart = reload = start

    def stop(self, unit: str, limit_s: float) -> bool:
        return True

    def daemon_reload(self) -> None:
        return None


class PgCtl:
    """Starts the server as Debian's wrapper does, without a service manager."""

    def __init__(self, layout: PostgresLayout) -> None:
        self.layout, self.starts = layout, 0

    def start(self, limit_s: float = 30) -> None:
        self.starts += 1
        log = self.layout.log
        for folder in (self.layout.sockets, log.parent):
            folder.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(folder, self.layout.user, self.layout.user)
        options = f"-c config_file={self.layout.conf}/postgresql.conf -c fsync=off"
        argv = [
            self.layout.program("pg_ctl"),
            "start",
            "-s",
            "-w",  # one that does not come up is known at once
            "-D",
            str(self.layout.data),
            "-l",
            str(log),
            "-o",
            options,
        ]
        done = run(argv, limit_s=70, user=self.layout.user, check=False)
        if done.code != 0:
            raise Failed(done.err)

    def settle(self) -> None:
        return None


class Record:
    """`Clusters` of a pair without a witness. `silent`: it answers nobody."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.silent = False

    def known(self) -> tuple[str, ...]:
        self._speak()
        return tuple(sorted(self.names))

    def recorded(self, identifier: str) -> bool:
        return f"clusters/{identifier}.json" in self.names

    def record(self, identifier: str, role: Role) -> None:
        self._speak()
        self.names.add(f"clusters/{identifier}.json")

    def _speak(self) -> None:
        if self.silent:
            raise Silent("witness of the pair: found no answer, wanted one")


class Node:
    """One site's database host. `clusters`: the pair's record."""

    def __init__(
        self,
        site: str,
        root: Path,
        tls: dict[str, str],
        ports: dict[str, int],
        clusters: Record | None = None,
        *,
        programs: Path | None = None,
        clients: dict[str, Any] | None = None,
    ) -> None:
        self.clients = clients or {"ca": "clients", **_NOBODY}
        self.site, self.tls, self.ports, self.root = site, tls, ports, root
        self.version = newest_version()
        user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        self.layout = PostgresLayout(Layout(root), self.version, user, programs)
        self.control, self.units = PgCtl(self.layout), Manual()
        self.server = Server(self.layout, ports[site], self.control)
        self.log = io.StringIO()
        self.clusters = Record() if clusters is None else clusters
        self.passwords = {"replication": PASSWORD, "app": PASSWORD[::-1]}

    def document(self, epoch: int, active: str, **changes: Any) -> dict[str, Any]:
        """The desired document; `changes`: keys of `epoch` or of the postgres block."""
        peer = "b" if self.site == "a" else "a"
        hosts = {
            f"db-1.{site}": {"name": f"db-1.{site}.dr.internal", "vrack": "127.0.0.1", "front": "127.0.0.1"}
            for site in "ab"
        }
        facts = {"epoch": epoch, "active": active, "previous": None, "planned": False, "checkpoint": None}
        block = {
            "version": self.version,
            "port": self.ports[self.site],
            "peer_port": self.ports[peer],
            "volume_id": None,
            "database": "shop",
            "passwords": self.passwords,
            "tls": {"ca": self.clients["ca"], **self.clients[REPLICATION_ROLE]},
            "app_clients": ["127.0.0.1/32"],
            "worker_clients": ["127.0.0.1/32"],
            "peer_db": f"db-1.{peer}",
            "mode": "async",
            "max_slot_wal_keep_size": "64MB",
            "parameters": {"shared_buffers": "16MB", "max_connections": "20"},
        }
        for key, value in changes.items():
            (facts if key in facts else block)[key] = value
        return {
            "schema": 1,
            "site": self.site,
            "peer": peer,
            "host": "db-1",
            "request": active,
            "epoch": facts,
            "hosts": hosts,
            "tls": self.tls,
            "postgres": block,
        }

    def call(self, document: dict[str, Any], verb: str = "converge", check: bool = False) -> Call:
        return Call("postgres", verb, document, self.layout.base, Log(self.log, f"postgres {verb}"), check)

    def converge(self, epoch: int, active: str, check: bool = False, **changes: Any) -> Result:
        document = self.document(epoch, active, **changes)
        call = self.call(document, check=check)
        return plan.converge(self.service(document, call), call)

    def service(self, document: dict[str, Any], call: Call) -> Postgres:
        """What a converge of this host works with."""
        return Postgres(Desired.read(document), self.layout, self.server, self.units, call.log, clusters=self.clusters)

    def sql(self, script: str, database: str = "postgres") -> str:
        """As somebody who keeps tables where they are without a word: the product's own sessions see the catalog alone."""
        return self.server.sql(f"set search_path to public;\n{script}", database=database).strip()

    def psql(self, *arguments: str) -> list[str]:
        """The command line of a client of the shop's database, for what `sql` does not wait for."""
        where = ["-h", str(self.layout.sockets), "-p", str(self.ports[self.site]), "-d", "shop"]
        return [self.layout.program("psql"), "-XAtq", *where, *arguments]

    def shown(self, role: str, user: str | None = None) -> dict[str, str]:
        """What a client shows to sign in as `role`, for libpq, which takes a key that is of `user`, who runs it, alone."""
        paths = {name: self.root / f"{role}.{name}" for name in ("cert", "key")}
        for name, path in paths.items():
            path.touch(0o600)
            path.write_text(self.clients[role][name])
            if user and os.geteuid() == 0:
                shutil.chown(path, user)
        return {f"ssl{name}": str(path) for name, path in paths.items()}

    @property
    def role(self) -> str | None:
        role = rolefile.read(self.layout.base)
        return role.role if role else None

    def kill(self) -> None:
        """As a power cut: every process of the server at once."""
        pid = self.server.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)  # so that it does not see its processes go, and tidy up
        subprocess.run(["pkill", "-9", "-P", str(pid)], check=False)
        os.kill(pid, signal.SIGKILL)
        assert until(lambda: self.server.pid() is None, 10), f"process {pid} outlives a kill"
        # After a boot no process has its number, and /run is empty; here a process that nobody reaps still has it.
        for left in (self.layout.data / "postmaster.pid", *self.layout.sockets.glob(".s.PGSQL.*")):
            left.unlink()

    def close(self) -> None:
        pid = self.server.pid()
        if pid is not None:
            run(
                [self.layout.program("pg_ctl"), "stop", "-m", "immediate", "-s", "-D", str(self.layout.data)],
                limit_s=20,
                user=self.layout.user,
                check=False,
            )


class Pair:
    """Sites a and b. `programs`: of another installation than the machine's own."""

    def __init__(self, programs: Path | None = None) -> None:
        # A socket's path has at most 107 bytes, and the server's user must be able to enter.
        self.folder = Path(tempfile.mkdtemp(prefix="drpg"))
        self.folder.chmod(0o755)
        tls, self.authority = certificates(), Authority("clients")
        known = clients(self.authority)
        ports = {site: free_port() for site in "ab"}
        self.clusters = Record()
        self.a, self.b = (
            Node(site, self.folder / site, tls[site], ports, self.clusters, programs=programs, clients=known)
            for site in "ab"
        )
        for node in (self.a, self.b):
            node.root.mkdir(mode=0o755)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def up(self, **block: Any) -> None:
        """Epoch 1: a leads, b follows. `block`: more of the desired state, for both."""
        for node in (self.a, self.b):
            node.converge(1, "a", **block)

    def close(self) -> None:
        for node in (self.a, self.b):
            node.close()
        shutil.rmtree(self.folder)


def caught_up(primary: Node, standby: Node) -> None:
    """Wait until the standby has replayed what the primary has written by now."""
    position = primary.sql("select pg_current_wal_flush_lsn()")
    assert until(lambda: standby.sql(f"select pg_last_wal_replay_lsn() >= '{position}'") == "t", 10)
