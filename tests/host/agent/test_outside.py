"""A machine that stood still is found out by the clocks of others; a clock that was set is not taken for that."""

from __future__ import annotations

import pytest

from scripts.host.agent.outside import CONFIRM_S, Clock, Pauses, Reading


def test_what_is_counted_is_certain_whatever_the_answers_took() -> None:
    clock = Clock(coarse_s=1.0)
    assert clock.heard(5000.0, 100.0, 100.1).stood_s == 0.0, "there is nothing to compare with"
    assert clock.heard(5002.0, 102.0, 102.1).stood_s == 0.0
    assert clock.heard(5005.0, 104.0, 104.1).stood_s == 0.0, "a second is the rounding's, and some of it the line's"
    found = clock.heard(5105.0, 106.0, 107.0)
    assert (found.since, found.sent) == (104.0, 106.0) and found.stood_s == pytest.approx(100 - 1 - 3)
    assert clock.heard(4000.0, 108.0, 108.1).stood_s == 0.0, "one that goes back shows nothing"
    assert clock.heard(4002.0, 110.0, 110.1).stood_s == 0.0


def test_the_clock_of_another_boot_is_another() -> None:
    clock = Clock(coarse_s=0.0)
    clock.heard(10.0, 100.0, 100.1, of="x")
    assert clock.heard(90000.0, 102.0, 102.1, of="y").stood_s == 0.0
    assert clock.heard(90100.0, 104.0, 104.1, of="y").stood_s == pytest.approx(97.9)


def w(sent: float, stood_s: float, since: float = 98.0) -> Reading:
    return Reading(since, sent, stood_s)


def test_a_pause_that_both_have_seen_is_told_once() -> None:
    pauses = Pauses()
    assert pauses.take(None, w(100.0, 60.0), 100.1) == 0.0 and pauses.awaited == ("witness",)
    assert pauses.take(w(100.5, 58.0), w(100.0, 60.0), 100.6) == 58.0 and pauses.awaited == ("counterpart",)
    assert pauses.take(w(100.5, 58.0), w(101.0, 0.0, since=100.0), 101.1) == 0.0 and not pauses.awaited
    assert pauses.take(w(102.0, 0.0, since=100.5), w(102.0, 0.0, since=101.0), 102.1) == 0.0
    assert pauses.take(None, w(104.0, 40.0, since=102.0), 104.1) == 0.0
    assert pauses.take(None, w(104.0, 40.0, since=102.0), 104.1 + CONFIRM_S) == 40.0, "the next is another"


@pytest.mark.parametrize("swapped", [False, True])
def test_who_was_asked_later_and_has_seen_none_says_that_the_others_clock_is_wrong(swapped: bool) -> None:
    pauses = Pauses()

    def take(shows: Reading | None, other: Reading | None, now: float) -> float:
        witness, counterpart = (other, shows) if swapped else (shows, other)
        return pauses.take(witness, counterpart, now)

    assert take(w(100.0, 300.0), w(99.9, 0.0), 100.2) == 0.0
    assert pauses.awaited, "what it said before says nothing: the machine may have stood still in between"
    assert take(w(100.0, 300.0), w(100.3, 0.0), 100.4) == 0.0
    assert not pauses.awaited
    assert take(w(100.0, 300.0), None, 200.0) == 0.0, "and that is that"


@pytest.mark.parametrize("swapped", [False, True])
def test_a_doubt_outlives_the_next_answer_of_the_same_clock(swapped: bool) -> None:
    pauses = Pauses()

    def take(shows: Reading | None, now: float) -> float:
        witness, counterpart = (None, shows) if swapped else (shows, None)
        return pauses.take(witness, counterpart, now)

    assert take(w(100.0, 300.0), 100.2) == 0.0
    assert take(w(102.0, 0.0, since=100.0), 102.1) == 300.0 and not pauses.awaited
    assert take(w(104.0, 0.0, since=102.0), 104.1) == 0.0


@pytest.mark.parametrize("swapped", [False, True])
def test_where_the_other_does_not_answer_at_once_a_clock_is_believed_alone(swapped: bool) -> None:
    pauses = Pauses()

    def take(now: float) -> float:
        shows, other = w(100.0, 300.0), w(99.9, 0.0)
        witness, counterpart = (other, shows) if swapped else (shows, other)
        return pauses.take(witness, counterpart, now)

    assert take(100.2) == 0.0
    assert take(100.2 + CONFIRM_S - 0.1) == 0.0
    assert take(100.2 + CONFIRM_S) == 300.0
    assert take(110.0) == 0.0 and not pauses.awaited


def test_a_pause_that_both_show_at_once_is_counted_at_once() -> None:
    pauses = Pauses()
    assert pauses.take(w(100.0, 58.0), w(100.0, 60.0), 100.1) == 58.0
    assert not pauses.awaited
