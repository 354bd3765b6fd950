"""A link whose caller is gone, or that is told to end, comes to an end of its own; what must not be cut is not."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.links.__main__ import caller

ROOT = Path(__file__).resolve().parents[2]
LINK = """
import os, sys, time
from scripts.links.interrupts import Interrupted, install, shielded
install(next((int(word) for word in sys.argv if word.isdigit()), os.getppid()))
try:
    try:
        if "shielded" in sys.argv:
            with shielded():
                print("ready", flush=True)
                sys.stdin.readline()
                sys.stderr.write("brought to its end\\n")
        else:
            print("ready", flush=True)
        sys.stdin.readline()
        sys.stderr.write("went on\\n")
    finally:
        sys.stderr.write("taken back\\n")
except Interrupted:
    sys.stderr.write("interrupted\\n")
"""


def link(*arguments: str, under: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    made = subprocess.Popen(
        [*under, sys.executable, "-c", LINK, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert made.stdout is not None and made.stdout.readline() == b"ready\n"
    return made


def said(process: subprocess.Popen[bytes]) -> list[str]:
    assert process.stderr is not None
    with (
        selectors.DefaultSelector() as one
    ):  # whatever number it has: a process of tests may have a thousand files open
        one.register(process.stderr, selectors.EVENT_READ)
        assert one.select(20), "it goes on"
    found = process.stderr.read().decode().splitlines()
    process.wait(10)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_that_is_told_to_end_takes_back_what_it_did(number: signal.Signals) -> None:
    process = link()
    process.send_signal(number)
    assert said(process) == ["taken back", "interrupted"]


def test_one_that_nobody_listens_to_any_more_ends_as_if_it_was_told_to() -> None:
    process = link()
    assert process.stdout is not None
    process.stdout.close()
    assert said(process) == ["taken back", "interrupted"]


def test_one_whose_parent_was_killed_ends_although_somebody_still_reads_its_output() -> None:
    """pulumi's plugin may outlive the engine for minutes, and reads on; the `timeout` around the link is what it has killed by then."""
    process = link(under=("timeout", "600"))
    process.kill()
    assert said(process) == ["taken back", "interrupted"]


def test_one_whose_caller_was_killed_before_it_could_look_ends_too() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert said(link(str(gone.pid))) == ["taken back", "interrupted"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["fence", "--caller", "4711"], (["fence"], 4711)),
        (["fence"], (["fence"], os.getppid())),
        (["fence", "--caller", "me"], (["fence", "--caller", "me"], os.getppid())),
    ],
)
def test_who_has_started_a_link_is_told_to_it_or_is_its_parent(
    arguments: list[str], wanted: tuple[list[str], int]
) -> None:
    assert caller(arguments) == wanted


def test_what_must_come_to_its_end_does_so_first() -> None:
    process = link("shielded")
    process.send_signal(signal.SIGTERM)
    assert process.stdin is not None
    os.write(process.stdin.fileno(), b"\n")
    assert said(process) == ["brought to its end", "taken back", "interrupted"]


def test_one_whose_caller_listens_goes_on() -> None:
    process = link()
    assert process.stdin is not None
    os.write(process.stdin.fileno(), b"\n")
    assert said(process) == ["went on", "taken back"]
