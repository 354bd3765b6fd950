"""Volumes: a sparse file each, behind a loop device while attached."""

from __future__ import annotations

import json
import os
from pathlib import Path

from lab.cloud.backend import BackendError
from lab.machines.shell import run

GIB = 2**30


class Volumes:
    """All volumes of a lab, in one folder. Callers see to it that one volume has one caller at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, region: str, volume_id: str) -> Path:
        """Where a volume lies on this machine."""
        return self._folder / f"{region}-{volume_id}.img"

    def create(self, region: str, volume_id: str, size_gb: int) -> None:
        file = self.file(region, volume_id)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as out:
            out.truncate(size_gb * GIB)

    def extend(self, region: str, volume_id: str, size_gb: int) -> None:
        """Grow the file and, at once, the device in a running guest. Never smaller."""
        file = self.file(region, volume_id)
        found = self._size(file)
        if size_gb * GIB < found:
            raise BackendError(
                f"volume {volume_id}: found {found // GIB} GB, wanted {size_gb} GB, but a volume cannot shrink"
            )
        os.truncate(file, size_gb * GIB)
        for device in loop_devices(file):
            run(f"volume {volume_id}", ["losetup", "--set-capacity", str(device)])

    def delete(self, region: str, volume_id: str) -> None:
        self.detach(region, volume_id)
        self.file(region, volume_id).unlink(missing_ok=True)

    def attach(self, region: str, volume_id: str) -> Path:
        """Its loop device, made if there is none."""
        file = self.file(region, volume_id)
        self._size(file)
        found = loop_devices(file)
        if found:
            return found[0]
        return Path(run(f"volume {volume_id}", ["losetup", "--find", "--show", str(file)]).strip())

    def detach(self, region: str, volume_id: str) -> None:
        for device in loop_devices(self.file(region, volume_id)):
            run(f"volume {volume_id}", ["losetup", "--detach", str(device)])

    def _size(self, file: Path) -> int:
        try:
            return file.stat().st_size
        except FileNotFoundError as error:
            raise BackendError(f"volume {file.stem}: its file is gone") from error


def loop_devices(place: Path) -> list[Path]:
    """Loop devices of a file, or of every file in a folder."""
    out = run("loop devices", ["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"])
    rows = json.loads(out)["loopdevices"] if out.strip() else []
    names = (str(place), f"{place} (deleted)")
    return [
        Path(row["name"]) for row in rows if row["back-file"] in names or str(row["back-file"]).startswith(f"{place}/")
    ]
