"""One run per service at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.errors import Refused, say

from .files import make_folder
from .layout import Layout
from .wait import until

WAIT_S = 10.0


def busy(layout: Layout, service: str) -> bool:
    """Whether some run is at work with the service just now."""
    try:
        handle = os.open(layout.run / f"{service}.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False  # nobody ever was
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def hold(layout: Layout, service: str, limit_s: float = WAIT_S) -> Iterator[None]:
    """Hold the service's lock. The kernel frees it when the process ends, however it ends. Raises Refused when another run keeps it."""
    make_folder(layout.run)
    with hold_file(layout.run / f"{service}.lock", service, limit_s):
        yield


@contextmanager
def hold_file(path: Path, service: str, limit_s: float = WAIT_S) -> Iterator[None]:
    """The same with a file in a folder that is there: of a job that is not root's, in one of its own."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def taken() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        if not until(taken, limit_s):
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
            raise Refused(
                say(
                    subject=f"lock of {service}",
                    found=f"held by process {holder} for more than {limit_s:g} s",
                    wanted="free",
                    consequence="two runs at once would undo each other, nothing was changed",
                    remedy="wait for that run, then run the same again",
                )
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
