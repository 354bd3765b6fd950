"""Signatures, against the library that everybody uses."""

from __future__ import annotations

import datetime
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from contract.wire.sigv4 import UNSIGNED, Signer, encode_key, encode_query
from tests.assets.test_sync import HOSTILE

MOMENT = datetime.datetime(2026, 11, 25, 10, 0, tzinfo=datetime.UTC)


def theirs(monkeypatch: pytest.MonkeyPatch, method: str, url: str, headers: dict[str, str], token: str | None) -> str:
    monkeypatch.setattr(
        botocore.auth,
        "get_current_datetime",
        lambda remove_tzinfo=True: MOMENT.replace(tzinfo=None) if remove_tzinfo else MOMENT,
    )
    request = AWSRequest(method=method, url=url, headers=headers)
    request.context["client_config"] = None
    signer = botocore.auth.S3SigV4Auth(Credentials("AK", "secret", token), "s3", "gra")
    signer.payload = lambda _: UNSIGNED
    signer.add_auth(request)
    return str(request.headers["Authorization"])


@pytest.mark.parametrize("key", HOSTILE, ids=repr)
def test_the_same_as_botocore_for_every_key(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    query: dict[str, Any] = {"versionId": "a b+c/~", "acl": ""}
    headers = {"host": "s3.example", "x-amz-meta-a": "two  blanks ", "if-match": "abc"}
    mine = dict(headers)
    Signer("AK", "secret", "gra").sign(
        "GET", "/b/" + encode_key(key), encode_query(query), mine, payload=UNSIGNED, now=MOMENT.timestamp()
    )
    url = f"https://s3.example/b/{encode_key(key)}?{encode_query(query)}"
    assert mine["authorization"] == theirs(monkeypatch, "GET", url, headers, None)


def test_a_session_token_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"host": "s3.example"}
    Signer("AK", "secret", "gra", "token").sign("PUT", "/b/k", "", mine, payload=UNSIGNED, now=MOMENT.timestamp())
    assert mine["authorization"] == theirs(
        monkeypatch, "PUT", "https://s3.example/b/k", {"host": "s3.example"}, "token"
    )
    assert "x-amz-security-token" in mine["authorization"]
