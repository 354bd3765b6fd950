"""What watchers leave at the witness, against an S3 server of nobody's."""

from __future__ import annotations

import pytest

from contract.buckets import Bucket
from contract.errors import Failed
from contract.watch import Attempt, Mode
from scripts.clients import watch_bucket
from scripts.clients.watch_bucket import WatchBucket
from tests.unit.test_witness import endpoint
from tests.unit.test_witness import place as bucket

__all__ = ["bucket", "endpoint"]  # fixtures


def attempt(epoch: int, mode: Mode) -> Attempt:
    return Attempt(epoch=epoch, mode=mode, alarm="0" * 12, who="dr-watch", place="here", at="2026-11-28T03:00:00+00:00")


def test_an_epoch_is_left_once(bucket: Bucket) -> None:
    kept = WatchBucket(bucket)
    assert kept.begin(attempt(3, Mode.AUTOMATIC)) is True
    assert kept.begin(attempt(3, Mode.ASSIST)) is False


def test_the_last_one_is_found_behind_what_people_agreed_to(bucket: Bucket) -> None:
    kept = WatchBucket(bucket)
    assert kept.last_begun(Mode.AUTOMATIC) is None
    for epoch, mode in ((2, Mode.AUTOMATIC), (9, Mode.AUTOMATIC), (10, Mode.ASSIST), (12, Mode.ASSIST)):
        kept.begin(attempt(epoch, mode))
    found = kept.last_begun(Mode.AUTOMATIC)
    assert found is not None and found.epoch == 9


def test_what_lies_too_deep_to_be_read_is_not_taken_for_nothing(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_bucket, "MOST_READ", 2)
    kept = WatchBucket(bucket)
    for epoch in (1, 2):
        kept.begin(attempt(epoch, Mode.ASSIST))
    assert kept.last_begun(Mode.AUTOMATIC) is None
    kept.begin(attempt(3, Mode.ASSIST))
    with pytest.raises(Failed, match="none of the 2 newest was automatic, and 1 lie before them"):
        kept.last_begun(Mode.AUTOMATIC)
