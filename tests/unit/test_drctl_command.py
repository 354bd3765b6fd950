"""`drctl` as a process: what it loads, what it says of itself, and how it ends when nobody reads on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.errors import ExitCode
from contract.version import VERSION
from scripts.ctl.cli import parser
from scripts.ctl.commands import COMMANDS
from scripts.ctl.commands.secrets import OUTSIDE
from tests.unit.test_drctl import CONFIG

ROOT = Path(__file__).resolve().parents[2]
DRCTL = [sys.executable, "-m", "scripts.ctl.cli"]
HEAVY = {"cryptography", "boto3", "botocore", "pulumi", "yaml", "dns"}
FULL = Path("/dev/full")


def drctl(*arguments: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(
        [*DRCTL, *arguments], text=True, check=False, cwd=ROOT, env=environment(), timeout=60, **streams
    )


def environment() -> dict[str, str]:
    """The operator's: with the credentials, and with buffers, in which what was not read is left at the end."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**ours, **{name: f"hidden {name}" for name in OUTSIDE}}


@pytest.fixture
def stack_file(tmp_path: Path) -> str:
    file = tmp_path / "Pulumi.region-a.yaml"
    file.write_text(yaml.safe_dump({"config": CONFIG}))
    return str(file)


def nobody() -> int:
    """The writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_the_version_is_the_products() -> None:
    done = drctl("--version")
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.DONE, f"drctl {VERSION}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["secrets", "--help"], []])
def test_whoever_only_asks_loads_nothing_of_the_commands(arguments: list[str]) -> None:
    told = f"""
import json, sys
from scripts.ctl.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    assert not loaded & set(COMMANDS.values())


def test_every_command_of_the_table_can_be_typed_and_no_other() -> None:
    (commands,) = [action for action in parser()._actions if action.dest == "command"]
    assert set(commands.choices or ()) == set(COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["secret"], ["secrets", "one", "two"]])
def test_what_is_not_understood_is_usage(arguments: list[str]) -> None:
    done = drctl(*arguments)
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "") and done.stderr.startswith("usage: drctl")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["secrets", "--help"], ["check", "--list"]])
def test_a_reader_who_goes_is_one_line_whatever_was_asked(arguments: list[str]) -> None:
    done = drctl(*arguments, stdout=nobody())
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith("drctl: stdout: was closed before all of the output") and done.stderr.count("\n") == 1


def test_a_reader_who_goes_before_the_secrets_are_out_is_one_line(stack_file: str) -> None:
    done = drctl("secrets", stack_file, stdout=nobody())
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == (
        "drctl: stdout: was closed before all of the secrets was written; nothing was kept; run it into a file or a whole pipe\n"
    )


def test_a_disk_that_is_full_is_one_line(stack_file: str) -> None:
    with FULL.open("w") as full:
        done = drctl("secrets", stack_file, stdout=full)
    assert done.returncode == ExitCode.FAILED
    assert "took no more (No space left on device)" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["secrets", "none.yaml"], ["secret"]])
def test_nobody_at_all_is_an_exit_code(arguments: list[str]) -> None:
    """Neither stream is read: all that can be told is the code, which is never that of an interpreter in trouble."""
    wanted = drctl(*arguments).returncode
    assert drctl(*arguments, stdout=nobody(), stderr=nobody()).returncode in (wanted, ExitCode.FAILED)


def test_a_stdout_that_was_closed_before_is_one_line(stack_file: str) -> None:
    line = ["sh", "-c", 'exec "$@" >&-', "sh", *DRCTL, "secrets", stack_file]
    done = subprocess.run(line, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT, env=environment())
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith("drctl: stdout: is closed, wanted a pipe or a file for the secrets")


def test_a_terminal_is_refused(stack_file: str) -> None:
    master, slave = os.openpty()
    done = drctl("secrets", stack_file, stdout=slave)
    os.close(slave)
    os.close(master)
    assert done.returncode == ExitCode.USAGE and "stdout: is a terminal" in done.stderr


def test_what_is_asked_for_comes_whole(stack_file: str) -> None:
    done = drctl("secrets", stack_file)
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    assert json.loads(done.stdout)["witness"]["access_key"] == "hidden WITNESS_ACCESS_KEY"
