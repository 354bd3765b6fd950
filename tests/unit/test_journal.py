"""The journal of a move: what one that was killed had come to is known to the next command, and `--resume` goes on with that one and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.render import documents
from contract.epoch import Epoch
from contract.errors import ExitCode
from scripts.clients import this_machine
from scripts.ctl import cli
from scripts.ctl.moves import journal
from scripts.ctl.persons import memory
from tests.unit.test_moves import ITS, WELL, World, world

__all__ = ["world"]  # fixture
WITNESS = documents.witness(ITS)


class Killed(BaseException):
    """SIGKILL: nothing of what stands behind it happens."""


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that has written so far is no more."""
    monkeypatch.setattr(journal.Journal, "end", lambda *_: None)
    monkeypatch.setattr(this_machine, "gone", lambda *_: True)


def killed(world: World, *words: str) -> None:
    def kill(_: Any) -> None:
        raise Killed

    world.after = kill
    with pytest.raises(Killed):
        cli.main([*words, "--yes"])
    world.after = lambda _: None
    world.runs.clear()


def files() -> list[Path]:
    return sorted(memory.place_of("journal", WITNESS).glob("*.jsonl"))


def test_a_line_stands_there_before_and_after_each_link(world: World) -> None:
    seen: list[int] = []
    world.after = lambda _: seen.append(len(files()[0].read_text().splitlines()))
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.DONE
    assert seen == [1 + 1 + 8, 1 + 1 + 8 + 1 + 8], (
        "its head, a run, four links begun and done, before the command knows how the run ends"
    )
    assert files()[0].stat().st_mode & 0o077 == 0
    assert journal.left(WITNESS) is None, "it has come to its end"


@pytest.mark.usefixtures("gone")
def test_the_next_command_says_what_was_left_and_goes_on_with_it_when_it_is_told_to(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(world, "switchover", "b")
    left = journal.left(WITNESS)
    assert left is not None and (left.begun.target, left.begun.epoch, left.code) == ("b", 3, None)
    assert cli.main(["abort"]) == ExitCode.DONE
    assert "a switchover to region b, begun" in capsys.readouterr().err
    world.runs.clear()
    assert cli.main(["switchover", "b", "--resume"]) == ExitCode.DONE
    told = capsys.readouterr().err
    assert "goes on with the switchover to region b" in told and "it had come to name: done" in told
    assert [run[:2] for run in world.runs] == [("region-b", "b"), ("region-a", "b")]


@pytest.mark.usefixtures("gone")
def test_one_whose_epoch_is_claimed_is_finished_and_a_shop_that_was_moved_since_is_left_alone(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(world, "switchover", "b")
    world.epoch = Epoch(epoch=5, active="a", previous="b", planned=True)
    assert cli.main(["switchover", "b", "--resume"]) == ExitCode.REFUSED
    assert "found 5, region a active, wanted 3 of region a or 4 of region b" in capsys.readouterr().err
    assert world.runs == []
    world.epoch = Epoch(epoch=4, active="b", previous="a", planned=True)
    assert cli.main(["switchover", "b", "--resume", "--dry-run"]) == ExitCode.DONE and world.runs == []
    assert cli.main(["switchover", "b", "--resume"]) == ExitCode.DONE
    assert world.runs[0][:2] == ("region-b", "b")


@pytest.mark.parametrize("words", [("switchover", "b"), ("failover", "b")])
def test_nothing_that_was_left_is_nothing_to_go_on_with(
    world: World, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert cli.main([*words, "--resume"]) == ExitCode.REFUSED
    assert "nothing that was begun on this machine and left" in capsys.readouterr().err and world.runs == []


@pytest.mark.usefixtures("gone")
def test_another_move_than_the_one_that_was_left_is_not_taken_for_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(world, "switchover", "b")
    assert cli.main(["failover", "b", "--resume"]) == ExitCode.REFUSED
    assert "found switchover to region b" in capsys.readouterr().err and world.runs == []


def test_one_that_is_at_work_is_not_left(world: World) -> None:
    found: list[Any] = []
    world.after = lambda _: found.append(journal.left(WITNESS))
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.DONE
    assert found == [None, None]


def test_one_that_failed_can_be_gone_on_with(world: World) -> None:
    world.ends["region-b"] = replace(WELL, ok=False, code=255, errors=("no",))
    assert cli.main(["switchover", "b", "--yes"]) != ExitCode.DONE
    left = journal.left(WITNESS)
    assert left is not None and left.code is not None
    world.ends.clear()
    assert cli.main(["switchover", "b", "--resume"]) == ExitCode.DONE


@pytest.mark.parametrize(
    "body", ["", "<html>\n", '{"kind": "switchover"}\n', '{"kind": "move", "target": "c\\u001b"}\n']
)
def test_what_is_no_journal_is_passed_over(world: World, body: str) -> None:
    folder = memory.place_of("journal", WITNESS)
    folder.mkdir(parents=True)
    (folder / "99990101T000000.000000.jsonl").write_text(body)
    assert journal.left(WITNESS) is None


def test_a_disk_that_takes_no_journal_ends_no_move(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    place = memory.place_of("journal", WITNESS)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in its way")
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.DONE
    assert capsys.readouterr().err.count("the journal of this move cannot be written") == 1


def test_old_journals_go(world: World) -> None:
    folder = memory.place_of("journal", WITNESS)
    folder.mkdir(parents=True)
    for number in range(60):
        (folder / f"2020010{number // 30}T0000{number:02d}.000000.jsonl").write_text("{}\n")
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.DONE
    assert len(files()) == journal.KEPT
