"""A command whose reader has gone ends without a traceback, with 141; what it starts in its place ends by the signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contract import pipes
from lab.control import Server

PROJECT = Path(__file__).resolve().parents[2]
SAYS_MUCH = (
    "import sys\nfrom contract import pipes\ndef main():\n    {body}\n    return 0\nsys.exit(pipes.status(main))"
)


def unread(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with a stdout that nobody reads; its stderr is kept."""
    reader, writer = os.pipe()
    # Unbuffered, argparse itself meets the error, and says nothing of it.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    os.close(reader)
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=PROJECT,
            timeout=60,
            env={**inherited, **environment},
        )
    finally:
        os.close(writer)


def python(body: str) -> subprocess.CompletedProcess[str]:
    return unread(sys.executable, "-c", SAYS_MUCH.format(body=body))


@pytest.mark.parametrize(
    "body",
    [
        "print('short: it stays in the buffer until the end')",
        "print('x' * 1_000_000)",
        "print('flushed', flush=True)",
        "import argparse; argparse.ArgumentParser().parse_args(['--help'])",
    ],
)
def test_output_that_nobody_reads_ends_a_command_quietly(body: str) -> None:
    done = python(body)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_fault_of_the_command_itself_is_still_told() -> None:
    done = python("print('x'); raise ValueError('a fault')")
    assert done.returncode == 1
    assert "ValueError: a fault" in done.stderr


def test_a_socket_whose_peer_has_gone_is_a_fault_and_no_reader() -> None:
    def main() -> int:
        ours, theirs = socket.socketpair()
        theirs.close()
        with ours:
            ours.sendall(b"anybody there?")
        return 0

    with pytest.raises(BrokenPipeError):
        pipes.status(main)


def test_codes_pass_unchanged() -> None:
    def ending(code: int) -> Callable[[], int]:
        return lambda: code

    assert [pipes.status(ending(code)) for code in (0, 1, 3)] == [0, 1, 3]

    def usage() -> int:
        raise SystemExit(2)

    assert pipes.status(usage) == 2


@pytest.mark.parametrize("arguments", [("--help",), ("drill", "list")])
def test_the_labs_own_command_line_has_it(arguments: tuple[str, ...]) -> None:
    done = unread(sys.executable, "-m", "lab", *arguments)
    assert (done.returncode, done.stderr) == (141, "")


def test_every_command_has_it() -> None:
    """But for the daemon, whose output is a file, what runs as a bare file on a host, under Pulumi or in a namespace of a test, `drctl`, \
    which says what was cut: it may have been a secret that is shown once, and `dr-watch`, which ends as `drctl` does."""
    others = {
        "lab/daemon.py", "lab/pairs/slow_link.py", "lab/rehearsal/sampler.py", "lab/toolchain/language/program.py",
        "benchmarks/agent.py", "scripts/ctl/cli.py", "scripts/links/__main__.py", "scripts/host/agent/deadman.py",
        "scripts/watch/__main__.py",
    }  # fmt: skip
    commands = {
        str(path.relative_to(PROJECT)): path.read_text()
        for room in ("lab", "scripts", "benchmarks")
        for path in (PROJECT / room).rglob("*.py")
        if path.name == "__main__.py" or 'if __name__ == "__main__":' in path.read_text()
    }
    assert set(commands) >= {"lab/__main__.py", "lab/rehearsal/demo.py", "scripts/host/__main__.py", *others}
    without = {name for name, text in commands.items() if "sys.exit(pipes.status(" not in text}
    assert without == others


def test_the_status_of_a_running_lab_may_be_cut(tmp_path: Path) -> None:
    status = {"hosts": [{"name": f"shop-a-app-{number}"} for number in range(10_000)]}
    server = Server(tmp_path / "control.sock", {"status": lambda: status})
    server.start()
    try:
        done = unread(sys.executable, "-m", "lab", "status", DRLAB_RUN=str(tmp_path))
        read = subprocess.run(
            [sys.executable, "-m", "lab", "status"],
            env={**os.environ, "DRLAB_RUN": str(tmp_path)},
            cwd=PROJECT,
            capture_output=True,
            check=True,
        )
    finally:
        server.stop()
    assert (done.returncode, done.stderr) == (141, "")
    assert json.loads(read.stdout) == status


def test_the_story_that_nobody_listens_to_ends_so_too() -> None:
    """`make demo | head`: whatever it has begun is ended by its own `finally`, then the command ends as the others."""
    line = "import sys; from contract import pipes; from lab.rehearsal import demo; demo.tell = demo.Report; sys.exit(pipes.status(demo.main))"
    done = unread(sys.executable, "-c", line)
    assert (done.returncode, done.stderr) == (141, "")


def test_what_a_command_becomes_ends_by_the_signal() -> None:
    line = "import os; from contract import pipes; pipes.before_exec(); os.execvp('yes', ['yes'])"
    done = unread(sys.executable, "-c", line)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")
