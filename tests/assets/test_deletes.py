"""The dangerous half: what may go, when, and everything that must never make an object go."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from scripts.assets.epoch import Epoch
from scripts.assets.state import State, Upload
from scripts.assets.sync import pair_name
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


# --- what refuses to go


def test_a_refused_delete_is_named_and_the_others_go(full: Pair) -> None:
    for key in (b"k0", b"k1", b"k2"):
        full.a.put(b"stays " + key, b"x")
    full.a.remove(b"k0")
    full.a.remove(b"k2")
    full.sync()
    full.b.rule("delete", Fault(403, "AccessDenied"), times=1000, key=b"k1")
    done = full.sync()
    assert (done["code"], done["complete"]) == (1, True)
    assert (done["done"]["deleted"], done["done"]["delete_failed"]) == (2, 1)
    assert [row["key"] for row in done["lists"]["delete_failed"]] == ["k1"]
    assert "1 of 3 could not be deleted, wanted all; the others are; first: k1: target bucket" in done["error"]
    assert sorted(full.b.bodies()) == [b"k1", b"stays k0", b"stays k1", b"stays k2"]
    full.b.rules.clear()
    assert full.sync()["done"] == {"deleted": 1}


@pytest.mark.parametrize("side", ["a", "b"])
def test_what_cannot_be_asked_about_is_not_deleted_and_holds_up_no_other(full: Pair, side: str) -> None:
    full.a.remove(b"k0")
    full.sync()
    getattr(full, side).rule("head", Fault(403), times=1000, key=b"k0")
    done = full.sync()
    assert (done["code"], done["done"]) == (1, {"deleted": 1, "delete_failed": 1})
    assert sorted(full.b.bodies()) == [b"k0", b"k2"]


def test_an_object_of_somebody_else_that_cannot_be_looked_at_holds_up_no_delete(full: Pair) -> None:
    full.b.put(b"locked", b"with a key of its own")
    full.b.rule("head", Fault(400), times=1000, key=b"locked")
    full.sync()
    done = full.sync()
    assert done["done"]["deleted"] == 1
    assert done["lists"]["delete_failed"][0]["key"] == "locked"
    assert (done["code"], done["complete"]) == (1, True)
    assert sorted(full.b.bodies()) == [b"k0", b"k2", b"locked"]


def test_a_target_that_refuses_every_delete_is_not_asked_for_all(pair: Pair) -> None:
    for number in range(60):
        pair.a.put(b"k%02d" % number, b"x")
    pair.sync()
    for number in range(1, 60):
        pair.a.remove(b"k%02d" % number)
    pair.options = replace(OPTIONS, max_deletes_percent=100)
    pair.sync()
    pair.b.rule("delete", Fault(403, "AccessDenied"), times=1000)
    done = pair.sync()
    assert done["code"] == 1
    assert (
        "20 of 59 could not be deleted, wanted all; the rest was not asked for after so many in a row" in done["error"]
    )
    assert pair.b.asked("delete") == 20


def test_an_upload_that_cannot_be_ended_is_named_and_holds_up_no_other(full: Pair) -> None:
    job, begun = full.job(), time.time() - 100
    state = State(job.state_dir, pair_name(job))
    for key in (b"begun", b"other"):
        full.b.uploads[key.decode()] = (key, {}, {}, begun)
        state.begin_upload(Upload(key, "etag", 5, key.decode(), begun))
    state.close()
    full.b.rule("abort", Fault(403, "AccessDenied"), times=1000, key=b"begun")
    done = full.sync()
    assert (done["code"], done["complete"]) == (1, True)
    assert "begun" in done["error"]
    assert [key for key, *_ in full.b.uploads.values()] == [b"begun"]


# --- how many may go


@pytest.fixture
def large(pair: Pair) -> Pair:
    """500 objects on both sides."""
    for number in range(500):
        pair.a.put(b"k%03d" % number, b"x")
    assert pair.sync()["ok"]
    return pair


def gone(pair: Pair, count: int) -> dict[str, Any]:
    """The second run after so many objects were deleted at the source."""
    for number in range(count):
        pair.a.remove(b"k%03d" % number)
    pair.sync()
    return pair.sync()


def test_most_of_what_is_known_is_not_deleted_without_a_word(large: Pair) -> None:
    done = gone(large, 499)
    assert (done["code"], large.b.asked("delete"), len(large.b.bodies())) == (1, 0, 500)
    assert "499 of 500 known objects (99.8 %) are gone at the source, wanted at most 25 %" in done["error"]
    assert done["done"]["delete_held"] == 499
    large.options = replace(OPTIONS, max_deletes_percent=100)
    assert large.sync()["done"] == {"deleted": 499}


def test_the_word_that_the_message_names_lets_it(large: Pair) -> None:
    for count, percent in ((126, 26), (499, 100)):
        error = gone(large, count)["error"]
        assert f"--set max_deletes_percent={percent}`" in error, error
        large.options = replace(OPTIONS, max_deletes_percent=percent)
        assert large.sync()["ok"]
        for number in range(count):
            large.a.put(b"k%03d" % number, b"x")
        large.options = OPTIONS
        assert large.sync()["ok"]


def test_a_share_that_is_let_goes(large: Pair) -> None:
    assert gone(large, 125)["done"] == {"deleted": 125}


def test_the_share_is_of_all_that_is_gone_not_of_what_is_due_now(large: Pair) -> None:
    large.options = replace(OPTIONS, grace_s=0)
    for number in range(100):
        large.a.remove(b"k%03d" % number)
    large.sync()
    for number in range(100, 400):
        large.a.remove(b"k%03d" % number)
    done = large.sync()
    assert (done["code"], large.b.asked("delete")) == (1, 0)
    assert "400 of 500" in done["error"]


def test_what_no_copier_wrote_makes_the_share_no_smaller(large: Pair) -> None:
    for number in range(1500):
        large.b.put(b"mine %04d" % number, b"x")
    assert "400 of 500" in gone(large, 400)["error"]


def test_both_limits_are_told_with_their_words(large: Pair) -> None:
    large.options = replace(OPTIONS, max_deletes=10)
    error = gone(large, 200)["error"]
    assert "200 objects are gone at the source, wanted at most 10" in error
    assert "--set max_deletes=200" in error


def test_a_handful_is_no_share(full: Pair) -> None:
    full.a.remove(b"k2")
    full.sync()
    assert full.sync()["done"] == {"deleted": 2}


def test_a_share_of_nothing_deletes_nothing(full: Pair) -> None:
    full.options = replace(OPTIONS, max_deletes_percent=0)
    full.sync()
    assert (full.sync()["code"], full.b.asked("delete")) == (1, 0)
