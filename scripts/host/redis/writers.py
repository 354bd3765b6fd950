"""Caches of this host, whoever started them: found by the shop's port and by the shop's files, not by the unit.

For a host that must not have one: its role is standby or fenced, and `redis-server` by hand goes round the guard.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from contract.dataclass import dataclass

from ..frame.layout import Layout
from .engine import ENGINES, find_engine
from .leader import ASK_S, Access
from .wire import Connection, ErrorReply, Server, Unreachable

_NAMES = tuple(Path(engine.binary).name for engine in ENGINES)
_MAPPED = bytes(10) + b"\xff\xff"  # before an address of version 4 in one of version 6
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what is looked for, and nothing binds to it
_LISTENING = "0A"  # as the kernel numbers it

Place = tuple[str, int]  # an address and a port


@dataclass(frozen=True)
class Found:
    """A server. `places`: where it listens."""

    pid: int
    places: tuple[Place, ...]


def servers_found(layout: Layout, proc: Path = Path("/proc")) -> list[Found]:
    """All that listen where the shop's cache does, or work in its folder. Empty on a host that was never converged."""
    access = Access.of_host(layout)
    if access is None:
        return []
    data = layout.at(find_engine(layout).data).resolve()
    listening = _listening(proc)
    found = []
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        places = tuple(place for place in _places(proc / str(pid), listening))
        ours = any(_is_shops(place, access.local) for place in places) or _works_in(proc / str(pid), data)
        if ours and _lives(proc, pid):
            found.append(Found(pid, places))
    pids = {server.pid for server in found}
    return [server for server in found if _parent(proc, server.pid) not in pids]  # a child that saves ends with it


def role(layout: Layout, found: Found) -> str | None:
    """By its own word, "master" before all else; None when it does not say. It is asked for `ASK_S` seconds at most at each of its places."""
    access = Access.of_host(layout)
    return None if access is None else _role(access.local, found.places)


def _listening(proc: Path) -> dict[str, Place]:
    """Addresses and ports of this host's listening sockets, by inode."""
    found = {}
    for name in ("tcp", "tcp6"):
        with suppress(OSError):  # a kernel without the one protocol
            for line in (proc / "self/net" / name).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENING:
                    found[words[9]] = _place(words[1])
    return found


def _place(text: str) -> Place:
    """From the kernel's spelling: each word of the address in the host's byte order."""
    address, port = text.split(":")
    words = (bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    packed = b"".join(words).removeprefix(_MAPPED)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed), int(port, 16)


def _places(process: Path, listening: dict[str, Place]) -> Iterator[Place]:
    with suppress(OSError):  # ended meanwhile
        for entry in (process / "fd").iterdir():
            with suppress(OSError):
                kind, _, inode = str(entry.readlink()).partition(":")
                if kind == "socket" and inode.strip("[]") in listening:
                    yield listening[inode.strip("[]")]


def _is_shops(place: Place, own: Server) -> bool:
    address, port = place
    return port == own.port and (address == own.address or address in _EVERYWHERE)


def _works_in(process: Path, data: Path) -> bool:
    """Whether it is a server whose files are the shop's: each goes to its folder when it starts."""
    try:
        return (process / "comm").read_text().strip() in _NAMES and (process / "cwd").readlink() == data
    except OSError:
        return False


def _status(proc: Path, pid: int) -> list[str]:
    """What stands behind the name in `/proc/<pid>/stat`; empty when it has ended."""
    try:
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _lives(proc: Path, pid: int) -> bool:
    words = _status(proc, pid)
    return bool(words) and words[0] not in "ZX"


def _parent(proc: Path, pid: int) -> int | None:
    words = _status(proc, pid)
    return int(words[1]) if words else None


def _role(own: Server, places: Sequence[Place]) -> str | None:
    """By its own word, as the operator or as anybody: `master` before all else; None when it answers neither."""
    said = set()
    for address, port in places:
        reached = own.address if address in _EVERYWHERE else address
        said.add(_asked(replace(own, address=reached, port=port)) or _asked_plainly((reached, port)))
    return "master" if "master" in said else next(iter(said - {None}), None) if None not in said else None


def _asked(server: Server) -> str | None:
    try:
        with Connection(server, ASK_S) as connection:
            return str(connection.call("ROLE")[0])
    except (Unreachable, ErrorReply):
        return None


def _asked_plainly(place: Place) -> str | None:
    """One without certificates and passwords, as a packaged configuration starts it."""
    try:
        with socket.create_connection(place, ASK_S) as plain:
            plain.settimeout(ASK_S)
            plain.sendall(b"ROLE\r\n")
            answer = plain.recv(64).split(b"\r\n")
    except OSError:
        return None
    return answer[2].decode() if len(answer) > 2 and answer[2] in (b"master", b"slave") else None
