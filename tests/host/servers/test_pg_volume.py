"""The file system of a data volume that was made larger: seen by its superblock, grown by ext4's own tool. A file stands for the device."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.pairs.postgres import Pair
from scripts.host.frame.commands import CommandFailed, Done
from scripts.host.postgres import volume as pg_volume
from scripts.host.postgres.volume import GROWN, Volume, spare


@pytest.mark.parametrize("features", ["64bit", "^64bit"])
def test_a_file_system_fills_its_device_again_when_that_has_grown(tmp_path: Path, features: str) -> None:
    device = tmp_path / "device"
    device.touch()
    os.truncate(device, 200 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", features, str(device)], check=True)
    assert spare(device) < GROWN
    os.truncate(device, 500 << 20)
    assert spare(device) == pytest.approx(300 << 20, abs=1 << 20)
    pg_volume.grow(str(device))
    assert spare(device) < GROWN


@pytest.mark.parametrize("content", [b"", b"\0" * 4096])
def test_what_is_no_file_system_has_not_grown(tmp_path: Path, content: bytes) -> None:
    device = tmp_path / "device"
    assert spare(device) == 0
    device.write_bytes(content)
    assert spare(device) == 0


def test_a_file_system_that_cannot_be_grown_is_told_once_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(device: str) -> None:
        raise CommandFailed("resize2fs", Done(1, "", "resize2fs: Permission denied to resize filesystem"))

    monkeypatch.setattr(pg_volume, "grow", refused)
    monkeypatch.setattr(pg_volume, "look", lambda layout, volume_id: Volume(True, "/dev/vdb", "ext4", True, True))
    with Pair() as pair:
        node = pair.a
        document = node.document(1, "a")
        service = node.service(document, node.call(document))
        first = service.plan(service.facts())[0]
        assert str(first) == "grow-volume"
        service.apply(first)
        assert "grow-volume" not in [str(step) for step in service.plan(service.facts())]
        assert "Permission denied" in node.log.getvalue()
