"""The data volume: found by its id, formatted only when blank, mounted by a unit of its own that PostgreSQL's unit waits for, and its file
system grown with it.
"""

from __future__ import annotations

import os
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed, say

from ..frame.commands import run
from ..frame.files import ManagedFile, make_folder
from ..frame.reach import entered
from ..frame.systemd import Units
from ..frame.wait import until
from .layout import PostgresLayout

DEVICE_S = 60.0
BLANK = "blank"
_64BIT = 0x80
GROWN = 64 << 20  # less than that at its end a file system may leave unused by itself


@dataclass(frozen=True)
class Volume:
    """`wanted`: there is to be one. `filesystem`: its type, "blank", or None when nobody can say. `grown`: since its file system was made."""

    wanted: bool = False
    device: str | None = None
    filesystem: str | None = None
    mounted: bool = False
    grown: bool = False


def look(layout: PostgresLayout, volume_id: str | None) -> Volume:
    """Never fails."""
    if volume_id is None:
        return Volume()
    device = find(layout, volume_id)
    if device is None:
        return Volume(wanted=True)
    if _mounted(layout.mount, device):
        return Volume(True, str(device), "ext4", True, spare(device) >= GROWN)
    return Volume(True, str(device), _filesystem(device), False)


def find(layout: PostgresLayout, volume_id: str) -> Path | None:
    """The whole device: hypervisors cut the id to 20 characters, and partitions of it have names of their own."""
    found = sorted(layout.base.at("/dev/disk/by-id").glob(f"*{volume_id[:20]}*"))
    return next((path for path in found if "-part" not in path.name and path.exists()), None)


def _mounted(point: Path, device: Path) -> bool:
    return os.path.ismount(point) and point.stat().st_dev == device.stat().st_rdev


def _filesystem(device: Path) -> str | None:
    """By reading the device itself, past every cache. Only a device on which nothing at all is found counts as blank."""
    done = run(["blkid", "-p", "-s", "TYPE", "-o", "value", str(device)], limit_s=15, check=False)
    if done.code == 2 and not done.out.strip():
        return BLANK
    return done.out.strip() or None


def spare(device: Path) -> int:
    """Bytes of the device that its ext4 does not use, by the superblock (kernel documentation, ext4, "Super Block"); 0 when it cannot be read."""
    try:
        with device.open("rb") as raw:
            size = raw.seek(0, os.SEEK_END)
            raw.seek(1024)
            head = raw.read(1024)
    except OSError:
        return 0
    if len(head) < 1024 or head[0x38:0x3A] != b"\x53\xef":
        return 0
    low, shift, features, high = (int.from_bytes(head[at : at + 4], "little") for at in (0x4, 0x18, 0x60, 0x150))
    blocks = low | (high << 32 if features & _64BIT else 0)
    return max(size - (blocks << (10 + shift)), 0)


def grow(device: str) -> None:
    """While it is in use: ext4 can."""
    run(["resize2fs", device], limit_s=600)


def wait(layout: PostgresLayout, volume_id: str) -> None:
    """Raises Failed when the device does not appear."""
    if not until(lambda: find(layout, volume_id) is not None, DEVICE_S, 0.2):
        raise Failed(
            say(
                subject=f"volume {volume_id}",
                found=f"no device in /dev/disk/by-id within {DEVICE_S:g} s",
                wanted="an attached volume",
                consequence="the database has no place for its data",
                remedy="see whether the volume is attached to this server",
            )
        )


def format_device(device: str) -> None:
    """Only ever called for a device that was blank a moment ago, and asks once more."""
    if _filesystem(Path(device)) != BLANK:
        raise Failed(
            f"device {device}: found data on it, wanted a blank one; it was not formatted; see `blkid -p {device}`"
        )
    run(["mkfs.ext4", "-q", "-L", "dr-postgresql", device], limit_s=300)


def mount(layout: PostgresLayout, device: str, units: Units) -> None:
    """Write the mount unit, enable and start it; then give the root of the volume to PostgreSQL."""
    lines = [
        "[Unit]",
        "Description=Data volume of PostgreSQL",
        "[Mount]",
        f"What={device}",
        f"Where={layout.mount}",
        "Type=ext4",
    ]
    lines += ["Options=nofail,noatime", "[Install]", "WantedBy=multi-user.target"]
    file = ManagedFile(path=layout.base.units / layout.mount_unit, content="\n".join(lines) + "\n")
    if file.differs():
        file.write()
        units.daemon_reload()
    make_folder(layout.mount)
    units.enable(layout.mount_unit)
    units.start(layout.mount_unit, 60)
    if not _mounted(layout.mount, Path(device)):
        raise Failed(
            f"mount {layout.mount}: found another file system there, wanted {device}; nothing was written to it; see `findmnt`"
        )
    with entered(layout.mount) as found:
        os.fchmod(found, 0o755)
    make_folder(layout.mount, owner=layout.user)
