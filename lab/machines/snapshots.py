"""A server's disks as they were once: taken and put back while it has no power, as a person does at a cloud's console.

Kept are its volumes whole, and of the system disk what software leaves behind (`/etc`, `/opt`, `/var/lib`, without the image's own parts).
"""

from __future__ import annotations

from pathlib import Path

from lab.cloud.backend import BackendError
from lab.machines.hosts import Host
from lab.machines.shell import run
from lab.machines.volumes import Volumes

KEPT = ("etc", "opt", "var/lib")


def take(host: Host, volumes: Volumes, region: str, folder: Path) -> None:
    """Into `folder`, which is made; an older snapshot there is replaced. Raises BackendError when the host runs."""
    _must_be_off(host)
    folder.mkdir(parents=True, exist_ok=True)
    what = f"snapshot of {host.spec.name}"
    run(what, ["tar", "-C", str(host.root), "--one-file-system", "-cf", str(folder / "system.tar"), *KEPT])
    for volume_id in host.volumes:
        run(what, ["cp", "--sparse=always", str(volumes.file(region, volume_id)), str(folder / f"{volume_id}.img")])


def put_back(host: Host, volumes: Volumes, region: str, folder: Path) -> None:
    """From `folder`. Raises BackendError when the host runs or there is no snapshot."""
    _must_be_off(host)
    if not (folder / "system.tar").exists():
        raise BackendError(f"server {host.spec.name}: has no snapshot, wanted one that was taken before")
    what = f"snapshot of {host.spec.name}"
    run(
        what,
        [
            "find",
            *(str(host.root / part) for part in KEPT),
            "-xdev",
            "-newer",
            str(folder / "system.tar"),
            "-type",
            "f",
            "-delete",
        ],
    )
    run(what, ["tar", "-C", str(host.root), "-xf", str(folder / "system.tar")])
    for volume_id, volume in host.volumes.items():
        run(what, ["cp", "--sparse=always", str(folder / f"{volume_id}.img"), str(volumes.file(region, volume_id))])
        run(what, ["blockdev", "--flushbufs", str(volume.device)])  # what the device had read of the newer state


def _must_be_off(host: Host) -> None:
    if host.running:
        raise BackendError(
            f"server {host.spec.name}: runs, wanted one without power; `lab fault host kill {host.spec.name}` first"
        )
