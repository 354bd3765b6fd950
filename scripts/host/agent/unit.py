"""The service's unit, stopped within a limit whatever the service manager does, and started without waiting for it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ..frame.boots import boottime
from ..frame.commands import run
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.processes import kill_family, process
from ..frame.systemd import Systemd
from ..frame.wait import until
from ..postgres.layout import PostgresLayout
from ..postgres.memory import Memory
from ..redis.engine import find_engine
from .facts import Find, Server

_SLICES = "/sys/fs/cgroup/system.slice"
SERVERS = ("postgres", "redis-server", "valkey-server")  # as the kernel names the processes that take writes
FIND_S = 3.0
ASK_S = 1.0  # how long the service manager may take to take an order
KILL_S, KILLED_S = 5.0, 0.05  # until all of them are gone, and between two looks
GRACE = 0.8  # part of `stop_s` that the service has to end by itself


class Control(Protocol):
    """The service of this host."""

    def running(self) -> bool:
        """Whether it has processes, in its unit or past it. Cheap: asked at every beat."""
        ...

    def writers(self) -> bool:
        """Whether a server past its unit certainly takes writes."""
        ...

    def stop(self, stop_s: float, alive: Callable[[], None]) -> bool:
        """Ask it to stop, end it by force before `stop_s` is over; False when it outlives that. `alive` is called all the while."""
        ...

    def start(self) -> None:
        """Ask for its start; the guard decides. Returns at once."""
        ...


class Unit:
    """`Control` by systemd and the unit's control group, and by what servers are, for those that somebody has started past both.

    `find`: all servers of the service. `polite`: the signal that asks one of them to end.
    """

    def __init__(
        self,
        layout: Layout,
        name: Callable[[], str | None],
        log: Log,
        find: Find = tuple,
        polite: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._layout, self._name, self._log, self._find, self._polite = layout, name, log, find, polite
        self._found: Sequence[Server] = ()
        self._found_at = float("-inf")

    def running(self) -> bool:
        return self._in_unit() or bool(self._outside())

    def writers(self) -> bool:
        return any(server.writes for server in self._outside())

    def _outside(self, *, anew: bool = False) -> list[Server]:
        """Servers that are not in the unit. To look at every process costs some milliseconds, so it is done every few seconds."""
        now = boottime()
        if anew or not 0 <= now - self._found_at < FIND_S:
            self._found, self._found_at = self._find(), now
        inside = set(self._processes())
        return [server for server in self._found if server.pid not in inside and _lives(server.pid)]

    def _in_unit(self) -> bool:
        if self._layout.at(_SLICES).is_dir():
            # Not the guard that is still asking whether the service may start: it must get to its answer, and to the operator's override.
            return any(_command(pid) in SERVERS for pid in self._processes())
        unit = self._name()  # control groups are elsewhere on this machine, which costs a process at every beat
        return unit is not None and Systemd().active(unit)

    def stop(self, stop_s: float, alive: Callable[[], None]) -> bool:
        began, unit = boottime(), self._name()
        if unit is None:
            return True
        for server in self._outside(anew=True):
            self._log.warning(f"{unit}: process {server.pid} serves and is none of the unit's, it is asked directly")
            with contextlib.suppress(ProcessLookupError):
                os.kill(server.pid, self._polite)
        # Without waiting for the job: that may hang although the service is down.
        asked = run(["systemctl", "stop", "--no-block", unit], limit_s=ASK_S, check=False)
        if asked.code != 0:
            self._log.warning(
                f"{unit}: systemctl does not take the order ({asked.reason}), the processes are asked directly"
            )
            self._signal(self._polite)

        def gone() -> bool:
            alive()
            return not self.running()

        if until(gone, stop_s * GRACE - (boottime() - began), 0.02):
            return True
        self._log.warning(f"{unit}: still there after {boottime() - began:.1f} s, killed")

        def killed() -> bool:
            self._kill()  # again each time: one that is killed may have begun another a moment before
            return gone()

        return until(killed, KILL_S, KILLED_S) and not self._outside(anew=True)

    def start(self) -> None:
        unit = self._name()
        if unit is not None:
            # A start that has no process left, as one whose PID file had no room, waits until its limit and takes every further one in.
            verb = "start" if self._processes() else "restart"
            done = run(["systemctl", verb, "--no-block", unit], limit_s=ASK_S, check=False)
            if done.code != 0:
                self._log.warning(f"{unit}: cannot be started ({done.reason}); tried again later")

    def _group(self) -> Path | None:
        unit = self._name()
        if unit is None:
            return None
        slices = self._layout.at(_SLICES)
        template = f"system-{unit.partition('@')[0]}.slice" if "@" in unit else ""
        return slices / template / unit

    def _processes(self) -> list[int]:
        group = self._group()
        if group is None:
            return []
        try:
            return [int(line) for line in (group / "cgroup.procs").read_text().split()]
        except OSError:
            return []  # no group, no processes

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        for server in self._outside(anew=True):
            kill_family(server.pid)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _lives(pid: int) -> bool:
    found = process(pid)
    return found is not None and found.state != "Z"


def _command(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None  # ended meanwhile


def unit_name(layout: Layout, service: str) -> str | None:
    """The unit of `service` ("postgres" or "redis"); None on a host that was never converged."""
    if service == "redis":
        return find_engine(layout).unit
    memory = Memory.read(PostgresLayout(layout))
    return None if memory is None else PostgresLayout(layout, memory.version).unit
