"""PostgreSQL's block of the heartbeat: its positions, with a trail, over a connection that is kept. Nothing is started for a beat."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pwd
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

from contract.wire.channel import NoAnswer

from ..frame.boots import boottime
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.processes import processes
from ..postgres.layout import PostgresLayout
from ..postgres.memory import Memory
from ..postgres.server import TIMELINE, alive
from ..postgres.session import options
from ..postgres.slot import Slots
from ..postgres.watch import Watch
from .facts import Server

TRAIL_S = 60.0
IDENTITY = ("system_identifier", "timeline")  # what positions can be compared by
APPLICATION = "dr_agent"
PYTHON = "/usr/bin/python3"  # one that the server's user may run, too

# As root connects, but as the server's user to the server: a helper connects and hands the connection over.
_CONNECT = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.settimeout(3)
server.connect(sys.argv[1])
socket.send_fds(socket.socket(fileno=int(sys.argv[2])), [b"x"], [server.fileno()])
"""


class PgConnection:
    """PostgreSQL's simple query protocol over the server's own socket, as its superuser. Raises NoAnswer."""

    def __init__(self, path: str, user: str, version: int, limit_s: float) -> None:
        self._socket = _connected(path, user)
        self._socket.settimeout(limit_s)
        self._buffer = b""
        pairs = ("user", user, "database", "postgres", "application_name", APPLICATION, "options", options(version))
        body = struct.pack("!I", 196608) + b"".join(word.encode() + b"\0" for word in pairs) + b"\0"
        try:
            self._socket.sendall(struct.pack("!I", len(body) + 4) + body)
            self._ready()
        except OSError as error:
            self.close()
            raise NoAnswer(str(error)) from None
        except NoAnswer:
            self.close()
            raise

    def value(self, query: str) -> str | None:
        """The first column of the last row."""
        body = query.encode() + b"\0"
        try:
            self._socket.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
            return self._ready()
        except OSError as error:
            raise NoAnswer(str(error)) from None

    def cut(self) -> None:
        """End what waits in another thread."""
        with contextlib.suppress(OSError):  # it may have ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

    def _ready(self) -> str | None:
        """Read until the server is ready for the next query; the value of the last row on the way."""
        found: str | None = None
        while True:
            kind = self._take(1)
            body = self._take(struct.unpack("!I", self._take(4))[0] - 4)
            if kind == b"Z":
                return found
            if kind == b"E" or (kind == b"R" and body[:4] != b"\0\0\0\0"):
                fields = [field[1:].decode(errors="replace") for field in body.split(b"\0") if field[:1] == b"M"]
                raise NoAnswer(fields[0] if fields else "a log-in that asks for more than the socket")
            if kind == b"D":
                length = struct.unpack("!i", body[2:6])[0]
                found = None if length < 0 else body[6 : 6 + length].decode()

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            part = self._socket.recv(65536)
            if not part:
                raise NoAnswer("connection lost")
            self._buffer += part
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken


def _connected(path: str, user: str) -> socket.socket:
    if os.geteuid() != 0 or user == "root":
        server = socket.socket(socket.AF_UNIX)
        server.settimeout(3)
        try:
            server.connect(path)
        except OSError as error:
            server.close()
            raise NoAnswer(str(error)) from None
        return server
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        entry = pwd.getpwnam(user)
        try:
            subprocess.run(
                [PYTHON, "-I", "-S", "-c", _CONNECT, path, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                user=entry.pw_uid,
                group=entry.pw_gid,
                extra_groups=[],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=10,
                check=True,
            )
            ours.settimeout(1)
            _, handles, _, _ = socket.recv_fds(ours, 1, 1)
        except (OSError, subprocess.SubprocessError) as error:
            raise NoAnswer(f"the server's socket: {type(error).__name__}") from None
    if not handles:
        raise NoAnswer("the server's socket")
    return socket.socket(fileno=handles[0])


_POSTGRES = f"""select json_build_object(
  'in_recovery', pg_is_in_recovery(), 'timeline', {TIMELINE},
  'write_lsn', case when not pg_is_in_recovery() then pg_current_wal_lsn() end,
  'receive_lsn', pg_last_wal_receive_lsn(), 'replay_lsn', pg_last_wal_replay_lsn(),
  'streaming', case when pg_is_in_recovery() then exists (select from pg_stat_wal_receiver where status = 'streaming')
                    else exists (select from pg_stat_replication where application_name ~ '^dr_[a-z]+$' and state = 'streaming') end,
  'system_identifier', (select system_identifier::text from pg_control_system()))"""  # noqa: S608


def servers_found(layout: Layout) -> list[Server]:
    """Servers that work on this host's data, or that have its port, with whatever data."""
    memory = Memory.read(PostgresLayout(layout))
    if memory is None:
        return []
    own = PostgresLayout(layout, memory.version).data.resolve()
    servers = {each.pid: each for each in processes() if each.name in ("postgres", "postmaster") and each.state != "Z"}
    found = []
    for pid, server in servers.items():
        if server.parent in servers:
            continue
        try:
            folder = Path(f"/proc/{pid}/cwd").readlink()
        except OSError:
            continue  # ended meanwhile
        port, writes = _of_folder(folder)
        if folder == own or port == memory.port:
            found.append(Server(pid, writes))
    return found


def _of_folder(data: Path) -> tuple[int | None, bool | None]:
    """Port of the server that works on this folder, and whether it takes writes, by its own files; None when they do not say.

    A standby is ready, too, once it can be read; what it has of its own is its signal, which a promotion removes.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        port, status = int(lines[3]), lines[7].strip()
    except (OSError, ValueError, IndexError):
        return None, None
    if status != "ready":
        return port, None
    return port, not any((data / f"{kind}.signal").exists() for kind in ("standby", "recovery"))


class PostgresFacts:
    """`Facts` of PostgreSQL, with the trail of its write positions."""

    def __init__(self, layout: Layout, log: Log, base: PostgresLayout | None = None) -> None:
        self._base = base or PostgresLayout(layout)
        self._watch, self._slots = Watch(self._base, log), Slots(log)
        self._connection: PgConnection | None = None
        self._trail: collections.deque[tuple[float, str]] = collections.deque()
        self._identity: dict[str, Any] = {}  # of the server that the trail is of

    def read(self) -> dict[str, Any]:
        """See `Facts`."""
        block: dict[str, Any] = {
            "running": False,
            **dict.fromkeys(("in_recovery", "timeline", "write_lsn", "receive_lsn", "replay_lsn", "streaming")),
        }
        block |= {"system_identifier": None, "mode": "async", "trail": []}
        memory = Memory.read(self._base)
        if memory is None:
            return block
        layout = self._base if self._base.version == memory.version else PostgresLayout(self._base.base, memory.version)
        block["running"] = alive(layout) is not None
        block["mode"] = memory.mode
        if block["running"]:
            path = str(layout.sockets / f".s.PGSQL.{memory.port}")
            block |= self._ask(path, layout)
            block["mode"] = self._watch.look(memory, self._value, boottime())
            self._slots.look(self._value)
        else:
            self._close()
        self._remember(block)
        return block | self._last_known(block)

    def writes(self, block: dict[str, Any]) -> bool | None:
        """See `Facts`. A server that is down may be on its way up, and one that answers elsewhere says what it is in its own file."""
        if block.get("in_recovery") is not None:
            return not block["in_recovery"]
        memory = Memory.read(self._base) if block.get("running") else None
        certain = memory is not None and _of_folder(PostgresLayout(self._base.base, memory.version).data)[1]
        return True if certain else None

    def told(self, block: dict[str, Any]) -> None:
        """See `Facts`."""
        self._watch.told(block.get("mode"))

    def recall(self, block: dict[str, Any], age_s: float) -> None:
        """See `Facts`."""
        if self._trail:
            return
        now = boottime() - age_s
        self._trail.extend((now - float(seconds), str(position)) for seconds, position in block.get("trail") or ())
        self._identity = {name: block.get(name) for name in IDENTITY}

    def abort(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.cut()

    def _value(self, query: str) -> str | None:
        """Over the connection that the block was read with; None when there is none."""
        try:
            return None if self._connection is None else self._connection.value(query)
        except NoAnswer:
            self._close()
            return None

    def _ask(self, path: str, layout: PostgresLayout) -> dict[str, Any]:
        try:
            if self._connection is None:
                self._connection = PgConnection(path, layout.user, layout.version, 2.0)
            found = json.loads(self._connection.value(_POSTGRES) or "{}")
        except (NoAnswer, ValueError):
            self._close()
            return {}
        return dict(found)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _remember(self, block: dict[str, Any]) -> None:
        """The last position of all stays, however old: a primary that dies may have been silent for a beat, and one that is down for hours."""
        now = boottime()
        if block["in_recovery"]:
            self._trail.clear()
            self._identity = {}
        if block["write_lsn"] is not None:
            self._trail.appendleft((now, block["write_lsn"]))
            self._identity = {name: block[name] for name in IDENTITY}
        while len(self._trail) > 1 and now - self._trail[-1][0] > TRAIL_S:
            self._trail.pop()

    def _last_known(self, block: dict[str, Any]) -> dict[str, Any]:
        now = boottime()
        trail = [[round(now - at, 1), position] for at, position in self._trail]
        return {"trail": trail, **(self._identity if block["in_recovery"] is None else {})}
