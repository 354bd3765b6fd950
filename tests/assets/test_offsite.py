"""A copy in another account: all of it comes, nothing ever goes, and a bucket that would lose it is refused."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from scripts.assets.config import BucketRules
from scripts.assets.offsite import kept
from tests.assets.conftest import Pair
from tests.assets.stub import Fault, Rule

LOCK = b"<ObjectLockConfiguration><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>"


@pytest.fixture
def locked(pair: Pair) -> Pair:
    """A target that is locked for 30 days, a source with two objects."""
    pair.b.rules.append(Rule(lambda request: "object-lock" in request.query, lambda _: Fault(body=LOCK), 100))
    for key in (b"pgbackrest/archive/1", b"pgbackrest/backup.info"):
        pair.a.put(key, b"of " + key)
    return pair


def test_what_the_source_loses_stays_outside(locked: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the document says of deletes, and however often it runs."""
    options = {"options": {**locked.document()["options"], "deletes": True, "grace_s": 0, "max_deletes_percent": 100}}
    before = locked.a.bodies()
    code, document, error = locked.cli(capsys, "offsite", document=options)
    assert code == 0 and document is not None, error
    assert document["op"] == "offsite" and document["lock"] == "as wanted" and locked.b.bodies() == before
    locked.a.remove(b"pgbackrest/archive/1")
    locked.a.put(b"pgbackrest/backup.info", b"rubbish")
    for _ in range(3):
        assert locked.cli(capsys, "offsite", document=options)[0] == 0
    assert locked.b.bodies() == {**before, b"pgbackrest/backup.info": b"rubbish"}
    assert [it.body for it in locked.b.objects[b"pgbackrest/backup.info"]][-1] == before[b"pgbackrest/backup.info"]
    for key in locked.a.objects:
        locked.a.remove(key) if locked.a.current(key) else None
    assert locked.cli(capsys, "offsite", document=options)[0] == 3, "a source that lists nothing"
    assert len(locked.b.bodies()) == 2


def test_a_target_without_versions_is_refused_and_one_without_a_lock_is_told(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.a.put(b"k", b"x")
    pair.b.rules.append(
        Rule(
            lambda request: "object-lock" in request.query,
            lambda _: Fault(404, "ObjectLockConfigurationNotFoundError"),
            100,
        )
    )
    code, document, _ = pair.cli(capsys, "offsite")
    assert code == 0 and document is not None and document["lock"] == "not locked"
    pair.b.versioned = False
    code, document, error = pair.cli(capsys, "offsite")
    assert code == 3 and document is None and "is not versioned" in error


def test_a_locked_bucket_is_told_what_it_is_sent(locked: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """S3 asks for Content-MD5, or a checksum of its own, where an object is to be locked."""
    assert locked.cli(capsys, "offsite")[0] == 0
    puts = [it for it in locked.b.log if it.operation == "put"]
    assert len(puts) >= 2
    for it in puts:
        assert it.headers["content-md5"] == b64encode(hashlib.md5(it.body).digest()).decode()


def test_parts_say_their_md5_too(locked: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    """pgBackRest stores what is larger than some megabytes in parts: its etag tells nobody what it hashes to."""
    body = b"0123456789abcdef" * 400_000
    locked.a.put(b"pgbackrest/bundle/1", body, etag="0" * 32 + "-2")
    options = {"options": {**locked.document()["options"], "part_size": 5 << 20, "memory_limit": 1000}}
    assert locked.cli(capsys, "offsite", document=options)[0] == 0
    parts = [it for it in locked.b.log if it.operation == "part"]
    assert len(parts) == 2 and locked.b.body(b"pgbackrest/bundle/1") == body
    for it in parts:
        assert it.headers["content-md5"] == b64encode(hashlib.md5(it.body).digest()).decode()


def test_nothing_is_asked_of_the_source_that_a_reader_may_not(locked: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    assert locked.cli(capsys, "offsite")[0] == 0
    assert {it.operation for it in locked.a.log} <= {"list", "get", "head", "tags"}


def test_the_settings_of_the_other_accounts_bucket_are_its_owners(pair: Pair) -> None:
    """What the document says of a bucket is said of the shop's own: an order to forget versions there would end the copy."""
    told = pair.job(bucket=BucketRules(keep_old_versions_days=1))
    assert told.bucket is not None and kept(told).bucket is None
