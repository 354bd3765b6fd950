"""What S3 says in XML, and what only looks like it."""

from __future__ import annotations

import pytest

from contract.wire import document
from contract.wire.s3 import OBJECTS, VERSIONS, NotS3, absent, listing, refusal

XHTML = (
    b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Welcome to our new network</p>'
    b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult></body></html>"
)
NO_LISTINGS = [
    b"",
    b" ",
    b"{}",
    b"null",
    XHTML,
    b"<html>",
    b"<!doctype html><title>Sign in</title>",
    b"<Error><Code>AccessDenied</Code></Error>",
    b"<ListAllMyBucketsResult/>",
    b"<Contents><Key>a</Key></Contents>",
    b"<ListBucketResult>",
    b"<ListBucketResult/>x",
    b"<?xml version='1.0' encoding='none'?><ListBucketResult/>",
    b"<!DOCTYPE a [<!ENTITY a 'a'>]><ListBucketResult><Contents><Key>&a;</Key></Contents></ListBucketResult>",
    b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><ListBucketResult/>",
    b"<ListBucketResult><Contents><Key>\xff</Key></Contents></ListBucketResult>",
    b"\x1f\x8b\x08\x00",
]


@pytest.mark.parametrize("text", NO_LISTINGS)
def test_what_is_no_listing_is_no_empty_one(text: bytes) -> None:
    for kind in (OBJECTS, VERSIONS):
        with pytest.raises(NotS3):
            listing(text, kind)


def test_one_kind_of_listing_is_not_the_other() -> None:
    for asked, answered in ((OBJECTS, "ListVersionsResult"), (VERSIONS, "ListBucketResult")):
        with pytest.raises(NotS3, match=answered):
            listing(f"<{answered}/>".encode(), asked)


@pytest.mark.parametrize("space", ["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="urn:other"'])
def test_the_namespace_is_the_stores_own_affair(space: str) -> None:
    inner = (
        "<Version><Key>a&amp;b</Key></Version><DeleteMarker><Key>no</Key></DeleteMarker><Version><Key>a</Key></Version>"
    )
    page = listing(
        f"<ListVersionsResult{space}><IsTruncated>true</IsTruncated>{inner}<NextKeyMarker>a</NextKeyMarker></ListVersionsResult>".encode(),
        VERSIONS,
    )
    assert page.keys == ["a&b", "a"]
    assert page.told == {"IsTruncated": "true", "NextKeyMarker": "a"}


def test_an_empty_bucket_is_an_empty_page() -> None:
    assert listing(b"<ListBucketResult/>").keys == []


def test_deep_and_wide_documents_end() -> None:
    deep = b"<ListBucketResult>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</ListBucketResult>"
    assert listing(deep).keys == []
    wide = b"<ListBucketResult><Contents><Key>" + b"x" * 2_000_000 + b"</Key></Contents></ListBucketResult>"
    assert len(listing(wide).keys[0]) == 2_000_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"<Error><Code>NoSuchKey</Code><Message>x</Message></Error>", "NoSuchKey"),
        (b'<Error xmlns="urn:x"><Code>NoSuchKey</Code></Error>', "NoSuchKey"),
        (b"<Error><Code>No such\nkey</Code></Error>", ""),
        (b"<Error><Detail><Code>NoSuchKey</Code></Detail></Error>", ""),
        (b"<html><Code>NoSuchKey</Code></html>", ""),
        (b"<Code>NoSuchKey</Code>", ""),
        (b"NoSuchKey", ""),
        (b"", ""),
    ],
)
def test_the_code_of_a_refusal_is_s3s_own(text: bytes, code: str) -> None:
    assert refusal(text) == code
    assert absent(404, text) == (code == "NoSuchKey")
    assert not absent(403, text)


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b"-1e999", b"[" * 100_000, b"9" * 5000, b"\xff", b"", b"{"])
def test_json_that_only_python_takes_is_none(text: bytes) -> None:
    with pytest.raises(ValueError):
        document.parse(text)


def test_json_with_a_mark_before_it_is_read_all_the_same() -> None:
    assert document.mapping(b'\xef\xbb\xbf{"a": 1.5}') == {"a": 1.5}
