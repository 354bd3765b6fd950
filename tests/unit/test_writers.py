"""Two writers at once are found, however short; a host that was off says nothing of the time in between."""

from __future__ import annotations

import pytest

from lab.rehearsal.writers import Span, outage, overlaps, silence, spans


def samples(*rows):
    return [{"t": t, "writer": writer} for t, writer in rows]


def test_neighbouring_samples_are_one_span_and_a_refusal_ends_it():
    found = spans(samples((0.0, True), (0.1, True), (0.2, False), (0.3, True)))
    assert found == [Span(0.0, 0.1), Span(0.3, 0.3)]


def test_nothing_is_known_of_the_time_without_samples():
    assert spans(samples((0.0, True), (0.1, True), (5.0, True))) == [Span(0.0, 0.1), Span(5.0, 5.0)]


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ([Span(0, 1)], [Span(1.1, 2)], []),
        ([Span(0, 1)], [Span(0.9, 2)], [(0.9, 1)]),
        ([Span(0, 3)], [Span(1, 1)], [(1, 1)]),  # one sample is enough
        ([Span(0, 3)], [Span(1, 1.1), Span(2, 2.2)], [(1, 1.1), (2, 2.2)]),
        ([Span(0, 1)], [Span(1, 2)], [(1, 1)]),
    ],
)
def test_every_stretch_with_two_writers_is_named(a, b, found):
    assert overlaps(a, b) == found
    assert overlaps(b, a) == found


def test_the_last_write_after_a_cut():
    assert silence(samples((1.0, True), (2.0, True), (2.5, False)), since=0.5) == 1.5
    assert silence(samples((1.0, True), (2.0, False)), since=1.5) is None


def test_the_outage_of_a_move_is_from_the_last_write_of_one_side_to_the_first_of_the_other():
    old, new = samples((0.0, True), (0.1, True), (0.2, False)), samples((0.1, False), (0.5, True), (0.6, True))
    assert outage([*old, *new]) == pytest.approx(0.4)
    assert outage(samples((0.0, True), (0.1, False))) is None
