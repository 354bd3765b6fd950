"""This machine and its processes, as another run on it has to know them again."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
ENGINE = "pulumi"
_DEEPEST = 16  # parents of a process


def identity() -> str:
    """32 hexadecimal digits: the machine since its last start, and the numbering of its processes (a container has its own)."""
    told = ""
    with suppress(OSError):
        told = (PROC / "sys/kernel/random/boot_id").read_text() + str((PROC / "self/ns/pid").readlink())
    # One that cannot be told from others is known by nobody: what no other process can say of itself.
    return hashlib.sha256((told or os.urandom(16).hex()).encode()).hexdigest()[:32]


def begun(pid: int) -> int | None:
    """When a process was started, in clock ticks since the machine was; None for one that is none, or has ended and is only not yet collected."""
    found = _stat(pid)
    return None if found is None or found[1][0] in "ZX" else int(found[1][19])


def engine() -> tuple[int, int]:
    """The process that ends with the run that this one serves, and when it was started: the nearest `pulumi` above this one, else this one."""
    pid = os.getpid()
    for _ in range(_DEEPEST):
        found = _stat(pid)
        if found is None or pid <= 1:
            break
        if found[0] == ENGINE:
            return pid, int(found[1][19])
        pid = int(found[1][1])
    return os.getpid(), begun(os.getpid()) or 0


def _stat(pid: int) -> tuple[str, list[str]] | None:
    """The name of a process and what follows it in `/proc/<pid>/stat`: its state first, then its parent."""
    try:
        head, _, rest = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return None
    return head.partition("(")[2], rest.split()
