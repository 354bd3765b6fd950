"""When a watcher says that a region is lost: after so long of nothing but silence, never by one look, and never while somebody is at work."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from contract.epoch import Epoch
from contract.watch import Watch
from scripts.watch.judging import Event, Judge, What
from scripts.watch.pulse import Answer, Pulse, State, Vantage

TERMS = Watch(every_s=5, lost_after_s=30, part_after_s=120, calm_s=60)
OWN = (Vantage(name="witness", answer=Answer.WELL), Vantage(name="db-1.b", answer=Answer.WELL))
EPOCH = Epoch(epoch=3, active="a", previous="b", planned=True)
W, L, P, B = State.WELL, State.LOST, State.PART, State.BLIND


def region(*answers: Answer) -> tuple[Vantage, ...]:
    return tuple(Vantage(name=f"place {number}", answer=it) for number, it in enumerate(answers))


def pulse(state: State, at: float, *, epoch: Epoch | None = EPOCH, working: str = "") -> Pulse:
    """A look that shows this."""
    answers = {
        W: (Answer.WELL, Answer.WELL),
        L: (Answer.SILENT, Answer.SILENT),
        P: (Answer.WELL, Answer.SILENT),
        B: (Answer.SILENT, Answer.SILENT),
    }[state]
    own = (*OWN, Vantage(name="entrance of b", answer=Answer.SILENT)) if state is B else OWN
    it = Pulse(at=at, epoch=epoch, own=own, region=region(*answers), working=working)
    assert it.state is state
    return it


def fed(pulses: Iterable[Pulse]) -> list[tuple[float, What]]:
    judge = Judge(TERMS)
    return [(it.at, event.what) for it in pulses if (event := judge.feed(it))]


def series(*parts: tuple[State, float], every: float = 5.0, working: str = "") -> list[Pulse]:
    """Looks one after the other, each state for so long."""
    found, at = list[Pulse](), 0.0
    for state, for_s in parts:
        end = at + for_s
        while at < end:
            found.append(pulse(state, at, working=working))
            at += every
    return found


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ((Answer.SILENT, Answer.SILENT, Answer.SILENT), L),
        ((Answer.SILENT, Answer.ILL, Answer.SILENT), P),
        ((Answer.SILENT, Answer.UNKNOWN, Answer.SILENT), P),
        ((Answer.SILENT, Answer.WELL, Answer.SILENT), P),
        ((Answer.WELL, Answer.WELL, Answer.WELL), W),
        ((), P),
    ],
)
def test_lost_is_only_what_is_silent_from_everywhere(answers: tuple[Answer, ...], state: State) -> None:
    assert Pulse(at=0, epoch=EPOCH, own=OWN, region=region(*answers)).state is state


@pytest.mark.parametrize("own", [Answer.SILENT, Answer.ILL, Answer.UNKNOWN])
def test_a_watcher_whose_own_place_is_not_sure_sees_nothing(own: Answer) -> None:
    dead = region(Answer.SILENT, Answer.SILENT)
    places = (OWN[0], Vantage(name="db-1.b", answer=own))
    assert Pulse(at=0, epoch=EPOCH, own=places, region=dead).state is B
    assert Pulse(at=0, epoch=None, own=OWN, region=dead).state is B
    assert Pulse(at=0, epoch=EPOCH, own=(), region=dead).state is B


def test_a_region_is_lost_once_it_was_silent_for_so_long_and_that_is_said_once() -> None:
    assert fed(series((W, 60), (L, 300))) == [(90.0, What.LOST)]


def test_any_other_look_begins_the_time_anew() -> None:
    assert fed(series((L, 25), (P, 5), (L, 25), (B, 5), (L, 25), (W, 10))) == []


def test_a_loss_from_the_first_look_on_takes_as_long() -> None:
    assert fed(series((L, 60))) == [(30.0, What.LOST)]


def test_looks_with_a_gap_between_them_prove_nothing_for_the_gap() -> None:
    """A watcher that stood still has seen two moments, and not what was between."""
    assert fed([pulse(L, 0), pulse(L, 40), pulse(L, 45)]) == []
    assert fed([pulse(L, 0), pulse(L, 40), *(pulse(L, 40.0 + it) for it in range(5, 40, 5))]) == [(70.0, What.LOST)]


def test_what_comes_and_goes_is_told_as_that() -> None:
    """Never silent for long enough, and never well for long enough either."""
    flapping = [(L, 10), (W, 15)] * 12
    events = fed(series((W, 60), *flapping))
    assert [what for _, what in events] == [What.PART]
    assert events[0][0] >= 60 + TERMS.part_after_s


def test_a_part_is_told_late_and_a_watcher_that_is_cut_off_tells_it_of_itself() -> None:
    assert fed(series((W, 60), (P, 200))) == [(180.0, What.PART)]
    assert fed(series((W, 60), (B, 200))) == [(180.0, What.BLIND)]


def test_a_short_trouble_is_nothing() -> None:
    assert fed(series((W, 60), (P, 100), (W, 70), (P, 100), (W, 70))) == []


def test_it_is_over_once_all_was_well_for_so_long() -> None:
    events = fed(series((L, 40), (P, 20), (W, 30), (P, 5), (W, 200)))
    assert events == [(30.0, What.LOST), (155.0, What.OVER)]


def test_a_second_loss_is_told_again() -> None:
    events = fed(series((L, 40), (W, 100), (L, 40)))
    assert [what for _, what in events] == [What.LOST, What.OVER, What.LOST]


def test_nothing_is_decided_while_somebody_is_at_work_and_it_counts_from_the_end_of_that() -> None:
    at_work = series((L, 100), working="ann at desk")
    after = [pulse(L, 100.0 + it) for it in range(0, 60, 5)]
    assert fed(at_work) == []
    assert fed([*at_work, *after]) == [(130.0, What.LOST)]


def test_another_epoch_is_another_region_and_the_end_of_what_was_told() -> None:
    moved = Epoch(epoch=4, active="b", previous="a", planned=False)
    events = fed([*series((L, 40)), pulse(W, 40, epoch=moved), pulse(L, 45, epoch=moved), pulse(L, 70, epoch=moved)])
    assert events == [(30.0, What.LOST), (40.0, What.OVER)]


def test_a_move_of_which_nobody_was_told_before_is_nothing_to_tell() -> None:
    moved = Epoch(epoch=4, active="b", previous="a", planned=True)
    assert fed([*series((W, 40), (P, 20)), pulse(W, 60, epoch=moved)]) == []


def test_an_epoch_that_is_there_at_the_first_look_ends_nothing() -> None:
    assert fed([pulse(W, 0)]) == []


def test_an_event_says_for_how_long() -> None:
    judge, found = Judge(TERMS), list[Event]()
    for it in series((W, 10), (L, 60)):
        if event := judge.feed(it):
            found.append(event)
    assert [event.for_s for event in found] == [30.0]
