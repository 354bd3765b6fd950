"""Both sides read and compared."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from scripts.assets.verify import Verify, chosen
from tests.assets.conftest import Pair
from tests.assets.stub import Fault


@pytest.fixture
def copied(pair: Pair) -> Pair:
    pair.a.ownership = "ObjectWriter"
    for number in range(20):
        pair.a.put(
            b"k%02d" % number,
            b"body %d" % number,
            at=time.time() - 60,
            content_type="text/plain",
            tags="a=1&b=2",
            acl="public-read",
        )
    pair.a.put(b"large", os.urandom(700_000), at=time.time() - 60)
    assert pair.sync()["ok"]
    return pair


def verify(pair: Pair, share: float = 1.0, settled: float | None = None) -> dict[str, Any]:
    run = Verify(pair.job(), share, settled)
    try:
        document, error = run.run()
        return document | {"code": error.code if error else 0}
    finally:
        run.close()


def nothing(**but: int) -> dict[str, int]:
    return {"missing": 0, "different": 0, "metadata": 0, "unreadable": 0, "extra": 0, "pending": 0} | but


def test_a_whole_copy(copied: Pair) -> None:
    done = verify(copied)
    assert (done["code"], done["checked"], done["found"]) == (0, 21, nothing())
    assert {request.operation for request in copied.b.log[-30:]} <= {"list", "get", "tags", "acl"}


def test_a_source_that_shows_how_bodies_were_sent_is_no_difference(pair: Pair) -> None:
    pair.a.put(b"sent", b"x", content_encoding="aws-chunked")
    pair.a.put(b"packed", b"x", content_encoding="gzip,aws-chunked")
    assert pair.sync()["ok"]
    assert [pair.b.current(key).headers.get("content-encoding") for key in (b"sent", b"packed")] == [None, "gzip"]  # type: ignore[union-attr]
    done = verify(pair)
    assert (done["code"], done["found"]) == (0, nothing())


def test_bytes_that_rotted(copied: Pair) -> None:
    for key in (b"k03", b"large"):
        found = copied.b.current(key)
        assert found is not None
        assert found.body is not None
        found.body = found.body[:-1] + bytes([found.body[-1] ^ 1])
    done = verify(copied)
    assert (done["code"], done["found"]) == (1, nothing(different=2))
    assert [row["key"] for row in sorted(done["lists"]["different"], key=lambda row: row["key"])] == ["k03", "large"]


def test_rot_on_both_sides_is_seen_by_the_noted_digest(copied: Pair) -> None:
    for stub in (copied.a, copied.b):
        found = stub.current(b"k03")
        assert found is not None
        found.body = b"rotten"
    done = verify(copied)
    assert done["found"] == nothing(different=1)
    assert "the copier had noted sha256:" in done["lists"]["different"][0]["why"]


def test_missing_and_extra(copied: Pair) -> None:
    copied.b.remove(b"k05")
    copied.b.put(b"aaa", b"x")
    copied.b.put(b"zzz", b"x")
    done = verify(copied)
    assert (done["code"], done["found"]) == (1, nothing(missing=1, extra=2))


def test_metadata_tags_and_acl(copied: Pair) -> None:
    for key, change in ((b"k01", {"headers": {}}), (b"k02", {"tags": "a=1&b=3"}), (b"k03", {"acl": ""})):
        found = copied.b.current(key)
        assert found is not None
        for name, value in change.items():
            setattr(found, name, value)
    done = verify(copied)
    assert done["found"] == nothing(metadata=3)
    assert {row["key"]: row["why"] for row in done["lists"]["metadata"]} == {
        "k01": "content-type",
        "k02": "tags",
        "k03": "acl",
    }


def test_what_is_younger_than_the_last_whole_run_is_not_owed_yet(copied: Pair) -> None:
    copied.a.put(b"young", b"x")
    copied.a.put(b"k01", b"changed")
    assert verify(copied, settled=time.time() - 30)["found"] == nothing(pending=2)
    assert verify(copied)["code"] == 1


def test_a_listed_object_that_is_not_handed_out(copied: Pair) -> None:
    copied.b.rule("get", Fault(404, "NoSuchKey"), key=b"k04")
    copied.b.rule("head", Fault(404, "NoSuchKey"), key=b"k04")
    assert verify(copied)["found"] == nothing(missing=1)


def test_one_that_cannot_be_read_does_not_hold_up_the_others(copied: Pair) -> None:
    copied.b.rule("get", Fault(403, "AccessDenied"), times=10, key=b"k04")
    done = verify(copied)
    assert (done["found"], done["checked"]) == (nothing(unreadable=1), 20)


def test_an_empty_source_is_no_agreement(copied: Pair) -> None:
    copied.a.objects.clear()
    assert verify(copied)["code"] == 3


def test_a_sample_is_the_same_for_the_same_seed_and_about_as_large_as_asked() -> None:
    keys = [b"k%d" % number for number in range(10_000)]
    first = [key for key in keys if chosen(key, 0.01, "")]
    assert first == [key for key in keys if chosen(key, 0.01, "")]
    assert first != [key for key in keys if chosen(key, 0.01, "other")]
    assert 50 < len(first) < 150


def test_a_sample_reads_only_its_part_and_looks_at_every_name(copied: Pair) -> None:
    copied.b.remove(b"k05")
    done = verify(copied, share=0.2)
    assert done["found"]["missing"] == 1
    assert 0 < done["checked"] < 15


def test_the_command(copied: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert copied.cli(capsys, "verify", "--full")[0] == 0
    code, done, _ = copied.cli(capsys, "verify", "--sample", "100%")
    assert code == 0
    assert done is not None
    assert (done["share"], done["checked"]) == (1.0, 21)


def test_what_was_found_alike_is_noted_with_its_time_and_what_was_not_leaves_the_note(
    copied: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"status_file": str(copied.folder / "status.json")}
    note = copied.folder / "verified.json"
    assert copied.cli(capsys, "verify", "--full", document=told)[0] == 0
    found = json.loads(note.read_text())
    assert (found["share"], found["checked"]) == (1.0, 21) and found["at"] > 1.7e9
    before = note.read_text()
    copied.b.remove(b"k05")
    assert copied.cli(capsys, "verify", "--full", document=told)[0] == 1
    assert note.read_text() == before, "the last good one is known still"
