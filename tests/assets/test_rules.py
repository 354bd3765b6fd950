"""The rules by themselves: patience, throttle, listings, and what counts as the same."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import pytest

from scripts.assets.compare import Clocks, Verdict, from_headers, from_listings
from scripts.assets.config import Endpoint
from scripts.assets.errors import Kind, StoreError
from scripts.assets.listing import Ahead, Document, Entry, documents, entries, parse_page
from scripts.assets.metadata import carried, notes, origin, parse_time, same_metadata
from scripts.assets.parts import part_size
from scripts.assets.refusals import classify
from scripts.assets.retry import Patience, Stopped, Throttle
from scripts.assets.state import Row
from tests.assets.stub import listing

MIB = 1024 * 1024
END = Endpoint(name="source", endpoint="http://h", region="r", bucket="bucket", access_key="k", secret_key="s")
MD5, OTHER = "0" * 32, "1" * 32
T0, T1, T2 = "2026-11-25T10:00:00.000Z", "2026-11-25T10:00:10.000Z", "2026-11-25T10:00:20.000Z"


def entry(etag: str = MD5, at: str = T0, size: int = 5) -> Entry:
    return Entry(b"k", size, etag, at)


def row(missing: int = 0, **more: Any) -> Row:
    made = Row(
        b"k",
        5,
        source_etag=MD5,
        source_time=T0,
        target_etag=MD5,
        target_time=T1,
        digest="",
        missing_runs=missing,
    )
    return made._replace(**more)


LISTED = [
    (entry(), None, None, Verdict.COPY),
    (entry(), None, row(), Verdict.COPY),
    (entry(), entry(at=T1), row(), Verdict.SAME),
    (entry(), entry(at=T1), row(missing=1), Verdict.RECORD),
    (entry(), entry(at=T1), row(target_time=""), Verdict.RECORD),
    # The source changed: contents, or metadata alone (the etag stays).
    (entry(OTHER, T2), entry(at=T1), row(), Verdict.COPY),
    (entry(MD5, T2), entry(at=T1), row(), Verdict.COPY),
    # Older than it was: somebody has to look.
    (entry(OTHER, "2026-11-25T09:00:00.000Z"), entry(at=T1), row(), Verdict.LOOK),
    # The target changed.
    (entry(), entry(OTHER, T2), row(), Verdict.LOOK),
    (entry(), entry(at=T2), row(), Verdict.LOOK),
    (entry(OTHER, T2), entry(OTHER, T2), row(), Verdict.LOOK),
    (entry(OTHER, T2), entry(MD5, T2), row(), Verdict.LOOK),
    # Nothing is remembered.
    (entry(), entry(at=T1), None, Verdict.RECORD),
    (entry(at=T1), entry(at=T0), None, Verdict.LOOK),
    (entry(), entry(at="2026-11-25T10:00:01.000Z"), None, Verdict.LOOK),
    (entry(), entry(OTHER, T1), None, Verdict.LOOK),
    (entry(), entry(at=T1, size=6), None, Verdict.LOOK),
    (entry("a-2"), entry("a-2", T1), None, Verdict.LOOK),
    # Not written by a copier, and then the source has that key too.
    (entry(at=T2), entry(at=T1), row(source_etag="", source_time=""), Verdict.LOOK),
]


@pytest.mark.parametrize(("source", "target", "known", "verdict"), LISTED)
def test_what_listings_tell(source: Entry, target: Entry | None, known: Row | None, verdict: Verdict) -> None:
    assert from_listings(source, target, known, Clocks()) is verdict


def test_times_are_compared_as_if_by_one_clock() -> None:
    # The target's clock is 100 s behind: what looks older is younger.
    assert from_listings(entry(at=T2), entry(at=T0), None, Clocks(target=-100)) is Verdict.RECORD
    assert from_listings(entry(at=T0), entry(at=T2), None, Clocks(target=100)) is Verdict.LOOK


def headers(etag: str = MD5, at: str = "Wed, 25 Nov 2026 10:00:00 GMT", size: int = 5, **more: str) -> dict[str, str]:
    return {"etag": f'"{etag}"', "last-modified": at, "content-length": str(size)} | {
        name.replace("_", "-"): value for name, value in more.items()
    }


LATER, EARLIER = "Wed, 25 Nov 2026 11:00:00 GMT", "Wed, 25 Nov 2026 09:00:00 GMT"


def copy_of(etag: str, at: str = "Wed, 25 Nov 2026 10:00:00 GMT", version: str = "", epoch: int = 1) -> dict[str, str]:
    return notes(epoch, etag, at, version, "")


HEADED = [
    (headers(), None, Verdict.COPY),
    (headers(), headers(), Verdict.RECORD),
    (headers(content_type="a/b"), headers(at=EARLIER), Verdict.COPY),
    (headers("a-2"), headers("b-3") | copy_of("a-2"), Verdict.RECORD),
    (headers("a-2"), headers("b-3", size=6) | copy_of("a-2"), Verdict.COPY),
    (headers("a-2", x_amz_version_id="v1"), headers("b-3") | copy_of("a-2", version="v1"), Verdict.RECORD),
    (headers("a-2", x_amz_version_id="v2"), headers("b-3") | copy_of("a-2", version="v1"), Verdict.COPY),
    (headers("c-2", LATER), headers("b-3") | copy_of("a-2"), Verdict.COPY),
    (headers("c-2", EARLIER), headers("b-3") | copy_of("a-2"), Verdict.COPY),
    (headers(OTHER), headers(at=LATER), Verdict.HOLD),
    (headers(OTHER), headers(at=EARLIER), Verdict.COPY),
    (headers(OTHER), headers(at=LATER) | copy_of(OTHER, epoch=9), Verdict.STALE),
    # The direction has turned: the source's is a copy of the target's.
    (headers("a-2", LATER) | copy_of("b-3"), headers("b-3"), Verdict.RECORD),
    (headers("a-2", LATER) | copy_of("old-3"), headers("b-3"), Verdict.COPY),
    (headers(OTHER), headers(at=EARLIER, x_amz_meta_dr_source="damaged"), Verdict.COPY),
]


@pytest.mark.parametrize(("source", "target", "verdict"), HEADED)
def test_what_headers_tell(source: dict[str, str], target: dict[str, str] | None, verdict: Verdict) -> None:
    assert from_headers(source, target, 3, Clocks()).verdict is verdict


def test_what_was_written_later_is_told_by_both_clocks() -> None:
    source, target = headers(OTHER), headers(at="Wed, 25 Nov 2026 10:01:00 GMT")
    assert from_headers(source, target, 3, Clocks()).verdict is Verdict.HOLD
    assert from_headers(source, target, 3, Clocks(target=100)).verdict is Verdict.COPY
    assert from_headers(source, target, 3, Clocks(source=-100, target=0)).verdict is Verdict.COPY


def test_notes_are_read_back_and_not_carried_on() -> None:
    made = notes(7, 'odd "etag=1"', "Wed, 25 Nov 2026 10:00:00 GMT", "v 1", "sha256:x")
    found = origin(made)
    assert found is not None
    assert (found.epoch, found.etag, found.version, found.time) == (
        7,
        'odd "etag=1"',
        "v 1",
        parse_time("2026-11-25T10:00:00Z"),
    )
    assert carried(made | {"x-amz-meta-mine": "1"}) == {"x-amz-meta-mine": "1"}


# How a body came to the store is no property of the object: stores that keep the word (versitygw#2398, rclone#8724) and stores that strip it differ for ever.
@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ("aws-chunked", None),
        ("AWS-Chunked", None),
        ("gzip,aws-chunked", "gzip"),
        ("aws-chunked, br", "br"),
        ("gzip, aws-chunked ,br", "gzip, br"),
        ("aws-chunked,", None),
        ("gzip,br", "gzip,br"),
        ("x-aws-chunked", "x-aws-chunked"),
    ],
)
def test_the_way_a_body_was_sent_is_not_carried(found: str, kept: str | None) -> None:
    source = headers(content_encoding=found, content_type="a/b")
    assert carried(source) == {"content-type": "a/b"} | ({"content-encoding": kept} if kept else {})
    for stored in {found, kept}:
        target = headers(content_type="a/b") | ({"content-encoding": stored} if stored else {})
        assert same_metadata(source, target) == []


def test_an_encoding_that_differs_is_still_seen() -> None:
    assert same_metadata(headers(content_encoding="gzip,aws-chunked"), headers(content_encoding="br")) == [
        "content-encoding"
    ]


@pytest.mark.parametrize(("code", "status", "operation", "kind"), [
    ("NoSuchKey", 404, "get", Kind.ABSENT), ("404", 404, "head", Kind.ABSENT), ("404", 404, "list", Kind.NO_BUCKET),
    ("NoSuchBucket", 404, "put", Kind.NO_BUCKET),
    ("403", 403, "head", Kind.DENIED), ("ExpiredToken", 400, "get", Kind.EXPIRED), ("ConditionalRequestConflict", 409, "put", Kind.CONDITION),
    ("Whatever", 503, "get", Kind.SLOW), ("Whatever", 429, "get", Kind.SLOW), ("Whatever", 400, "get", Kind.OTHER), ("QuotaExceeded", 403, "put", Kind.FULL),
])  # fmt: skip
def test_refusals_are_classified(code: str, status: int, operation: str, kind: Kind) -> None:
    assert classify(code, status, operation) is kind


def test_no_object_needs_more_parts_than_a_store_takes() -> None:
    assert part_size(100 * MIB, 16 * MIB) == 16 * MIB
    five_tb = 5 * 1024**4
    assert five_tb / part_size(five_tb, 16 * MIB) <= 9_000


def test_a_throttle_halves_once_a_burst_and_recovers() -> None:
    now = [0.0]
    throttle = Throttle(16, clock=lambda: now[0])
    for _ in range(10):
        throttle.bad()
    assert throttle.limit == 8
    now[0] += 2
    throttle.bad()
    assert (throttle.limit, throttle.slowed) == (4, 2)
    for _ in range(200):
        throttle.good()
    assert throttle.limit == 16
    for _ in range(20):
        now[0] += 2
        throttle.bad()
    assert throttle.limit == 1


def test_a_throttle_lets_so_many_in_and_no_more() -> None:
    throttle = Throttle(2)
    inside, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(50):
            with throttle.slot():
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 2


def slow() -> None:
    raise StoreError(Kind.SLOW, "busy")


def test_patience_ends_and_only_with_what_may_pass() -> None:
    calls: list[int] = []
    patience = Patience(4, 0.0001, 0.001, threading.Event())

    def failing(kind: Kind) -> None:
        calls.append(1)
        raise StoreError(kind, "x")

    for kind, number in ((Kind.SLOW, 4), (Kind.NETWORK, 4), (Kind.DENIED, 1), (Kind.CONDITION, 1), (Kind.LYING, 1)):
        calls.clear()
        with pytest.raises(StoreError):
            patience.run(partial(failing, kind), Throttle(4))
        assert len(calls) == number, kind


def test_waiting_ends_when_the_run_is_stopped() -> None:
    stop = threading.Event()
    patience = Patience(5, 1000, 1000, stop)
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Stopped):
        patience.run(slow, Throttle(4))


def test_delays_grow_to_a_cap_and_respect_the_store() -> None:
    patience = Patience(9, 1, 30, threading.Event())
    assert all(0 <= patience.delay(1, 0) <= 1 for _ in range(50))
    assert max(patience.delay(5, 0) for _ in range(200)) > 8
    assert all(patience.delay(20, 0) <= 30 for _ in range(50))
    assert patience.delay(1, 12) >= 12
    assert patience.delay(1, 10_000) <= 30


def test_a_key_is_decoded_only_where_the_answer_says_so() -> None:
    item = "<Contents><Key>a+b%2Fc</Key><Size>1</Size><ETag>x</ETag><LastModified>2026-11-25T10:00:00Z</LastModified></Contents>"
    assert parse_page(listing([item]), END).entries[0].key == b"a b/c"
    assert parse_page(listing([item], encoding=""), END).entries[0].key == b"a+b%2Fc"


def rows_of(*keys: str) -> list[str]:
    return [
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>x</ETag><LastModified>{T0}</LastModified></Contents>"
        for key in keys
    ]


def token(text: str) -> str:
    return f"<NextContinuationToken>{text}</NextContinuationToken>"


@pytest.mark.parametrize("until", ["k5", "k8A"])
@pytest.mark.parametrize("cdata", [False, True])
def test_no_answer_is_asked_for_beyond_a_range(until: str, cdata: bool) -> None:
    keys = [*(f"k{number}" for number in range(2, 8)), "k8%41"]
    asked: list[Any] = []

    def fetch(query: Any) -> bytes:
        asked.append(dict(query))
        shown = keys if len(asked) == 1 else ["k9"]
        return listing(rows_of(*(f"<![CDATA[{key}]]>" if cdata else key for key in shown)), more=True, token=token("t"))

    end = until.encode()
    found = [item.key for item in entries(documents(fetch, END, b"k1", end), END, b"k1", end)]
    assert (found[0], found[-1]) == (b"k2", end)
    # In one of the cases the range's last key is the answer's last too: it is decoded before it is compared.
    assert [query.get("start-after") for query in asked] == [b"k1"]


@pytest.mark.parametrize("text", ["next", "a&amp;b", "<![CDATA[a&b]]>"])
def test_the_next_answer_is_asked_for_before_one_is_read(text: str) -> None:
    asked: list[Any] = []
    second = threading.Event()

    def fetch(query: Any) -> bytes:
        asked.append(query.get("continuation-token"))
        if len(asked) == 1:
            return listing(rows_of("a"), more=True, token=token(text))
        second.set()
        return listing(rows_of("b"))

    with Ahead(documents(fetch, END)) as answers:
        assert second.wait(5), "the first answer was not read, and the second not asked for"
        assert [item.key for item in entries(answers, END)] == [b"a", b"b"]
    assert asked == [None, "next" if text == "next" else "a&b"]


def test_an_answer_with_two_tokens_is_not_believed() -> None:
    odd = listing(rows_of("a"), more=True, token=token("real"))
    with pytest.raises(StoreError, match="twice"):
        list(entries([Document(odd, "other")], END))


@pytest.mark.parametrize("keys", [("a", "c", "b"), ("a", "a")])
def test_keys_out_of_order_are_not_believed(keys: tuple[str, ...]) -> None:
    with pytest.raises(StoreError, match="byte order"):
        list(entries([Document(listing(rows_of(*keys)), None)], END))
    later = [Document(listing(rows_of(key), more=True, token=token(key)), key) for key in keys[1:]]
    with pytest.raises(StoreError, match="byte order"):
        list(entries(later, END, after=keys[1].encode()))


def test_reading_ahead_is_bounded_and_can_be_left() -> None:
    taken = [0]

    def endless() -> Any:
        while True:
            taken[0] += 1
            yield taken[0]

    with Ahead(endless()) as items:
        next(items)
        deadline = time.monotonic() + 5
        while taken[0] < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        seen = taken[0]
    assert seen == 4, "one read, two waiting, one in the hand"
    assert taken[0] <= 7


def test_a_failing_listing_fails_its_reader() -> None:
    def broken() -> Any:
        yield Entry(b"a", 1, "x", T0)
        raise StoreError(Kind.LYING, "nonsense")

    with Ahead(broken()) as items, pytest.raises(StoreError, match="nonsense"):
        list(items)
