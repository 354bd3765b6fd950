"""Keys of hosts that may too much, or nothing at all: refused before the first epoch, told in each run of the fence, and no matter of a take-over."""

from __future__ import annotations

from typing import Any

import pytest

from contract.buckets import Bucket
from contract.epoch import Epoch
from contract.errors import Refused
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import fence, witness_keys
from tests.unit.test_fence import PlayedWitness, told


def epoch(number: int, active: str) -> Epoch:
    return Epoch(epoch=number, active=active, previous=None, planned=True)


def place(key: str) -> Bucket:
    return Bucket(endpoint="http://w", region="de", bucket="w", access_key=key, secret_key=f"SECRET-{key}")


class Judging:
    """A witness that finds some keys too wide, and is silent about others."""

    def __init__(self, faults: dict[str, str], silent: tuple[str, ...] = ()) -> None:
        self.faults, self.silent = faults, silent

    def fault_of(self, asked: Bucket) -> str:
        if asked.access_key in self.silent:
            raise WitnessDown("witness: no answer")
        return self.faults.get(asked.access_key, "")


KEYS = {user: place(user) for user in ("db.a", "cache.a", "db.b")}


def test_keys_that_are_narrow_or_of_which_nothing_is_said_are_no_matter(capsys: pytest.CaptureFixture[str]) -> None:
    witness: Any = Judging({}, silent=("db.b",))
    for first in (True, False):
        witness_keys.judge(KEYS, witness, first=first)
        witness_keys.judge({}, witness, first=first)
    assert capsys.readouterr().err == ""


def test_a_key_that_may_too_much_is_refused_before_anything_is_built_on_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    witness: Any = Judging({"db.a": "may put too much", "db.b": "is no key"}, silent=("cache.a",))
    with pytest.raises(
        Refused, match=r"the key of db\.a may put too much; the key of db\.b is no key;.*nothing was changed"
    ) as raised:
        witness_keys.judge(KEYS, witness, first=True)
    assert "SECRET" not in str(raised.value)
    witness_keys.judge(KEYS, witness, first=False)
    said = capsys.readouterr().err
    assert said.startswith("WARNING fence: witness: the key of db.a may put too much;") and said.count("\n") == 1
    assert "SECRET" not in said


@pytest.mark.parametrize(("active", "looks"), [("b", True), ("a", False)])
def test_the_fence_looks_where_no_move_waits_for_it(monkeypatch: pytest.MonkeyPatch, active: str, looks: bool) -> None:
    """Region b runs: it stays what it is, or takes over."""
    seen: list[bool] = []
    monkeypatch.setattr(witness_keys, "judge", lambda keys, witness, *, first: seen.append(first))
    monkeypatch.setattr(fence, "Witness", lambda place: PlayedWitness(epoch(1, active)))
    monkeypatch.setattr(fence.Takeover, "run", lambda self: epoch(2, "b"))
    fence.run(told())
    assert seen == ([False] if looks else [])
