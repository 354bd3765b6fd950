"""Caches of this host that take writes, whoever started them: found by the shop's port and by the shop's files, not by the unit.

For a host that must not have one: its role is standby or fenced, and `redis-server` by hand goes round the guard.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ..frame.layout import Layout
from ..frame.wait import until
from .config import ENGINES, find_engine
from .leader import ASK_S, Access
from .wire import Connection, ErrorReply, Server, Unreachable

_NAMES = tuple(Path(engine.binary).name for engine in ENGINES)
_MAPPED = bytes(10) + b"\xff\xff"  # before an address of version 4 in one of version 6
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what is looked for, and nothing binds to it
_LISTENING = "0A"  # as the kernel numbers it
_GRACE = 0.8  # part of the limit in which a server may end by itself
_POLL_S = 0.02

Place = tuple[str, int]  # an address and a port


@dataclass(frozen=True)
class Writer:
    """`since`: the process's start in the kernel's ticks, by which one that bears its number later is another one.

    `role`: "master", or None when it does not say: it may take writes.
    """

    pid: int
    since: int
    places: tuple[Place, ...]
    role: str | None

    def __str__(self) -> str:
        where = ", ".join(f"{address}:{port}" for address, port in self.places) or "no port"
        return f"process {self.pid} ({where}, {self.role or 'it does not say what it is'})"


def writers_found(layout: Layout, proc: Path = Path("/proc")) -> list[Writer]:
    """All that listen where the shop's cache does, or work in its folder, and are no replicas. Never fails; asks each for `ASK_S` seconds at most.

    Empty on a host that was never converged.
    """
    access = Access.of_host(layout)
    if access is None:
        return []
    data = layout.at(find_engine(layout).data).resolve()
    listening = _listening(proc)
    found = []
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        places = tuple(place for place in _places(proc / str(pid), listening))
        ours = any(_is_shops(place, access.local) for place in places)
        if not ours and not _works_in(proc / str(pid), data):
            continue
        since, role = _since(proc, pid), _role(access.local, places)
        if since is not None and role != "slave":
            found.append(Writer(pid, since, places, role))
    pids = {writer.pid for writer in found}
    return [writer for writer in found if _parent(proc, writer.pid) not in pids]  # a child that saves ends with it


def stop_writers(writers: Sequence[Writer], limit_s: float, alive: Callable[[], None] = lambda: None) -> list[Writer]:
    """Ask them to end, end them by force before `limit_s` is over; returns those that outlive it. `alive` is called all the while."""
    with ExitStack() as stack:
        held = [(writer, handle) for writer in writers if (handle := _hold(writer, stack)) is not None]

        def gone() -> bool:
            alive()
            return all(_ended(handle) for _, handle in held)

        _signal(held, signal.SIGTERM)
        if not until(gone, limit_s * _GRACE, _POLL_S):
            _signal(held, signal.SIGKILL)
            until(gone, limit_s * (1 - _GRACE), _POLL_S)
        return [writer for writer, handle in held if not _ended(handle)]


def _hold(writer: Writer, stack: ExitStack) -> int | None:
    """A handle of the very process, so that no other is hit; None when it has ended."""
    try:
        handle = os.pidfd_open(writer.pid)
    except OSError:
        return None
    stack.callback(os.close, handle)
    return handle if _since(Path("/proc"), writer.pid) == writer.since else None


def _ended(handle: int) -> bool:
    return bool(select.select([handle], [], [], 0)[0])


def _signal(held: Sequence[tuple[Writer, int]], number: signal.Signals) -> None:
    for _, handle in held:
        with suppress(ProcessLookupError):  # ended meanwhile
            signal.pidfd_send_signal(handle, number)


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


def _since(proc: Path, pid: int) -> int | None:
    words = _status(proc, pid)
    return int(words[19]) if words and words[0] not in "ZX" else None


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
