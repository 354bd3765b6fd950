"""Who is active, by the witness bucket: signed requests with the standard library, for a guard that must answer quickly at boot.

`/etc/dr/witness.json` is `{"endpoint", "region", "bucket", "access_key", "secret_key"}`.
"""

from __future__ import annotations

import datetime
import email.utils
import hashlib
import hmac
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from contract.errors import Failed

from .layout import Layout

CONNECT_S = 4.0
SKEW_S = 60.0  # a signature may be off by 15 minutes; well before that the witness's clock is used to sign
_EMPTY = hashlib.sha256(b"").hexdigest()
_NONE = datetime.timedelta()


@dataclass(frozen=True)
class Active:
    """The newest epoch and who is active in it."""

    epoch: int
    site: str


class Silent(Failed):
    """The witness gives no answer that can be relied on."""


@dataclass(frozen=True)
class Witness:
    """The bucket and the keys to it."""

    endpoint: str
    region: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @classmethod
    def of_host(cls, layout: Layout) -> Witness:
        """Raises Silent when this host does not know it."""
        path = layout.etc / "witness.json"
        try:
            found = json.loads(path.read_bytes())
            return cls(*(str(found[key]) for key in ("endpoint", "region", "bucket", "access_key", "secret_key")))
        except (OSError, ValueError, KeyError, TypeError):
            raise Silent(
                f"file {path}: found none that can be read, wanted the witness's address; run `pulumi up` for this site"
            ) from None

    def newest(self, known: int) -> Active | None:
        """The newest epoch from `known` on; None when there is none. Raises Silent."""
        after, names = f"epochs/{max(known - 1, 0):08d}.json", list[str]()
        while True:
            page = self._get("", {"list-type": "2", "prefix": "epochs/", "start-after": names[-1] if names else after})
            found = listed(page)
            if not found:
                break
            names += found
        if not names:
            return None
        try:
            document = json.loads(self._get(max(names), {}))
            return Active(int(document["epoch"]), str(document["active"]))
        except (ValueError, KeyError, TypeError):
            raise Silent(
                f"witness object {max(names)}: found no epoch in it, wanted one; restore the object's first version"
            ) from None

    def has(self, key: str) -> bool:
        """Whether there is an object of this name. Raises Silent."""
        return key in listed(self._get("", {"list-type": "2", "prefix": key}))

    def _get(self, key: str, query: dict[str, str], ahead: datetime.timedelta = _NONE) -> bytes:
        """`ahead`: how far the witness's clock is ahead of this host's, which may have been set wrong since it last spoke to anybody."""
        request = signed(self, key, query, datetime.datetime.now(datetime.UTC) + ahead)
        try:
            with urllib.request.urlopen(request, timeout=CONNECT_S) as answer:  # noqa: S310 - the endpoint is the operator's own
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            theirs = clock_ahead(error.headers.get("date"))
            if error.code == 403 and theirs and not ahead:
                return self._get(key, query, theirs)
            raise Silent(
                f"witness {self.bucket} at {self.endpoint}: found HTTP {error.code}, wanted 200; see the third region and the keys"
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Silent(
                f"witness {self.bucket} at {self.endpoint}: found no answer ({reason}), wanted one; see the third region"
            ) from None


def clock_ahead(date: str | None) -> datetime.timedelta | None:
    """How far a server's clock is ahead of this host's, by the `Date` of its answer: zero when they are close, None when it does not say."""
    try:
        ahead = email.utils.parsedate_to_datetime(date or "") - datetime.datetime.now(datetime.UTC)
    except (ValueError, TypeError):  # the latter: a date without a zone
        return None
    return ahead if abs(ahead.total_seconds()) > SKEW_S else _NONE


def signed(
    witness: Witness, key: str, query: dict[str, str], now: datetime.datetime, *, method: str = "GET", body: bytes = b""
) -> urllib.request.Request:
    """A request with an AWS signature of version 4, bucket in the path."""
    base = urllib.parse.urlsplit(witness.endpoint)
    path = urllib.parse.quote(
        f"{base.path.rstrip('/')}/{witness.bucket}/{key}" if key else f"{base.path.rstrip('/')}/{witness.bucket}",
        safe="/-_.~",
    )
    encoded = "&".join(f"{_quote(name)}={_quote(value)}" for name, value in sorted(query.items()))
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest() if body else _EMPTY
    headers = {"host": base.netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [method, path, encoded, *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest]
    )
    scope = f"{day}/{witness.region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    secret = f"AWS4{witness.secret_key}".encode()
    for part in (day, witness.region, "s3", "aws4_request"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, to_sign.encode(), "sha256").hex()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={witness.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    url = f"{base.scheme}://{base.netloc}{path}{'?' + encoded if encoded else ''}"
    signed_headers = {**headers, "Authorization": authorization}
    return urllib.request.Request(url, data=body or None, headers=signed_headers, method=method)  # noqa: S310 - see Witness._get


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="-_.~")


def listed(page: bytes) -> list[str]:
    """Keys of a ListObjectsV2 answer, whatever its XML namespace."""
    try:
        root: Any = ElementTree.fromstring(page)  # noqa: S314 - from the witness, over a signed request
    except ElementTree.ParseError:
        raise Silent(
            "witness: found a listing that is no XML, wanted one; see whether the endpoint is an S3 server"
        ) from None
    return sorted(item.text for item in root.iterfind("{*}Contents/{*}Key") if item.text)
