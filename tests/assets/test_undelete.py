"""A bucket that was emptied, or written over, by a key that may write: its versions bring it back, and what the shop wrote meanwhile stays."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from scripts.assets.cold import Version
from scripts.assets.undelete import AGAIN, REPLACED, RESTORED, Step, Undelete, decide
from tests.assets.conftest import Pair
from tests.assets.stub import Fault, Rule, Stub
from tests.assets.stub import Version as Kept

HOUR = 3600.0
SINCE = 1_750_000_000.0  # before all that the tests do


def moment(seconds: float = SINCE) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()


def version(name: str, time: float, *, marker: bool = False, newest: bool = False) -> Version:
    return Version(newest, time, name, f"etag-{name}", marker)


OLD, NEW = version("old", 1.0), version("new", 11.0)
REMOVED_BEFORE, REMOVED = version("gone", 5.0, marker=True), version("gone", 12.0, marker=True)


@pytest.mark.parametrize(
    ("history", "overwritten", "wanted"),
    [
        ([OLD], True, None),
        ([REMOVED_BEFORE, OLD], True, None),
        ([REMOVED, OLD], False, Step(b"k", OLD, None)),
        ([REMOVED, NEW, OLD], False, Step(b"k", OLD, None)),
        ([REMOVED, NEW], False, Step(b"k", NEW, None)),
        ([REMOVED, NEW, REMOVED_BEFORE, OLD], False, Step(b"k", NEW, None)),
        ([REMOVED], False, None),
        ([REMOVED, REMOVED_BEFORE], False, None),
        ([NEW, OLD], False, None),
        ([NEW, OLD], True, Step(b"k", OLD, NEW.etag)),
        ([NEW._replace(etag=OLD.etag), OLD], True, None),
        ([NEW, REMOVED_BEFORE, OLD], True, None),
        ([NEW], True, None),
    ],
)
def test_each_key_gets_back_what_it_was(history: list[Version], overwritten: bool, wanted: Step | None) -> None:
    assert decide(b"k", history, 10.0, overwritten=overwritten) == wanted


def emptied(stub: Stub, count: int = 2) -> dict[bytes, bytes]:
    """Objects that were there before, and are gone now."""
    for number in range(count):
        stub.put(f"k{number:04}".encode(), f"body {number}".encode(), at=SINCE - HOUR, content_type="text/css")
    before = stub.bodies()
    for key in before:
        stub.remove(key)
    assert stub.bodies() == {}
    return before


def undelete(pair: Pair, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    code, document, error = pair.cli(capsys, "undelete", "--since", moment(), *more)
    assert document is not None and code == (0 if document["ok"] else 1), error
    return document


def test_a_bucket_that_was_emptied_is_what_it_was(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    before = emptied(pair.b)
    notes = {"x_amz_meta_dr_source": "epoch=1", "x_amz_meta_dr_digest": "sha256:1"}
    pair.b.put(b"tagged", b"t", at=SINCE - HOUR, tags="a=b", **notes)
    pair.b.remove(b"tagged")
    pair.b.put(b"removed-by-the-shop", b"x", at=SINCE - HOUR)
    pair.b.add(b"removed-by-the-shop", Kept(None, time=SINCE - 60))
    dry = undelete(pair, capsys, "--dry-run")
    assert dry["found"][RESTORED] == 3 and pair.b.bodies() == {}
    found = undelete(pair, capsys)
    assert found["found"] == {RESTORED: 3, REPLACED: 0, AGAIN: 0, "failed": 0} and found["keys"] == 4
    assert pair.b.bodies() == {**before, b"tagged": b"t"}
    assert pair.b.objects[b"k0000"][0].headers["content-type"] == "text/css"
    tagged = pair.b.objects[b"tagged"][0]
    assert tagged.tags == "a=b" and tagged.headers["x-amz-meta-dr-source"] == "epoch=1"
    assert tagged.headers["x-amz-meta-dr-digest"] == "sha256:1"
    assert undelete(pair, capsys)["found"][RESTORED] == 0, "a second run finds nothing to do"


def test_what_was_written_over_comes_back_only_when_it_is_asked_for(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.b.put(b"k", b"good", at=SINCE - HOUR)
    pair.b.put(b"k", b"bad")
    pair.b.put(b"younger", b"upload")
    assert undelete(pair, capsys)["found"][REPLACED] == 0 and pair.b.body(b"k") == b"bad"
    assert undelete(pair, capsys, "--overwritten")["found"][REPLACED] == 1
    assert pair.b.bodies() == {b"k": b"good", b"younger": b"upload"}
    assert [it.body for it in pair.b.objects[b"k"]] == [b"good", b"bad", b"good"], "nothing is removed"


def test_what_the_shop_writes_meanwhile_stays_the_newest(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    emptied(pair.b, 1)
    pair.b.rule("get", Fault(after=lambda: pair.b.put(b"k0000", b"newer")))
    found = undelete(pair, capsys)
    assert found["ok"] and found["found"][AGAIN] == 1 and pair.b.body(b"k0000") == b"newer"


def test_a_store_that_takes_a_marker_for_an_object_is_asked_before_each_write(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    before = emptied(pair.b, 4)
    refused = Rule(lambda it: it.operation == "put" and "if-none-match" in it.headers, lambda _: Fault(412, "x"), 1000)
    pair.b.rules.append(refused)
    pair.b.rule("head", Fault(before=lambda: pair.b.put(b"k0002", b"newer")), key=b"k0002")
    found = undelete(pair, capsys)
    assert found["found"] == {RESTORED: 3, REPLACED: 0, AGAIN: 1, "failed": 0}
    assert pair.b.bodies() == {**before, b"k0002": b"newer"}
    assert 1000 - refused.times <= 2, "found out once"


def test_what_the_shop_removes_while_it_would_be_replaced_stays_removed(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused condition of a write over an object is no word about markers."""
    pair.b.put(b"k", b"good", at=SINCE - HOUR)
    pair.b.put(b"k", b"bad")
    pair.b.rule("get", Fault(after=lambda: pair.b.remove(b"k")))
    found = undelete(pair, capsys, "--overwritten")
    assert found["ok"] and found["found"] == {RESTORED: 0, REPLACED: 0, AGAIN: 1, "failed": 0}
    assert pair.b.bodies() == {}


def test_what_was_written_over_is_replaced_where_markers_are_taken_for_objects_too(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    emptied(pair.b, 1)
    pair.b.put(b"k", b"good", at=SINCE - HOUR)
    pair.b.put(b"k", b"bad")
    pair.b.rules.append(
        Rule(lambda it: it.operation == "put" and "if-none-match" in it.headers, lambda _: Fault(412, "x"), 1000)
    )
    assert undelete(pair, capsys, "--overwritten")["found"] == {RESTORED: 1, REPLACED: 1, AGAIN: 0, "failed": 0}
    assert pair.b.bodies() == {b"k0000": b"body 0", b"k": b"good"}


def test_a_refusal_that_is_no_condition_is_not_asked_around(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    emptied(pair.b, 1)
    pair.b.rule("put", Fault(403, "AccessDenied"))
    found = undelete(pair, capsys)
    assert not found["ok"] and found["found"]["failed"] == 1 and pair.b.bodies() == {}


def test_a_store_that_is_slow_for_a_moment_is_asked_again(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    before = emptied(pair.b, 1)
    pair.b.rule("put", Fault(503, "SlowDown"), times=2)
    assert undelete(pair, capsys)["ok"] and pair.b.bodies() == before


def test_the_smallest_of_what_hides_under_a_marker_goes_first_and_alone(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it finds out about the store saves the others a body that is sent in vain."""
    for key, body in ((b"a-large", b"x" * 1000), (b"b-small", b"x"), (b"c-large", b"x" * 1000)):
        pair.b.put(key, body, at=SINCE - HOUR)
        pair.b.remove(key)
    pair.b.put(b"d-over", b"", at=SINCE - HOUR)
    pair.b.put(b"d-over", b"bad")
    assert undelete(pair, capsys, "--overwritten")["ok"]
    assert next(it.key for it in pair.b.log if it.operation == "put") == b"b-small"


def test_all_come_back_where_there_are_more_than_are_looked_at_first(
    pair: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.assets.undelete.LEARN_FROM", 2)
    before = emptied(pair.b, 7)
    assert undelete(pair, capsys)["found"][RESTORED] == 7 and pair.b.bodies() == before


def test_a_full_bucket_ends_the_run_and_is_its_error(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """After such a refusal none can succeed: the others are not tried."""
    emptied(pair.b, 40)
    pair.b.rule("put", Fault(507, "InsufficientStorage"), times=1000)
    found = undelete(pair, capsys)
    assert not found["ok"] and "the bucket takes nothing more" in found["error"]
    assert sum(it.operation == "put" for it in pair.b.log) == 1, "it is the first, and it is alone"
    assert pair.b.bodies() == {}


def test_a_bucket_that_does_not_list_its_versions_is_the_error_of_the_run(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else nothing to do would be what it said."""
    emptied(pair.b, 1)
    whole = Rule(
        lambda it: it.operation == "versions" and "max-keys" not in it.query, lambda _: Fault(403, "AccessDenied"), 9
    )
    pair.b.rules.append(whole)
    found = undelete(pair, capsys)
    assert not found["ok"] and found["keys"] == 0 and "AccessDenied" in found["error"]


def test_a_run_that_is_asked_to_stop_says_that_it_has_not_done_all(pair: Pair) -> None:
    emptied(pair.b, 1)
    run = Undelete(pair.job(), SINCE)
    pair.b.rule("put", Fault(503, "SlowDown", before=run.stop.set), times=100)
    try:
        document, error = run.run()
    finally:
        run.close()
    assert error is not None and "asked to stop" in str(error) and document["ok"] is False
    assert document["found"][RESTORED] == 0


def test_a_store_that_keeps_other_bytes_than_it_was_sent_is_told_of(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    emptied(pair.b, 1)
    pair.b.rule("put", Fault(headers={"etag": f'"{"0" * 32}"'}))
    found = undelete(pair, capsys)
    assert not found["ok"] and "holds other bytes than were sent" in found["lists"]["failed"][0]["why"]


def test_one_that_fails_is_named_and_the_others_come_back(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    emptied(pair.b, 3)
    pair.b.rule("put", Fault(500, "InternalError"), times=100, key=b"k0001")
    found = undelete(pair, capsys)
    assert not found["ok"] and "1 objects could not be put back" in found["error"]
    assert [it["key"] for it in found["lists"]["failed"]] == ["k0001"]
    assert set(pair.b.bodies()) == {b"k0000", b"k0002"}


def test_a_bucket_without_versions_is_refused_and_a_time_without_a_zone_too(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.b.versioned = False
    code, document, error = pair.cli(capsys, "undelete", "--since", moment())
    assert code == 3 and document is None and "is not versioned" in error
    with pytest.raises(SystemExit):
        pair.cli(capsys, "undelete", "--since", "2026-11-25T10:15:00")
    assert "argument --since" in capsys.readouterr().err


def test_a_large_object_is_put_back_piece_by_piece(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """With one request at a time: what is read and what is written are of the same bucket."""
    body = b"0123456789abcdef" * 100_000
    pair.b.put(b"large", body, at=SINCE - HOUR)
    pair.b.remove(b"large")
    code, document, error = pair.cli(
        capsys, "undelete", "--since", moment(), "--set", "concurrency=1", "--set", "memory_limit=1000"
    )
    assert code == 0 and document is not None, error
    assert document["bytes"] == len(body) and pair.b.body(b"large") == body
