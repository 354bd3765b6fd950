"""After a take-over nothing vanishes: `a` lost, `b` won."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Refused
from scripts.assets.epoch import Epoch
from scripts.assets.output import result
from scripts.assets.reconcile import Reconcile
from tests.assets.conftest import Pair


def reconcile(pair: Pair, dry_run: bool = False, now: Callable[[], Epoch] | None = None, **more: Any) -> dict[str, Any]:
    run = Reconcile(pair.job(**more), now)
    run.dry_run = dry_run
    try:
        run.check()
        report = run.sync(lambda _: None)
        return result(run, "reconcile") | {"code": report.error.code if report.error else 0}
    finally:
        run.close()


@pytest.fixture(params=["manifest", "no manifest"])
def forked(pair: Pair, request: pytest.FixtureRequest) -> Pair:
    """Replicated in epoch 1; then `a` took writes that never arrived, died, and `b` took writes in epoch 2."""
    for key in (
        b"same",
        b"changed at a",
        b"changed at b",
        b"changed at both",
        b"deleted at b",
        b"deleted at b, changed at a",
    ):
        pair.a.put(key, b"old " + key, at=time.time() - 1000)
    pair.a.put(b"large", os.urandom(700_000), at=time.time() - 1000)
    assert pair.sync(epoch=1)["ok"]
    soon = time.time() + 10
    pair.a.put(b"only at a", b"acknowledged just before the kill", at=soon)
    for key in (b"changed at a", b"changed at both", b"deleted at b, changed at a"):
        pair.a.put(key, b"a's " + key, at=soon)
    pair.b.put(b"only at b", b"written in epoch 2", at=soon + 10)
    for key in (b"changed at b", b"changed at both"):
        pair.b.put(key, b"b's " + key, at=soon + 10)
    pair.b.remove(b"deleted at b")
    pair.b.remove(b"deleted at b, changed at a")
    if request.param == "no manifest":
        (pair.folder / "state" / "state.db").unlink()
    return pair


def test_nothing_vanishes_and_the_epoch_decides(forked: Pair) -> None:
    done = reconcile(forked, epoch=2)
    assert done["code"] == 0, done["error"]
    assert {name: sorted(row["key"] for row in rows) for name, rows in done["lists"].items()} == {
        "restored": ["changed at a", "only at a"],
        "conflict": ["changed at both", "deleted at b, changed at a"],
        "deleted_at_winner": ["deleted at b"],
        "superseded": ["changed at b"],
    }
    bodies = forked.b.bodies()
    del bodies[b"large"]
    assert bodies == {
        b"same": b"old same",
        b"changed at a": b"a's changed at a",
        b"changed at b": b"b's changed at b",
        b"changed at both": b"b's changed at both",
        b"only at a": b"acknowledged just before the kill",
        b"only at b": b"written in epoch 2",
    }
    # What was replaced at the winner stays there as a version.
    assert [item.body for item in forked.b.objects[b"changed at a"]] == [b"a's changed at a", b"old changed at a"]


def test_a_second_time_changes_nothing(forked: Pair) -> None:
    reconcile(forked, epoch=2)
    before = forked.b.asked("put", "complete", "delete")
    again = reconcile(forked, epoch=2)
    assert "restored" not in again["done"]
    assert forked.b.asked("put", "complete", "delete") == before


def test_the_sync_that_follows_keeps_what_lost_as_a_version(forked: Pair) -> None:
    listed = reconcile(forked, epoch=2)["lists"]["conflict"]
    forked.a, forked.b = forked.b, forked.a
    done = forked.sync(epoch=2, state_dir=forked.folder / "back")
    assert done["ok"], done["error"]
    version = next(row["loser_version"] for row in listed if row["key"] == "changed at both")
    history = {item.id: item.body for item in forked.b.objects[b"changed at both"]}
    assert history[version] == b"a's changed at both"
    assert forked.b.body(b"changed at both") == b"b's changed at both"
    assert forked.b.body(b"only at b") == b"written in epoch 2"
    # A large object that came from there does not go back.
    assert len(forked.b.objects[b"large"]) == 1
    assert done["done"]["copied"] == 3


def test_deletes_of_the_winner_follow_later_and_not_at_once(forked: Pair) -> None:
    reconcile(forked, epoch=2)
    forked.a, forked.b = forked.b, forked.a
    for _ in range(3):
        forked.sync(epoch=2, state_dir=forked.folder / "back")
    assert forked.b.body(b"deleted at b, changed at a") == b"a's deleted at b, changed at a"


def test_dry_run_decides_and_changes_nothing(forked: Pair) -> None:
    before = forked.b.asked("put", "delete", "complete")
    done = reconcile(forked, dry_run=True, epoch=2)
    assert sorted(row["key"] for row in done["lists"]["restored"]) == ["changed at a", "only at a"]
    assert forked.b.asked("put", "delete", "complete") == before


def test_an_empty_losing_side_is_no_error(forked: Pair) -> None:
    forked.a.objects.clear()
    assert reconcile(forked, epoch=2)["code"] == 0
    assert forked.b.asked("delete") == 0


def test_without_versions_it_is_refused(forked: Pair) -> None:
    forked.a.versioned = False
    with pytest.raises(Refused, match="wanted versioning"):
        reconcile(forked, epoch=2)


def test_it_writes_to_the_active_side_only(pair: Pair) -> None:
    with pytest.raises(Refused, match="wants b to be active; in epoch 2 it is a"):
        reconcile(pair, epoch=2, source_site="a", target_site="b", now=lambda: Epoch(2, "a"))


def test_the_command_leaves_a_list(forked: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    code, done, err = forked.cli(capsys, "reconcile", "--epoch", "2", document={"options": {"carry_acl": "never"}})
    assert (code, err) == (0, "")
    assert done is not None
    rows = [json.loads(line) for line in Path(done["listing"]).read_text().splitlines()]
    assert sorted(row["key"] for row in rows if row["what"] == "conflict") == [
        "changed at both",
        "deleted at b, changed at a",
    ]
