"""The ladder as a ladder: rungs in their order, the first that holds, and the way down when something fails on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contract.errors import Failed
from scripts.links.planned import CleanStop
from scripts.links.power import PowerOff
from scripts.links.rungs import Override, Proof, Rung, RungFailed, climb, held, race
from scripts.links.silence import LeaseRanOut


class Played(Rung):
    """Holds, or fails for these reasons; says what it was told, and that it was left."""

    number, name = 7, "played"

    def __init__(self, *reasons: str, now: str = "") -> None:
        super().__init__()
        self.reasons, self.now = reasons, now
        self.told: list[list[str]] = []
        self.left = 0

    def prove(self, tried: Sequence[str]) -> Proof:
        self.told.append(list(tried))
        if self.reasons:
            raise RungFailed(*self.reasons)
        return Proof(rung=self.number, evidence={"seen": True})

    def leave(self) -> str:
        self.left += 1
        return self.now


def test_the_rungs_are_numbered_as_they_are_climbed() -> None:
    rungs: list[Any] = [CleanStop, PowerOff, LeaseRanOut, Override]
    assert [rung.number for rung in rungs] == [1, 2, 3, 4]
    assert len({rung.name for rung in rungs}) == 4


def test_the_first_rung_that_holds_ends_the_climb_and_is_told_why_the_others_did_not() -> None:
    low, middle, high = Played("no way in", "no other way in"), Played(), Played()
    tried = ["rung 1 (ssh): gone"]
    found = climb([low, middle, high], tried)
    assert found is not None and found[0] is middle
    assert found[1].document() == {"rung": 7, "evidence": {"seen": True}}
    assert tried == [
        "rung 1 (ssh): gone",
        "rung 7 (played): no way in",
        "rung 7 (played): no other way in",
    ]
    assert (middle.told, high.told) == ([tried], [])


def test_where_no_rung_holds_there_is_no_proof_and_nothing_to_let_go_of() -> None:
    rungs = [Played("a"), Played("b")]
    tried: list[str] = []
    assert climb(rungs, tried) is None
    assert (len(tried), [rung.left for rung in rungs]) == (2, [0, 0])


@pytest.mark.parametrize(
    ("now", "says"), [("", "no answer"), ("the old primary writes", "no answer; the old primary writes")]
)
def test_what_fails_on_top_lets_go_and_says_what_is_so_now(now: str, says: str) -> None:
    rung = Played(now=now)
    with pytest.raises(Failed) as caught, held(rung):
        raise Failed("no answer")
    assert (str(caught.value), rung.left) == (says, 1)


def test_what_succeeds_on_top_keeps_the_rung() -> None:
    rung = Played(now="never said")
    with held(rung):
        pass
    assert rung.left == 0


class Slow(Played):
    """Does not end before it is told that nobody needs it."""

    number, name = 8, "slow"

    def prove(self, tried: Sequence[str]) -> Proof:
        assert self.over.wait(30)
        raise RungFailed("was not needed any more")


class Broken(Played):
    number, name = 9, "broken"

    def prove(self, tried: Sequence[str]) -> Proof:
        raise KeyError("status")


def test_side_by_side_the_first_that_holds_ends_it_for_all() -> None:
    slow, quick, tried = Slow(), Played(), list[str]()
    found = race([slow, quick], tried)
    assert found is not None and found[0] is quick
    assert slow.over.is_set() and tried == []


def test_side_by_side_every_reason_is_told_in_the_rungs_order_and_a_fault_is_one() -> None:
    tried: list[str] = []
    assert race([Broken(), Played("no answer", "no way in")], tried) is None
    assert tried == [
        "rung 9 (broken): ended by itself (KeyError: 'status')",
        "rung 7 (played): no answer",
        "rung 7 (played): no way in",
    ]


@pytest.mark.parametrize("raised", [KeyError("uid"), OSError("no space"), RuntimeError("fault")])
def test_whatever_is_raised_on_top_lets_go_of_every_rung(raised: Exception) -> None:
    first, second = Played(now="the first is let go"), Played(now="and the second")
    with pytest.raises(Failed, match="the first is let go; and the second"), held(first, second):
        raise raised
    assert (first.left, second.left) == (1, 1)
