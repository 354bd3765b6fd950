"""Stores that live only in part: answers of other forms, listings that do not hold together, two halves that disagree. Nothing is believed, nothing is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.assets.replication import run as look
from tests.assets.conftest import OPTIONS, Pair
from tests.assets.stub import Fault, Request, Rule, Stub, listing
from tests.assets.test_reconcile import reconcile
from tests.assets.test_verify import verify

KEYS = [b"k%02d" % number for number in range(10)]


@pytest.fixture
def copied(pair: Pair) -> Pair:
    """Ten objects on both sides."""
    for key in KEYS:
        pair.a.put(key, key, at=time.time() - 100)
    assert pair.sync()["ok"]
    return pair


def shown(stub: Stub, keys: list[bytes], **more: Any) -> bytes:
    """A listing of these keys as the store would give it."""
    rows = []
    for key in keys:
        found = stub.current(key)
        assert found is not None
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(found.time)) + f".{int(found.time % 1 * 1000):03d}Z"
        rows.append(
            f"<Contents><Key>{key.decode()}</Key><Size>{len(found.body or b'')}</Size><ETag>{found.etag}</ETag>"
            f"<LastModified>{moment}</LastModified></Contents>"
        )
    return listing(rows, bucket=stub.bucket, **more)


# --- listings

EDITS: dict[str, Callable[[bytes], bytes]] = {
    "does not say whether it is cut off": lambda text: text.replace(b"<IsTruncated>false</IsTruncated>", b""),
    "says 'perhaps' of whether it is cut off": lambda text: text.replace(b">false<", b">perhaps<"),
    "does not say whether it is cut off ": lambda text: text.replace(b">false<", b"><"),
    "says that it is whole and how it goes on": lambda text: text.replace(
        b"</ListBucketResult>", b"<NextContinuationToken>t</NextContinuationToken></ListBucketResult>"
    ),
    "holds keys back behind common prefixes": lambda text: text.replace(
        b"</ListBucketResult>", b"<CommonPrefixes><Prefix>k/</Prefix></CommonPrefixes></ListBucketResult>"
    ).replace(b"<KeyCount>9</KeyCount>", b""),
    "answer is of prefix 'other/'": lambda text: text.replace(
        b"<IsTruncated>", b"<Prefix>other%2F</Prefix><IsTruncated>"
    ),
    "an entry cannot be read": lambda text: text.replace(
        b"<LastModified>20", b"<LastModified>0000-13-41T10:00:00Z</LastModified><Was>20"
    ).replace(b"Z</LastModified></Contents>", b"Z</Was></Contents>"),
}


@pytest.mark.parametrize("lie", EDITS)
def test_a_listing_of_another_form_deletes_nothing(copied: Pair, lie: str) -> None:
    copied.a.remove(KEYS[4])
    text = EDITS[lie](shown(copied.a, [key for key in KEYS if key != KEYS[4]]))
    copied.a.rule("list", Fault(body=text), times=100)
    for _ in range(3):
        done = copied.sync()
        assert (done["code"], done["complete"]) == (1, False)
        assert lie.strip() in done["error"]
    assert copied.b.asked("delete") == 0


def test_a_page_that_comes_twice_is_not_believed(copied: Pair) -> None:
    copied.a.page = 4
    token = "<NextContinuationToken>other</NextContinuationToken>"
    first = shown(copied.a, KEYS[:4], more=True, token=token)
    copied.a.rule("list", lambda r: Fault(body=first) if "continuation-token" in r.query else None, times=100)
    for _ in range(2):
        done = copied.sync()
        assert "wanted byte order" in done["error"]
    assert copied.b.asked("delete") == 0


def test_what_is_listed_and_not_handed_out_is_owed(pair: Pair) -> None:
    for key in KEYS:
        pair.a.put(key, key)
    for operation in ("get", "head"):
        pair.a.rule(operation, Fault(404, "NoSuchKey"), times=1000, key=KEYS[3])
    for _ in range(2):
        done = pair.sync()
        assert done["code"] == 1
        assert "the source lists it and does not hand it out" in done["lists"]["failed"][0]["why"]
        assert done["debt"].count == 1
    assert sorted(pair.b.bodies()) == KEYS[:3] + KEYS[4:]


@pytest.mark.parametrize("manifest", [True, False])
@pytest.mark.parametrize("listed", [0, 5])
def test_a_losing_side_that_does_not_list_what_it_has_is_not_settled(copied: Pair, listed: int, manifest: bool) -> None:
    copied.a.put(b"k99", b"never replicated")
    if not manifest:
        (copied.folder / "state" / "state.db").unlink()
    copied.a.rule("list", Fault(body=shown(copied.a, KEYS[:listed])))
    done = reconcile(copied)
    assert done["code"] == 1
    assert "hands it out when asked" in done["error"]
    assert reconcile(copied)["done"]["restored"] == 1
    assert copied.b.body(b"k99") == b"never replicated"


@pytest.mark.parametrize("manifest", [True, False])
def test_a_winner_that_hides_what_it_has_is_not_settled(copied: Pair, manifest: bool) -> None:
    copied.a.put(KEYS[3], b"changed at a, never replicated", at=time.time() + 5)
    if not manifest:
        (copied.folder / "state" / "state.db").unlink()
    copied.b.rule("head", Fault(404, "NoSuchKey"), key=KEYS[3])
    done = reconcile(copied)
    assert done["code"] == 1
    assert "hides it" in done["lists"]["failed"][0]["why"]
    assert reconcile(copied)["done"]["restored"] == 1
    assert copied.b.body(KEYS[3]) == b"changed at a, never replicated"


def test_what_the_winner_deleted_within_the_second_is_deleted(copied: Pair) -> None:
    # Times of one second do not tell the order; the store says which is the newest.
    copied.b.remove(KEYS[3])
    copied.b.objects[KEYS[3]][0].time = copied.b.objects[KEYS[3]][1].time
    copied.a.put(b"only at a", b"x")
    done = reconcile(copied)
    assert (done["code"], done["done"]["deleted_at_winner"]) == (0, 1)


def test_verify_tells_of_what_is_listed_and_not_handed_out(copied: Pair) -> None:
    for operation in ("get", "head"):
        copied.a.rule(operation, Fault(404, "NoSuchKey"), times=100, key=KEYS[3])
    done = verify(copied)
    assert (done["code"], done["found"]["unreadable"], done["checked"]) == (1, 1, 9)
    assert "does not hand it out" in done["lists"]["unreadable"][0]["why"]


# --- clocks


def first_date_off(pair: Pair, seconds: float) -> None:
    """The first answer of the source has a date that is off: it was cached by somebody, or one half of the store does not know better."""

    def off(_: Request) -> bool:
        pair.a.clock = seconds if len(pair.a.log) == 1 else 0.0
        return False

    pair.a.log.clear()
    pair.a.rules.append(Rule(off, lambda _: None, 1))


@pytest.mark.parametrize("seconds", [-5000.0, 5000.0])
def test_one_date_that_is_off_is_not_the_clock_of_the_store(
    pair: Pair, capsys: pytest.CaptureFixture[str], seconds: float
) -> None:
    for key in KEYS:
        pair.a.put(key, key)
    first_date_off(pair, seconds)
    before = time.time()
    code, done, _ = pair.cli(capsys, "sync")
    assert (code, done is not None) == (0, True)
    assert before - 2 <= done["replicated_until"] <= time.time() + 1  # type: ignore[index]


def test_the_grace_time_is_not_over_because_the_own_clock_jumped(copied: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    copied.options = replace(OPTIONS, grace_s=3600)
    copied.a.remove(KEYS[4])
    assert copied.sync()["done"] == {"delete_waits": 1}
    late = SimpleNamespace(time=lambda: time.time() + 7200, monotonic=time.monotonic)
    for module in ("sync", "wire"):
        monkeypatch.setattr(f"scripts.assets.{module}.time", late)
    assert copied.sync()["done"] == {"delete_waits": 1}
    assert copied.b.asked("delete") == 0


# --- objects


def unconditional(request: Request) -> bool:
    """A store that does not know conditions of reads: no rule of its own, it only forgets what was asked."""
    request.headers.pop("if-match", None)
    return False


@pytest.mark.parametrize("size", [10, 300_000, 1_400_000])
def test_replaced_between_list_and_get_at_a_source_that_ignores_conditions(pair: Pair, size: int) -> None:
    pair.a.put(b"k", os.urandom(size))
    newer = os.urandom(size)
    pair.a.rules.append(Rule(unconditional, lambda _: None, 1))
    second = "bytes=500000-" if size > 1_000_000 else ""

    def replaced(request: Request) -> Fault | None:
        pair.a.put(b"k", newer, at=time.time() + 5)
        return None

    pair.options = replace(OPTIONS, part_streams=1)
    pair.a.rules.append(
        Rule(lambda r: r.operation == "get" and r.headers.get("range", "").startswith(second), replaced, 1)
    )
    done = pair.sync()
    assert done["error"] is None
    assert pair.b.body(b"k") == newer
    # Nothing was concluded about the store's etags: they are MD5, and damage is seen as before.
    pair.a.put(b"damaged", b"good")
    pair.a.rule("get", Fault(body=b"evil"), key=b"damaged")
    assert "sends other bytes each time" in pair.sync()["error"]


def test_a_range_of_other_bytes_is_not_believed(pair: Pair) -> None:
    pair.a.put(b"k", os.urandom(1_400_000), etag="0" * 32 + "-3")
    lie = {"content-range": "bytes 0-499999/1400000"}
    pair.a.rules.append(
        Rule(lambda r: r.headers.get("range", "").startswith("bytes=500000-"), lambda _: Fault(headers=lie), 100)
    )
    done = pair.sync()
    assert done["code"] == 1
    assert "asked for bytes 500000-999999, answers with bytes 0-499999/1400000" in done["error"]
    assert pair.b.bodies() == {}


def test_gone_at_the_target_between_list_and_put_is_written_anew(copied: Pair) -> None:
    copied.a.put(KEYS[2], b"newer", at=time.time() + 5)

    def gone(_: Request) -> Fault:
        copied.b.remove(KEYS[2])
        return Fault(404, "NoSuchKey")

    copied.b.rule("put", gone)
    done = copied.sync()
    assert done["error"] is None
    assert copied.b.body(KEYS[2]) == b"newer"


def test_an_upload_that_is_gone_is_begun_anew(pair: Pair) -> None:
    pair.a.put(b"k", os.urandom(1_400_000))
    pair.b.rule("part", Fault(404, "NoSuchUpload"))
    done = pair.sync()
    assert done["error"] is None
    assert pair.b.bodies() == pair.a.bodies()
    assert pair.b.uploads == {}


def test_a_put_that_nothing_speaks_for_does_not_count(pair: Pair) -> None:
    for key in KEYS:
        pair.a.put(key, key)
    pair.sync(state_dir=pair.folder / "first", options=replace(OPTIONS, deletes=False))
    pair.a.put(KEYS[5], b"newer", at=time.time() + 5)
    # Something before the store says 200 to everything.
    pair.b.rules.append(Rule(lambda r: r.operation == "put", lambda _: Fault(headers={"etag": ""}), 100))
    done = pair.sync()
    assert (done["code"], done["debt"].count) == (1, 1)
    assert "no ETag" in done["error"]


@pytest.mark.parametrize("lie", [{"content-length": "many"}, {"etag": ""}, {"last-modified": "yesterday"}])
def test_a_head_that_cannot_be_read_fails_the_object_and_no_other(copied: Pair, lie: dict[str, str]) -> None:
    (copied.folder / "state" / "state.db").unlink()
    copied.a.put(KEYS[5], b"newer", at=time.time() - 50)
    copied.a.rule("head", Fault(headers=lie), times=100, key=KEYS[5])
    copied.a.rule("get", Fault(412, "PreconditionFailed"), times=1, key=KEYS[5])
    copied.a.put(b"new", b"x")
    done = copied.sync()
    assert (done["code"], done["done"]["failed"], done["done"]["copied"]) == (1, 1, 1)
    assert "not believed" in done["lists"]["failed"][0]["why"]


def test_a_pause_that_is_no_number_is_no_pause(pair: Pair) -> None:
    pair.a.put(b"k", b"x")
    for text in ("\u00b2", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400):
        pair.a.rule("list", Fault(503, "SlowDown", headers={"retry-after": text}))
    assert pair.sync()["error"] is None


@pytest.mark.parametrize("nonsense", [b"", b"<html>busy", b"<Other/>", b"\xff\x00"])
@pytest.mark.parametrize("operation", ["tags", "acl", "begin"])
def test_a_rare_answer_of_another_form_fails_the_object_and_no_other(
    pair: Pair, operation: str, nonsense: bytes
) -> None:
    pair.a.ownership = "ObjectWriter"
    pair.a.put(b"odd", os.urandom(1_400_000), tags="a=1")
    pair.a.put(b"plain", b"x")
    stub = pair.a if operation in ("tags", "acl") else pair.b
    stub.rule(operation, Fault(body=nonsense), times=100, key=b"odd")
    done = pair.sync()
    assert pair.b.body(b"plain") == b"x"
    assert (done["code"], [row["key"] for row in done["lists"]["failed"]]) == (1, ["odd"])


@pytest.mark.parametrize("nonsense", [b"", b"<html>busy", b"<Other/>", b"\xff\x00"])
def test_an_upload_whose_end_is_answered_in_another_form_is_looked_at(pair: Pair, nonsense: bytes) -> None:
    pair.a.put(b"odd", os.urandom(1_400_000))
    pair.b.rule("complete", Fault(body=nonsense), times=100)
    done = pair.sync()
    assert done["error"] is None
    assert (pair.b.bodies(), pair.b.uploads) == (pair.a.bodies(), {})
    assert len(pair.b.objects[b"odd"]) == 1


@pytest.mark.parametrize("nonsense", [b"", b"<html>busy", b"\xff\x00"])
def test_a_bucket_that_cannot_say_whether_it_keeps_versions_keeps_none(copied: Pair, nonsense: bytes) -> None:
    copied.a.remove(KEYS[1])
    copied.sync()
    copied.b.rule("versioning", Fault(body=nonsense), times=100)
    done = copied.sync()
    assert (done["code"], copied.b.asked("delete")) == (1, 0)


def test_one_object_that_may_not_be_asked_about_is_no_reason_to_know_nothing(pair: Pair) -> None:
    for key in KEYS:
        pair.a.put(key, key)
        pair.a.objects[key][0].headers["x-amz-replication-status"] = "COMPLETED"
    pair.a.rule("head", Fault(403), times=100, key=KEYS[3])
    document, error = look(pair.job(), None, alone=True)
    assert document is not None
    assert error is None
    assert (document["status"]["completed"], document["status"]["unknown"], document["unreplicated"]["count"]) == (
        9,
        1,
        1,
    )
    pair.a.rules.clear()
    pair.a.rule("head", Fault(403), times=100)
    document, error = look(pair.job(), None, alone=True)
    assert (document, error is not None) == (None, True)
