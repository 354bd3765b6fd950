"""The rare calls: by the keys that the copier is told, whatever else this machine has set up for others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.assets.config import Endpoint, Options
from scripts.assets.errors import Kind, StoreError
from scripts.assets.store import Bucket
from tests.unit.bad_answers import PAGES, Played, reply


def store(url: str) -> Bucket:
    end = Endpoint(
        name="source", endpoint=url, region="us-east-1", bucket="bucket", access_key="AK", secret_key="secret"
    )
    return Bucket(end, Options(attempts=1, timeout_s=30), threading.Event())


def test_nothing_of_this_machines_own_keys_and_settings_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """boto3#4121: a profile of somebody else's, which is not there, ended every run."""
    (tmp_path / "config").write_text("[default]\nca_bundle = /nowhere\ns3 =\n  addressing_style = virtual\n")
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "perhaps",
        "AWS_MAX_ATTEMPTS": "none",
        "AWS_RETRY_MODE": "none",
        "AWS_ACCESS_KEY_ID": "other",
    }.items():
        monkeypatch.setenv(name, value)
    server = Played()
    told = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    server.good = {"versioning": reply("200 OK", told)}
    assert store(server.url).versioned() is True
    (head,) = server.asked
    server.close()
    assert head.startswith(b"GET /bucket?versioning ") and b"Credential=AK/" in head


@pytest.mark.parametrize("page", ["XHTML", "a root of another kind", "an empty root of nobody"])
def test_a_page_is_no_answer_in_which_nothing_is(page: str) -> None:
    """boto3#887: botocore takes it for one. An old version that is not seen is not kept, and a bucket would look unversioned."""
    server = Played()
    server.bad = ("", PAGES[page])
    key = b"k"
    asks: list[Callable[[Bucket], object]] = [
        Bucket.versioned,
        lambda bucket: bucket.versions(key),
        lambda bucket: bucket.tags(key),
        lambda bucket: bucket.canned_acl(key),
        lambda bucket: bucket.parts(key, "id"),
        lambda bucket: bucket.unfinished(key),
    ]
    for ask in asks:
        with pytest.raises(StoreError, match="not believed") as caught:
            ask(store(server.url))
        assert caught.value.kind is Kind.LYING
    server.close()


def test_nobody_is_sent_elsewhere() -> None:
    """botocore would ask the same server where to go, and that question too, until the stack is full."""
    server = Played()
    server.bad = ("", PAGES["a redirect to another region"])
    bucket = store(server.url)
    for ask in (bucket.versioned, lambda: bucket.versions(b"k"), lambda: bucket.tags(b"k")):
        server.asked.clear()
        with pytest.raises(StoreError) as caught:
            ask()
        assert caught.value.kind in (Kind.REGION, Kind.NETWORK) and len(server.asked) <= 1
    server.close()
