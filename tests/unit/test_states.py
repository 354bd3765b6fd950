"""Pulumi's states, read without pulumi: where they lie, who holds a lock, which servers they know; and what is none of that."""

from __future__ import annotations

import gzip
import json
from email.message import Message
from pathlib import Path
from typing import Any

import boto3
import pytest

from contract.errors import Failed
from scripts.clients import http
from scripts.clients.state_bucket import BackendDown
from scripts.ctl.stacks import state_stored as stored
from scripts.ctl.stacks.state_backend import S3, Folder, opened
from scripts.ctl.stacks.state_stored import Lock
from tests.unit.test_witness import endpoint

__all__ = ["endpoint"]  # a fixture

ROOT = Path(__file__).resolve().parents[2]
LOCKS, STATES = ".pulumi/locks/organization/shop/region-a", ".pulumi/stacks/shop"
LOCK = {"pid": 4711, "username": "ann", "hostname": "desk", "timestamp": "2026-11-29T10:00:00.123456789+01:00"}
SERVER = {
    "urn": "urn:pulumi:region-a::shop::dr:index:Host$openstack:compute/instance:Instance::db-1",
    "type": "openstack:compute/instance:Instance",
    "id": "5f0c",
}
DEPLOYMENT = {
    "manifest": {"time": "2026-11-29T10:00:00.5Z"},
    "resources": [SERVER, {"urn": "urn:pulumi:region-a::shop::x::other", "type": "x", "id": "9"}],
}
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hidden-secret"}


def laid_out(folder: Path, objects: dict[str, Any]) -> Folder:
    """A backend in a folder, with these in it."""
    (folder / ".pulumi").mkdir(parents=True, exist_ok=True)
    for name, content in objects.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return Folder(folder)


@pytest.fixture
def bucket(endpoint: str, request: pytest.FixtureRequest) -> Any:
    """Puts an object into a bucket of the test's own, `<name>`, of the served store."""
    name = request.node.name.replace("_", "-")[:60].lower()
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="hidden-secret",
    )
    s3.create_bucket(Bucket=name)
    return s3, name


def url(endpoint: str, name: str, folder: str = "") -> str:
    return f"s3://{name}{folder}?endpoint={endpoint}&region=de&s3ForcePathStyle=true"


def test_a_bucket_is_read_as_pulumi_lays_it_out(endpoint: str, bucket: Any, tmp_path: Path) -> None:
    s3, name = bucket
    for folder in ("", "deep/er/"):
        s3.put_object(Bucket=name, Key=f"{folder}{LOCKS}/{len(folder)}.json", Body=json.dumps(LOCK))
        s3.put_object(
            Bucket=name, Key=f"{folder}{STATES}/region-a.json", Body=json.dumps({"checkpoint": {"latest": DEPLOYMENT}})
        )
    for folder in ("", "/deep/er"):
        backend = opened({"PULUMI_BACKEND_URL": url(endpoint, name, folder), **KEYS}, tmp_path)
        assert isinstance(backend, S3) and backend.place == f"bucket {name}"
        assert stored.locks(backend, "shop", "region-a")[0].who == "ann@desk, process 4711"
        assert stored.locks(backend, "shop", "region-b") == ()
        assert stored.state(backend, "shop", "region-a").servers == {"5f0c": "db-1"}


_TOLD = '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}</VersioningConfiguration>'


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (200, _TOLD.format("<Status>Enabled</Status>"), True),
        (200, _TOLD.format("<Status>Suspended</Status>"), False),
        (200, _TOLD.format(""), False),
        (200, "<html>sign in</html>", None),
        (403, "<Error><Code>AccessDenied</Code></Error>", None),
    ],
)
def test_a_bucket_says_whether_it_keeps_old_versions_or_nobody_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, body: str, wanted: bool | None
) -> None:
    def ask(method: str, address: str, **_: Any) -> http.Reply:
        assert (method, address) == ("GET", "https://s3.example/state?versioning=")
        return http.Reply(status, "", Message(), body.encode())

    monkeypatch.setattr(http, "ask", ask)
    assert opened({"PULUMI_BACKEND_URL": url("https://s3.example", "state"), **KEYS}, tmp_path).versioned() is wanted


def test_a_bucket_that_does_not_answer_is_one_sentence_without_its_keys(tmp_path: Path) -> None:
    backend = opened({"PULUMI_BACKEND_URL": url("http://127.0.0.1:9", "gone"), **KEYS}, tmp_path)
    with pytest.raises(BackendDown) as caught:
        backend.versioned()
    assert "Pulumi's backend, bucket gone at 127.0.0.1:9: cannot see whether it is versioned" in str(caught.value)
    assert "hidden-secret" not in str(caught.value) and "epoch" not in str(caught.value)


def test_a_folder_is_read_too_and_keeps_nothing(tmp_path: Path) -> None:
    laid_out(
        tmp_path / "own", {f"{LOCKS}/1.json": LOCK, f"{STATES}/region-a.json": {"checkpoint": {"latest": DEPLOYMENT}}}
    )
    backend = opened({"PULUMI_BACKEND_URL": f"file://{tmp_path}/own"}, tmp_path)
    assert backend == opened({"PULUMI_BACKEND_URL": "file://~/own"}, tmp_path), "of this user"
    assert stored.locks(backend, "shop", "region-a") == (
        Lock(who="ann@desk, process 4711", since=stored.moment("2026-11-29T09:00:00.123456Z")),
    )
    assert stored.state(backend, "shop", "region-a").changed == stored.moment("2026-11-29T10:00:00.5Z")
    assert backend.versioned() is False


def test_a_folder_that_is_not_there_is_a_backend_that_does_not_answer(tmp_path: Path) -> None:
    for question in (Folder.versioned, lambda it: it.names("x")):
        with pytest.raises(Failed, match=r"has no \.pulumi in it"):
            question(Folder(tmp_path / "none"))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"PULUMI_BACKEND_URL": "https://api.pulumi.com"}, "is https://; its states are read by pulumi alone"),
        ({"PULUMI_BACKEND_URL": "gs://x"}, "is gs://"),
        ({}, "none that pulumi is logged in to"),
        ({"PULUMI_BACKEND_URL": "s3://x?region=de"}, "keys to Pulumi's backend: found none"),
        ({"PULUMI_BACKEND_URL": "s3://UPPER_?region=de", **KEYS}, "the name of a bucket"),
    ],
)
def test_a_backend_that_cannot_be_read_says_why(tmp_path: Path, told: dict[str, str], words: str) -> None:
    with pytest.raises(Failed) as caught:
        opened(told, tmp_path)
    assert words in str(caught.value) and "hidden-secret" not in str(caught.value)


def test_keys_are_found_where_pulumi_finds_them(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[shop]\naws_access_key_id = k\naws_secret_access_key = hiddensecret\n")
    for told in (
        {"PULUMI_BACKEND_URL": "s3://x?region=de&profile=shop"},
        {"PULUMI_BACKEND_URL": "s3://x", "AWS_PROFILE": "shop"},
    ):
        assert isinstance(opened(told, tmp_path), S3)
    with pytest.raises(Failed, match="'default'"):
        opened({"PULUMI_BACKEND_URL": "s3://x"}, tmp_path)


@pytest.mark.parametrize("body", ["", "[]", "{", '{"timestamp": 7}', '{"pid": "x\\u001b"}'])
def test_a_lock_that_cannot_be_read_is_a_lock(tmp_path: Path, body: str) -> None:
    backend = laid_out(tmp_path, {f"{LOCKS}/1.json": body})
    assert stored.locks(backend, "shop", "region-a") == (Lock(who="somebody whom it does not name", since=None),)


def test_what_a_lock_says_moves_no_cursor(tmp_path: Path) -> None:
    backend = laid_out(tmp_path, {f"{LOCKS}/1.json": {**LOCK, "username": "\x1b[2Jann\n"}})
    assert stored.locks(backend, "shop", "region-a")[0].who == "\\x1b[2Jann@desk, process 4711"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {"checkpoint": {}},
        {"checkpoint": {"latest": []}},
        {"checkpoint": {"latest": {"resources": [{}]}}},
        {"checkpoint": {"latest": {}}},
    ],
)
def test_what_is_no_state_is_told_as_that(tmp_path: Path, content: Any) -> None:
    backend = laid_out(tmp_path, {f"{STATES}/region-a.json": content})
    with pytest.raises(Failed, match="no state that this program can read"):
        stored.state(backend, "shop", "region-a")
    with pytest.raises(Failed, match=r"stack region-b: has no \.pulumi/stacks/shop/region-b\.json"):
        stored.state(backend, "shop", "region-b")


def test_a_state_that_pulumi_has_exported_is_read() -> None:
    exported = json.loads(gzip.decompress((ROOT / "tests/fixtures/state/0.1.0/region-a.json.gz").read_bytes()))
    found = stored.read(exported["deployment"])
    assert found.changed and {"db-1", "app-1"} <= {
        name.split("region-")[-1].removesuffix("-server") for name in found.servers.values()
    }, found
