"""Processes of this machine as the kernel tells of them, and the end of a whole family of them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from contract.dataclass import dataclass


@dataclass(frozen=True)
class Process:
    """`name`: as the kernel calls it; `state`: one letter, Z for one that has ended and that nobody has asked after."""

    pid: int
    name: str
    state: str
    parent: int


def process(pid: int) -> Process | None:
    """None when it has ended."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        state, parent = after.split()[:2]
        return Process(pid, before.partition("(")[2], state, int(parent))
    except (OSError, ValueError, IndexError):
        return None


def processes() -> Iterator[Process]:
    """All that live now."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (found := process(int(folder.name))) is not None:
            yield found


def family(pid: int) -> list[int]:
    """`pid` and whatever descends from it, itself last."""
    children = defaultdict(list)
    for each in processes():
        children[each.parent].append(each.pid)

    def below(parent: int) -> Iterator[int]:
        for child in children[parent]:
            yield from below(child)
            yield child

    return [*below(pid), pid]


def kill_family(pid: int) -> int:
    """End `pid` and all that descend from it by force; how many there were. It is held first, so that it neither replaces nor mourns its children."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    found = family(pid)
    for each in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    return len(found)
