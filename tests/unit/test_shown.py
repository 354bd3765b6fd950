"""What another machine's program says is shown as text that can be seen, line by line, and ends when nobody reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.clients import shown

ROOT = Path(__file__).parents[2]


def test_nothing_that_is_said_there_moves_a_cursor_here(capfd: pytest.CaptureFixture[str]) -> None:
    rows = list[str]()
    line = r"printf 'a\tb \033[2J\033]0;title\007\r\n'; printf 'x\033[1m \342\200\256 \377' >&2; exit 7"
    assert shown.run(["sh", "-c", line], rows.append) == 7
    said = capfd.readouterr()
    assert said.out == "a\tb \\x1b[2J\\x1b]0;title\\x07\n" and rows == [said.out.rstrip("\n")]
    assert said.err == "x\\x1b[1m \\u202e \ufffd\n"


def test_a_line_without_an_end_is_shown_in_pieces(capfd: pytest.CaptureFixture[str]) -> None:
    assert shown.run(["sh", "-c", f"head -c {2 * shown.MOST_LINE + 1} /dev/zero | tr '\\0' x"]) == 0
    assert [len(it) for it in capfd.readouterr().out.splitlines()] == [shown.MOST_LINE, shown.MOST_LINE, 1]


def test_where_nobody_reads_any_more_what_runs_there_is_ended() -> None:
    code = "import sys; from contract import pipes; from scripts.clients import shown; sys.exit(pipes.status(lambda: shown.run(['yes'])))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, env=dict(os.environ)) as made:
        assert made.stdout is not None and made.stdout.readline() == b"y\n"
        made.stdout.close()
        assert made.wait(20) == 141
