"""`drctl confirm`: one word of a person for one plan that waits; for anything else it is refused."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from contract.epoch import Epoch
from contract.errors import ExitCode
from contract.watch import Alarm, Mode, Word
from scripts.ctl import cli
from scripts.ctl.commands import confirm
from scripts.ctl.stacks.stack import Stack
from tests.unit import played_survey

ITS = played_survey.settings()
ID = "0123456789ab"


class World:
    def __init__(self) -> None:
        at = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)).isoformat(timespec="seconds")
        self.there: Alarm | None = Alarm(
            id=ID,
            site="a",
            epoch=3,
            mode=Mode.ASSIST,
            plan="a" * 12,
            who="dr-watch",
            place="third",
            at=at,
            loss="2 s of writes",
            seen=("entrance of a: silent",),
        )
        self.epoch: Epoch | None = Epoch(epoch=3, active="a", previous="b", planned=True)
        self.first, self.words, self.notes = True, list[Word](), list[dict[str, Any]]()

    def alarm(self, ident: str) -> Alarm | None:
        assert ident == ID
        return self.there

    def put_word(self, word: Word) -> bool:
        self.words += [word] if self.first else []
        return self.first

    def newest(self) -> Epoch | None:
        return self.epoch


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(confirm, "WatchBucket", lambda _: it)
    monkeypatch.setattr(confirm, "Witness", lambda _: it)

    class Note:
        def __init__(self, *_: Any, **told: Any) -> None:
            it.notes.append(told)

        def lost(self, _: float) -> str:
            return ""

    monkeypatch.setattr(confirm, "Note", Note)
    return it


def test_a_word_names_the_plan_and_who_has_agreed(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DR_WHO", "ann")
    assert cli.main(["confirm", ID, "--yes", "--reason", "dark"]) == ExitCode.DONE
    (word,) = world.words
    assert (word.id, word.plan) == (ID, "a" * 12) and word.who.startswith("ann")
    assert world.notes[0]["why"] == "dark" and world.notes[0]["epoch"] == 3
    said = capsys.readouterr().out
    assert "would be lost: 2 s of writes" in said and "entrance of a: silent" in said


def test_a_dry_run_shows_the_plan_that_waits_and_agrees_to_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["confirm", ID, "--yes", "--dry-run"]) == ExitCode.DONE
    assert not world.words and not world.notes and f"plan {'a' * 12} would move" in capsys.readouterr().out


def test_without_a_terminal_nobody_agrees_by_chance(world: World) -> None:
    assert cli.main(["confirm", ID]) == ExitCode.USAGE
    assert not world.words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: setattr(it, "there", None), "found none of this id"),
        (lambda it: setattr(it, "there", replace(it.there, plan="", mode=Mode.TELL)), "its watcher tells"),
        (lambda it: setattr(it, "epoch", replace(it.epoch, epoch=4)), "the one in force is 4"),
        (lambda it: setattr(it, "epoch", None), "the one in force is none"),
        (lambda it: setattr(it, "there", replace(it.there, at="2026-11-01T00:00:00+00:00")), "its plan is void"),
        (lambda it: setattr(it, "there", replace(it.there, at="soon")), "its plan is void"),
        (lambda it: setattr(it, "first", False), "somebody else has confirmed it before"),
    ],
)
def test_what_does_not_wait_for_a_word_gets_none(
    world: World, capsys: pytest.CaptureFixture[str], change: Any, said: str
) -> None:
    change(world)
    assert cli.main(["confirm", ID, "--yes"]) == ExitCode.REFUSED
    assert not world.words and not world.notes and said in capsys.readouterr().err


@pytest.mark.parametrize("ident", ["", "123", "../epochs/1", "0123456789AB"])
def test_what_is_no_id_is_asked_of_nobody(world: World, ident: str) -> None:
    assert cli.main(["confirm", ident, "--yes"]) == ExitCode.USAGE
    assert not world.words
