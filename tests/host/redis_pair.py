"""Two cache hosts on loopback: real servers behind a stand-in for systemd, everything below a scratch folder."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from scripts.ctl.secrets import Authority
from scripts.host import plan, rolefile
from scripts.host.layout import Layout
from scripts.host.log import Log
from scripts.host.redis import Redis, look
from scripts.host.redis_config import Desired, find_engine
from scripts.host.redis_plan import Instance
from scripts.host.redis_wire import Connection, Server
from scripts.host.result import Result
from scripts.host.wait import until

ADDRESSES = {"a": "127.0.0.21", "b": "127.0.0.121"}
# As an operator may choose them: each has something that a configuration file, a shell or an ACL line would trip over.
PASSWORDS = {"app": "a\"b\\c #d'e{f}$g", "replica": "r >\"' #ä\\x41", "operator": "o p ~* +@all #\\\""}


SERVERS = [name for name in ("redis-server", "valkey-server") if shutil.which(name)] or ["redis-server"]


class Units:
    """systemd as far as this service needs it: one unit, its process a child of the test."""

    def __init__(self, conf: Path, server: str) -> None:
        self.conf, self.server, self.process, self.boot = conf, server, None, False
        self.reloads = 0

    def active(self, unit: str) -> bool:
        return self.process is not None and self.process.poll() is None

    def enabled(self, unit: str) -> bool:
        return self.boot

    def enable(self, unit: str) -> None:
        self.boot = True

    def disable(self, unit: str) -> None:
        self.boot = False

    def start(self, unit: str, limit_s: float) -> None:
        if not self.active(unit):
            self.process = subprocess.Popen([self.server, str(self.conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def restart(self, unit: str, limit_s: float) -> None:
        self.stop(unit, limit_s)
        self.start(unit, limit_s)

    def reload(self, unit: str, limit_s: float) -> None:
        raise AssertionError("Redis cannot be reloaded")

    def stop(self, unit: str, limit_s: float) -> bool:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(limit_s)
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def daemon_reload(self) -> None:
        self.reloads += 1


class Site:
    """The cache host of one site."""

    def __init__(self, pair: Pair, site: str, root: Path) -> None:
        self.pair, self.site, self.layout = pair, site, Layout(root)
        self.name = f"cache-1.{site}"
        for folder in ("etc/redis", "usr/bin", "var/lib/redis", "var/lib/dr", "etc/dr", "run"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.units = Units(root / "etc/redis/dr.conf", pair.server)
        self.err = io.StringIO()

    def document(self, epoch: int, active: str, planned: bool = False, **block: Any) -> dict[str, Any]:
        return {
            "schema": 1, "site": self.site, "peer": "b" if self.site == "a" else "a", "host": "cache-1", "request": active,
            "epoch": {"epoch": epoch, "active": active, "previous": None, "planned": planned, "checkpoint": None},
            "hosts": {f"cache-1.{site}": {"name": f"cache-1.{site}.dr.internal", "vrack": at, "front": at} for site, at in ADDRESSES.items()},
            "tls": {"ca": self.pair.authority.certificate_pem, **self.pair.certificates[self.name]},
            "redis": {
                "port": self.pair.port, "passwords": self.pair.passwords, "maxmemory": "64mb", "app_clients": [],
                "peer_cache": f"cache-1.{'b' if self.site == 'a' else 'a'}",
            } | block,
        }  # fmt: skip

    def service(self, epoch: int, active: str, **options: Any) -> Redis:
        desired = Desired.read(self.document(epoch, active, **options))
        service = Redis(desired, self.layout, Log(self.err, "redis converge"), self.units)
        service._peer_followed = lambda: self.pair.followed  # the witness's word
        return service

    def converge(self, epoch: int, active: str, *, check: bool = False, **options: Any) -> Result:
        service = self.service(epoch, active, **options)
        call = type("Call", (), {"check": check, "log": Log(self.err, "redis converge")})()
        return plan.converge(service, call)

    def server(self, user: str = "dr_operator") -> Server:
        key = {"dr_operator": "operator", "shop": "app", "dr_replica": "replica"}[user]
        ca, password = self.pair.authority.certificate_pem, self.pair.passwords[key]
        return Server(f"{self.name}.dr.internal", ADDRESSES[self.site], self.pair.port, ca, user, password)

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

    def __init__(self, root: Path, server: str = "redis-server") -> None:
        self.server = server  # the program that runs
        self.authority = Authority("test")
        self.passwords = dict(PASSWORDS)
        self.followed: bool | None = False  # whether site b ever followed, by the witness
        self.certificates = {f"cache-1.{site}": self.authority.issue([f"cache-1.{site}.dr.internal", at]) for site, at in ADDRESSES.items()}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.a, self.b = Site(self, "a", root / "a"), Site(self, "b", root / "b")

    def up(self) -> Pair:
        self.a.converge(1, "a")
        self.b.converge(1, "a")
        return self

    def close(self) -> None:
        for site in (self.a, self.b):
            if site.units.active("redis"):
                site.units.kill()


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
    found = {}
    for top in ("etc", "var/lib/dr"):
        for folder, _, names in os.walk(site.layout.root / top):
            found |= {str(Path(folder) / name): (Path(folder) / name).read_bytes() for name in names}
    return found


def dumped(result: Result) -> str:
    return json.dumps(result.document("redis converge", report=True), sort_keys=True)
