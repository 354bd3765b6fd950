"""The service's unit, stopped within a limit whatever the service manager does, and started without waiting for it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ..frame.commands import run
from ..frame.layout import Layout
from ..frame.log import Log
from ..frame.systemd import Systemd
from ..frame.wait import until
from ..postgres.desired import Memory
from ..postgres.layout import PostgresLayout
from ..redis.config import find_engine
from .channel import boottime

_SLICES = "/sys/fs/cgroup/system.slice"
SERVERS = ("postgres", "redis-server", "valkey-server")  # as the kernel names the processes that take writes
ASK_S = 1.0  # how long the service manager may take to take an order
KILL_S = 5.0
GRACE = 0.8  # part of `stop_s` that the service has to end by itself


class Control(Protocol):
    """The service of this host."""

    def running(self) -> bool:
        """Whether it has processes. Cheap: asked at every beat."""
        ...

    def stop(self, stop_s: float, alive: Callable[[], None]) -> bool:
        """Ask it to stop, end it by force before `stop_s` is over; False when it outlives that. `alive` is called all the while."""
        ...

    def start(self) -> None:
        """Ask for its start; the guard decides. Returns at once."""
        ...


class Unit:
    """`Control` by systemd and the unit's control group."""

    def __init__(self, layout: Layout, name: Callable[[], str | None], log: Log) -> None:
        self._layout, self._name, self._log = layout, name, log

    def running(self) -> bool:
        if self._layout.at(_SLICES).is_dir():
            # Not the guard that is still asking whether the service may start: it must get to its answer, and to the operator's override.
            return any(_command(process) in SERVERS for process in self._processes())
        unit = self._name()  # control groups are elsewhere on this machine, which costs a process at every beat
        return unit is not None and Systemd().active(unit)

    def stop(self, stop_s: float, alive: Callable[[], None]) -> bool:
        began, unit = boottime(), self._name()
        if unit is None:
            return True
        # Without waiting for the job: that may hang although the service is down.
        asked = run(["systemctl", "stop", "--no-block", unit], limit_s=ASK_S, check=False)
        if asked.code != 0:
            self._log.warning(
                f"{unit}: systemctl does not take the order ({asked.reason}), the processes are asked directly"
            )
            self._signal(signal.SIGTERM)

        def gone() -> bool:
            alive()
            return not self.running()

        if until(gone, stop_s * GRACE - (boottime() - began), 0.02):
            return True
        self._log.warning(f"{unit}: still there after {boottime() - began:.1f} s, killed")
        self._kill()
        return until(gone, KILL_S, 0.02)

    def start(self) -> None:
        unit = self._name()
        if unit is not None:
            done = run(["systemctl", "start", "--no-block", unit], limit_s=ASK_S, check=False)
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
        group = self._group()
        with contextlib.suppress(OSError):  # kernels before 5.14 have no such file; one by one then
            if group is not None:
                (group / "cgroup.kill").write_text("1")
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def _command(process: int) -> str | None:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return None  # ended meanwhile


def unit_name(layout: Layout, service: str) -> str | None:
    """The unit of `service` ("postgres" or "redis"); None on a host that was never converged."""
    if service == "redis":
        return find_engine(layout).unit
    memory = Memory.read(PostgresLayout(layout))
    return None if memory is None else PostgresLayout(layout, memory.version).unit
