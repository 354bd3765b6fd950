"""Sorted listings of a bucket, page by page, believed only as long as they hold together."""

from __future__ import annotations

import queue
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from operator import ge
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from contract.wire.s3 import NotS3

from . import answers
from .answers import decoded
from .config import Endpoint
from .errors import Kind, StoreError

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
EMPTY_PAGES = 100  # in a row; a store that skips deleted entries sends a few
AHEAD = 2  # answers fetched before they are asked for
CUT_OFF = re.compile(rb"<IsTruncated>([^<]*)</IsTruncated>")
TOKEN = re.compile(rb"<NextContinuationToken>([^<&]+)</NextContinuationToken>")
T = TypeVar("T")


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


class Document(NamedTuple):
    """One answer, not parsed yet. `token`: what the next request was told; None when there is none."""

    body: bytes
    token: str | None


def parse_page(document: bytes, endpoint: Endpoint, prefix: bytes | None = None) -> Page:
    """`prefix`: that was asked for, None for the endpoint's. Raises StoreError (LYING) when the answer contradicts itself or is none to this question."""

    def lie(what: str) -> StoreError:
        return StoreError(
            Kind.LYING,
            f"{endpoint.place}: list: {what}, wanted a whole listing; nothing is deleted on such a one, see the store's status",
        )

    try:
        root, space = answers.document(document, "ListBucketResult")
    except NotS3 as error:
        raise lie(f"answer is {error}") from None
    if root.findtext(space + "Name", endpoint.bucket) not in (endpoint.bucket, ""):
        raise lie(f"answer is of bucket {root.findtext(space + 'Name')}")
    encoded = root.findtext(space + "EncodingType") == "url"
    echo, wanted = root.findtext(space + "Prefix") or "", endpoint.prefix.encode() if prefix is None else prefix
    if echo and wanted not in (echo.encode(), decoded(echo, encoded)):
        raise lie(f"answer is of prefix {decoded(echo, encoded).decode('utf-8', 'backslashreplace')!r}")
    if root.find(space + "CommonPrefixes") is not None:
        raise lie("answer holds keys back behind common prefixes")
    key_tag, size_tag, etag_tag, time_tag = (space + name for name in ("Key", "Size", "ETag", "LastModified"))
    entries = []
    try:
        for item in root.iterfind(space + "Contents"):
            text = item.findtext
            key, time = text(key_tag, ""), text(time_tag, "")
            if not MOMENT.fullmatch(time):
                raise ValueError(f"LastModified {time!r}")
            datetime.fromisoformat(time)
            entries.append(Entry(decoded(key, encoded), int(text(size_tag, "")), text(etag_tag, "").strip('"'), time))
    except ValueError as error:
        raise lie(f"an entry cannot be read ({error})") from None
    count = root.findtext(space + "KeyCount")
    if count is not None and count != str(len(entries)):
        raise lie(f"KeyCount says {count}, there are {len(entries)} entries")
    token = root.findtext(space + "NextContinuationToken") or None
    wrong = _contradiction(root.findtext(space + "IsTruncated") or "", token)
    if wrong:
        raise lie(wrong)
    return Page(entries, token)


def _contradiction(truncated: str, token: str | None) -> str:
    """What is wrong with how a page says that it ends; empty when nothing is."""
    if truncated not in ("true", "false"):
        said = f"says {truncated!r} of" if truncated else "does not say"
        return f"answer {said} whether it is cut off"
    if truncated == "true" and token is None:
        return "answer says that it is cut off and gives no token to go on"
    if truncated == "false" and token is not None:
        return "answer says that it is whole and how it goes on"
    return ""


def _goes_on(body: bytes, endpoint: Endpoint, until: bytes | None) -> str | None:
    """The token for the next request, None where no more is wanted. Found without parsing, so that the request goes out before that."""
    cut_off, tokens = CUT_OFF.findall(body), TOKEN.findall(body)
    last = body[body.rfind(b"<Key>") + 5 : body.rfind(b"</Key>")]
    plain = len(cut_off) == 1 and body.count(b"<NextContinuationToken>") == len(tokens) < 2
    if not plain or (until is not None and (b"&" in last or b"<" in last)):
        page = parse_page(body, endpoint)
        return page.token if until is None or not page.entries or page.entries[-1].key < until else None
    if until is not None and last:
        encoded = b"<EncodingType>url</EncodingType>" in body
        if (unquote_to_bytes(last.replace(b"+", b" ")) if encoded else last) >= until:
            return None
    return tokens[0].decode() if tokens and cut_off == [b"true"] else None


def documents(
    fetch: Callable[[dict[str, str | bytes]], bytes], endpoint: Endpoint, after: bytes = b"", until: bytes | None = None
) -> Iterator[Document]:
    """Answers that hold the keys with after < key <= until; `fetch` sends one list request. Raises StoreError."""
    query: dict[str, str | bytes] = {"list-type": "2", "encoding-type": "url", "prefix": endpoint.prefix}
    if after:
        query["start-after"] = after
    while True:
        body = fetch(query)
        token = _goes_on(body, endpoint, until)
        yield Document(body, token)
        if token is None:
            return
        if token == query.get("continuation-token"):
            raise _circles(endpoint, "the same token")
        query.pop("start-after", None)
        query = query | {"continuation-token": token}


def _circles(endpoint: Endpoint, how: str) -> StoreError:
    return StoreError(
        Kind.LYING, f"{endpoint.place}: list: goes round in circles ({how}), wanted an end; nothing was deleted"
    )


def entries(
    answers: Iterable[Document], endpoint: Endpoint, after: bytes = b"", until: bytes | None = None
) -> Iterator[Entry]:
    """Objects with after < key <= until in byte order. Raises StoreError, and then the listing is partial."""
    last, empty, place, prefix = after, 0, endpoint.place, endpoint.prefix.encode()
    for answer in answers:
        page = parse_page(answer.body, endpoint)
        keys = [entry[0] for entry in page.entries]
        before = [last, *keys[:-1]] if keys else []
        if any(map(ge, before, keys)):
            earlier, key = next(pair for pair in zip(before, keys, strict=True) if ge(*pair))
            raise StoreError(
                Kind.LYING,
                f"{place}: list: {key!r} comes after {earlier!r}, wanted byte order; the store cannot be merged safely",
            )
        # In order, so the first and the last speak for those between.
        for key in keys[:1] + keys[-1:]:
            if not key.startswith(prefix):
                raise StoreError(
                    Kind.LYING, f"{place}: list: {key!r} is outside the prefix, wanted {prefix!r}; nothing was deleted"
                )
        last = keys[-1] if keys else last
        yield from page.entries if until is None or last <= until else page.entries[: bisect_right(keys, until)]
        if page.token is None or (until is not None and last >= until):
            return
        if page.token != answer.token:
            raise StoreError(
                Kind.LYING,
                f"{place}: list: says twice how it goes on, wanted one token; nothing was deleted, see the store's status",
            )
        empty = 0 if page.entries else empty + 1
        if empty > EMPTY_PAGES:
            raise _circles(endpoint, f"{empty} empty pages")


class Ahead(Generic[T]):
    """Takes from an iterator in a thread of its own, so that several wait for their stores side by side. Use as a context manager."""

    def __init__(self, source: Iterator[T]) -> None:
        self._queue: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(AHEAD)
        self._source = source
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True, name="list")

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._items()

    def __exit__(self, *_: object) -> None:
        self._left.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue
        self._thread.join()

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for item in self._source:
                self._queue.put((item,))
                if self._left.is_set():
                    return
        except BaseException as error:
            # What came before is true all the same.
            end = error
        self._queue.put(end)

    def _items(self) -> Iterator[T]:
        while (got := self._queue.get()) is not None:
            if isinstance(got, BaseException):
                raise got
            yield got[0]
