"""A fault at every step of a move, of every kind: the shop has one writer all the while, and two plain runs later all is as it must be.

Wherever a planned or an unplanned move is struck, either the old primary writes on or the new one does, and the next `pulumi up` of each site
finishes whichever it is, workers too. Both orders are played: the operator goes on with the move, or stays where the shop was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.errors import Failed
from scripts.clients.hosts import Unreachable
from scripts.clients.openstack import ApiDown
from scripts.clients.witness_bucket import WitnessDown
from scripts.links.interrupts import Interrupted, _State
from tests.unit.played_pair import Fault, Killed, Pair

RAISED: dict[str, Callable[[], BaseException]] = {
    "a refusal": lambda: Failed("exit code 1: said no"),
    "no way there": lambda: Unreachable("no ssh session"),
    "an API down": lambda: ApiDown("no answer"),
    "a witness down": lambda: WitnessDown("no answer"),
    "no file": lambda: OSError("no space left"),
    "a time-out": TimeoutError,
    "a key missing": lambda: KeyError("facts"),
    "a type wrong": lambda: TypeError("NoneType"),
    "a value wrong": lambda: ValueError("no JSON"),
    "no memory": MemoryError,
    "a key of the operator's": KeyboardInterrupt,
    "a word to end": Interrupted,
    "a kill": Killed,
}
# Whether ssh leads to the old primary, and whether it keeps a lease.
MOVES = {"planned": (True, True), "lost": (False, True), "cut off without a lease": (False, False)}


def played(pair: Pair, *runs: tuple[str, str]) -> list[BaseException]:
    """`pulumi up` of these sites with these requests, one after the other; what they ended in."""
    found: list[BaseException] = []
    for site, request in runs:
        pair.killed, _State.told, _State.raised = False, False, False
        try:
            pair.up(site, request)
        except (Exception, Killed, Interrupted, KeyboardInterrupt) as error:
            if isinstance(error, AssertionError):
                raise
            found.append(error)
    return found


def steps(monkeypatch: pytest.MonkeyPatch, reachable: bool, leased: bool) -> int:
    pair = Pair(reachable, leased).install(monkeypatch)
    assert played(pair, ("b", "b")) == []
    assert (pair.epochs[-1].active, pair.sites["b"].writes, pair.sites["b"].workers) == ("b", True, True)
    return len(pair.steps)


@pytest.mark.parametrize("stays", [False, True], ids=["goes on", "stays"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("move", MOVES)
def test_a_fault_at_any_step_leaves_one_writer_and_is_put_right_by_two_plain_runs(
    monkeypatch: pytest.MonkeyPatch, move: str, raised: str, after: bool, stays: bool
) -> None:
    for at in range(steps(monkeypatch, *MOVES[move])):
        pair = Pair(*MOVES[move], fault=Fault(at, after, RAISED[raised])).install(monkeypatch)
        ended = played(pair, ("b", "b"))
        where = f"step {at} ({pair.steps[at] if at < len(pair.steps) else 'none'}), then {ended!r}"
        pair.fault, pair.reachable = None, True  # whatever it was is over
        moved = pair.epochs[-1].active == "b"
        if move == "planned" and not moved and not isinstance(next(iter(ended), None), Killed):
            assert pair.sites["a"].writes and pair.sites["a"].workers, f"not taken back: {where}"
        request = "a" if stays and not moved else "b"
        order = ("a", "b") if request == "a" else ("b", "a")
        left: list[Any] = played(pair, *((site, request) for site in order))
        assert (pair.settled(), left) == ("", []), where
