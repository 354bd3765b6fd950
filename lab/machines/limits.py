"""A limit of this machine that all guests share because they share its kernel: how many inotify instances root's processes may hold.

A guest holds some six of them. One that boots where none is left has a systemd that sees no mount: units that need the data volume never start, and all it
says is "Failed to drain libmount events". The kernel's 128 are enough for one lab, and not for two.
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("lab.machines")
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
WANTED = 4096  # of some kilobytes each, and only where they are used


def raise_instances(file: Path = INSTANCES) -> bool:
    """At least `WANTED`; whether it was raised. It is not lowered again: another lab may live by it.

    A machine that does not let its limit be set has enough for one lab, which is what most have.
    """
    try:
        if int(file.read_text()) >= WANTED:
            return False
        file.write_text(f"{WANTED}\n")
    except OSError as error:
        log.warning(
            "%s: cannot be set to %d (%s); a second lab beside this one may not boot", file, WANTED, error.strerror
        )
        return False
    return True
