"""The pinned pulumi's own backend and states, as `drctl` reads, copies and puts them back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.render import documents
from contract.buckets import Bucket
from contract.errors import ExitCode, Failed
from lab.toolchain.tools import Toolchain
from scripts.clients.state_copies import StateCopies
from scripts.ctl import cli
from scripts.ctl.commands import arguments
from scripts.ctl.stacks import state_stored as stored
from scripts.ctl.stacks.stack import Stack as Own
from scripts.ctl.stacks.state_backend import opened
from tests.providers.stacks import Stack
from tests.unit.played_survey import settings
from tests.unit.test_witness import endpoint
from tests.unit.test_witness import place as bucket

__all__ = ["bucket", "endpoint"]  # fixtures

PROGRAM = """\
import pulumi
pulumi.export("word", pulumi.Output.secret("hidden word"))
{more}
"""
WAITS = (
    'import pathlib, time\npathlib.Path("begun").touch()\nwhile not pathlib.Path("go-on").exists(): time.sleep(0.05)'
)


@pytest.fixture
def stack(tmp_path: Path, toolchain: Toolchain) -> Stack:
    made = Stack(tmp_path / "stack", toolchain, PROGRAM.format(more=""))
    made.up()
    return made


@pytest.fixture
def typed(stack: Stack, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`drctl` beside that stack, with a witness of the test's own. Returns its exit code."""
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{stack.toolchain.pulumi.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(Own, "settings", lambda _: settings())
    monkeypatch.setattr(documents, "witness", lambda _: bucket)
    monkeypatch.setattr(arguments, "PROJECT", stack.folder)
    return lambda *words: cli.main(["state", *words, "--site", "a", "--stacks", "trial"])


def shown(stack: Stack) -> Any:
    """The stack's outputs with the secret in clear: it is the same only where what was encrypted can still be opened."""
    return json.loads(stack.call("stack", "output", "--json", "--show-secrets", check=True).output)


def test_a_copy_is_put_back_into_a_backend_that_had_nothing_with_its_secrets(
    stack: Stack, typed: Callable[..., int], bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shown(stack)
    assert typed("backup") == ExitCode.DONE, capsys.readouterr().err
    (copy,) = StateCopies(bucket).copies("a")
    assert b"hidden word" not in StateCopies(bucket).copy(copy), "as pulumi has encrypted it"
    (stack.folder / "state").rename(stack.folder / "lost")
    (stack.folder / "state").mkdir()
    assert typed("restore", copy.digest, "--yes") == ExitCode.FAILED, "there is no such stack yet"
    assert "no stack named" in capsys.readouterr().err
    stack.call("stack", "init", "trial", check=True)
    assert typed("restore", copy.digest, "--yes") == ExitCode.DONE, capsys.readouterr().err
    assert shown(stack) == before == {"word": "hidden word"}
    assert stack.up().changed() == {}


def test_a_state_that_was_written_since_gives_way_where_it_is_named(
    stack: Stack, typed: Callable[..., int], bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("backup") == ExitCode.DONE
    (copy,) = StateCopies(bucket).copies("a")
    stack.write(PROGRAM.format(more='pulumi.export("more", 1)'))
    stack.up()
    capsys.readouterr()
    assert typed("restore", copy.digest, "--yes") == ExitCode.REFUSED
    said = capsys.readouterr().err
    assert "more" in shown(stack)
    assert typed("restore", copy.digest, "--yes", "--over", said.split("--over ")[1].split("`")[0]) == ExitCode.DONE
    assert "more" not in shown(stack)


def test_a_run_at_work_is_seen_by_its_lock_and_nothing_is_put_back_beside_it(
    stack: Stack, typed: Callable[..., int], bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("backup") == ExitCode.DONE
    (copy,) = StateCopies(bucket).copies("a")
    stack.write(PROGRAM.format(more='pulumi.export("more", 1)'))
    stack.up()
    stack.write(PROGRAM.format(more=WAITS))
    backend = opened(stack.environment(), stack.folder)
    assert stored.locks(backend, "trial", "trial") == ()
    run = stack.start("up", "--yes", "--skip-preview")
    try:
        end = time.monotonic() + 60
        while not (stack.folder / "begun").exists() and time.monotonic() < end:
            time.sleep(0.05)
        (lock,) = stored.locks(backend, "trial", "trial")
        assert f"process {run.pid}" in lock.who and lock.since is not None and abs(time.time() - lock.since) < 600
        capsys.readouterr()
        assert typed("restore", copy.digest, "--yes") == ExitCode.REFUSED
        assert "is locked by" in capsys.readouterr().err
    finally:
        (stack.folder / "go-on").touch()
        run.communicate(timeout=120)


def test_what_stands_in_the_backend_is_what_pulumi_exports(stack: Stack) -> None:
    backend = opened(stack.environment(), stack.folder)
    exported = json.loads(stack.call("stack", "export", check=True).output)
    assert stored.state(backend, "trial", "trial") == stored.read(exported["deployment"])
    with pytest.raises(Failed, match="stack none: has no"):
        stored.state(backend, "trial", "none")
