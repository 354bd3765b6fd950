"""Sorted listings of a bucket, page by page, believed only as long as they hold together."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from .config import Endpoint
from .errors import Kind, StoreError

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
EMPTY_PAGES = 100  # in a row; a store that skips deleted entries sends a few
AHEAD = 2  # pages read before they are asked for


class Entry(NamedTuple):
    """One object as a listing shows it. `time` is the store's own text."""

    key: bytes
    size: int
    etag: str
    time: str


class Page(NamedTuple):
    """`token`: for the next page; None at the end."""

    entries: list[Entry]
    token: str | None


def parse_page(document: bytes, endpoint: Endpoint) -> Page:
    """Raises StoreError (LYING) when the answer contradicts itself or is not a listing of this bucket."""

    def lie(what: str) -> StoreError:
        return StoreError(
            Kind.LYING, f"{endpoint.place}: list: {what}, wanted a whole listing; nothing is deleted on such a one, see the store's status"
        )

    try:
        root = ElementTree.fromstring(document)  # noqa: S314 - expat of Python 3.11 and later bounds entity expansion
    except ElementTree.ParseError as error:
        raise lie(f"answer is no XML ({error})") from None
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    if not root.tag.endswith("ListBucketResult"):
        raise lie(f"answer is a {root.tag.removeprefix(space)}")
    if root.findtext(space + "Name", endpoint.bucket) not in (endpoint.bucket, ""):
        raise lie(f"answer is of bucket {root.findtext(space + 'Name')}")
    encoded = root.findtext(space + "EncodingType") == "url"
    names = {space + "Key": 0, space + "Size": 1, space + "ETag": 2, space + "LastModified": 3}
    entries = []
    try:
        for item in root.iterfind(space + "Contents"):
            values: list[str] = ["", "", "", ""]
            for child in item:
                place = names.get(child.tag)
                if place is not None:
                    values[place] = child.text or ""
            key, size, etag, time = values
            if not MOMENT.fullmatch(time):
                raise ValueError(f"LastModified {time!r}")
            raw = unquote_to_bytes(key.replace("+", " ")) if encoded else key.encode()
            entries.append(Entry(raw, int(size), etag.strip('"'), time))
    except ValueError as error:
        raise lie(f"an entry cannot be read ({error})") from None
    count = root.findtext(space + "KeyCount")
    if count is not None and count != str(len(entries)):
        raise lie(f"KeyCount says {count}, there are {len(entries)} entries")
    truncated = root.findtext(space + "IsTruncated") == "true"
    token = root.findtext(space + "NextContinuationToken")
    if truncated and not token:
        raise lie("answer says that it is cut off and gives no token to go on")
    return Page(entries, token if truncated else None)


def entries(
    fetch: Callable[[dict[str, str | bytes]], bytes], endpoint: Endpoint, after: bytes = b"", until: bytes | None = None
) -> Iterator[Entry]:
    """Objects with after < key <= until in byte order; `fetch` sends one list request. Raises StoreError, and then the listing is partial."""
    query: dict[str, str | bytes] = {"list-type": "2", "encoding-type": "url", "prefix": endpoint.prefix}
    if after:
        query["start-after"] = after
    last, empty, place = after or None, 0, endpoint.place
    while True:
        page = parse_page(fetch(query), endpoint)
        prefix = endpoint.prefix.encode()
        for entry in page.entries:
            key = entry[0]
            if last is not None and key <= last:
                raise StoreError(
                    Kind.LYING, f"{place}: list: {key!r} comes after {last!r}, wanted byte order; the store cannot be merged safely"
                )
            if not key.startswith(prefix):
                raise StoreError(Kind.LYING, f"{place}: list: {key!r} is outside the prefix, wanted {prefix!r}; nothing was deleted")
            last = key
            if until is not None and key > until:
                return
            yield entry
        if page.token is None:
            return
        empty = 0 if page.entries else empty + 1
        if page.token == query.get("continuation-token") or empty > EMPTY_PAGES:
            raise StoreError(
                Kind.LYING,
                f"{place}: list: goes round in circles (the same token, or {empty} empty pages), wanted an end; nothing was deleted",
            )
        query = {name: value for name, value in query.items() if name != "start-after"} | {"continuation-token": page.token}


class Ahead:
    """Reads pages of an iterator in a thread of its own, so that two listings run side by side. Use as a context manager."""

    def __init__(self, source: Iterator[Entry], batch: int = 1000) -> None:
        self._queue: queue.Queue[list[Entry] | BaseException | None] = queue.Queue(AHEAD)
        self._source, self._batch = source, batch
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True, name="list")

    def __enter__(self) -> Iterator[Entry]:
        self._thread.start()
        return self._entries()

    def __exit__(self, *_: object) -> None:
        self._left.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def _read(self) -> None:
        batch: list[Entry] = []
        try:
            for entry in self._source:
                if self._left.is_set():
                    return
                batch.append(entry)
                if len(batch) >= self._batch:
                    self._queue.put(batch)
                    batch = []
            self._queue.put(batch)
            self._queue.put(None)
        except BaseException as error:
            # What came before is true all the same.
            self._queue.put(batch)
            self._queue.put(error)

    def _entries(self) -> Iterator[Entry]:
        while True:
            got = self._queue.get()
            if got is None:
                return
            if isinstance(got, BaseException):
                raise got
            yield from got
