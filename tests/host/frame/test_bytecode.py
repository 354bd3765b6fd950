"""The hosts' software has its bytecode beside it: it starts from there, and whoever is at work with the archive meanwhile notices nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.host.frame import bytecode

MODULES = {
    "__main__.py": "import sys, tool.first\nprint(tool.first.__file__)\nsys.stdout.flush()\nsys.stdin.readline()\n"
    "import tool.second\nprint(tool.second.__file__, tool.second.WORD)\n",
    "tool/__init__.py": "",
    "tool/first.py": "",
    "tool/second.py": "WORD = 'whole'\n",
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    made = tmp_path / "tool.pyz"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, source in MODULES.items():
            packed.writestr(name, source)
    made.chmod(0o640)
    return made


def run(archive: Path) -> list[str]:
    """What it prints."""
    done = subprocess.run([sys.executable, archive], input="\n", capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_it_starts_from_bytecode_and_wants_no_more(archive: Path) -> None:
    assert bytecode.wanted(archive)
    assert run(archive) == [f"{archive}/tool/first.py", f"{archive}/tool/second.py", "whole"]
    bytecode.add(archive)
    assert not bytecode.wanted(archive)
    assert run(archive) == [f"{archive}/tool/first.pyc", f"{archive}/tool/second.pyc", "whole"]
    assert archive.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in archive.parent.iterdir()] == ["tool.pyz"]


def test_a_process_that_is_at_work_with_it_loads_on_from_where_it_knows(archive: Path) -> None:
    with subprocess.Popen(
        [sys.executable, archive], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        assert worker.stdout.readline().strip() == f"{archive}/tool/first.py"
        bytecode.add(archive)
        worker.stdin.write("\n")
        worker.stdin.flush()
        assert worker.stdout.readline().split() == [f"{archive}/tool/second.py", "whole"]


def test_another_versions_bytecode_is_passed_over_and_made_anew(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "MAGIC_NUMBER", b"old\n")
        bytecode.add(archive)
    assert run(archive) == [f"{archive}/tool/first.py", f"{archive}/tool/second.py", "whole"]
    assert bytecode.wanted(archive)
    bytecode.add(archive)
    assert not bytecode.wanted(archive)
    assert run(archive)[0] == f"{archive}/tool/first.pyc"


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_without_an_archive_there_is_nothing_to_do(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "tool.pyz"
    if content is not None:
        place.write_bytes(content)
    assert not bytecode.wanted(place)


def test_a_full_disk_leaves_it_as_it_was(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = archive.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        bytecode.add(archive)
    assert archive.read_bytes() == before
    assert [path.name for path in archive.parent.iterdir()] == ["tool.pyz"]
