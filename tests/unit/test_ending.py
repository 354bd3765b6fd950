"""A `drctl` that is told to end, or whose terminal goes, takes back what it has begun and says so; nothing that it says then gets in the way of it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A command that has servers off, as far as files go: it is at it once `begun` is there, and takes its time to take it back.
PROGRAM = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from scripts.ctl import cli, output
folder = Path(sys.argv[1])
def run(chosen):
    (folder / "begun").touch()
    try:
        while True:
            time.sleep(0.05)
    finally:
        for number in range(5):
            print("taken back", number, flush=True)
            output.say("as before")
            time.sleep(0.05)
        (folder / "back").touch()
cli.import_module = lambda _: SimpleNamespace(run=run)
sys.argv[1:] = ["drill", "standby"]
sys.exit(cli.command())
"""


Start = Callable[..., subprocess.Popen[bytes]]
# Whoever runs the tests in the background has what a terminal sends ignored, and so would have whatever they start.
FOREGROUND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """`subprocess.Popen` in the folder of the project; none is left behind, whatever it has not heard."""
    made = list[subprocess.Popen[bytes]]()

    def started(arguments: list[str], **more: Any) -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen(arguments, cwd=ROOT, **more))
        return made[-1]

    yield started
    for it in made:
        it.kill()
        it.wait()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}


def begun(folder: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not (folder / "begun").exists():
        assert process.poll() is None and time.monotonic() < end, "it does not begin"
        time.sleep(0.02)


def log_of(folder: Path) -> list[str]:
    (file,) = (folder / "state/drctl/log").iterdir()
    return file.read_text().splitlines()


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (signal.SIGTERM, 143, "drctl: ended by SIGTERM"),
        (signal.SIGHUP, 129, "drctl: ended by its terminal, which is gone (SIGHUP)"),
        (signal.SIGINT, 130, "drctl: ended by Ctrl-C"),
    ],
)
def test_what_was_begun_is_taken_back_and_the_last_line_says_by_whom_it_was_ended(
    tmp_path: Path, start: Start, environment: dict[str, str], number: signal.Signals, code: int, says: str
) -> None:
    process = start(
        [sys.executable, "-c", FOREGROUND + PROGRAM, str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    begun(tmp_path, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, (tmp_path / "back").exists()) == (code, True)
    assert out.decode().splitlines()[-1] == "taken back 4"
    assert err.decode().splitlines()[-1].startswith(says) and b"Traceback" not in err
    assert log_of(tmp_path)[-1].rpartition("ended by ")[2] in ("Ended", "KeyboardInterrupt")


def test_a_second_word_does_not_end_what_the_first_one_has_begun(
    tmp_path: Path, start: Start, environment: dict[str, str]
) -> None:
    process = start(
        [sys.executable, "-c", FOREGROUND + PROGRAM, str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    begun(tmp_path, process)
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None and process.stdout.readline() == b"taken back 0\n"
    process.send_signal(signal.SIGHUP)  # of the shell, behind the kernel's
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, (tmp_path / "back").exists()) == (129, True)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    for number in (ours, theirs):
        try:
            os.close(number)
        except OSError:
            continue


def test_a_terminal_that_goes_takes_back_what_was_begun_with_nobody_to_tell(
    tmp_path: Path, start: Start, environment: dict[str, str], terminal: tuple[int, int]
) -> None:
    """The real thing: its end of the pair is closed, the kernel tells, and each line to it is an error."""
    ours, theirs = terminal
    process = start(
        [sys.executable, "-c", FOREGROUND + CONTROLLED + PROGRAM, str(tmp_path)],
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    begun(tmp_path, process)
    os.close(ours)
    assert process.wait(60) == 129
    assert (tmp_path / "back").exists(), "a line that nobody could take has ended it"
    assert any(line.endswith("taken back 4") for line in log_of(tmp_path)), "its log has all of it"


LAB = """
import signal, sys, time
from pathlib import Path
def ends(*_):
    Path("down").touch()
    sys.exit(0)
signal.signal(signal.SIGINT, ends)
Path("begun").touch()
time.sleep(60)
"""
REHEARSES = """
import sys
from pathlib import Path
from types import SimpleNamespace
from scripts.ctl import cli
from scripts.ctl.commands import rehearse
def run(chosen):
    chosen.folder = Path(sys.argv[-1])
    return rehearse.run(chosen)
cli.import_module = lambda _: SimpleNamespace(run=run)
folder = sys.argv.pop()
sys.argv[1:] = ["chaos", "--seed", "7"]
chosen = sys.argv[1:]
sys.argv.append(folder)
sys.exit(cli.main(chosen))
"""


def test_a_lab_is_told_to_take_itself_down(tmp_path: Path, start: Start, environment: dict[str, str]) -> None:
    """A SIGTERM is sent to one process, and the lab is another."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/__init__.py").touch()
    (tmp_path / "lab/__main__.py").write_text(LAB)
    own = {**environment, "PYTHONPATH": f"{ROOT}"}
    process = start([sys.executable, "-c", FOREGROUND + REHEARSES, str(tmp_path)], env=own)
    begun(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0 and (tmp_path / "down").exists()


CONTROLLED = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
"""


def test_what_was_begun_under_nohup_goes_on_without_its_terminal(
    tmp_path: Path, start: Start, environment: dict[str, str]
) -> None:
    process = start(
        ["nohup", sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    begun(tmp_path, process)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
