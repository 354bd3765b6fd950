"""A copier of a past epoch must not write."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from contract.errors import Refused
from scripts.assets.epoch import Epoch, UnknownEpoch
from tests.assets.conftest import Pair
from tests.assets.stub import Fault


def test_the_copy_carries_its_epoch(pair: Pair) -> None:
    pair.a.put(b"k", b"x")
    assert pair.sync(epoch=7, now=lambda: Epoch(7))["epoch"] == 7
    found = pair.b.current(b"k")
    assert found is not None
    assert found.headers["x-amz-meta-dr-source"].startswith("epoch=7 ")


def test_another_epoch_at_the_start_is_refused(pair: Pair) -> None:
    pair.a.put(b"k", b"x")
    with pytest.raises(Refused, match="5 is in force"):
        pair.sync(epoch=4, now=lambda: Epoch(5))
    assert pair.b.log == []


def test_the_wrong_direction_is_refused(pair: Pair) -> None:
    with pytest.raises(Refused, match="in epoch 4 it is b"):
        pair.sync(epoch=4, source_site="a", target_site="b", now=lambda: Epoch(4, "b"))
    assert pair.a.log + pair.b.log == []


def test_an_epoch_that_nobody_can_tell_is_refused(pair: Pair, tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"epoch": "4"}'):
        (tmp_path / "epoch.json").write_text(text)
        with pytest.raises(Refused, match=r"epoch.json"):
            pair.sync(epoch=4, epoch_file=tmp_path / "epoch.json")
    assert pair.b.log == []


def test_it_stops_when_the_epoch_moves(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "epoch.json"
    path.write_text(json.dumps({"epoch": 4, "active": "a"}))
    for number in range(50):
        pair.a.put(b"k%02d" % number, b"x")
    fresh = tmp_path / "epoch.new"  # whole or not at all, as the host writes it
    fresh.write_text(json.dumps({"epoch": 5, "active": "b"}))
    moves = Fault(before=lambda: fresh.exists() and fresh.replace(path))
    pair.b.rule("put", lambda _: moves if len(pair.b.objects) >= 20 else None, times=1000)
    done = pair.sync(epoch=4, epoch_file=path)
    assert done["code"] == 1
    assert "5 is in force" in done["error"]
    assert 20 <= len(pair.b.bodies()) < 30
    assert done["debt"].count > 0


def test_it_stops_when_the_epoch_cannot_be_told_any_more(pair: Pair) -> None:
    asked = 0

    def now() -> Epoch:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise UnknownEpoch("the witness does not answer")
        return Epoch(4)

    for number in range(20):
        pair.a.put(b"k%02d" % number, b"x")
    done = pair.sync(epoch=4, now=now)
    assert "the witness does not answer" in done["error"]
    assert len(pair.b.bodies()) < 10


def test_a_target_of_a_later_epoch_stops_a_copier_that_was_not_told(pair: Pair) -> None:
    pair.a.put(b"k", b"old")
    pair.b.put(b"k", b"new", x_amz_meta_dr_source=f"epoch=9 etag=abc time={time.time():.3f} version=1")
    done = pair.sync(epoch=4)
    assert done["code"] == 1
    assert "written by a copier of epoch 9" in done["error"]
    assert pair.b.body(b"k") == b"new"


def test_an_older_object_never_overwrites_a_newer_one(pair: Pair) -> None:
    pair.a.put(b"k", b"old", at=time.time() - 100)
    pair.b.put(b"k", b"new")
    done = pair.sync()
    assert (done["done"], done["lists"]["held"][0]["key"]) == ({"held": 1}, "k")
    assert pair.b.body(b"k") == b"new"


def test_an_older_native_object_gives_way_and_stays_as_a_version(pair: Pair) -> None:
    was = pair.b.put(b"k", b"old", at=time.time() - 100)
    pair.a.put(b"k", b"new")
    done = pair.sync()
    assert done["done"] == {"copied": 1, "replaced": 1}
    assert done["lists"]["replaced"] == [
        {"key": "k", "version": was.id, "why": "written at the target, older than the source's"}
    ]
    assert [item.body for item in pair.b.objects[b"k"]] == [b"new", b"old"]


def test_two_stores_with_different_clocks_are_told_apart(pair: Pair) -> None:
    pair.a.clock = 3000
    pair.a.put(b"k", b"older, by a clock that is ahead", at=time.time() - 10 + 3000)
    pair.b.put(b"k", b"newer")
    assert pair.sync()["done"] == {"held": 1}
    assert pair.b.body(b"k") == b"newer"


def test_written_at_the_target_while_it_was_copied(pair: Pair) -> None:
    pair.a.put(b"k", b"from a", at=time.time() - 100)
    pair.a.rule("get", Fault(after=lambda: pair.b.put(b"k", b"app at b")))
    assert pair.sync()["done"] == {"held": 1}
    assert pair.b.body(b"k") == b"app at b"


def test_a_store_without_conditional_writes_is_found_out_and_asked_first(pair: Pair) -> None:
    pair.b.conditional = False
    pair.a.put(b"first", b"x")
    assert pair.sync()["conditional_writes"] is False
    pair.a.put(b"k", b"from a", at=time.time() - 100)
    pair.a.rule("get", Fault(after=lambda: pair.b.put(b"k", b"app at b")))
    assert pair.sync()["done"] == {"held": 1}
    assert pair.b.body(b"k") == b"app at b"


def test_what_could_not_be_kept_as_a_version_is_not_replaced(pair: Pair) -> None:
    pair.b.versioned = False
    pair.b.put(b"k", b"old", at=time.time() - 100)
    pair.a.put(b"k", b"new")
    done = pair.sync()
    assert done["done"] == {"held": 1}
    assert "not versioned" in done["lists"]["held"][0]["why"]
    assert pair.b.body(b"k") == b"old"
