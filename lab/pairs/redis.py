"""Two cache hosts on loopback: real servers behind a stand-in for systemd, everything below a scratch folder."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.errors import Failed
from lab.machines import image
from lab.pairs.loopback import free_port
from scripts.ctl.stacks.secrets import CLIENT, Authority
from scripts.host.frame import plan, rolefile
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.result import Result
from scripts.host.frame.wait import until
from scripts.host.redis.config import Desired
from scripts.host.redis.engine import find_engine
from scripts.host.redis.leader import SENTINEL_PORT
from scripts.host.redis.look import look
from scripts.host.redis.sentinel import UNIT
from scripts.host.redis.state import Instance
from scripts.host.redis.verbs import Redis
from scripts.host.redis.wire import Connection, Own, Server

ADDRESSES = {
    f"cache-{number}.{site}": f"127.0.0.{first + number}"
    for site, first in (("a", 20), ("b", 120))
    for number in (1, 2, 3)
}
# As an operator may choose them: each has something that a configuration file, a shell or an ACL line would trip over.
PASSWORDS = {"app": "a\"b\\c #d'e{f}$g", "replica": "r >\"' #ä\\x41", "operator": 'o p ~* +@all #\\"'}


def newer() -> list[str]:
    """The command of the guests' image's server, which is newer than the one of Debian 12; the image is built first where there is none."""
    root = image.ensure()
    loader, libraries = root / "lib64/ld-linux-x86-64.so.2", root / "usr/lib/x86_64-linux-gnu"
    return [str(loader.resolve()), "--library-path", str(libraries), str(root / "usr/bin/redis-server")]


SERVERS = [name for name in ("redis-server", "valkey-server") if shutil.which(name)] or ["redis-server"]


class Units:
    """systemd as far as this service needs it: a cache and a Sentinel, their processes children of the test."""

    def __init__(self, conf: Path, sentinel: Path, server: Sequence[str]) -> None:
        self.conf, self._sentinel = conf, sentinel
        self.program = list(server)  # another one is another version, from the next start on
        self.log = conf.parents[2] / "server.log"  # what the server wrote, as its journal holds it
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.boot: set[str] = set()
        self.reloads = 0

    def active(self, unit: str) -> bool:
        process = self.processes.get(_which(unit))
        return process is not None and process.poll() is None

    running = active

    def down(self, unit: str) -> bool:
        return not self.active(unit)

    def enabled(self, unit: str) -> bool:
        return _which(unit) in self.boot

    def enable(self, unit: str) -> None:
        self.boot.add(_which(unit))

    def disable(self, unit: str) -> None:
        self.boot.discard(_which(unit))

    def start(self, unit: str, limit_s: float) -> None:
        if self.active(unit):
            return
        if unit == UNIT:
            command = [*self.program, str(self._sentinel), "--sentinel"]
            self.processes["sentinel"] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            assert until(lambda: _listens(str(self._sentinel)), 10)
            return
        before = len(self.said(unit))
        with self.log.open("ab") as log:
            # A limit of a file's size is an error that a write gets, and not the server's end: a full disk for a test.
            self.processes["redis"] = subprocess.Popen(
                [*self.program, str(self.conf)], stdout=log, stderr=log, restore_signals=False
            )
        if not until(lambda: self._ready(before) or not self.active(unit), limit_s) or not self.active(unit):
            raise Failed(f"unit {unit}: found one that ended at its start, wanted a running service")

    def _ready(self, before: int) -> bool:
        return any("Ready to accept connections" in line for line in self.said("redis")[before:])

    def said(self, unit: str) -> list[str]:
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def restart(self, unit: str, limit_s: float) -> None:
        self.stop(unit, limit_s)
        self.start(unit, limit_s)

    def reload(self, unit: str, limit_s: float) -> None:
        raise AssertionError("Redis cannot be reloaded")

    def stop(self, unit: str, limit_s: float) -> bool:
        process = self.processes.get(_which(unit))
        if process is not None:
            process.terminate()
            process.wait(limit_s)
        return True

    def kill(self, unit: str = "redis") -> None:
        process = self.processes[_which(unit)]
        process.kill()
        process.wait(10)

    def daemon_reload(self) -> None:
        self.reloads += 1


def _which(unit: str) -> str:
    return "sentinel" if unit == UNIT else "redis"


def _listens(conf: str) -> bool:
    address = next(line.split()[1] for line in Path(conf).read_text().splitlines() if line.startswith("bind "))
    try:
        socket.create_connection((address.strip('"'), SENTINEL_PORT), 1).close()
    except OSError:
        return False
    return True


class Site:
    """A cache host; that of one site, unless there are several."""

    def __init__(self, pair: Pair, name: str, root: Path) -> None:
        self.pair, self.site, self.layout = pair, name[-1], Layout(root)
        self.name = name
        for folder in ("etc/redis", "usr/bin", "var/lib/redis", "var/lib/dr", "etc/dr", "etc/systemd/system", "run"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.units = Units(root / "etc/redis/dr.conf", root / "var/lib/redis/dr-sentinel/sentinel.conf", [pair.server])
        self.err = io.StringIO()

    def document(self, epoch: int, active: str, planned: bool = False, **block: Any) -> dict[str, Any]:
        return {
            "schema": 1, "site": self.site, "peer": "b" if self.site == "a" else "a", "host": self.name[:-2], "request": active,
            "epoch": {"epoch": epoch, "active": active, "previous": None, "planned": planned, "checkpoint": None},
            "hosts": {name: {"name": f"{name}.dr.internal", "vrack": at, "front": at} for name, at in ADDRESSES.items()},
            "tls": {name: "of the host: no cache looks at it" for name in ("ca", "cert", "key")},
            "redis": {
                "tls": {"ca": self.pair.ca, **self.pair.certificates[self.name]},
                "port": self.pair.port, "passwords": self.pair.passwords, "maxmemory": "64mb",
                "caches": self.pair.names(self.site), "peer_caches": self.pair.names("b" if self.site == "a" else "a"),
            } | block,
        }  # fmt: skip

    def service(self, epoch: int, active: str, **options: Any) -> Redis:
        desired = Desired.read(self.document(epoch, active, **options))
        service = Redis(desired, self.layout, Log(self.err, "redis converge"), self.units)
        service._peer_followed = lambda: self.pair.followed  # type: ignore[method-assign]  # the witness's word
        return service

    def converge(self, epoch: int, active: str, *, check: bool = False, **options: Any) -> Result:
        service = self.service(epoch, active, **options)
        document = self.document(epoch, active, **options)
        call = Call("redis", "converge", document, self.layout, Log(self.err, "redis converge"), check)
        return plan.converge(service, call)

    def server(self, user: str = "dr_operator") -> Server:
        key = {"dr_operator": "operator", "dr_replica": "replica"}.get(user, "app")
        ca, password = self.pair.ca, self.pair.passwords[key]
        own = Own(**(self.pair.client if key == "app" else self.pair.certificates[self.name]))
        return Server(f"{self.name}.dr.internal", ADDRESSES[self.name], self.pair.port, ca, user, password, own)

    def shop(self, *words: str | int) -> Any:
        with Connection(self.server("shop")) as connection:
            return connection.call(*words)

    def operator(self, *words: str | int) -> Any:
        with Connection(self.server()) as connection:
            return connection.call(*words)

    def look(self) -> Instance | None:
        return look(self.server())[0]

    def role(self) -> str | None:
        found = rolefile.read(self.layout)
        return found.role if found else None

    @property
    def data(self) -> Path:
        return self.layout.at(find_engine(self.layout).data)


class Pair:
    """Both sites; `close` ends what was started."""

    def __init__(self, root: Path, server: str = "redis-server", caches: int = 1) -> None:
        self.server = server  # the program that runs
        self.caches = caches  # in each site
        self.authority = Authority("test")
        self.passwords = dict(PASSWORDS)
        self.followed: bool | None = False  # whether site b ever followed, by the witness
        self.certificates = {name: self.authority.issue([f"{name}.dr.internal", at]) for name, at in ADDRESSES.items()}
        self.beside = ""  # a second CA that is trusted
        self.client = self.authority.issue(["shop"], purposes=(CLIENT,))
        self.port = free_port()
        self.hosts = {name: Site(self, name, root / name) for site in "ab" for name in self.names(site)}
        self.a, self.b = self.hosts["cache-1.a"], self.hosts["cache-1.b"]

    @property
    def ca(self) -> str:
        """Whom they all trust."""
        return self.authority.certificate_pem + self.beside

    def names(self, site: str) -> list[str]:
        return [f"cache-{number}.{site}" for number in range(1, self.caches + 1)]

    def of(self, site: str) -> list[Site]:
        return [self.hosts[name] for name in self.names(site)]

    def up(self) -> Pair:
        """Converged for the first time; where that fails nothing stays behind."""
        try:
            for host in self.hosts.values():
                host.converge(1, "a")
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for host in self.hosts.values():
            for unit in ("redis", UNIT):
                if host.units.active(unit):
                    host.units.kill(unit)


def settled(site: Site) -> bool:
    """Wait until the replica's link is up."""

    def linked() -> bool:
        found = site.look()
        return found is not None and found.link_up

    return until(linked, 10)


def conf_of(site: Site) -> str:
    return site.units.conf.read_text()


def own_files(site: Site) -> dict[str, bytes]:
    """Every file that a converge may write, for comparison."""
    found: dict[str, bytes] = {}
    for top in ("etc", "var/lib/dr"):
        for folder, _, names in os.walk(site.layout.root / top):
            found |= {str(Path(folder) / name): (Path(folder) / name).read_bytes() for name in names}
    return found


def dumped(result: Result) -> str:
    return json.dumps(result.document("redis converge", report=True), sort_keys=True)
