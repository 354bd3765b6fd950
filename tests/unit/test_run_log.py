"""The log of a run: what changes something keeps one, which says how it went, and no secret."""

from __future__ import annotations

import argparse
import base64
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import ExitCode, Failed
from scripts.ctl import cli
from scripts.ctl.commands import LOGGED
from scripts.ctl.moves import engine
from scripts.ctl.output import log
from scripts.ctl.stacks.stack import Stack
from tests.unit.test_moves import FAILED_RUN, ITS, World, world

__all__ = ["world"]  # fixture
PASSWORD = ITS.secrets.openstack_password


def logs(state_home: Path) -> list[Path]:
    return sorted((state_home / "drctl" / "log").glob("*.log"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_move_keeps_what_it_was_told_and_what_it_said(
    world: World, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["switchover", "b", "--yes", "--reason", "new kernel"]) == ExitCode.DONE
    (file,) = logs(home)
    told = file.read_text()
    assert file.name.endswith("-switchover.log") and "switchover b --yes --reason 'new kernel'" in told
    assert "err     " in told and "fence: done" in told and "out     switchover of" in told.replace("  out", "  out")
    assert told.splitlines()[-1].endswith("ended with exit code 0")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert str(file) not in capsys.readouterr().err, "where it lies is told when something fails"


def test_a_run_that_fails_says_where_its_log_lies(world: World, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world.ends["region-b"] = FAILED_RUN
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.FAILED
    (file,) = logs(home)
    assert capsys.readouterr().err.splitlines()[-1] == f"log of this run: {file}"
    assert "nothing proves that it has stopped writing" in file.read_text()


def test_what_nobody_expected_and_an_interrupt_are_in_it_as_well(
    world: World, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(_: Stack) -> None:
        raise KeyboardInterrupt

    world.after = stopped
    with pytest.raises(KeyboardInterrupt):
        cli.main(["failover", "b", "--yes"])
    (file,) = logs(home)
    assert file.read_text().splitlines()[-1].endswith("ended by KeyboardInterrupt")
    assert f"log of this run: {file}" in capsys.readouterr().err
    assert not isinstance(sys.stdout, log._Heard), "the streams are those of before"


@pytest.mark.parametrize("words", [["switchover", "b", "--dry-run"], ["report", "list"], ["check", "--list"]])
def test_what_changes_nothing_keeps_none(world: World, home: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) if words == ["switchover"] else log.kept("outer", ["outer"]):
        cli.main(words)
    assert [it.name.partition("-")[2] for it in logs(home)] == ["outer.log"]


# What changes nothing of the shop, or is kept where it is done.
WITHOUT = {
    *("status", "check", "secrets", "rights witness", "rights ovh", "rights acme", "rights page"),
    *("state list", "audit verify", "audit logins", "report list", "report show"),
    *("build", "releases list", "drill lab", "chaos", "dashboard"),
    *("report verify", "ssh-certificate", "ssh", "logs", "psql", "redis", "run", "completion", "man", "reference"),
}  # fmt: skip


def leaves(parser: argparse.ArgumentParser, name: str = "") -> Iterator[str]:
    inner = [it for it in parser._actions if isinstance(it, argparse._SubParsersAction)]
    for action in inner:
        for word, command in action.choices.items():
            yield from leaves(command, f"{name} {word}".strip())
    if not inner:
        yield name


def test_each_command_keeps_a_log_or_is_one_of_those_that_need_none() -> None:
    assert {*leaves(cli.parser())} == LOGGED | WITHOUT and not LOGGED & WITHOUT


def test_a_refusal_is_in_it_and_its_place_is_not_told(
    world: World, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["switchover", "a", "--yes"]) == ExitCode.REFUSED
    assert "it is active already" in logs(home)[0].read_text()
    assert "log of this run" not in capsys.readouterr().err


def test_no_secret_comes_into_it_whoever_says_it(
    world: World, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "a phrase of the operator")
    basic = base64.b64encode(f"x:{PASSWORD}".encode()).decode()

    def spoken(_: Stack) -> None:
        log.know(ITS.secrets)
        half = len(PASSWORD) // 2
        log.pulumi(f"user {PASSWORD[:half]}")
        print("between")
        log.pulumi(f"{PASSWORD[half:]}\n{json.dumps(PASSWORD)} {basic} postgres://me:fresh@host/x\n")
        print("opened by 'a phrase of the operator'", file=sys.stderr)
        raise Failed(f"{ITS.secrets.operator.private}: what a key")

    world.after = spoken
    assert cli.main(["failover", "b", "--yes", "--reason", f"it was {PASSWORD}"]) == ExitCode.FAILED
    told = logs(home)[0].read_text()
    key = ITS.secrets.operator.private.splitlines()[2]
    for secret in (PASSWORD, basic[-10:], "a phrase of the operator", "fresh", key):
        assert secret not in told, secret
    assert told.count("(hidden)") >= 6 and "between" in told
    assert PASSWORD not in capsys.readouterr().out


def test_a_log_is_bounded_and_old_ones_go(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_BYTES", 2000)
    for _ in range(log.KEPT + 3):
        with log.kept("init", ["init"]):
            for number in range(100):
                log.pulumi(f"line {number}\n")
            log.ended(0)
    assert len(logs(home)) == log.KEPT
    assert all(it.stat().st_size < 2100 and "the rest is left out" in it.read_text() for it in logs(home))


def test_a_disk_that_takes_none_ends_no_run(world: World, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.write_text("no folder")
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    assert "warning: the log of this run cannot be written (Not a directory)" in capsys.readouterr().err


def test_pulumis_own_words_are_in_it(home: Path, tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\nprintf 'upda'; printf 'ting\\xff\\n'; echo 'password=swordfish' >&2\n")
    program.chmod(0o755)
    with log.kept("failover", ["failover"]):
        engine.up(Stack(name="region-b", folder=tmp_path, program=str(program)), lambda _: None)
        log.ended(0)
    told = logs(home)[0].read_text()
    assert "pulumi  updating" in told and "swordfish" not in told and "password=(hidden)" in told
