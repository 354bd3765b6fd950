"""The kernel's own word of this boot: its clock, which nobody sets, and its id."""

from __future__ import annotations

import time
from pathlib import Path


def boottime() -> float:
    """Seconds since the boot, the time in which the machine was suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot() -> str | None:
    """The kernel's own id of this boot, another one after each; None when it does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
