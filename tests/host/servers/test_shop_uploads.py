"""The shop's uploads against a bucket that answers as told. Ruby runs in the guests' image, with the whole shop in it."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.machines import image
from tests.assets.stub import Fault, Stub
from tests.host.servers.test_shop_cart import INSIDE, ROOT

pytestmark = pytest.mark.lab


class Shop:
    """One shop process."""

    def __init__(self, bucket: Stub, folder: Path) -> None:
        (folder / "shop_requests.rb").write_text((ROOT / "tests/host/servers/shop_requests.rb").read_text())
        told = {
            "RAILS_ENV": "production", "SECRET_KEY_BASE": "x" * 128, "DR_SITE": "a", "APP_HOST": "www.shop.example",
            "DATABASE_URL": "postgresql:///shop?host=127.0.0.1&user=shop&password=x",
            "DR_CACHES": "127.0.0.1:6379", "DR_CACHE_USER": "shop", "DR_CACHE_PASSWORD": "x",
            **{f"DR_CACHE_{name}": "/nowhere" for name in ("CA", "CERT", "KEY")},
            "AWS_ENDPOINT_URL_S3": bucket.endpoint, "AWS_REGION": bucket.region, "S3_BUCKET": bucket.bucket,
            "AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "secret",
        }  # fmt: skip
        where = [str(image.ensure()), str(ROOT / "examples/shop"), str(folder)]
        ruby = ["ruby", "/mnt/test/shop_requests.rb", "/mnt/shop"]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", *where, *ruby], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | told | {"LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip

    def upload(self, key: str, body: Any) -> tuple[int, Any]:
        return self.ask("POST", "/uploads", {"Idempotency-Key": key}, body)

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any]:
        assert self._process.stdin and self._process.stdout
        request = {"method": method, "path": path, "headers": headers, "body": body}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], json.loads(answer["body"]) if answer["body"].startswith("{") else answer["body"]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stub, Shop]]:
    with Stub("assets-a") as stub:
        shop = Shop(stub, tmp_path_factory.mktemp("shop"))
        yield stub, shop
        shop.close()


@pytest.fixture
def bucket(running: tuple[Stub, Shop]) -> Stub:
    """Empty."""
    running[0].objects.clear()
    running[0].rules.clear()
    return running[0]


@pytest.fixture
def shop(running: tuple[Stub, Shop]) -> Shop:
    return running[1]


def test_an_upload_is_there_before_it_is_acknowledged_and_once_however_often_it_is_asked(
    bucket: Stub, shop: Shop
) -> None:
    key = str(uuid.uuid4())
    promise = {"idempotency_key": key, "site": "a"}
    assert shop.upload(key, {"text": "grüße\n"}) == (201, promise)
    assert shop.upload(key, {"text": "grüße\n"}) == (200, promise)
    assert [(name, len(versions)) for name, versions in bucket.objects.items()] == [(f"uploads/{key}".encode(), 1)]
    assert bucket.body(f"uploads/{key}".encode()) == "grüße\n".encode()


def test_what_the_bucket_does_not_take_is_not_acknowledged(bucket: Stub, shop: Shop) -> None:
    key = str(uuid.uuid4())
    bucket.rule("put", Fault(507, "InsufficientStorage"), times=100)
    assert shop.upload(key, {"text": "x"})[0] >= 500
    assert bucket.bodies() == {}


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": 5}, {"text": "x" * 70_000}])
def test_what_is_no_text_is_refused(bucket: Stub, shop: Shop, body: Any) -> None:
    assert shop.upload(str(uuid.uuid4()), body)[0] == 400
    status, answer = shop.upload("no uuid", {"text": "x"})
    assert (status, "wanted a UUID" in answer["error"]) == (400, True)
    assert bucket.bodies() == {}
