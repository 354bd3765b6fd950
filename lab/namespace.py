"""Where a lab lives: its network namespace, its folders, its control group, and how to run something inside.

Everything of a lab bears its name: the namespace `<name>`, further ones `<name>-...`, the control group `<name>`, the run folder (small files
that describe the running lab) and the folder of disks (what must not lie in memory). So a lab can be found and removed without its daemon.
`DRLAB_NAME` chooses another name than `drlab`, so that two labs live side by side; `DRLAB_RUN` another run folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NETNS = Path("/run/netns")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_NAME = re.compile(r"[a-z][a-z0-9]{1,15}")


class LabError(RuntimeError):
    """The lab cannot do what was asked. One line for the operator; `code` is the exit status."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Places:
    """All places of one lab."""

    name: str
    run: Path
    disks: Path
    cgroup: Path

    @property
    def netns(self) -> Path:
        return NETNS / self.name

    @property
    def socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def description(self) -> Path:
        return self.run / "lab.json"

    @property
    def pid_file(self) -> Path:
        return self.run / "daemon.pid"

    @property
    def log(self) -> Path:
        return self.run / "daemon.log"

    def inner(self, kind: str, key: str) -> str:
        """The name of a further namespace of this lab."""
        return f"{self.name}-{kind}-{key}"


def places() -> Places:
    """The lab that the environment names. Raises LabError for a name that cannot be one."""
    name = os.environ.get("DRLAB_NAME", "drlab")
    if not _NAME.fullmatch(name):
        raise LabError(
            f"DRLAB_NAME: found {name!r}, wanted 2 to 16 lower-case letters and digits; unset it or choose another", 2
        )
    run = Path(os.environ.get("DRLAB_RUN") or f"/run/{name}")
    if not run.is_absolute():
        raise LabError(f"DRLAB_RUN: found {str(run)!r}, wanted an absolute path", 2)
    return Places(name, run, Path("/var/lib") / name, cgroup_mount() / name)


def cgroup_mount() -> Path:
    """Where the unified control group hierarchy is mounted: /sys/fs/cgroup, or below it beside the old one."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(fields.split()[4])
    raise LabError(
        "control groups: no cgroup2 file system is mounted, wanted one, so hosts cannot be told apart; mount it", 2
    )


def inside(netns: Path, command: Sequence[str]) -> list[str]:
    """`command` in a network namespace. Not `ip netns exec`, which mounts another /sys and so hides the control groups."""
    return ["nsenter", f"--net={netns}", "--", *command]


def daemon(places: Places) -> int | None:
    """The pid of the lab's daemon if it lives. A pid that now is somebody else's is in another control group."""
    try:
        pid = int(places.pid_file.read_text())
        members = (places.cgroup / "daemon" / "cgroup.procs").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return pid if str(pid) in members else None


@contextlib.contextmanager
def entered(netns: Path) -> Iterator[None]:
    """This thread, and what it starts, live in the network namespace until the end of the block."""
    with Path("/proc/thread-self/ns/net").open() as home, netns.open() as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(home.fileno())


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter the network namespace")
