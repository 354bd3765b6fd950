"""A full disk: the file systems of a host's volumes are filled up to the last byte, and emptied again."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lab.cloud.backend import BackendError
from lab.machines.hosts import Host

FILLER = ".lab-disk-full"
STEP = 2**26


def fill(host: Host) -> None:
    """Raises BackendError when the host is off or has no mounted volume."""
    for point in _mounts(host):
        with (point / FILLER).open("ab") as file:
            _take(file.fileno(), STEP)


def empty(host: Host) -> None:
    """Give the space back. Raises BackendError as `fill` does: a host that is off keeps its full disk. On a deleted host: nothing."""
    if not host.places.folder.exists():
        return
    for point in _mounts(host):
        (point / FILLER).unlink(missing_ok=True)


def _take(descriptor: int, step: int) -> None:
    """Allocate until nothing is left, in smaller and smaller steps."""
    size = os.fstat(descriptor).st_size
    while step >= 4096:
        try:
            os.posix_fallocate(descriptor, size, step)
            size += step
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            size = os.fstat(descriptor).st_size
            step //= 4


def _mounts(host: Host) -> list[Path]:
    """Where the host's volumes are mounted, as this machine reaches it."""
    leader = host.leader()
    if leader is None:
        raise BackendError(f"server {host.spec.name}: is off, its volumes cannot be reached")
    devices = {f"/dev/{volume.name}" for volume in host.volumes.values()} | {
        volume.link for volume in host.volumes.values()
    }
    rows = [line.split() for line in Path(f"/proc/{leader}/mounts").read_text().splitlines()]
    points = [Path(f"/proc/{leader}/root{row[1]}") for row in rows if row[0] in devices]
    if not points:
        raise BackendError(f"server {host.spec.name}: no volume is mounted, wanted one to fill")
    return points
