"""systemd units behind one seam. No call waits without a limit; whoever needs to know whether a service is down asks the service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from contract.dataclass import dataclass
from contract.errors import Failed, say

from .commands import run
from .files import ManagedFile
from .layout import RECORD, Layout

QUICK_S = 15.0
# Of what starts with the machine: for a unit that has an old init script too, a host at work takes its time.
CHANGE_S = 60.0
GROUPS = Path("/sys/fs/cgroup")


class Units(Protocol):
    """What this software asks of a service manager."""

    def active(self, unit: str) -> bool: ...

    def running(self, unit: str) -> bool: ...

    def down(self, unit: str) -> bool: ...

    def enabled(self, unit: str) -> bool: ...

    def enable(self, unit: str) -> None: ...

    def disable(self, unit: str) -> None: ...

    def start(self, unit: str, limit_s: float) -> None: ...

    def restart(self, unit: str, limit_s: float) -> None: ...

    def reload(self, unit: str, limit_s: float) -> None: ...

    def stop(self, unit: str, limit_s: float) -> bool: ...

    def daemon_reload(self) -> None: ...


class Heard(Units, Protocol):
    """The same, where the service's own words count."""

    def said(self, unit: str) -> list[str]: ...


@dataclass(frozen=True)
class Look:
    """What the manager says of a unit; nothing where it does not say."""

    state: str = ""
    enabled: bool = False  # it starts with the machine

    @property
    def active(self) -> bool:
        """It runs, or is about to."""
        return self.state in _ACTIVE

    @property
    def running(self) -> bool:
        return self.state in _RUNNING

    @property
    def down(self) -> bool:
        """Nothing of it is at work."""
        return self.state in _DOWN


class Many(Protocol):
    """The same for whoever has several units and no time: one question, one word to all of them."""

    def restart(self, unit: str, limit_s: float) -> None: ...

    def reload(self, unit: str, limit_s: float) -> None: ...

    def daemon_reload(self) -> None: ...

    def look(self, units: Sequence[str]) -> dict[str, Look]: ...

    def each(self, verb: str, units: Sequence[str], limit_s: float) -> None: ...

    def set_all(self, verb: str, units: Sequence[str]) -> None: ...

    def begin(self, units: Sequence[str]) -> None: ...

    def halt(self, units: Sequence[str], limit_s: float) -> bool: ...


_RUNNING, _DOWN = ("active", "reloading"), ("inactive", "failed")
_ACTIVE = (*_RUNNING, "activating")


class Systemd:
    """`Units` by systemctl."""

    def look(self, units: Sequence[str]) -> dict[str, Look]:
        """What is so of each, in one question."""
        asked = run(
            ["systemctl", "show", "-p", "ActiveState,UnitFileState", *units], limit_s=QUICK_S, check=False
        ).out.strip()
        blocks = [
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in asked.split("\n\n")
        ]
        if len(blocks) != len(units):
            return {unit: Look() for unit in units}
        told = zip(units, blocks, strict=True)
        return {unit: Look(it.get("ActiveState", ""), it.get("UnitFileState", "") == "enabled") for unit, it in told}

    def each(self, verb: str, units: Sequence[str], limit_s: float) -> None:
        """All of them side by side. Raises Failed that names the first which does not run then."""
        self._job(verb, units, limit_s)

    def begin(self, units: Sequence[str]) -> None:
        """Have them start, and wait for nothing: whoever needs one asks later."""
        run(["systemctl", "start", "--no-block", *units], limit_s=QUICK_S)

    def halt(self, units: Sequence[str], limit_s: float) -> bool:
        """As `stop`, of all of them side by side."""
        return _stopped(units, limit_s)

    def active(self, unit: str) -> bool:
        """Whether it runs, or is about to."""
        return run(["systemctl", "is-active", unit], limit_s=QUICK_S, check=False).out.strip() in _ACTIVE

    def running(self, unit: str) -> bool:
        """Whether it runs now; one that is only tried again and again does not."""
        return run(["systemctl", "is-active", unit], limit_s=QUICK_S, check=False).out.strip() in _RUNNING

    def down(self, unit: str) -> bool:
        """Whether nothing of it is at work: neither a job that runs once, which is never "active", nor one that was told to end and has not. Not so where
        the manager does not say.
        """
        return run(["systemctl", "is-active", unit], limit_s=QUICK_S, check=False).out.strip() in _DOWN

    def enabled(self, unit: str) -> bool:
        """Whether it starts with the machine."""
        return run(["systemctl", "is-enabled", unit], limit_s=QUICK_S, check=False).out.strip() == "enabled"

    def enable(self, unit: str) -> None:
        self.set_all("enable", [unit])

    def disable(self, unit: str) -> None:
        self.set_all("disable", [unit])

    def set_all(self, verb: str, units: Sequence[str]) -> None:
        """`enable` or `disable` all of them."""
        run(["systemctl", verb, "--quiet", *units], limit_s=CHANGE_S)

    def start(self, unit: str, limit_s: float) -> None:
        """Raises Failed, with the unit's last log line."""
        # One that waits for nothing would take this one in, and end at its own limit.
        self._job("restart" if self._waits_for_nothing(unit) else "start", [unit], limit_s)

    def restart(self, unit: str, limit_s: float) -> None:
        self._job("restart", [unit], limit_s)

    def reload(self, unit: str, limit_s: float) -> None:
        self._job("reload", [unit], limit_s)

    def stop(self, unit: str, limit_s: float) -> bool:
        """Ask it to stop; True when systemd says so within the limit. Not the last word: a service's processes may be down long before."""
        return _stopped([unit], limit_s)

    def daemon_reload(self) -> None:
        run(["systemctl", "daemon-reload"], limit_s=CHANGE_S)

    def said(self, unit: str) -> list[str]:
        """What the unit's own processes wrote last, without systemd's lines about it."""
        journal = ["journalctl", f"_SYSTEMD_UNIT={unit}", "-n", "100", "-o", "cat", "--no-pager"]
        return run(journal, limit_s=QUICK_S, check=False).out.splitlines()

    def _waits_for_nothing(self, unit: str) -> bool:
        """Whether its start goes on although no process of it is left: one was killed before its PID file was there, or the file had no room."""
        asked = run(
            ["systemctl", "show", "-p", "ActiveState,SubState,ControlPID,MainPID,ControlGroup", unit],
            limit_s=QUICK_S,
            check=False,
        )
        found = dict(line.split("=", 1) for line in asked.out.splitlines() if "=" in line)
        state = [found.get(name) for name in ("ActiveState", "SubState", "ControlPID", "MainPID")]
        return state == ["activating", "start", "0", "0"] and count_processes(found.get("ControlGroup", "")) == 0

    def _job(self, verb: str, units: Sequence[str], limit_s: float) -> None:
        run(["systemctl", "reset-failed", *units], limit_s=QUICK_S, check=False)
        done = run(["systemctl", verb, *units], limit_s=limit_s, check=False)
        if done.code == 0:
            return
        unit = units[0] if len(units) == 1 else next((it for it, at in self.look(units).items() if not at.running), "")
        unit = unit or units[0]
        journal = run(["journalctl", "-u", unit, "-n", "15", "-o", "cat", "--no-pager"], limit_s=QUICK_S, check=False)
        lines = [line.strip() for line in journal.out.split("\n") if line.strip()]
        # A guard's refusal says more than systemd's own lines after it.
        last = next(
            (line for line in reversed(lines) if line.startswith("ERROR ")), "; ".join(lines[-3:]) or done.reason
        )
        raise Failed(
            say(
                subject=f"unit {unit}",
                found=f"systemctl {verb} ended with code {done.code} ({last})",
                wanted="a running service",
                consequence="the service has no place in its role",
                remedy=f"read `journalctl -u {unit}`, mend it, run the same again",
            )
        )


def _stopped(units: Sequence[str], limit_s: float) -> bool:
    """Whatever a job has ended with that was told to end is no failure: it would stand there, and be told as one, until it runs again."""
    if run(["systemctl", "stop", *units], limit_s=limit_s, check=False).code != 0:
        return False
    run(["systemctl", "reset-failed", *units], limit_s=QUICK_S, check=False)
    return True


def sandbox(
    writable: Sequence[str],
    *,
    capabilities: Sequence[str] = (),
    as_others: bool = False,
    without: Sequence[str] = (),
) -> str:
    """Lines of a `[Service]` that leave it the network, its own folders and nothing else of the machine.

    `writable`: paths, or patterns of none. `capabilities`: what it needs of root's. `as_others`: it becomes other users, and looks at their processes.
    `without`: settings that it cannot live with. A call of the kernel that is left out fails with EPERM instead of ending the service.
    """
    lines = [
        f"CapabilityBoundingSet={' '.join(capabilities)}",
        *(f"{name}=yes" for name in _ALWAYS if name not in without),
        "ProtectSystem=strict",
        *(f"ReadWritePaths=-{path}" for path in writable),
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallArchitectures=native",
        "SystemCallErrorNumber=EPERM",
        "SystemCallFilter=@system-service",
        f"SystemCallFilter=~@resources{'' if as_others else ' @privileged'}",
        *([] if as_others else ["ProtectProc=invisible"]),
    ]
    return "".join(f"{line}\n" for line in lines)


_ALWAYS = (
    *("LockPersonality", "NoNewPrivileges", "PrivateDevices", "PrivateMounts", "PrivateTmp", "ProtectClock"),
    *("ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables"),
    *("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID"),
)  # fmt: skip
# Not RemoveIPC: it takes what the unit's user has, not what the unit has made. At the end of a job of PostgreSQL's user that is the server's shared memory.


def drop_in(layout: Layout, unit: str, name: str, content: str) -> ManagedFile:
    """A drop-in of ours for `unit` (for a template instance the instance's own folder). Needs `daemon_reload` when it changed."""
    return ManagedFile(path=layout.units / f"{unit}.d" / f"{name}.conf", content=content)


def verified_line(tool: str) -> str:
    """The line that lets a unit start only when the archive is one that was put there (the record beside it). Without a record, of a version
    that made none, it starts.

    For jobs alone: the guard and the agent start all the same, since a primary must not stop for a file that has changed under it.
    """
    digest = f"$$(sha256sum < {tool} | cut -c-64)"
    wrong = f"{tool}: found other contents than were put there; nothing was started; see who has changed it, then run pulumi up with dr:repair raised"
    record = f"{tool}{RECORD}"
    return f'ExecStartPre=+/bin/sh -c \'test ! -e {record} || grep -qw "{digest}" {record} || {{ echo "{wrong}" >&2; exit 3; }}\'\n'


def guard_line(service: str, tool: str = "/opt/dr/dr-host.pyz") -> str:
    """The line that lets a unit start only when `dr-host guard <service>` agrees. The guard runs as root (`+`), bounded."""
    return f"ExecStartPre=+/usr/bin/timeout -k 5 30 /usr/bin/python3 {tool} guard {service}\n"


def guard_drop_in(layout: Layout, unit: str, service: str, tool: str = "/opt/dr/dr-host.pyz") -> ManagedFile:
    """The same as a drop-in for a unit that is not ours."""
    return drop_in(layout, unit, "dr-guard", f"[Service]\n{guard_line(service, tool)}")


def count_processes(group: str) -> int | None:
    """Of a control group, as systemd names it; None when this machine has its groups elsewhere."""
    if not GROUPS.joinpath("system.slice").is_dir():
        return None
    if not group:
        return 0
    try:
        return len(GROUPS.joinpath(group.lstrip("/"), "cgroup.procs").read_text().split())
    except OSError:
        return 0  # it goes with its last process
