"""The dead-man beside the lease agent: it stops the service of a primary when the agent has not said in time that it may go on.

`host converge` puts this file on the host by itself, as `/opt/dr/dr-deadman.py`, so it imports the standard library alone and nothing of this
software: whatever keeps the agent from its work (a broken setting, a truncated archive, a signal, a kernel short of memory) must not reach it.
It asks nobody, starts nothing and reads three small files in `/run/dr`, which is memory:

- `held-until`: when the lease is over, by the clock that counts since the boot, and how many seconds the service has for its stop; the agent
  moves it on for as long as it holds the lease;
- `role.json`: what the host is, a copy of the role file; who is no primary has no lease that could run out;
- `lease-override`: the epoch in which the operator has started a primary although nobody answers.

What cannot be read counts as a lease that is over. Called as `dr-deadman.py <service> [root]`; on SIGHUP it begins anew, from the file as it is then.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

POLL_S = 0.2
REST_S = 1.0  # between two looks at all processes, while there is no server among them
STOP_S = 5.0  # until the agent has said another
GRACE = 0.8  # part of `stop_s` that a server has to end by itself, as with the agent
LATE = 0.1  # part of `stop_s` for which an agent that lives is left to do it, which knows better how
FLAGS = ("-I", "-S", "-B")  # of its Python: nothing of this machine's but the standard library
LOCKED = 1 | 2  # MCL_CURRENT | MCL_FUTURE


@dataclass(frozen=True)
class Kind:
    """How the servers of a service are told: as the kernel names them, by the unit that they run in, or by the folder that they work in."""

    names: frozenset[str]
    units: tuple[str, ...]
    folder: re.Pattern[str]  # not those below it, such as Sentinel's
    polite: signal.Signals


KINDS = {
    "postgres": Kind(
        frozenset({"postgres"}), ("/postgresql@",), re.compile(r"/var/lib/postgresql/[^/]+/main"), signal.SIGINT
    ),
    "redis": Kind(
        frozenset({"redis-server", "valkey-server"}),
        ("/redis-server.service", "/valkey-server.service"),
        re.compile(r"/var/lib/(redis|valkey)"),
        signal.SIGTERM,
    ),
}


def now() -> float:
    """Seconds since the boot, the time in which the machine was suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Deadman:
    """`step` is one look, and what follows from it. It neither waits nor raises."""

    def __init__(self, kind: Kind, root: str = "") -> None:
        self._kind, self._root, self._stop_s = kind, root.rstrip("/"), STOP_S
        self._idle = now()  # when there was last nothing to stop
        self._empty = float("-inf")  # when no server was found although the lease was over
        self._asked, self._killed = set[int](), set[int]()

    def step(self, at: float) -> None:
        """`at`: now."""
        over = self.over(at)
        if over is not None and at - over < self._stop_s * LATE:
            return
        if over is not None and 0 <= at - self._empty < REST_S:
            return
        found = self.servers() if over is not None else {}
        if over is None or not found:
            self._idle, self._asked = at, set()
            self._empty = at if over is not None else float("-inf")
            return
        for pid, parent in found.items():
            if parent not in found and pid not in self._asked:
                self._asked.add(pid)
                say(f"the lease is over since {at - over:.1f} s and process {pid} runs: told to stop")
                self._signal(pid, self._kind.polite)
        if at - max(self._idle, min(over, at)) >= self._stop_s * GRACE:
            if not self._killed >= found.keys():
                say(f"{len(found)} processes are still there: killed")
            self._killed = set(found)
            for pid in found:
                self._signal(pid, signal.SIGKILL)

    def over(self, at: float) -> float | None:
        """Since when the lease of a primary is over; None when it is held, or nothing depends on it."""
        role = self._json("/run/dr/role.json") or self._json("/var/lib/dr/role.json")
        if role.get("role", "primary") != "primary":
            return None
        with contextlib.suppress(ValueError):
            if int(self._text("/run/dr/lease-override")) == role.get("epoch"):
                return None
        try:
            until, self._stop_s = map(float, self._text("/run/dr/held-until").split())
        except ValueError:
            return 0.0
        return None if at < until else until

    def servers(self) -> dict[int, int]:
        """Processes of the service, whatever has started them, each with its parent."""
        found = {}
        for name in os.listdir("/proc"):  # noqa: PTH208 - a path for each process would cost more than all the rest
            if name.isdecimal():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    parent = self._server(name)
                    if parent is not None:
                        found[int(name)] = parent
        return found

    def _server(self, pid: str) -> int | None:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - see above
            before, _, after = file.read().rpartition(")")
        state, parent = after.split()[:2]
        if before.partition("(")[2] not in self._kind.names or state in "ZX":
            return None
        folder = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - see above
        if folder.startswith(self._root) and self._kind.folder.fullmatch(folder[len(self._root) :]):
            return int(parent)
        if self._root:
            return None  # a scratch root holds no units
        with open(f"/proc/{pid}/cgroup") as file:  # noqa: PTH123 - see above
            group = file.read()
        return int(parent) if any(unit in group for unit in self._kind.units) else None

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(OSError):
            os.kill(pid, number)

    def _text(self, path: str) -> str:
        try:
            with open(self._root + path) as file:  # noqa: PTH123 - see above
                return file.read(4096)
        except (OSError, ValueError):
            return ""

    def _json(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self._text(path))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def say(text: str) -> None:
    """To the journal, and never wait for it."""
    with contextlib.suppress(OSError):
        os.write(2, f"WARNING dr-deadman: {text}\n".encode())


def tell_manager(word: bytes) -> None:
    """As sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.setblocking(False)
            sock.sendto(word, "\0" + path[1:] if path.startswith("@") else path)


def stand_firm() -> None:
    """Ahead of what keeps a machine busy, and never waiting for a page on a disk. Where the kernel does not let it, it does without."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    import ctypes  # noqa: PLC0415 - the agent, which finds servers by this file too, stays small

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mlockall(LOCKED)
    with contextlib.suppress(OSError):
        os.set_blocking(2, False)


def main(argv: list[str]) -> None:
    """Until it is ended."""
    deadman = Deadman(KINDS[argv[0]], *argv[1:2])
    signal.signal(signal.SIGHUP, lambda *_: os.execv(sys.executable, [sys.executable, *FLAGS, *sys.argv]))  # noqa: S606 - itself
    stand_firm()
    tell_manager(b"READY=1")
    while True:
        deadman.step(now())
        tell_manager(b"WATCHDOG=1")
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(sys.argv[1:])
