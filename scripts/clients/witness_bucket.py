"""How the witness bucket is asked: signed, with an end to every wait, with what it says checked before anybody goes by it."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.parse
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from contract import fields
from contract.buckets import Bucket
from contract.errors import Failed
from contract.forms import MOST_BYTES
from contract.wire import dates, document, s3
from contract.wire.sigv4 import Signer, encode_key, encode_query
from scripts.clients import http

T = TypeVar("T")
ANSWER_S, ATTEMPTS, PAUSE_S = 5.0, 2, 0.5
LIST_S = 30.0  # all pages of a listing
TAKEN = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
REMEDIES = {
    "NoSuchBucket": "create it, versioned, in a region that is neither a nor b",
    "AccessDenied": "check the keys in dr:secrets, witness",
    "InvalidAccessKeyId": "check the keys in dr:secrets, witness",
    "SignatureDoesNotMatch": "check the keys in dr:secrets, witness",
    "RequestTimeTooSkewed": "set this machine's clock (timedatectl status)",
}


class WitnessDown(Failed):
    """The witness does not answer, or nothing that can be relied on."""


def age(reply: http.Reply) -> float | None:
    """Seconds since what is in it was stored, by the store's own clock; None where that does not say."""
    stored, now = (dates.seconds(reply.headers.get(name)) for name in ("Last-Modified", "Date"))
    return None if stored is None or now is None else now - stored


def etag(reply: http.Reply) -> str:
    """Bare; empty where the store says none, or one that no condition could name."""
    found = (reply.headers.get("ETag") or "").strip('"')
    return found if found.isascii() and found.isprintable() else ""


class WitnessBucket:
    """The bucket, by the keys to it, and by nothing else of this machine's. May be used from several threads.

    `answer_s`: for each request, `attempts` of which are made where nothing usable comes back.
    """

    most = MOST_BYTES  # of an answer
    wait_s: float | None = None  # for each piece of one that is read, where all of it may take longer

    def __init__(self, place: Bucket, *, answer_s: float | None = None, attempts: int = ATTEMPTS) -> None:
        self.bucket, self.endpoint = place.bucket, place.endpoint
        self._base = f"{place.endpoint.rstrip('/')}/{place.bucket}"
        self._signer = Signer(place.access_key, place.secret_key, place.region)
        self._answer_s, self._attempts = answer_s or ANSWER_S, attempts
        self._ahead = 0.0  # the witness's clock against this machine's, when they are far apart

    def versions(self, prefix: str) -> list[str]:
        """The key of every version of every object below `prefix`: an epoch that stands there twice was overwritten."""
        return self._list("list versions", {"versions": "", "prefix": prefix}, s3.VERSIONS)

    @property
    def _place(self) -> str:
        return f"bucket {self.bucket} at {http.place(self.endpoint) or http.plain(self.endpoint)}"

    def _keys(self, prefix: str) -> list[str]:
        return self._list(f"list the {prefix.strip('/')}", {"list-type": "2", "prefix": prefix}, s3.OBJECTS)

    def _list(self, what: str, query: dict[str, str], kind: tuple[str, str]) -> list[str]:
        """The key of every row of a listing, all pages of it. `what`: for the message."""
        keys, end = list[str](), time.monotonic() + LIST_S
        while True:
            page = self._page(what, query, kind)
            if keys and page.keys and page.keys[0] < keys[-1]:
                raise self._down(what, "its listing goes in circles")
            keys += page.keys
            if page.told.get("IsTruncated") != "true":
                return keys
            behind = s3.behind(page, kind)
            if not behind or behind.items() <= query.items() or time.monotonic() > end:
                raise self._down(what, f"its listing has no end after {len(keys)} keys")
            query = query | behind

    def _page(self, what: str, query: Mapping[str, str], kind: tuple[str, str]) -> s3.Page:
        """One page of it."""
        body = self._must(what, self._ask(what, "GET", "", query=query)).body
        try:
            return s3.listing(body, kind)
        except s3.NotS3 as error:
            raise self._down(
                what, f"found {error}, wanted a listing", "see whether the endpoint is an S3 server"
            ) from None

    def _read(self, key: str) -> http.Reply | None:
        """The store's answer; None when it says that there is no such object."""
        what = f"read {key}"
        found = self._ask(what, "GET", key)
        return None if s3.absent(found.status, found.body) else self._must(what, found)

    def _get(self, key: str) -> dict[str, Any] | None:
        found = self._read(key)
        return None if found is None else self._mapping(key, found)

    def _mapping(self, key: str, found: http.Reply) -> dict[str, Any]:
        try:
            return document.mapping(found.body)
        except ValueError:
            raise Failed(
                f"witness object {key} in {self._place}: is not a JSON object; restore the object's first version"
            ) from None

    def _heard(self, cls: type[T], key: str, otherwise: str) -> T | None:
        """An object in its form; None when there is none. `otherwise`: see `fields.heard`. Raises Failed."""
        found = self._read(key)
        return None if found is None else self._told(cls, key, found, otherwise)

    def _told(self, cls: type[T], key: str, found: http.Reply, otherwise: str) -> T:
        return fields.heard(cls, self._mapping(key, found), f"witness object {key}", otherwise)

    def _now(self, key: str) -> object:
        """What is to be written over, whatever it is: what is no object of ours is no reason against that."""
        try:
            return self._get(key)
        except WitnessDown:
            raise
        except Failed:
            return None

    def _put(self, key: str, content: dict[str, Any], condition: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content, sort_keys=True).encode()
        headers = {"content-type": "application/json", **(condition or {})}
        self._stored(f"write {key}", self._ask(f"write {key}", "PUT", key, body=body, headers=headers))

    def _put_over(self, key: str, content: Mapping[str, Any], over: str) -> str:
        """Written over what was read alone. `over`: its bare etag, empty where nothing was there. The etag of what stands there from now on; empty where
        somebody else has written, or removed it, meanwhile. Raises WitnessDown.
        """
        body = json.dumps(content, sort_keys=True).encode()
        headers = {"content-type": "application/json", **({"if-match": over} if over else {"if-none-match": "*"})}
        reply = self._ask(f"write {key}", "PUT", key, body=body, headers=headers)
        if reply.status in TAKEN or reply.status == HTTPStatus.NOT_FOUND:
            return ""
        self._stored(f"write {key}", reply)
        return etag(reply)

    def _stored(self, what: str, reply: http.Reply) -> None:
        """Raises WitnessDown, also where whoever said yes has no ETag for it: a login page says yes to everything."""
        if not etag(self._must(what, reply)):
            raise self._down(what, "it said yes without an ETag, as no S3 server does")

    def _must(self, what: str, reply: http.Reply) -> http.Reply:
        """Raises WitnessDown."""
        if reply.status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            return reply
        code = s3.refusal(reply.body)
        raise self._down(what, code or f"it {reply.refusal}", REMEDIES.get(code, ""))

    def _ask(
        self,
        what: str,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.Reply:
        """Whatever the store answers, with a further attempt where it answered nothing of use. Raises WitnessDown.

        A refusal that has told this machine that its clock is wrong is none of the attempts, once.
        """
        left, corrected = self._attempts, False
        while True:
            before = self._ahead
            try:
                reply = self._once(method, key, query or {}, body, headers or {})
            except http.NoAnswer as error:
                left -= 1
                if not left:
                    raise self._down(what, str(error)) from None
                time.sleep(PAUSE_S)
                continue
            if reply.status == HTTPStatus.FORBIDDEN and self._ahead != before and not corrected:
                corrected = True
                continue
            left -= 1
            if reply.status < 500 or not left:
                return reply
            time.sleep(PAUSE_S)

    def _once(
        self, method: str, key: str, query: Mapping[str, str], body: bytes | None, headers: Mapping[str, str]
    ) -> http.Reply:
        """Raises NoAnswer."""
        try:
            parts = urllib.parse.urlsplit(self._base)
            path, text = encode_key((f"{parts.path}/{key}" if key else parts.path).encode()), encode_query(query)
            sent = {"host": parts.netloc.rpartition("@")[2], **headers}
            if body is not None:
                sent["content-md5"] = s3.content_md5(body)
            payload = hashlib.sha256(body or b"").hexdigest()
            self._signer.sign(method, path, text, sent, payload=payload, now=time.time() + self._ahead)
        except ValueError:
            raise http.NoAnswer("cannot be asked, because its address is none") from None
        url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, text, ""))
        wait_s = self.wait_s if method == "GET" else None
        reply = http.ask(method, url, headers=sent, body=body, limit_s=self._answer_s, wait_s=wait_s, most=self.most)
        ahead = dates.clock_ahead(reply.headers.get("Date"))
        self._ahead = self._ahead if ahead is None else ahead
        return reply

    def _down(self, what: str, found: str, remedy: str = "") -> WitnessDown:
        hint = (
            remedy
            or "no role can change without it; see whether the third region has an outage, and run the same again"
        )
        return WitnessDown(f"witness {self._place}: cannot {what} ({found}); {hint}")
