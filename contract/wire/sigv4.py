"""Signature version 4 for S3, on the bytes that go over the wire.

Header values are `str` with one character for each byte (latin-1), as `http1` hands them out: what a source sent as raw UTF-8 goes to the
target unchanged and is signed as sent.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"  # for bodies that are read only once: they cannot be hashed before their headers go out
ALGORITHM = "AWS4-HMAC-SHA256"


def encode_key(key: bytes) -> str:
    """A key as it stands in a request's path: nothing is cleaned, joined or folded."""
    return quote(key, safe="/-_.~")


def encode_query(query: Mapping[str, str | bytes]) -> str:
    """Sorted and encoded as the signature wants it; the same text goes into the request."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))


class Signer:
    """Signs requests of one key pair for one region. Safe to share between threads: the worst is a key derived twice."""

    def __init__(self, access_key: str, secret_key: str, region: str, session_token: str = "") -> None:
        self._access_key, self._secret_key, self._region, self._token = access_key, secret_key, region, session_token
        self._derived = ("", (hashlib.sha256(), hashlib.sha256()))

    def sign(
        self, method: str, path: str, query: str, headers: dict[str, str], *, payload: str, now: float | None = None
    ) -> None:
        """Add date, payload and authorization to `headers` (names in lower case, `host` among them). `payload`: its SHA-256 in hex, or UNSIGNED."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        headers["x-amz-date"] = stamp
        headers["x-amz-content-sha256"] = payload
        if self._token:
            headers["x-amz-security-token"] = self._token
        names = sorted(headers)
        signed = ";".join(names)
        lines = [f"{name}:{' '.join(headers[name].split())}" for name in names]
        canonical = "\n".join([method, path, query, *lines, "", signed, payload]).encode("latin-1")
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        text = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
        inner, outer = (half.copy() for half in self._key(stamp[:8]))
        inner.update(text.encode())
        outer.update(inner.digest())
        signature = outer.hexdigest()
        headers["authorization"] = (
            f"{ALGORITHM} Credential={self._access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )

    def _key(self, day: str) -> tuple[hashlib._Hash, hashlib._Hash]:
        """Both halves of the HMAC, with the day's key in them: the rest is two updates a request."""
        if self._derived[0] != day:
            key = b"AWS4" + self._secret_key.encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            key = key.ljust(64, b"\0")
            halves = (hashlib.sha256(bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))
            self._derived = (day, (next(halves), next(halves)))
        return self._derived[1]
