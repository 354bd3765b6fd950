"""The way to the cache that leads (`REDIS_URL`), by a real HAProxy before real servers, asked by whoever knows one plain Redis."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.services.redis import worker
from lab.pairs.loopback import free_port
from lab.pairs.redis import ADDRESSES, PASSWORDS, Pair, Site
from scripts.ctl.stacks.secrets import SERVER
from scripts.host.app import caches
from scripts.host.app.config import Desired
from scripts.host.app.names import CACHES
from scripts.host.frame.wait import until
from scripts.host.redis.wire import Connection, parse_info
from tests.host.app.test_app import document


class Plain:
    """A client that has heard of neither TLS nor leaders. One connection; it ends when the server ends it."""

    def __init__(self, port: int, user: str = "shop", password: str = PASSWORDS["app"]) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 3)
        self._socket.settimeout(5)
        self._file = self._socket.makefile("rb")
        self.signed_in = self.ask("AUTH", user, password)

    def ask(self, *words: str) -> Any:
        """An answer; ConnectionError when there is none."""
        self._socket.sendall(bytes.fromhex(caches.command(*words)))
        return self._read()

    def _read(self) -> Any:
        line = self._file.readline().rstrip(b"\r\n").decode()
        if not line:
            raise ConnectionError("the connection has ended")
        if line[0] == "$":
            return self._file.read(int(line[1:]) + 2)[:-2].decode() if line != "$-1" else None
        return [self._read() for _ in range(int(line[1:]))] if line[0] == "*" else line

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Way:
    """HAProxy with what a host of site a is told, at ports of this test."""

    def __init__(self, pair: Pair, folder: Path, password: str = PASSWORDS["app"], other: bool = False) -> None:
        told = document(cache_password=password)
        for key, at in ADDRESSES.items():
            told["hosts"][key] = {"name": f"{'other' if other else key}.dr.internal", "vrack": at, "front": at}
        self.port = free_port()
        (folder / "way.pem").write_text(pair.client["cert"].rstrip() + "\n" + pair.client["key"])
        (folder / "ca.pem").write_text(pair.ca)
        text = (
            caches.config(Desired.read(told))
            .replace(CACHES, f"127.0.0.1:{self.port}")
            .replace(":6379 ", f":{pair.port} ")
        )
        text = text.replace(caches.PEM, str(folder / "way.pem")).replace(caches.CA, str(folder / "ca.pem"))
        (folder / "way.cfg").write_text(text)
        self.log = (folder / "way.log").open("wb")
        self.process = subprocess.Popen(
            ["/usr/sbin/haproxy", "-db", "-f", str(folder / "way.cfg")], stdout=self.log, stderr=self.log
        )

    def role(self) -> str | None:
        """Of the cache that it leads to, as somebody hears who comes now."""
        try:
            asked = Plain(self.port)
        except (OSError, ConnectionError):
            return None
        try:
            return str(asked.ask("ROLE")[0])
        except ConnectionError:
            return None
        finally:
            asked.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path / "pair")
    yield pair.up()
    pair.close()


@pytest.fixture
def way(pair: Pair, tmp_path: Path) -> Iterator[Way]:
    way = Way(pair, tmp_path)
    yield way
    way.close()


def _kept(site: Site) -> dict[str, int]:
    """Keys of each database."""
    with Connection(site.server()) as connection:
        told = parse_info(connection.call("INFO", "keyspace"))
    return {name: int(it.split("keys=")[1].split(",")[0]) for name, it in told.items() if name.startswith("db")}


def test_whoever_knows_one_plain_redis_has_the_one_that_leads(pair: Pair, way: Way) -> None:
    assert until(lambda: way.role() == "master", 10)
    client = Plain(way.port)
    assert client.signed_in == "+OK"
    assert (client.ask("SET", "sum", "7"), client.ask("GET", "sum")) == ("+OK", "7")
    assert pair.a.shop("GET", "sum") in ("7", b"7")
    jobs = Plain(way.port)
    assert jobs.ask("SELECT", "2") == "+OK"
    assert (jobs.ask("GET", "sum"), jobs.ask("SET", "sum", "8"), client.ask("GET", "sum")) == (None, "+OK", "7")
    assert until(lambda: _kept(pair.b) == {"db0": 1, "db2": 1}, 10), "the other region has both"
    other = Plain(way.port, worker("a"))
    assert other.signed_in == "+OK", "workers come by the same way under their own name"


def test_a_turn_closes_what_led_to_the_old_leader_and_leads_to_the_new_one(pair: Pair, way: Way) -> None:
    assert until(lambda: way.role() == "master", 10)
    kept = Plain(way.port)
    assert kept.ask("SET", "sum", "7") == "+OK"
    assert until(lambda: (found := pair.b.look()) is not None and found.keys == 1, 10)
    pair.b.converge(2, "b", planned=True)
    begun = time.monotonic()

    def left() -> bool:
        try:
            return bool(kept.ask("ROLE")[0] != "master") and False
        except (OSError, ConnectionError):
            return True

    assert until(left, 10), "a connection that stays would write to nobody"
    assert until(lambda: way.role() == "master", 10)
    assert time.monotonic() - begun < 8
    client = Plain(way.port)
    assert client.ask("SET", "sum", "8") == "+OK"
    assert pair.b.shop("GET", "sum") in ("8", b"8")


def test_a_leader_that_died_is_left(pair: Pair, way: Way) -> None:
    assert until(lambda: way.role() == "master", 10)
    pair.a.units.kill()
    pair.b.converge(2, "b")
    assert until(lambda: way.role() == "master", 10)


@pytest.mark.parametrize("spoiled", ["password", "name", "certificate"])
def test_a_cache_that_is_not_proven_and_one_that_does_not_know_the_shop_are_nobodys_leader(
    pair: Pair, tmp_path: Path, spoiled: str
) -> None:
    if spoiled == "certificate":
        pair.client = pair.authority.issue(["cache-1.a.dr.internal"], purposes=(SERVER,))
    way = Way(pair, tmp_path, "another" if spoiled == "password" else PASSWORDS["app"], spoiled == "name")
    try:
        # Until it has asked for the first time, it takes each for well.
        log = tmp_path / "way.log"
        assert until(lambda: "has no server available" in log.read_text(), 10)
        assert not until(lambda: way.role() is not None, 3)
    finally:
        way.close()
