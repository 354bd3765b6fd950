"""Against real servers: versitygw for what is true of versions and conditions, moto for keys that no file system holds.

`DRLAB_VERSITYGW` names the program, else the toolchain's is used.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from lab.pairs.loopback import free_port, versitygw
from scripts.assets.config import MIB, Endpoint, Job, Options
from scripts.assets.output import result
from scripts.assets.reconcile import Reconcile
from scripts.assets.sync import Run
from scripts.assets.verify import Verify
from tests.assets.test_sync import HOSTILE

KEYS = {"access_key": "ACCESSKEY", "secret_key": "secretsecret"}
OPTIONS = Options(
    concurrency=8, backoff_s=0.01, grace_s=0, part_size=5 * MIB, multipart_above=6 * MIB, memory_limit=1_000_000
)


@contextmanager
def gateway(home: Path, region: str) -> Iterator[str]:
    binary, port = versitygw(), free_port()
    for folder in ("data", "versions"):
        (home / folder).mkdir(parents=True)
    argv = [str(binary), "--port", f"127.0.0.1:{port}", "--region", region, "--keep-alive", "--quiet"]
    argv += ["posix", "--versioning-dir", str(home / "versions"), str(home / "data")]
    env = os.environ | {"ROOT_ACCESS_KEY_ID": KEYS["access_key"], "ROOT_SECRET_ACCESS_KEY": KEYS["secret_key"]}
    child = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "versitygw does not listen after 20 s"
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.wait()


class Sides:
    """Two buckets, `a` and `b`, with a boto3 client for each: the independent eye."""

    def __init__(self, ends: dict[str, Endpoint], folder: Path) -> None:
        self.ends, self.folder = ends, folder
        self.s3 = {name: client(end) for name, end in ends.items()}
        for name, end in ends.items():
            self.s3[name].create_bucket(Bucket=end.bucket)
            self.s3[name].put_bucket_versioning(Bucket=end.bucket, VersioningConfiguration={"Status": "Enabled"})

    def job(self, direction: str = "ab", **more: Any) -> Job:
        source, target = (self.ends[name] for name in direction)
        return Job(
            source=rename(source, "source"),
            target=rename(target, "target"),
            state_dir=self.folder / direction,
            options=OPTIONS,
            **more,
        )

    def sync(self, direction: str = "ab", **more: Any) -> dict[str, Any]:
        return finished(Run(self.job(direction, **more)), "sync")

    def put(self, side: str, key: str, body: bytes, **more: Any) -> str:
        """The version id."""
        return str(self.s3[side].put_object(Bucket=self.ends[side].bucket, Key=key, Body=body, **more).get("VersionId"))

    def body(self, side: str, key: str, **more: Any) -> bytes:
        return bytes(self.s3[side].get_object(Bucket=self.ends[side].bucket, Key=key, **more)["Body"].read())

    def keys(self, side: str) -> list[str]:
        pages = self.s3[side].get_paginator("list_objects_v2").paginate(Bucket=self.ends[side].bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def versions(self, side: str, key: str) -> int:
        answer = self.s3[side].list_object_versions(Bucket=self.ends[side].bucket, Prefix=key)
        return len(answer.get("Versions", []))


def rename(end: Endpoint, name: str) -> Endpoint:
    return Endpoint(**{**{field: getattr(end, field) for field in end.__dataclass_fields__}, "name": name})


def finished(run: Run, operation: str) -> dict[str, Any]:
    try:
        report = run.sync(lambda _: None)
        return result(run, operation) | {"code": report.error.code if report.error else 0}
    finally:
        run.close()


def client(end: Endpoint) -> Any:
    config = Config(
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    session = boto3.session.Session(
        aws_access_key_id=end.access_key, aws_secret_access_key=end.secret_key, region_name=end.region
    )
    return session.client("s3", endpoint_url=end.endpoint, config=config)


@pytest.fixture
def posix(tmp_path: Path) -> Iterator[Sides]:
    with gateway(tmp_path / "a", "gra") as one, gateway(tmp_path / "b", "sbg") as two:
        ends = {
            "a": Endpoint(name="a", endpoint=one, region="gra", bucket="assets-a", **KEYS),
            "b": Endpoint(name="b", endpoint=two, region="sbg", bucket="assets-b", **KEYS),
        }
        yield Sides(ends, tmp_path / "state")
    shutil.rmtree(tmp_path / "a", ignore_errors=True)
    shutil.rmtree(tmp_path / "b", ignore_errors=True)


def test_sizes_and_metadata_on_versitygw(posix: Sides) -> None:
    more = {
        "ContentType": "text/css",
        "CacheControl": "max-age=9",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"a": "b"},
    }
    more |= {"Tagging": "x=1&y=2", "ContentDisposition": "attachment; filename=x.css"}
    bodies = {
        "zero": b"",
        "dir/": b"",
        "small": os.urandom(1000),
        "stream": os.urandom(2_000_000),
        "parts": os.urandom(11_000_000),
    }
    for key, body in bodies.items():
        posix.put("a", key, body, **more)
    done = posix.sync()
    assert done["ok"], done["error"]
    assert {key: posix.body("b", key) for key in posix.keys("b")} == bodies
    for key in ("zero", "small", "stream", "parts"):
        head = posix.s3["b"].head_object(Bucket="assets-b", Key=key)
        found = (
            head["ContentType"],
            head["CacheControl"],
            head["ContentEncoding"],
            head["ContentLanguage"],
            head["ContentDisposition"],
        )
        assert found == ("text/css", "max-age=9", "gzip", "de", "attachment; filename=x.css"), key
        assert {name: value for name, value in head["Metadata"].items() if not name.startswith("dr-")} == {"a": "b"}
        tags = posix.s3["b"].get_object_tagging(Bucket="assets-b", Key=key)["TagSet"]
        assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("x", "1"), ("y", "2")]
    assert posix.sync()["done"] == {}
    assert done["conditional_writes"] is True


def test_versitygw_keeps_what_was_overwritten_and_deleted(posix: Sides) -> None:
    posix.put("a", "k", b"one")
    posix.put("a", "gone", b"x")
    posix.put("a", "stays", b"x")
    posix.sync()
    posix.put("a", "k", b"two")
    posix.s3["a"].delete_object(Bucket="assets-a", Key="gone")
    assert posix.sync()["done"] == {"copied": 1, "delete_waits": 1}
    done = posix.sync()
    assert done["done"] == {"deleted": 1}
    assert (posix.body("b", "k"), posix.versions("b", "k"), posix.keys("b")) == (b"two", 2, ["k", "stays"])
    assert posix.body("b", "gone", VersionId=done["lists"]["deleted"][0]["version"]) == b"x"


def test_a_take_over_and_the_way_back_on_versitygw(posix: Sides) -> None:
    """Epoch 1 a to b, a dies with unreplicated writes, b is written to, a returns and follows, then the shop moves back."""
    large = os.urandom(7_000_000)
    for key, body in (("both", b"old"), ("kept", b"x"), ("large", large)):
        posix.put("a", key, body)
    assert posix.sync(epoch=1)["ok"]
    posix.put("a", "upload", b"just before the kill")
    lost = posix.put("a", "both", b"a's")
    posix.put("b", "both", b"b's")
    posix.put("b", "new", b"b")
    run = Reconcile(posix.job("ab", epoch=2))
    run.check()
    done = finished(run, "reconcile")
    assert done["ok"], done["error"]
    assert [row["key"] for row in done["lists"]["restored"]] == ["upload"]
    assert [(row["key"], row["loser_version"]) for row in done["lists"]["conflict"]] == [("both", lost)]
    back = posix.sync("ba", epoch=2)
    assert back["ok"], back["error"]
    assert posix.body("a", "both") == b"b's"
    assert posix.body("a", "both", VersionId=lost) == b"a's"
    assert posix.keys("a") == posix.keys("b") == ["both", "kept", "large", "new", "upload"]
    assert posix.versions("a", "large") == 1, "what came from there does not go back"
    assert posix.sync("ab", epoch=3)["done"].get("copied") is None
    check = Verify(posix.job("ab"), 1.0)
    try:
        document, error = check.run()
    finally:
        check.close()
    assert (error, document["checked"]) == (None, 5)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_hostile_keys_on_a_server_of_others(moto: str, tmp_path: Path) -> None:
    ends = {
        name: Endpoint(
            name=name, endpoint=moto, region="us-east-1", bucket=f"assets-{name}", access_key="k", secret_key="s"
        )
        for name in ("a", "b")
    }
    sides = Sides(ends, tmp_path)
    # A line break is where this server's routes end.
    keys = [key.decode() for key in HOSTILE if b"\n" not in key]
    for key in keys:
        sides.put("a", key, key.encode())
    done = sides.sync()
    assert done["ok"], done["error"]
    assert sides.keys("b") == sides.keys("a")
    assert {key: sides.body("b", key) for key in keys} == {key: key.encode() for key in keys}
    assert sides.sync()["done"] == {}
