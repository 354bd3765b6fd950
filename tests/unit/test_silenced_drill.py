"""How the drills of silences judge: which message is a false alarm, and whether both regions were quiet while something was done and no longer."""

from __future__ import annotations

import pytest

from contract.monitoring.silences import AFTERMATH_S
from lab.namespace import LabError
from lab.rehearsal.drills import silenced
from lab.rehearsal.drills.silenced import SLACK_S, Fault, Look, Step, false_alarms, unsilenced
from lab.rehearsal.receivers import WATCHER, Message


def message(name: str, site: str = "b", at: float = 50.0, *, firing: bool = True) -> Message:
    return Message(at=at, way="slack", name=name, site=site, firing=firing)


@pytest.mark.parametrize(
    ("it", "false"),
    [
        (message("DatabaseHostDown"), False),
        (message("DatabaseHostDown", firing=False), False),
        (message("StandbyMissing", "a"), False),
        (message("MailHangs", "a"), False),
        (message(f"{WATCHER}shop.example: whether region a is well cannot be seen", ""), False),
        (message("DatabaseHostDown", "a"), True),
        (message("StandbyMissing", "b"), True),
        (message("DatabaseHostDown", at=39.0), True),
        (message("ShopDown", ""), True),
        (message("ShopDown", "", firing=False), True),
        (message(f"{WATCHER}shop.example: region a is lost", ""), True),
        (message("unreadable (ValueError): b''", ""), True),
    ],
)
def test_a_message_is_false_unless_a_fault_of_before_explains_it(it: Message, false: bool) -> None:
    faults = [Fault.of_a_host(40.0, "b", "MailHangs")]
    assert false_alarms([it], 10.0, faults) == ([it] if false else [])
    assert false_alarms([it], 10.0, []) == [it]
    assert false_alarms([it], it.at + 1, []) == []  # of before it counted


STEP = Step(words="step 1 of a drill, reboot", began=100.0, ended=160.0)
SAID = ("reboot of region b, db-1.b, by ann: step 1 of a drill, reboot; until 2026-11-30 10:00 UTC",)
LATE = STEP.ended + AFTERMATH_S + SLACK_S + 5


def looks(site: str, *at: float) -> list[Look]:
    """That find its silence, and a last one that finds none."""
    found = [Look(site=site, began=it, at=it + 1, said=SAID) for it in at]
    return [*found, Look(site=site, began=LATE + 10, at=LATE + 11, said=("by hand: another",))]


def test_a_silence_in_both_regions_that_ends_behind_it_is_well() -> None:
    assert unsilenced([*looks("a", 120.0, 165.0), *looks("b", 130.0)], [STEP]) == []


@pytest.mark.parametrize(
    ("of_b", "said"),
    [
        ([], "region b was not quiet"),
        ([165.0], "region b was not quiet"),
        ([159.5], "region b was not quiet"),
        ([130.0, LATE], "region b is quiet 85 s after its end"),
    ],
)
def test_one_that_is_missing_or_stays_is_told_by_its_region(of_b: list[float], said: str) -> None:
    (found,) = unsilenced([*looks("a", 120.0), *looks("b", *of_b)], [STEP])
    assert found.startswith(f"{STEP.words}: {said}")


def test_a_region_that_was_not_looked_at_afterwards_has_not_been_seen_to_end_it() -> None:
    found = unsilenced([*looks("a", 120.0)[:-1], *looks("b", 120.0)], [STEP])
    assert found == [f"{STEP.words}: region a has not been looked at after its silence"]


def test_how_long_it_watches_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(silenced.WATCH_S, "7200")
    assert silenced.wanted_s() == 7200.0
    monkeypatch.setenv(silenced.WATCH_S, "two hours")
    with pytest.raises(LabError, match="DRLAB_WATCH_S: found 'two hours', wanted seconds"):
        silenced.wanted_s()
