"""Runs on a database or cache host of the lab: every 100 ms, does this server take writes? One JSON line a sample. Standard library and psycopg.

A file of its own: it is copied to the host and started as a unit there, so that it also sees what happens while nobody can log in, and
right after a boot. `{"t": wall clock, "writer": true | false, "timeline": n | null}`: it was asked at `t`; false is also a server that does not
answer. Of a cache the timeline is null, and "until" is when its answer was there.

    sampler.py SAMPLES                # the database of this host
    sampler.py SAMPLES SETTINGS       # its cache; SETTINGS: {"name", "address", "port", "ca", "user", "password", "own"} in a file
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

EVERY_S = 0.1
QUERY = "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off', timeline_id from pg_control_checkpoint()"
CACHE_S = 0.5  # a cache that holds its writers for longer takes none
# A write that changes nothing, and that a master refuses, or holds, as it does those of the shop.
WRITE = ("DEL", "lab:no-such-key")


class Sample(NamedTuple):
    """What a server is just now."""

    writer: bool
    timeline: int | None = None


class Database:
    """The database of this host."""

    def __init__(self) -> None:
        self._connection: Any = None

    def connect(self) -> None:
        """Raises psycopg.Error."""
        import psycopg  # noqa: PLC0415 - the hosts have it, the machine that imports this file for its text need not

        if self._connection is None:
            self._connection = psycopg.connect(
                "dbname=postgres user=postgres application_name=lab_sampler connect_timeout=2", autocommit=True
            )
            self._connection.execute("set statement_timeout = '1s'")

    def drop(self) -> None:
        self._connection = None

    def sample(self) -> Sample:
        """Raises psycopg.Error."""
        writer, timeline = self._connection.execute(QUERY).fetchone()
        return Sample(bool(writer), timeline)


def command(*words: str) -> bytes:
    """As a cache reads it."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Refused(Exception):
    """The cache said no."""


class Cache:
    """One cache, as the shop sees it: by the user that the shop is."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """`settings`: as in the file; `ca` is PEM, and so are "cert" and "key" of "own", which it shows."""
        self._settings = settings
        self._socket: ssl.SSLSocket | None = None
        self._stream: Any = None

    def connect(self) -> None:
        """Raises OSError and Refused."""
        if self._socket is not None:
            return
        its = self._settings
        context = ssl.create_default_context(cadata=its["ca"])
        with tempfile.NamedTemporaryFile("w") as own:  # of its owner alone; OpenSSL reads it from a file
            own.write("\n".join(its["own"][name] for name in ("cert", "key")))
            own.flush()
            context.load_cert_chain(own.name)
        plain = socket.create_connection((its["address"], its["port"]), timeout=CACHE_S)
        try:
            self._socket = context.wrap_socket(plain, server_hostname=its["name"])
        except OSError:
            plain.close()
            raise
        self._stream = self._socket.makefile("rb")
        self.call("AUTH", its["user"], its["password"])

    def drop(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
            self._socket.close()
        self._socket = self._stream = None

    def sample(self) -> Sample:
        """Raises OSError."""
        try:
            return Sample(self.call("ROLE")[0] == "master" and self.call(*WRITE) == 0)
        except Refused:
            return Sample(False)

    def carts(self) -> dict[str, dict[str, int]]:
        """Every cart by its token: product -> quantity. Raises OSError and Refused."""
        found: dict[str, dict[str, int]] = {}
        cursor = "0"
        while True:
            cursor, keys = self.call("SCAN", cursor, "MATCH", "cart:*", "COUNT", "1000")
            for key in keys:
                flat = self.call("HGETALL", key)
                found[key.removeprefix("cart:")] = {
                    product: int(quantity) for product, quantity in zip(flat[::2], flat[1::2], strict=True)
                }
            if cursor == "0":
                return found

    def call(self, *words: str) -> Any:
        """One command of RESP2; its reply as str, int, list or None."""
        assert self._socket is not None
        self._socket.sendall(command(*words))
        return self._reply()

    def _reply(self) -> Any:
        line: bytes = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the cache closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise Refused(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._stream.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        return rest.decode(errors="replace")


def look(server: Database | Cache, errors: tuple[type[Exception], ...], now: Callable[[], float]) -> dict[str, Any]:
    """One sample. The time begins when the server is asked, not when somebody began to connect."""
    began, answer = now(), Sample(False)
    try:
        server.connect()
        began = now()
        answer = server.sample()
    except errors:
        server.drop()
    answered = {"until": now()} if isinstance(server, Cache) else {}
    return {"t": began, **answered, "writer": answer.writer, "timeline": answer.timeline}


def main(path: str | None = None, settings: str | None = None) -> None:
    """Until it is killed. Without a path it does nothing: somebody wants what this file defines."""
    if path is None:
        return
    if settings is None:
        import psycopg  # noqa: PLC0415 - as above

        server: Database | Cache = Database()
        errors: tuple[type[Exception], ...] = (psycopg.Error,)
    else:
        server, errors = Cache(json.loads(Path(settings).read_text())), (OSError, Refused, ValueError)
    with Path(path).open("a", buffering=1) as out:
        while True:
            found = look(server, errors, time.time)
            out.write(json.dumps(found) + "\n")
            time.sleep(max(0.0, EVERY_S - (time.time() - found["t"])))


if __name__ == "__main__":
    main(*sys.argv[1:])
