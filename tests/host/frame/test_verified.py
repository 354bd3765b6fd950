"""A job of the hosts' software starts once its archive is one that was put there."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from pathlib import Path

import pytest

from components import remote
from scripts.host import assets
from scripts.host.frame.layout import RECORD
from scripts.host.frame.systemd import verified_line


def start(tool: Path) -> subprocess.CompletedProcess[str]:
    """What systemd does with the line: one word in quotes, a dollar for two."""
    head, _, command = verified_line(str(tool)).strip().partition("=")
    assert head == "ExecStartPre" and command.startswith("+") and "%" not in command
    words = shlex.split(command[1:])
    assert words[:2] == ["/bin/sh", "-c"] and len(words) == 3
    return subprocess.run(["sh", "-c", words[2].replace("$$", "$")], capture_output=True, text=True, check=False)


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "dr-assets.pyz"
    path.write_bytes(b"PK as it was sent")
    return path


def record(tool: Path, *contents: bytes) -> None:
    tool.with_name(f"{tool.name}{RECORD}").write_text(
        " ".join(hashlib.sha256(it).hexdigest() for it in contents) + "\n"
    )


def test_what_was_put_there_starts_and_so_does_what_the_host_has_made_of_it(tool: Path) -> None:
    record(tool, tool.read_bytes(), tool.read_bytes())
    assert start(tool).returncode == 0
    record(tool, b"sent", b"sent", tool.read_bytes())
    assert start(tool).returncode == 0


@pytest.mark.parametrize("others", [(b"another",), (b"another", b"one more")])
def test_something_else_is_refused_with_a_sentence(tool: Path, others: tuple[bytes, ...]) -> None:
    record(tool, *others)
    done = start(tool)
    assert done.returncode == 3
    assert done.stderr.startswith(
        f"{tool}: found other contents than were put there; nothing was started; see who has changed it"
    )


def test_an_archive_that_is_gone_is_refused_too(tool: Path) -> None:
    record(tool, tool.read_bytes())
    tool.unlink()
    assert start(tool).returncode == 3


def test_a_host_that_was_set_up_before_there_were_records_goes_on(tool: Path) -> None:
    assert start(tool).returncode == 0


def test_both_ends_call_the_record_alike() -> None:
    assert remote.RECORD == RECORD


def test_the_line_comes_before_what_it_is_for() -> None:
    text = assets._service("About", ["ExecStart=/usr/bin/python3 /opt/dr/dr-assets.pyz sync"])
    lines = text.splitlines()
    assert lines.index(verified_line(assets.TOOL).strip()) < lines.index(
        "ExecStart=/usr/bin/python3 /opt/dr/dr-assets.pyz sync"
    )
