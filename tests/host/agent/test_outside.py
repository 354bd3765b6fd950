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
    assert pauses.take(None, w(100.0, 60.0), 100.1) == 60.0
    assert pauses.take(w(100.5, 58.0), w(100.0, 60.0), 100.6) == 0.0 and pauses.doubts
    assert pauses.take(w(100.5, 58.0), w(101.0, 0.0, since=100.0), 101.1) == 0.0 and not pauses.doubts
    assert pauses.take(w(102.0, 0.0, since=100.5), w(102.0, 0.0, since=101.0), 102.1) == 0.0
    assert pauses.take(None, w(104.0, 40.0, since=102.0), 104.1) == 40.0, "the next is another"


def test_the_counterpart_that_was_asked_later_and_has_seen_none_says_that_the_witness_was_set() -> None:
    pauses = Pauses()
    assert pauses.take(w(100.0, 300.0), w(99.9, 0.0), 100.2) == 0.0
    assert pauses.doubts, "what it said before says nothing: the machine may have stood still in between"
    assert pauses.take(w(100.0, 300.0), w(100.3, 0.0), 100.4) == 0.0
    assert not pauses.doubts
    assert pauses.take(w(100.0, 300.0), None, 200.0) == 0.0, "and that is that"


def test_a_doubt_outlives_the_witnesss_next_answer() -> None:
    pauses = Pauses()
    assert pauses.take(w(100.0, 300.0), None, 100.2) == 0.0
    assert pauses.take(w(102.0, 0.0, since=100.0), None, 102.1) == 300.0 and not pauses.doubts
    assert pauses.take(w(104.0, 0.0, since=102.0), None, 104.1) == 0.0


def test_where_the_counterpart_does_not_answer_at_once_the_witness_is_believed() -> None:
    pauses = Pauses()
    assert pauses.take(w(100.0, 300.0), w(99.9, 0.0), 100.2) == 0.0
    assert pauses.take(w(100.0, 300.0), w(99.9, 0.0), 100.2 + CONFIRM_S - 0.1) == 0.0
    assert pauses.take(w(100.0, 300.0), w(99.9, 0.0), 100.2 + CONFIRM_S) == 300.0
    assert pauses.take(w(100.0, 300.0), w(99.9, 0.0), 110.0) == 0.0 and not pauses.doubts
