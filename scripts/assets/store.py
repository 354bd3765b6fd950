"""One bucket as the copier uses it: the hot calls as they are, the rare ones by `cold`, both over `wire`. Every call is tried again while that may help."""

from __future__ import annotations

import html
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

from contract.wire import s3

from .cold import Cold, Part, Version
from .config import Endpoint, Options
from .errors import Kind, StoreError
from .listing import Ahead, Document, Entry, documents, entries, parse_page
from .metadata import parse_time
from .retry import Patience, Throttle
from .wire import Answer, Body, Headers, Limits, Wire

T = TypeVar("T")
ABSENT = {"if-none-match": "*"}


def only_over(etag: str | None) -> dict[str, str]:
    """The condition of a write: over exactly this object, or (None) over none."""
    # Bare: OVHcloud wants it without quotes, and other stores accept both.
    return ABSENT if etag is None else {"if-match": etag}


class Bucket:
    """Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, options: Options, stop: threading.Event) -> None:
        self.endpoint = endpoint
        self.throttle = Throttle(options.concurrency)
        self.patience = Patience(options.attempts, options.backoff_s, options.backoff_cap_s, stop)
        self.wire = Wire(endpoint, options.timeout_s)
        self.etag_is_md5 = True  # of objects put in one piece; false once the store has shown otherwise
        self._cold = Cold(self.wire)
        self._object_limits = Limits(options.memory_limit, math.inf)

    def close(self) -> None:
        self.wire.close()

    @property
    def requests(self) -> dict[str, int]:
        """How often each operation was asked for."""
        return dict(sorted(self.wire.requests.items()))

    def _try(self, call: Callable[[], T], also: Kind | None = None) -> T:
        def once() -> T:
            with self.throttle.slot():
                return call()

        return self.patience.run(once, self.throttle, also)

    def _rare(self, call: Callable[[], T]) -> T:
        # Without a slot: these are asked while one is held.
        return self.patience.run(call, self.throttle)

    def _lie(self, what: str, wanted: str) -> StoreError:
        text = f"{self.endpoint.place}: answers with {what}, wanted {wanted}; not believed, see the store's status"
        return StoreError(Kind.LYING, text, side=self.endpoint.name)

    def _object(self, answer: Answer) -> Answer:
        """What every object has."""
        try:
            parse_time(answer.headers["last-modified"])
        except (KeyError, ValueError):
            found = answer.headers.get("last-modified", "none")
            raise self._lie(f"an object whose Last-Modified is {found}", "a date") from None
        return self._written(answer)

    def _written(self, answer: Answer) -> Answer:
        """A store that has it says what it is; what stands before the store may say 200 to anything."""
        if not answer.etag:
            raise self._lie("no ETag", "that of the object")
        return answer

    def _asked(self, answer: Answer, etag: str) -> Answer:
        """Not every store knows conditions of reads, and another version's bytes must not pass for this one's."""
        if self._object(answer).etag != etag:
            text = f"{self.endpoint.place}: get: the object is {answer.etag} now, wanted {etag}; the next look decides"
            raise StoreError(Kind.CONDITION, text, side=self.endpoint.name)
        return answer

    # --- hot

    def _documents(self, after: bytes, until: bytes | None) -> Iterator[Document]:
        def fetch(query: dict[str, str | bytes]) -> bytes:
            # A page that is missing ends the run, where an object that is missing is the next run's.
            return self._try(lambda: self.wire.ask("list", "GET", query=query), also=Kind.DOUBTED).body

        return documents(fetch, self.endpoint, after, until)

    def entries(self, after: bytes = b"", until: bytes | None = None) -> Iterator[Entry]:
        """See `listing.entries`."""
        return entries(self._documents(after, until), self.endpoint, after, until)

    @contextmanager
    def ahead(self, after: bytes = b"", until: bytes | None = None) -> Iterator[Iterator[Entry]]:
        """As `entries`, with the next answers on their way while one is read."""
        with Ahead(self._documents(after, until)) as answers:
            yield entries(answers, self.endpoint, after, until)

    def head(self, key: bytes) -> Answer | None:
        """None when there is no such object (or a delete marker)."""
        try:
            answer = self._object(self._try(lambda: self.wire.ask("head", "HEAD", key)))
        except StoreError as error:
            if error.kind is Kind.ABSENT:
                return None
            raise
        length = answer.headers.get("content-length", "none")
        if not (length.isascii() and length.isdigit()):
            raise self._lie(f"an object whose Content-Length is {length}", "a number")
        return answer

    def lists(self, key: bytes) -> bool:
        """Whether a listing shows this key now."""
        query: dict[str, str | bytes] = {"list-type": "2", "encoding-type": "url", "prefix": key, "max-keys": "1"}
        page = parse_page(self._try(lambda: self.wire.ask("list", "GET", query=query)).body, self.endpoint, key)
        return any(entry.key == key for entry in page.entries)

    def get(self, key: bytes, etag: str) -> Answer:
        """The whole object, which `memory_limit` lets in, into memory, as long as it is this version. Raises StoreError (CONDITION, ABSENT) when it is
        not any more.
        """

        def once() -> Answer:
            with self.wire.receive("get", key, {}, {"if-match": quoted(etag)}) as (answer, body):
                return replace(self._asked(answer, etag), body=body.whole(self._object_limits))

        return self._try(once)

    @contextmanager
    def open(
        self, key: bytes, etag: str, first: int | None = None, last: int | None = None
    ) -> Iterator[tuple[Answer, Body]]:
        """As `get`, to be read piece by piece, or bytes first..last of it. One attempt: who reads must begin afresh."""
        headers = {"if-match": quoted(etag)} | ({} if first is None else {"range": f"bytes={first}-{last}"})
        with self.throttle.slot(), self.wire.receive("get", key, {}, headers) as (answer, body):
            yield self._asked(answer, etag), body

    def put(self, key: bytes, body: bytes, headers: Headers, digest: str = "") -> Answer:
        """`digest`: the SHA-256 of `body`, if known; the store checks it."""
        headers = {**headers, "content-md5": s3.content_md5(body)}
        return self._written(
            self._try(lambda: self.wire.ask("put", "PUT", key, headers=headers, body=body, digest=digest))
        )

    def put_stream(self, key: bytes, pieces: Iterable[bytes], size: int, headers: Headers) -> Answer:
        """One attempt."""
        with self.throttle.slot():
            return self._written(self.wire.send("put", key, {}, headers, pieces=pieces, size=size))

    def put_part(
        self, key: bytes, part: tuple[str, int], pieces: Iterable[bytes], size: int, headers: Headers
    ) -> Answer:
        """One attempt. `part`: the upload, and its number."""
        with self.throttle.slot():
            query = {"partNumber": str(part[1]), "uploadId": part[0]}
            return self._written(self.wire.send("part", key, query, headers, pieces=pieces, size=size))

    # --- rare

    def tags(self, key: bytes, version: str = "") -> str:
        """As the value of an `x-amz-tagging` header. `version`: of that one, not of the newest."""
        pairs = self._rare(lambda: self._cold.tags(key, version))
        return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)

    def canned_acl(self, key: bytes) -> str | None:
        """The canned ACL that says the same as the object's own; None when it is private or there are no ACLs."""
        return self._rare(lambda: self._cold.canned_acl(key))

    def acls_in_use(self) -> bool:
        """False when the bucket has ACLs switched off for all objects."""
        try:
            answer = self._rare(lambda: self.wire.ask("ownership", "GET", query={"ownershipControls": ""}))
        except StoreError as error:
            # A store without this call, or a bucket without the setting: ACLs have to be looked at.
            if error.kind in (Kind.UNSUPPORTED, Kind.ABSENT, Kind.OTHER, Kind.DENIED):
                return True
            raise
        return re.findall(rb"<ObjectOwnership>([^<]+)", answer.body) != [b"BucketOwnerEnforced"]

    def versioned(self) -> bool:
        return self._rare(self._cold.versioned)

    def versions(self, key: bytes) -> list[tuple[str, str, bool]]:
        """(version id, etag, is it a delete marker) of exactly this key, newest first."""
        return self._rare(lambda: self._cold.versions(key))

    def histories(self) -> Iterator[tuple[bytes, list[Version]]]:
        """Every key that the bucket holds a version of, in order, with all of them, the newest first. Raises StoreError, then it is partial."""
        return self._cold.histories()

    @contextmanager
    def open_version(self, key: bytes, version: str) -> Iterator[tuple[Answer, Body]]:
        """One attempt, to be read piece by piece. Without a slot: what is read is written to the same bucket."""
        with self.wire.receive("get", key, {"versionId": version}, {}) as (answer, body):
            yield self._object(answer), body

    def head_version(self, key: bytes, version: str) -> Answer:
        return self._try(lambda: self.wire.ask("head", "HEAD", key, {"versionId": version}))

    def delete(self, key: bytes, etag: str | None = None, version: str | None = None) -> None:
        """With `etag`: only if that is what is there (where the store knows that condition). With `version`: that version for good."""
        query = {"versionId": version} if version else {}
        self._try(lambda: self.wire.ask("delete", "DELETE", key, query, {"if-match": etag} if etag else {}))

    def begin_upload(self, key: bytes, headers: Headers) -> str:
        """The upload's id."""
        answer = self._rare(lambda: self.wire.ask("begin upload", "POST", key, {"uploads": ""}, headers))
        found = re.search(rb"<UploadId>([^<]+)</UploadId>", answer.body)
        if not found:
            raise StoreError(
                Kind.LYING,
                f"{self.endpoint.place}: begin upload: answer has no upload id, wanted one; run the same again",
            )
        return html.unescape(found.group(1).decode())

    def parts(self, key: bytes, upload: str) -> list[Part]:
        """What the store holds of an unfinished upload. Raises StoreError (ABSENT) when it holds nothing of it any more."""
        return self._rare(lambda: self._cold.parts(key, upload))

    def finish_upload(self, key: bytes, upload: str, parts: list[Part], condition: Headers) -> str:
        """The new object's etag. `condition` as in `only_over`."""
        return self._rare(lambda: self._cold.finish_upload(key, upload, parts, condition))

    def abort_upload(self, key: bytes, upload: str) -> None:
        """No error when it is gone."""
        self._rare(lambda: self._cold.abort_upload(key, upload))

    def unfinished(self, key: bytes) -> list[tuple[str, float]]:
        """(upload id, when it was begun) of uploads of exactly this key."""
        return self._rare(lambda: self._cold.unfinished(key))


def quoted(etag: str) -> str:
    """As HTTP wants it in a read's condition."""
    return f'"{etag}"'
