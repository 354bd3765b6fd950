"""The settings of the target bucket that are S3's own: what is asked, what is put, what a store that does not know them is answered with."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from scripts.assets.bucket import same
from tests.assets.conftest import Pair
from tests.assets.stub import Fault, Request, Rule

RULES = {"keep_old_versions_days": 90, "abort_uploads_days": 7, "cors_origins": ["https://www.shop.example"]}
NAMES = ("lifecycle", "cors")


class Store:
    """What the target keeps of the two settings, and every request about them as (method's operation, setting)."""

    def __init__(self, pair: Pair) -> None:
        self.kept: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.unknown: set[str] = set()
        for operation in ("list", "put", "delete"):
            pair.b.rule(operation, self._serve, times=1000)

    def _serve(self, request: Request) -> Fault:
        (name,) = request.query
        self.asked.append((request.operation.replace("list", "get"), name))
        if name in self.unknown:
            return Fault(501, "NotImplemented")
        if request.operation == "list":
            return Fault(body=self.kept[name]) if name in self.kept else Fault(404, f"NoSuch{name}Configuration")
        if request.operation == "put":
            assert request.headers["content-md5"] == base64.b64encode(hashlib.md5(request.body).digest()).decode()
            self.kept[name] = request.body
        else:
            del self.kept[name]
        return Fault()


@pytest.fixture
def store(pair: Pair) -> Store:
    return Store(pair)


def put(pair: Pair, capsys: pytest.CaptureFixture[str], **rules: Any) -> dict[str, str]:
    code, document, error = pair.cli(capsys, "bucket", document={"bucket": {**RULES, **rules}})
    assert code == 0 and document, error
    settings: dict[str, str] = document["settings"]
    return settings


def test_both_are_put_once_and_then_only_read(pair: Pair, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert put(pair, capsys) == dict.fromkeys(NAMES, "changed")
    assert b"<DaysAfterInitiation>7</DaysAfterInitiation>" in store.kept["lifecycle"]
    assert b"<NoncurrentDays>90</NoncurrentDays>" in store.kept["lifecycle"]
    assert b"<AllowedOrigin>https://www.shop.example</AllowedOrigin>" in store.kept["cors"]
    store.asked.clear()
    assert put(pair, capsys) == dict.fromkeys(NAMES, "as wanted")
    assert store.asked == [("get", name) for name in NAMES]


def test_nothing_current_ever_expires(pair: Pair, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    put(pair, capsys)
    text = store.kept["lifecycle"].decode()
    expiry = text.partition("<Expiration>")[2].partition("</Expiration>")[0]
    assert expiry == "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>" and text.count("<Expiration>") == 1


def test_a_store_may_write_the_same_in_its_own_way(
    pair: Pair, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    put(pair, capsys)
    for name, text in store.kept.items():
        store.kept[name] = text.replace(b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', b"").replace(
            b"><", b">\n  <"
        )
    assert put(pair, capsys) == dict.fromkeys(NAMES, "as wanted")
    assert put(pair, capsys, abort_uploads_days=8) == {"lifecycle": "changed", "cors": "as wanted"}


def test_zero_and_no_origin_take_away_what_is_there(
    pair: Pair, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    put(pair, capsys)
    gone: dict[str, Any] = {"keep_old_versions_days": 0, "abort_uploads_days": 0, "cors_origins": []}
    assert put(pair, capsys, **gone) == dict.fromkeys(NAMES, "changed") and not store.kept
    assert put(pair, capsys, **gone) == dict.fromkeys(NAMES, "as wanted")


def test_a_store_without_one_of_them_is_told_and_gets_the_other(
    pair: Pair, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.unknown = {"lifecycle"}
    assert put(pair, capsys) == {"lifecycle": "not supported by this store", "cors": "changed"}
    assert set(store.kept) == {"cors"}


def test_buckets_beside_the_target_get_its_lifecycle_and_nothing_else(
    pair: Pair, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = "shop-wal"
    pair.b.beside.add(beside)
    assert put(pair, capsys, lifecycle_of=[beside]) == {
        **dict.fromkeys(NAMES, "changed"),
        f"lifecycle of {beside}": "as wanted",
    }
    assert [name for _, name in store.asked].count("cors") == 2


def test_a_missing_right_is_an_error_and_the_other_setting_is_still_put(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.b.rule("list", Fault(403, "AccessDenied"))
    store = Store(pair)
    code, document, error = pair.cli(capsys, "bucket", document={"bucket": RULES})
    assert code == 1 and "get lifecycle refused (AccessDenied)" in error
    assert document and document["settings"] == {"lifecycle": "failed: denied", "cors": "changed"}
    assert set(store.kept) == {"cors"}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"cors_origins": "https://x"}, "bucket.cors_origins: wanted a list"),
        ({"abort_uploads_days": -1}, "bucket.abort_uploads_days: found -1"),
        ({"abort_uploads_days": True}, "bucket.abort_uploads_days: found True"),
        ({"expire": 3}, "bucket.expire: unknown"),
        ({"lifecycle_of": ["UPPER"]}, "bucket.lifecycle_of: wanted a list of buckets"),
    ],
)
def test_wrong_settings_are_refused_by_name(
    pair: Pair, store: Store, capsys: pytest.CaptureFixture[str], rules: dict[str, Any], says: str
) -> None:
    code, _, error = pair.cli(capsys, "bucket", document={"bucket": rules})
    assert code == 2 and says in error and not store.asked


def test_a_document_without_settings_puts_none(pair: Pair, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = pair.cli(capsys, "bucket")
    assert code == 2 and error.startswith("dr-assets: bucket: not in the document") and not store.asked


def test_what_is_no_document_is_not_the_same() -> None:
    assert not same("<a/>", b"not xml") and not same("<a><b>1</b></a>", b"<a><b>2</b></a>")


LOCK = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>{}</ObjectLockConfiguration>"
RULE = "<Rule><DefaultRetention><Mode>{}</Mode><{unit}>{}</{unit}></DefaultRetention></Rule>"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Fault(body=LOCK.format(RULE.format("COMPLIANCE", 14, unit="Days")).encode()), "as wanted"),
        (Fault(body=LOCK.format(RULE.format("COMPLIANCE", 1, unit="Years")).encode()), "as wanted"),
        (
            Fault(body=LOCK.format(RULE.format("COMPLIANCE", 7, unit="Days")).encode()),
            "not for 14 days: COMPLIANCE for 7",
        ),
        (
            Fault(body=LOCK.format(RULE.format("GOVERNANCE", 30, unit="Days")).encode()),
            "not for 14 days: GOVERNANCE for 30",
        ),
        (Fault(body=LOCK.format("").encode()), "not locked"),
        (Fault(404, "ObjectLockConfigurationNotFoundError"), "not locked"),
        (Fault(501, "NotImplemented"), "not supported by this store"),
        (Fault(403, "AccessDenied"), "not known: denied"),
        (Fault(body=b"<html/>"), "not known: lying"),
        (Fault(body=LOCK.format(RULE.format("COMPLIANCE", "ten", unit="Days")).encode()), "not known: lying"),
    ],
)
def test_a_lock_that_is_not_as_wanted_is_told_and_fails_nothing(
    pair: Pair, store: Store, capsys: pytest.CaptureFixture[str], answer: Fault, told: str
) -> None:
    """It cannot be put on a bucket that is there, and nobody may wait for it."""
    beside = "shop-b-wal"
    pair.b.beside.add(beside)
    pair.b.rules.insert(0, Rule(lambda request: "object-lock" in request.query, lambda _: answer, 10))
    found = put(pair, capsys, lifecycle_of=[beside], lock_days=14)
    assert found[f"lock of {beside}"] == told
    assert {found[name] for name in NAMES} == {"changed"}
    assert f"lock of {beside}" not in put(pair, capsys, lifecycle_of=[beside])
