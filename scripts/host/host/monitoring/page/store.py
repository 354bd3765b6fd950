"""The page's two objects at the store. Each is written over what was read and nothing else (`If-Match`), so that of two writers the second one begins
anew with what the first has written, and an older page never takes a newer one's place. The store's clock is the only one that counts.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

from contract import fields
from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.monitoring.status_page import DOCUMENT, PAGE, Document
from contract.wire import dates, document, s3

from ....frame.log import Log
from ....frame.witness import Talk, Witness
from . import html
from .merged import AHEAD_S

WAIT_S, ALL_S = 4.0, 15.0
TRIES = 4
CACHED = "public, max-age=10"
Make = Callable[[Document | None, int], Document]  # what is there, and the store's second


@dataclass(frozen=True)
class _Found:
    """`etag`: bare; empty where there is nothing."""

    body: bytes
    etag: str
    now: int


class Store:
    """The bucket. A context manager, for one thread. What it does raises Silent while the store gives no answer that can be relied on."""

    def __init__(self, place: Witness, *, public: bool, log: Log) -> None:
        self._talk = Talk(place, WAIT_S, time.monotonic() + ALL_S, "the status page's bucket")
        self._public, self._log = public, log

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._talk.__exit__(None, None, None)

    def tell(self, make: Make) -> Document:
        """Write the document that `make` makes of the one that is there. Raises Silent, and Failed where others write each time."""
        for attempt in range(TRIES):
            _pause(attempt)
            found = self._get(DOCUMENT)
            made = make(self._document(found), found.now)
            body = json.dumps(fields.write(made), sort_keys=True).encode()
            if self._put(DOCUMENT, body, found, {}):
                return made
        raise _contended(DOCUMENT)

    def show(self, made: Document, text: str) -> bool:
        """Write the page, where none of this or of a newer document is there. Returns whether it was. Raises as `tell` does."""
        more = {"content-type": "text/html; charset=utf-8", "cache-control": CACHED}
        if self._public:
            more["x-amz-acl"] = "public-read"
        for attempt in range(TRIES):
            _pause(attempt)
            found = self._get(PAGE)
            told = html.REVISION.search(found.body[:400])
            # One that is far ahead is somebody else's, and would keep every page from being written.
            if told and made.revision <= int(told[1]) <= found.now + AHEAD_S:
                return False
            if self._put(PAGE, text.encode(), found, more):
                return True
        raise _contended(PAGE)

    def _document(self, found: _Found) -> Document | None:
        """None where there is none, or none that can be read: it is begun anew."""
        if not found.etag:
            return None
        try:
            return fields.heard(Document, document.mapping(found.body), DOCUMENT, "it is begun anew")
        except (Failed, ValueError) as error:
            self._log.warning(f"{error or 'no document'}; what it told of the past is lost")
            return None

    def _get(self, key: str) -> _Found:
        before = self._talk.ahead
        answer = self._talk.ask("GET", key, {})
        if answer.status == 403 and self._talk.ahead and not before:  # signed by the right clock now
            answer = self._talk.ask("GET", key, {})
        now = dates.seconds(answer.headers.get("date"))
        if now is None:
            raise Failed(_said("an answer without a date", "the page could not say how old it is"))
        if s3.absent(answer.status, answer.body):
            return _Found(b"", "", int(now))
        etag = self._talk.must(answer, key).headers.get("etag", "").strip('"')
        if not etag:
            raise Failed(_said(f"no ETag of {key}", "two writers could undo each other"))
        return _Found(answer.body, etag, int(now))

    def _put(self, key: str, body: bytes, over: _Found, more: dict[str, str]) -> bool:
        """False where another one has written meanwhile."""
        condition = {"if-match": over.etag} if over.etag else {"if-none-match": "*"}
        answer = self._talk.ask("PUT", key, {}, body, {**more, **condition})
        # 404: it was removed in between.
        if answer.status in (409, 412) or s3.absent(answer.status, answer.body):
            return False
        self._talk.stored(answer, key)
        return True


def _pause(attempt: int) -> None:
    """Two that have met once meet no more."""
    if attempt:
        time.sleep(random.uniform(0.05, 0.3) * attempt)


def _contended(key: str) -> Failed:
    return Failed(
        _said(f"{key} written by others {TRIES} times in between", "what is there may be older than what is seen here")
    )


def _said(found: str, consequence: str) -> str:
    return say(
        subject="the status page's bucket",
        found=found,
        wanted="an S3 store with a Date, ETags and If-Match",
        consequence=f"nothing more was written, {consequence}",
        remedy="see what answers at the endpoint of dr:witness, and docs/status-page.md",
    )
