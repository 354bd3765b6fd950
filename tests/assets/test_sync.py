"""The plain way: what arrives, what it costs, and that a second run does nothing."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.assets.conftest import OPTIONS, Pair
from tests.assets.stub import Fault

HOSTILE = [
    b"a",
    b"a/",
    b"a/b",
    b"a//b",
    b"/lead",
    b"./c",
    b"../d",
    b"e/../f",
    b"dir/",
    b"C++ notes.txt",
    b"a%2Bb.txt",
    b"50% off #1?.jpg",
    b"a&b=c.png",
    b"a  b.png",
    b"cr\rlf\n\x01.bin",
    b"%2F",
    "grüße/😀.png".encode(),
    "e\u0301".encode(),
    "é".encode(),
    b"~tilde'(x)!*",
    b"x" * 1024,
    b"\xef\xbf\xbf",
    "\U0001f600".encode(),
]


def test_every_key_that_s3_allows_arrives_under_its_own_name(pair: Pair) -> None:
    for number, key in enumerate(HOSTILE):
        pair.a.put(key, b"" if key.endswith(b"/") else b"%d" % number)
    first = pair.sync()
    assert first["ok"], first["error"]
    assert pair.b.bodies() == pair.a.bodies()
    assert pair.sync()["done"] == {}


def test_a_listing_that_encodes_slashes_is_decoded_once(pair: Pair) -> None:
    pair.a.encode_slash = True
    for key in (b"a/b", b"a%2Fb", b"c+d"):
        pair.a.put(key, key)
    assert pair.sync()["ok"]
    assert pair.b.bodies() == pair.a.bodies()


def test_one_list_one_get_one_put_and_nothing_else(pair: Pair) -> None:
    for number in range(1100):
        pair.a.put(b"k%04d" % number, b"x")
    done = pair.sync()
    assert done["requests"]["source"] == {"get": 1100, "list": 2, "ownership": 1}
    # One more, once for a pair: does the target refuse a second create?
    assert done["requests"]["target"] == {"list": 1, "put": 1101}
    assert done["conditional_writes"] is True


def test_no_change_costs_two_listings(pair: Pair) -> None:
    for number in range(1100):
        pair.a.put(b"k%04d" % number, b"x")
    pair.sync()
    again = pair.sync()
    assert (again["requests"], again["same"], again["done"]) == (
        {"source": {"list": 2}, "target": {"list": 2}},
        1100,
        {},
    )


def test_without_its_memory_it_copies_nothing_again(pair: Pair) -> None:
    pair.a.put(b"old", b"x" * 10, at=time.time() - 100)
    pair.a.put(b"fresh", b"y" * 10)
    pair.a.put(b"parts", b"z" * 10, etag="0123456789abcdef0123456789abcdef-2")
    pair.sync()
    (pair.folder / "state" / "state.db").unlink()
    again = pair.sync()
    assert (again["same"], again["done"], len(pair.b.objects)) == (3, {}, 3)
    assert all(len(versions) == 1 for versions in pair.b.objects.values())


def test_a_change_of_the_same_size_is_seen(pair: Pair) -> None:
    pair.a.put(b"k", b"one")
    pair.sync()
    pair.a.put(b"k", b"two", at=time.time() + 1)
    assert pair.sync()["done"] == {"copied": 1}
    assert pair.b.body(b"k") == b"two"


def test_a_change_of_metadata_alone_is_seen(pair: Pair) -> None:
    pair.a.put(b"k", b"one", content_type="text/plain")
    pair.sync()
    pair.a.put(b"k", b"one", content_type="image/png", at=time.time() + 5)
    assert pair.sync()["done"] == {"copied": 1}
    found = pair.b.current(b"k")
    assert found and found.headers["content-type"] == "image/png"


def test_a_change_at_the_target_is_seen(pair: Pair) -> None:
    pair.a.put(b"k", b"one")
    pair.sync()
    pair.b.put(b"k", b"two", at=time.time() + 60)
    done = pair.sync()
    assert done["done"] == {"held": 1}
    assert done["debt"].count == 1
    assert pair.b.body(b"k") == b"two"


def undone(pair: Pair, runs: int = 1) -> None:
    """`k` was overwritten at the source and copied; then its newest version was deleted there, so the one before is current again."""
    pair.a.put(b"k", b"one", at=time.time() - 1000)
    pair.a.put(b"k", b"two", at=time.time() - 500)
    for _ in range(runs):
        assert pair.sync()["ok"]
    del pair.a.objects[b"k"][0]


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("manifest", [True, False])
def test_an_overwrite_that_was_undone_at_the_source_is_undone_at_the_target(
    pair: Pair, manifest: bool, runs: int
) -> None:
    undone(pair, runs)
    if not manifest:
        (pair.folder / "state" / "state.db").unlink()
    done = pair.sync()
    assert (done["code"], done["done"]) == (0, {"copied": 1, "replaced": 1})
    assert done["lists"]["replaced"][0]["key"] == "k"
    assert "went back to an older version" in done["lists"]["replaced"][0]["why"]
    assert [item.body for item in pair.b.objects[b"k"]] == [b"one", b"two"]
    assert pair.sync()["done"] == {}


def test_what_nobody_copied_and_both_had_follows_an_undo_too(pair: Pair) -> None:
    # The platform's own replication writes no note of a copier's; the manifest saw that both were the same.
    pair.a.put(b"k", b"one", at=time.time() - 1000)
    pair.a.put(b"k", b"two", at=time.time() - 500)
    pair.b.put(b"k", b"two", at=time.time() - 490)
    assert pair.sync()["same"] == 1
    del pair.a.objects[b"k"][0]
    assert pair.sync()["done"] == {"copied": 1, "replaced": 1}
    assert pair.b.body(b"k") == b"one"


def test_an_undo_at_the_source_does_not_undo_what_was_written_at_the_target(pair: Pair) -> None:
    undone(pair)
    pair.b.put(b"k", b"mine", at=time.time())
    assert pair.sync()["done"] == {"held": 1}
    assert pair.b.body(b"k") == b"mine"


def test_an_undo_is_held_where_the_target_could_not_take_it_back(pair: Pair) -> None:
    pair.b.versioned = False
    undone(pair)
    done = pair.sync()
    assert done["done"] == {"held": 1}
    assert "not versioned" in done["lists"]["held"][0]["why"]
    assert pair.b.body(b"k") == b"two"


def test_an_older_version_that_the_listing_does_not_show_is_no_undo(pair: Pair) -> None:
    # A store half of which is behind: it lists the newest version, and hands out one that is older than the copy.
    pair.a.put(b"k", b"one", at=time.time() - 1000)
    pair.a.put(b"k", b"two", at=time.time() - 500)
    assert pair.sync()["ok"]
    newest = pair.a.put(b"k", b"three")

    def behind() -> None:
        pair.a.objects[b"k"] = [item for item in pair.a.objects[b"k"] if item.body == b"one"]

    pair.a.rule("get", Fault(before=behind))
    done = pair.sync()
    assert done["done"] == {"held": 1}
    assert "lists another version than it hands out" in done["lists"]["held"][0]["why"]
    assert pair.b.body(b"k") == b"two"
    pair.a.add(b"k", newest)
    assert pair.sync()["ok"]
    assert pair.b.body(b"k") == b"three"


def test_etags_of_parts_are_not_compared(pair: Pair) -> None:
    pair.a.put(b"k", os.urandom(100), etag="0" * 32 + "-4")
    assert pair.sync()["done"] == {"copied": 1}
    assert pair.sync()["done"] == {}
    pair.a.put(b"k", os.urandom(100), etag="1" * 32 + "-4", at=time.time() + 1)
    assert pair.sync()["done"] == {"copied": 1}
    assert pair.b.body(b"k") == pair.a.body(b"k")


EVERYTHING: dict[str, Any] = {
    "content_type": "text/css",
    "cache_control": "max-age=60",
    "content_disposition": 'attachment; filename="grüße.css"'.encode().decode("latin-1"),
    "content_encoding": "gzip",
    "content_language": "de",
    "expires": "Sun, 21 Oct 2035 07:28:00 GMT",
    "x_amz_storage_class": "STANDARD_IA",
    "x_amz_meta_author": "Zoë".encode().decode("latin-1"),
}


def check_carried(pair: Pair, body: bytes) -> None:
    pair.a.ownership = "ObjectWriter"
    pair.a.put(b"k", body, tags="a=1&b=x%20y", acl="public-read", **EVERYTHING)
    done = pair.sync()
    assert done["ok"], done["error"]
    found = pair.b.current(b"k")
    assert found is not None
    assert found.body == body
    assert {name: value for name, value in found.headers.items() if not name.startswith("x-amz-meta-dr-")} == {
        name.replace("_", "-"): value for name, value in EVERYTHING.items()
    }
    assert (found.tags, found.acl) == ("a=1&b=x%20y", "public-read")


def test_small_objects_carry_everything(pair: Pair) -> None:
    check_carried(pair, b"body { }")


def test_streamed_objects_carry_everything(pair: Pair) -> None:
    check_carried(pair, os.urandom(300_000))


def test_objects_in_parts_carry_everything(pair: Pair) -> None:
    check_carried(pair, os.urandom(1_200_000))
    assert pair.b.asked("part") == 3


def test_where_nobody_tells_whether_there_are_acls_they_are_looked_at(pair: Pair) -> None:
    pair.a.rule("ownership", Fault(404, "OwnershipControlsNotFoundError"))
    pair.a.put(b"k", b"x", acl="public-read")
    assert pair.sync()["ok"]
    found = pair.b.current(b"k")
    assert found is not None
    assert found.acl == "public-read"


def test_what_the_target_cannot_hold_is_left_out_and_told(pair: Pair) -> None:
    pair.a.put(b"k", b"x", x_amz_storage_class="DEEP")
    pair.b.rule(
        "put",
        lambda request: Fault(400, "InvalidStorageClass") if "x-amz-storage-class" in request.headers else None,
        times=2,
    )
    done = pair.sync()
    assert (done["ok"], done["done"]) == (True, {"copied": 1, "not_carried": 1})
    assert pair.b.body(b"k") == b"x"


def test_shards_see_every_key_once(pair: Pair) -> None:
    pair.options = replace(OPTIONS, shards=5)
    for number in range(500):
        pair.a.put(b"k%03d" % number, b"x")
    pair.sync()
    pair.a.put(b"k250", b"new", at=time.time() + 1)
    pair.a.put(b"zz", b"new")
    pair.a.put(b"a", b"new")
    again = pair.sync()
    assert (again["source"]["objects"], again["same"], again["done"]) == (502, 499, {"copied": 3})
    assert pair.b.bodies() == pair.a.bodies()
