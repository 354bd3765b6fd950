"""What counts of the operator's words: those for the epoch in force, for an hour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from contract import fields
from contract.accept import AHEAD_S, HOUR_S, Accept, Word, asked, over, seconds, spelled
from contract.checks import Unwanted
from contract.epoch import Epoch
from contract.errors import Failed, Refused
from contract.links import fence
from scripts.host.postgres.service import _empty
from scripts.links import preflight
from scripts.links.agreement import Side
from scripts.links.words import judge

NOW = seconds("2026-11-29T14:05Z")
NEWEST = Epoch(epoch=3, active="a", previous=None, planned=True)
WORD = Word(epoch=3, at="2026-11-29T14:05Z", reason="nobody can restore region a")


def said(word: Word, now: float = NOW) -> tuple[bool, str]:
    judged = judge({"data_loss": word, "empty": None}, NEWEST, now)
    (sentence,) = judged.said
    return "data_loss" in judged.counts, sentence


@pytest.mark.parametrize("age_s", [-AHEAD_S, 0.0, 60.0, HOUR_S])
def test_a_word_of_this_hour_for_the_epoch_in_force_counts_and_is_told(age_s: float) -> None:
    counts, sentence = said(WORD, NOW + age_s)
    assert counts and "dr:accept.data_loss: IS ARMED for epoch 3 until 2026-11-29T15:05Z" in sentence
    assert WORD.reason in sentence


def test_one_that_was_forgotten_is_ignored_and_told() -> None:
    counts, sentence = said(WORD, NOW + HOUR_S + 1)
    assert not counts and "more than an hour ago: it is ignored" in sentence and "at to 2026-11-29T15:05Z" in sentence


def test_one_of_an_epoch_that_is_over_is_ignored_and_told() -> None:
    counts, sentence = said(replace(WORD, epoch=2))
    assert not counts and "is for epoch 2, and epoch 3 is in force: it is ignored" in sentence


@pytest.mark.parametrize(
    ("word", "now"),
    [(replace(WORD, epoch=4), NOW), (WORD, NOW - AHEAD_S - 1), (replace(WORD, at="2036-01-01T00:00:00Z"), NOW)],
)
def test_one_that_would_lie_in_wait_is_refused(word: Word, now: float) -> None:
    with pytest.raises(Refused, match=r"dr:accept\.data_loss: is .*lie in wait.*nothing was changed"):
        said(word, now)


def test_before_the_first_epoch_words_are_for_that() -> None:
    assert "empty" in judge({"empty": replace(WORD, epoch=1)}, None, NOW).counts
    with pytest.raises(Refused):
        judge({"empty": replace(WORD, epoch=2)}, None, NOW)


@pytest.mark.parametrize(
    "at",
    [
        "",
        "now",
        "2026-11-29",
        "2026-11-29T14:05",
        "2026-13-29T14:05Z",
        "2026-02-30T14:05Z",
        "2026-11-29T25:00Z",
        "2026-11-29T14:05Z\n",
        5,
        None,
    ],
)
def test_what_is_no_time_is_none(at: Any) -> None:
    check = fields.keys(Word)["at"][1].check
    assert check is not None
    with pytest.raises(Unwanted, match=r"a time in UTC, like 2026-11-29T14:05Z"):
        check(at)


def test_a_refusal_says_what_to_write_and_it_counts_at_once() -> None:
    text = asked("data_loss", 3)
    at = text.partition("at: ")[2].partition(",")[0]
    assert text.startswith("accept.data_loss to {epoch: 3, at: ") and not over(at)
    assert said(replace(WORD, at=at), seconds(at))[0] and spelled(seconds(at)) == at


def test_the_fence_is_told_every_word_that_there_is() -> None:
    """A word that is added is judged, too."""
    told = {name for name, (_, it) in fields.keys(fence.Document).items() if it.of is Word}
    assert {name.removeprefix("other_") for name in told} == set(fields.keys(Accept))


def test_a_preview_shows_each_word_that_is_armed_and_refuses_one_that_lies_in_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Played:
        def __init__(self, _: object) -> None:
            pass

        def newest(self) -> Epoch:
            return NEWEST

        def __getattr__(self, _: str) -> Any:
            return lambda *_: None

    monkeypatch.setattr(preflight, "Witness", Played)
    side, place = Side(site="a", digests={}, word=None), cast("Any", None)
    words = {"without_fence": replace(WORD, at=spelled()), "empty": replace(WORD, at="2020-01-01T00:00Z")}
    preflight.check(side, "a", place, words)
    assert (
        "dr:accept.without_fence: IS ARMED" in caplog.text and "dr:accept.empty: is of 2020-01-01T00:00Z" in caplog.text
    )
    with pytest.raises(Refused, match="lie in wait"):
        preflight.check(side, "a", place, {"empty": replace(WORD, epoch=9, at=spelled())})


@pytest.mark.parametrize(
    ("found", "told"), [(False, True), (True, False), (None, False), (Failed("witness: no answer"), False)]
)
def test_a_run_that_moves_nothing_tells_of_a_witness_that_is_not_locked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, found: Any, told: bool
) -> None:
    """A take-over asks no such thing: nobody waits for it."""
    asked = []

    class Played:
        def __init__(self, _: object) -> None:
            pass

        def newest(self) -> Epoch:
            return NEWEST

        def locked(self) -> Any:
            asked.append(1)
            if isinstance(found, Failed):
                raise found
            return found

        def __getattr__(self, _: str) -> Any:
            return lambda *_: None

    monkeypatch.setattr(preflight, "Witness", Played)
    place = cast("Any", None)
    preflight.check(Side(site="a", digests={}, word=None), "a", place)
    assert ("object lock" in caplog.text) is told and asked == [1]
    preflight.check(Side(site="b", digests={}, word=None), "a", place)
    assert asked == [1]


def test_a_host_begins_empty_only_while_the_word_counts() -> None:
    class Desired:
        begin_empty = 3
        begin_empty_at: str | None = spelled()

    told = cast("Any", Desired())
    assert _empty(told) == 3
    told.begin_empty_at = "2020-01-01T00:00Z"
    assert _empty(told) is None
