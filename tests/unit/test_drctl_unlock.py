"""`drctl unlock`: the lock of a run that was killed goes, that of one that lives stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import DrError, ExitCode, Failed, Refused, Usage
from contract.runs import SILENT_S, Run
from scripts.clients.run_bucket import Word
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import unlock
from scripts.ctl.stacks.stack import Stack
from tests.unit.played_project import lay

BOB = Run(
    run="r",
    site="b",
    what="up",
    who="bob",
    place="desk",
    at="2026-11-28T03:00:00Z",
    machine="0" * 32,
    pid=4711,
    begun=1,
)


class World:
    """The lease at the witness, and what pulumi was told."""

    def __init__(self) -> None:
        self.word_there = Word(run=BOB, etag="e", age_s=SILENT_S + 1)
        self.down, self.faster, self.stuck = False, False, False
        self.done: list[Any] = []

    def word(self, site: str) -> Word:
        if self.down:
            raise WitnessDown("witness: does not answer")
        return self.word_there

    def say(self, run: Run, over: str) -> str:
        assert over == self.word_there.etag
        if self.faster:
            return ""
        self.done.append(run)
        return "e2"

    def run(self, *words: str) -> str:
        if self.stuck:
            raise Failed("pulumi cancel of stack region-b: ended with 255")
        self.done.append(" ".join(words))
        return ""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()
    monkeypatch.setattr(unlock, "RunBucket", lambda _: it)
    monkeypatch.setattr(Stack, "_run", it.run)
    secrets = lay(tmp_path, "b", monkeypatch)
    monkeypatch.setattr(Stack, "_json", lambda *_: secrets)
    return it


def ran(*arguments: str) -> ExitCode:
    return unlock.run(cli.parser().parse_args(["unlock", *(arguments or ("b",))]))


def test_what_a_killed_run_has_left_is_free(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran() == ExitCode.DONE
    assert world.done == [replace(BOB, word=1, ended=True), "cancel --yes"]
    said = capsys.readouterr().out
    assert "bob at desk" in said and "`pulumi up -s region-b` finishes what was begun" in said


@pytest.mark.parametrize("word", [Word(), Word(run=replace(BOB, ended=True), etag="e", age_s=1.0)])
def test_without_a_lease_pulumis_own_lock_goes(world: World, word: Word) -> None:
    world.word_there = word
    assert ran() == ExitCode.DONE and world.done == ["cancel --yes"]


@pytest.mark.parametrize(
    ("word", "says"), [(Word(run=BOB, etag="e", age_s=SILENT_S + 1), "bob at desk"), (Word(), "no run of ours")]
)
def test_a_dry_run_says_whose_lock_would_go(
    world: World, capsys: pytest.CaptureFixture[str], word: Word, says: str
) -> None:
    world.word_there = word
    assert ran("b", "--dry-run") == ExitCode.DONE
    said = capsys.readouterr().out
    assert says in said and "nothing was changed" in said and world.done == []


@pytest.mark.parametrize(
    ("spoil", "kind", "sentence"),
    [
        (lambda it: setattr(it, "word_there", Word(run=BOB, etag="e", age_s=3.0)), Refused, "bob at desk .*is at work there.*nothing was changed"),
        (lambda it: setattr(it, "faster", True), Refused, "a run has begun meanwhile.*nothing was changed"),
        (lambda it: setattr(it, "down", True), WitnessDown, "does not answer"),
    ],
)  # fmt: skip
def test_one_that_lives_or_may_live_is_not_disturbed(
    world: World, spoil: Callable[[World], None], kind: type[DrError], sentence: str
) -> None:
    spoil(world)
    with pytest.raises(kind, match=sentence):
        ran()
    assert world.done == []


@pytest.mark.parametrize("heard", [True, False])
def test_where_the_store_tells_no_time_it_is_looked_at_for_long_enough(
    world: World, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    words = [Word(run=BOB, etag="e", age_s=float(age), dated=False) for age in (0, 10, 20, SILENT_S + 1)]
    if heard:
        words[2] = Word(run=replace(BOB, word=1), etag="e1", age_s=0.0, dated=False)
    monkeypatch.setattr(world, "word", lambda _: words.pop(0))
    monkeypatch.setattr(unlock, "time", SimpleNamespace(sleep=lambda _: None))
    if heard:
        with pytest.raises(Refused, match=r"bob at desk .*is at work there"):
            ran()
    assert heard or (ran() == ExitCode.DONE and world.done[-1] == "cancel --yes")


def test_the_stack_of_another_site_is_refused(world: World) -> None:
    with pytest.raises(Usage, match=r"stack region-b: is of site b, wanted a.*nothing was changed"):
        ran("a", "--stack", "region-b")
    assert world.done == []
