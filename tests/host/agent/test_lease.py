"""The lease's rules, in invented seconds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contract.lease import Lease
from scripts.host.agent import lease
from scripts.host.agent.lease import HELD, STOPPED, Action, Heard, Memory, Newest
from scripts.host.frame.rolefile import FENCED, PRIMARY, STANDBY, Role

TERMS = Lease()
ROLE = Role("a", "b", PRIMARY, 3)
OURS, THEIRS = Newest(3, "a", False, 1000, 900), Newest(4, "b", False, 1000, 1000)


def decide(memory: Memory, now: float = 1000.0, **heard: object) -> lease.Decision:
    return lease.decide(TERMS, memory, Heard(**{"now": now, "role": ROLE, **heard}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "contact", [{"witness_at": 970.5}, {"granted_at": 970.5, "granted_epoch": 3}, {"begun": 970.5}]
)
def test_one_contact_within_the_lease_is_enough(contact: dict[str, float]) -> None:
    memory = Memory(**contact)  # type: ignore[arg-type]
    assert decide(memory).action is Action.NONE
    later = decide(memory, 1000.5)
    assert (later.action, later.memory.state) == (Action.STOP, STOPPED)
    assert later.message is not None and "nobody heard for 30 s" in later.message


def test_the_youngest_contact_counts() -> None:
    assert decide(Memory(witness_at=100, granted_at=999, granted_epoch=3)).action is Action.NONE
    assert decide(Memory(witness_at=999, granted_at=100, granted_epoch=3)).action is Action.NONE


def test_a_grant_of_another_epoch_is_none() -> None:
    assert decide(Memory(granted_at=999, granted_epoch=2)).action is Action.STOP


def test_a_contact_from_the_future_is_none() -> None:
    assert decide(Memory(witness_at=5000)).action is Action.STOP


@pytest.mark.parametrize("role", [None, Role("a", "b", STANDBY, 3), Role("a", "b", FENCED, 3)])
def test_who_is_no_primary_has_no_lease(role: Role | None) -> None:
    found = decide(Memory(state=STOPPED, why="x"), role=role, newest=THEIRS)
    assert (found.action, found.memory.state, found.memory.why) == (Action.NONE, HELD, None)


@pytest.mark.parametrize("role", [Role("a", "b", STANDBY, 3), Role("a", "b", FENCED, 3)])
def test_a_writer_without_the_role_is_stopped_and_a_primary_is_none(role: Role) -> None:
    found = decide(Memory(), role=role, unwanted=True)
    assert found.action is Action.STOP and f"this host is {role.role} in epoch 3" in str(found.message)
    assert decide(Memory(witness_at=999), unwanted=True).action is Action.NONE
    assert decide(Memory(), role=None, unwanted=True).action is Action.NONE, "who has no role was never converged"


def test_a_newer_epoch_of_the_other_side_stops_at_once() -> None:
    found = decide(Memory(witness_at=1000), newest=THEIRS)
    assert found.action is Action.STOP and "epoch 4" in str(found.message)
    assert decide(Memory(witness_at=1000), newest=replace(THEIRS, active="a")).action is Action.NONE
    assert decide(Memory(witness_at=1000), newest=Newest(2, "b", False, 1000, 1)).action is Action.NONE


def test_a_cache_waits_for_its_handover_but_not_for_ever_and_a_database_never() -> None:
    planned, memory = replace(THEIRS, planned=True), Memory(witness_at=1119)
    assert decide(memory, 1119, newest=planned, handover=True).action is Action.NONE
    assert decide(memory, 1120, newest=planned, handover=True).action is Action.STOP
    assert decide(memory, 1119, newest=THEIRS, handover=True).action is Action.STOP
    assert decide(memory, 1119, newest=planned).action is Action.STOP


def test_what_certainly_does_not_write_is_left_alone() -> None:
    assert decide(Memory(witness_at=1000), newest=THEIRS, writes=False).action is Action.NONE
    assert decide(Memory(witness_at=1), writes=False).action is Action.NONE
    assert decide(Memory(witness_at=1), writes=None).action is Action.STOP


def test_it_is_said_once_and_stopped_again_when_somebody_starts_it() -> None:
    first = decide(Memory(witness_at=900))
    second = decide(first.memory, 1002, running=False)
    assert (second.action, second.message) == (Action.NONE, None)
    superseded = decide(first.memory, 1004, running=False, newest=THEIRS)
    assert superseded.action is Action.NONE and "stays down" in str(superseded.message)
    assert decide(superseded.memory, 1006, running=False, newest=THEIRS).message is None
    assert decide(superseded.memory, 1006, running=True, newest=THEIRS).action is Action.STOP


def stopped(**contact: object) -> Memory:
    return Memory(state=STOPPED, why="silence", stopped_at=990, **contact)  # type: ignore[arg-type]


def test_heard_again_in_the_same_epoch_it_starts() -> None:
    found = decide(stopped(witness_at=999), newest=OURS, running=False)
    assert found.action is Action.START and "the witness" in str(found.message)
    assert decide(found.memory, 1001, newest=OURS, running=True).memory.state == HELD


@pytest.mark.parametrize(
    ("contact", "newest"),
    [
        ({"witness_at": 999}, None),  # an empty witness
        ({"witness_at": 999}, replace(OURS, asked_at=989)),  # what it said before the silence
        ({"witness_at": 999}, replace(OURS, epoch=2)),
        ({"witness_at": 999}, Newest(5, "a", False, 1000, 1)),  # the other side was active in between
        (
            {"witness_at": 999, "granted_at": 999, "granted_epoch": 3},
            None,
        ),  # the witness speaks, so the counterpart does not decide
        ({"granted_at": 999, "granted_epoch": 2}, None),
        ({"granted_at": 985, "granted_epoch": 3}, None),  # granted before it was stopped
    ],
)
def test_nothing_less_starts_it(contact: dict[str, object], newest: Newest | None) -> None:
    assert decide(stopped(**contact), newest=newest, running=False).action is Action.NONE


def test_where_the_witness_is_silent_the_counterparts_grant_starts_it() -> None:
    found = decide(
        stopped(witness_at=900, granted_at=999, granted_epoch=3), newest=replace(OURS, asked_at=900), running=False
    )
    assert found.action is Action.START and "the counterpart" in str(found.message)


def test_attempts_become_rarer() -> None:
    memory, now, starts = stopped(witness_at=1e9, granted_at=None), 1000.0, []
    while now < 1200:
        found = decide(replace(memory, witness_at=now), now, newest=replace(OURS, asked_at=now), running=False)
        memory = found.memory
        if found.action is Action.START:
            starts.append(now - 1000)
        now += 1
    assert starts == [0, 5, 15, 35, 75, 135, 195]


def test_an_override_holds_against_silence_in_its_epoch_and_never_against_a_newer_one() -> None:
    assert decide(Memory(witness_at=1), override=3).action is Action.NONE
    assert decide(Memory(witness_at=1), override=2).action is Action.STOP
    assert decide(Memory(witness_at=1), override=3, newest=THEIRS).action is Action.STOP


def test_a_restarted_agent_goes_on_with_the_old_lease() -> None:
    old = Memory(witness_at=980)
    assert lease.first(old, 1009, primary=True, running=True) is old
    assert decide(lease.first(old, 1009, primary=True, running=True), 1011).action is Action.STOP


def test_after_a_boot_a_running_primary_has_one_lease_and_one_that_is_down_waits_to_be_heard() -> None:
    runs = lease.first(None, 1000, primary=True, running=True)
    assert decide(runs, 1029).action is Action.NONE and decide(runs, 1031).action is Action.STOP
    down = lease.first(None, 1000, primary=True, running=False)
    assert down.state == STOPPED
    assert decide(down, 1001, running=False).action is Action.NONE
    assert (
        decide(replace(down, witness_at=1002), 1003, running=False, newest=replace(OURS, asked_at=1002)).action
        is Action.START
    )
    assert lease.first(None, 1000, primary=False, running=False).state == HELD


def test_the_deadline_is_the_last_contacts() -> None:
    assert lease.deadline(TERMS, Memory(witness_at=980, begun=970), ROLE) == 1010
    assert lease.deadline(TERMS, stopped(), ROLE) is None
    assert lease.deadline(TERMS, Memory(witness_at=980), ROLE.but(STANDBY)) is None


def held(memory: Memory, now: float = 1000.0, **heard: object) -> float | None:
    return lease.held_until(TERMS, memory, Heard(**{"now": now, "role": ROLE, **heard}))  # type: ignore[arg-type]


def test_the_dead_man_is_told_when_the_lease_is_over_and_never_later_than_the_agent_would_stop() -> None:
    for memory in (Memory(witness_at=980, begun=970), Memory(granted_at=980, granted_epoch=3), Memory(begun=980)):
        assert held(memory) == 1010
        assert decide(memory, 1010.0).action is Action.STOP and decide(memory, 1009.9).action is Action.NONE
    assert held(Memory()) is None and held(Memory(granted_at=999, granted_epoch=2)) is None
    assert held(Memory(witness_at=5000)) is None, "a contact from the future is none"


def test_the_dead_man_leaves_alone_what_the_agent_would() -> None:
    assert held(Memory(), role=ROLE.but(STANDBY)) == held(Memory(), role=None) == 1030
    assert (
        held(Memory(), writes=False) == 1030
        and held(Memory(), override=3) == 1030
        and held(Memory(), override=2) is None
    )
    assert held(Memory(witness_at=999), newest=THEIRS) is None
    assert held(Memory(witness_at=999), newest=THEIRS, writes=False) == 1030
    planned = replace(THEIRS, planned=True)
    assert held(Memory(witness_at=1119), 1119, newest=planned, handover=True) == 1149
    assert held(Memory(witness_at=1119), 1120, newest=planned, handover=True) is None


def test_what_was_stopped_may_start_once_it_is_heard_again() -> None:
    assert held(stopped(witness_at=900)) == 930 and held(stopped(witness_at=999), newest=OURS) == 1029


def missed(before: Memory, after: Memory, **heard: object) -> lease.Decision | None:
    return lease.missed(TERMS, before, after, Heard(**{"now": 1000.0, "role": ROLE, **heard}))  # type: ignore[arg-type]


def test_a_lease_that_was_over_between_two_contacts_stops_first_and_asks_then() -> None:
    before, after = Memory(witness_at=960), Memory(witness_at=999)
    found = missed(before, after, newest=OURS)
    assert found is not None and (found.action, found.memory.state, found.memory.witness_at) == (
        Action.STOP,
        STOPPED,
        999,
    )
    assert "nobody had heard this host for 39 s" in str(found.message)
    later = replace(found.memory, witness_at=1002)
    assert decide(later, 1003, running=False, newest=replace(OURS, asked_at=999)).action is Action.NONE, "asked before"
    assert decide(later, 1003, running=False, newest=replace(OURS, asked_at=1002)).action is Action.START


def test_a_service_that_was_stopped_meanwhile_by_another_is_started_again_once_the_epoch_is_known() -> None:
    """The dead-man does not wait for an agent that is late, and nobody but the agent starts what it has stopped."""
    found = missed(Memory(witness_at=960), Memory(witness_at=999), running=False, newest=OURS)
    assert found is not None and (found.memory.state, found.memory.stopped_at) == (STOPPED, 1000)
    later = replace(found.memory, witness_at=1002)
    assert decide(later, 1003, running=False, newest=replace(OURS, asked_at=999)).action is Action.NONE, "asked before"
    assert decide(later, 1003, running=False, newest=replace(OURS, asked_at=1002)).action is Action.START


def test_what_the_dead_man_has_stopped_because_nobody_told_it_is_started_again() -> None:
    """As where `/run/dr` could not be written: the lease is held, and the service is down all the same."""
    held = Memory(witness_at=999)
    assert decide(held, running=False, newest=OURS).memory == held, "somebody has stopped it on purpose"
    assert decide(held, running=True, untold=True, newest=OURS).memory == held
    found = decide(held, running=False, untold=True, newest=OURS)
    assert found.memory.state == STOPPED and "dead-man" in str(found.memory.why)
    later = replace(found.memory, witness_at=1002)
    assert decide(later, 1003, running=False, newest=replace(OURS, asked_at=1002)).action is Action.START


@pytest.mark.parametrize(
    ("before", "after", "heard"),
    [
        (Memory(witness_at=970), Memory(witness_at=999), {}),
        (
            Memory(witness_at=960, granted_at=980, granted_epoch=3),
            Memory(witness_at=999, granted_at=980, granted_epoch=3),
            {},
        ),
        (Memory(witness_at=960), Memory(witness_at=960), {}),  # nothing new: the lease itself decides
        (Memory(witness_at=960), Memory(witness_at=999), {"writes": False}),
        (Memory(witness_at=960), Memory(witness_at=999), {"override": 3}),
        (Memory(witness_at=960), Memory(witness_at=999), {"role": ROLE.but(STANDBY)}),
        (Memory(state=STOPPED, witness_at=960), Memory(state=STOPPED, witness_at=999), {}),
        (Memory(), Memory(witness_at=999), {}),  # the first contact of all
    ],
)
def test_nothing_was_missed(before: Memory, after: Memory, heard: dict[str, object]) -> None:
    assert missed(before, after, **heard) is None


def test_what_the_machines_clock_has_not_counted_counts() -> None:
    memory = lease.aged(Memory(witness_at=999, begun=900), 60.0)
    assert (memory.witness_at, memory.begun, memory.granted_at) == (939, 840, None)
    assert decide(memory).action is Action.STOP and held(memory) == 969
    assert lease.aged(Memory(), 60.0) == Memory()
