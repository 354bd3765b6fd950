"""The file system of a data volume that was made larger: seen by its superblock, grown by ext4's own tool. A file stands for the device."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.host import pg_volume
from scripts.host.pg_volume import GROWN, spare


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
