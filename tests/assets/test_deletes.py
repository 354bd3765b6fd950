"""The dangerous half: what may go, when, and everything that must never make an object go."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from scripts.assets.epoch import Epoch
from tests.assets.conftest import OPTIONS, Pair
from tests.assets.stub import Fault, Request, listing


@pytest.fixture
def full(pair: Pair) -> Pair:
    """Three objects on both sides, then `k1` deleted at the source."""
    for number in range(3):
        pair.a.put(b"k%d" % number, b"x")
    assert pair.sync()["ok"]
    pair.a.remove(b"k1")
    return pair


def test_only_the_second_complete_listing_deletes(full: Pair) -> None:
    assert full.sync()["done"] == {"delete_waits": 1}
    assert full.b.body(b"k1") == b"x"
    done = full.sync()
    assert done["done"] == {"deleted": 1}
    assert full.b.body(b"k1") is None


def test_a_delete_is_a_marker_that_can_be_taken_back(full: Pair) -> None:
    full.sync()
    kept = full.b.current(b"k1")
    version = full.sync()["lists"]["deleted"][0]["version"]
    assert kept is not None
    assert version == kept.id
    assert [item.body for item in full.b.objects[b"k1"]] == [None, b"x"]


def test_the_grace_time_counts_from_the_first_listing_without_it(full: Pair) -> None:
    full.options = replace(OPTIONS, grace_s=3600)
    for _ in range(3):
        assert full.sync()["done"] == {"delete_waits": 1}
    assert full.b.body(b"k1") == b"x"


def test_back_at_the_source_it_starts_afresh(full: Pair) -> None:
    full.sync()
    full.a.put(b"k1", b"x")
    full.sync()
    full.a.remove(b"k1")
    assert full.sync()["done"] == {"delete_waits": 1}
    assert full.b.body(b"k1") == b"x"


def test_an_empty_source_is_refused(full: Pair) -> None:
    full.a.objects.clear()
    for _ in range(3):
        done = full.sync()
        assert (done["code"], done["done"]) == (3, {})
    assert len(full.b.bodies()) == 3


def test_an_empty_listing_of_a_full_store_is_refused(full: Pair) -> None:
    full.a.rule("list", Fault(body=listing([], bucket="assets-a")), times=3)
    for _ in range(3):
        assert full.sync()["code"] == 3
    assert len(full.b.bodies()) == 3


def test_a_listing_that_fails_half_way_deletes_nothing(full: Pair) -> None:
    for number in range(3, 6):
        full.a.put(b"k%d" % number, b"x")
    full.sync(options=replace(OPTIONS, deletes=False), state_dir=full.folder / "other")
    full.a.page = 2
    for _ in range(3):
        full.a.rule(
            "list", lambda request: Fault(503, "SlowDown") if "continuation-token" in request.query else None, times=100
        )
        done = full.sync()
        assert (done["code"], done["complete"], full.b.asked("delete")) == (1, False, 0)
        full.a.rules.clear()
    # Nor does it count as one of the two listings.
    full.a.page = 1000
    assert full.sync()["done"] == {"delete_waits": 1}


ROW = "<Contents><Key>{}</Key><Size>1</Size><ETag>x</ETag><LastModified>2026-11-25T10:00:00Z</LastModified></Contents>"
SAME_TOKEN = "<NextContinuationToken>azA=</NextContinuationToken>"


def lying(*keys: str, **more: Any) -> bytes:
    return listing([ROW.format(key) for key in keys], **{"bucket": "assets-a", **more})


# Believed, each of these would be a listing without k1 and k2.
LIES = {
    "cut off and gives no token": lying("k0", more=True),
    "answer is no XML": b"<html>busy",
    "answer is of bucket assets-x": lying("k0", bucket="assets-x"),
    "KeyCount says 2, there are 1": lying("k0", count=2),
    "goes round in circles": lying(more=True, token=SAME_TOKEN),
    "answer is a ListAllMyBucketsResult": b"<ListAllMyBucketsResult/>",
    "an entry cannot be read": lying("k0").replace(b"<Size>1<", b"<Size>big<"),
    "LastModified 'yesterday'": lying("k0").replace(b"2026-11-25T10:00:00Z", b"yesterday"),
    "wanted byte order": lying("k2", "k0"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_listing_fails_and_deletes_nothing(full: Pair, lie: str) -> None:
    full.a.rule("list", Fault(body=LIES[lie]), times=1000)
    for _ in range(3):
        done = full.sync()
        assert (done["code"], lie in done["error"]) == (1, True), done["error"]
    assert (full.b.asked("delete"), full.a.asked("list") < 12) == (0, True)
    assert len(full.b.bodies()) == 3


def test_a_key_of_another_prefix_is_a_lie(full: Pair) -> None:
    ends = {name: replace(getattr(full.job(), name), prefix="k") for name in ("source", "target")}
    full.a.rule("list", Fault(body=lying("other")), times=9)
    done = full.sync(**ends, state_dir=full.folder / "prefix")
    assert (done["code"], "is outside the prefix" in done["error"]) == (1, True)


def test_a_key_that_is_not_listed_and_there_when_asked_stops_all_deletes(full: Pair) -> None:
    full.a.put(b"k1", b"x")

    def without(_: Request) -> Fault:
        rows = []
        for key in (b"k0", b"k2"):
            found = full.a.current(key)
            assert found is not None
            time_text = (
                time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(found.time)) + f".{int(found.time % 1 * 1000):03d}Z"
            )
            rows.append(
                f"<Contents><Key>{key.decode()}</Key><Size>1</Size><ETag>{found.etag}</ETag><LastModified>{time_text}</LastModified></Contents>"
            )
        return Fault(body=listing(rows, bucket="assets-a"))

    full.a.rule("list", without, times=2)
    assert full.sync()["done"] == {"delete_waits": 1}
    done = full.sync()
    assert done["code"] == 1
    assert "does not list k1" in done["error"]
    assert full.b.asked("delete") == 0


def test_an_empty_page_in_the_middle_is_no_end(pair: Pair) -> None:
    pair.a.page = 2
    for number in range(4):
        pair.a.put(b"k%d" % number, b"x")
    token = "<NextContinuationToken>azE=</NextContinuationToken>"  # after k1
    pair.a.rule(
        "list",
        lambda r: (
            Fault(body=listing([], bucket="assets-a", more=True, token=token))
            if "continuation-token" not in r.query
            else None
        ),
    )
    assert pair.sync()["done"] == {"copied": 2}
    pair.a.rules.clear()
    assert pair.sync()["done"] == {"copied": 2}


def test_more_than_max_deletes_are_none(full: Pair) -> None:
    full.options = replace(OPTIONS, max_deletes=1)
    full.a.remove(b"k2")
    full.sync()
    done = full.sync()
    assert done["code"] == 1
    assert "at least 2 objects are gone" in done["error"]
    assert full.b.asked("delete") == 0
    full.options = OPTIONS
    assert full.sync()["done"] == {"deleted": 2}


def test_deletes_can_be_switched_off(full: Pair) -> None:
    full.options = replace(OPTIONS, deletes=False)
    for _ in range(3):
        assert full.sync()["ok"]
    assert full.b.asked("delete") == 0


def test_none_while_a_move_is_under_way(full: Pair) -> None:
    full.sync()
    done = full.sync(now=lambda: Epoch(1, "a", moving=True))
    assert done["code"] == 1
    assert "a move is under way" in done["error"]
    assert full.b.asked("delete") == 0


def test_none_in_a_bucket_without_versions(full: Pair) -> None:
    full.b.versioned = False
    full.sync()
    done = full.sync()
    assert done["code"] == 1
    assert "not versioned" in done["error"]
    assert full.b.asked("delete") == 0


def test_what_no_copier_wrote_is_not_deleted(full: Pair) -> None:
    full.b.put(b"mine", b"written here")
    for _ in range(4):
        full.sync()
    assert full.b.bodies() == {b"k0": b"x", b"k2": b"x", b"mine": b"written here"}


def test_what_changed_at_the_target_is_not_deleted(full: Pair) -> None:
    full.sync()
    full.b.put(b"k1", b"written here")
    done = full.sync()
    assert (done["code"], done["done"]) == (0, {"kept": 1})
    assert full.b.body(b"k1") == b"written here"


def test_what_changes_at_the_last_moment_is_not_deleted(full: Pair) -> None:
    full.sync()
    full.b.rule("head", Fault(after=lambda: full.b.put(b"k1", b"just now")), key=b"k1")
    assert full.sync()["done"] == {"kept": 1}
    assert full.b.body(b"k1") == b"just now"


def test_a_lost_manifest_does_not_delete_sooner(full: Pair) -> None:
    full.sync()
    (full.folder / "state" / "state.db").unlink()
    for _ in range(2):
        assert full.sync()["done"] == {"delete_waits": 1}
    assert full.b.body(b"k1") == b"x"
    assert full.sync()["done"] == {"deleted": 1}
