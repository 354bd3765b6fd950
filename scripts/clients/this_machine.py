"""This machine and its processes, as another run on it has to know them again."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from pathlib import Path

PROC = Path("/proc")
ENGINE = "pulumi"
_DEEPEST = 16  # parents of a process


def identity() -> str:
    """32 hexadecimal digits: the machine since its last start, and the numbering of its processes (a container has its own)."""
    try:
        told = (PROC / "sys/kernel/random/boot_id").read_text() + str((PROC / "self/ns/pid").readlink())
    except OSError:  # no Linux
        told = f"{socket.gethostname()} {uuid.getnode()}"
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def begun() -> int:
    """When this process was started, in clock ticks since the machine was; 0 where the machine does not say."""
    found = _stat(os.getpid())
    return 0 if found is None else int(found[1][19])


def gone(pid: int, since: int) -> bool:
    """Whether the process that was started at `since` (`begun`) is no more. One of which this machine says nothing, as of another user's, is not."""
    found = _stat(pid)
    if found is not None:  # ended, and only not yet collected, or another one with its number
        return found[1][0] in "ZX" or int(found[1][19]) != since
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


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
    return os.getpid(), begun()


def _stat(pid: int) -> tuple[str, list[str]] | None:
    """The name of a process and what follows it in `/proc/<pid>/stat`: its state first, then its parent."""
    try:
        head, _, rest = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")
    except OSError:
        return None
    return head.partition("(")[2], rest.split()
