"""The rare calls: by the keys that the copier is told, whatever else this machine has set up for others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.assets import cold
from scripts.assets.cold import Part
from scripts.assets.config import Endpoint, Options
from scripts.assets.errors import Kind, StoreError
from scripts.assets.store import Bucket
from tests.assets.conftest import Pair
from tests.assets.stub import Fault
from tests.unit.bad_answers import PAGES, Played, reply


def store(url: str) -> Bucket:
    end = Endpoint(
        name="source", endpoint=url, region="us-east-1", bucket="bucket", access_key="AK", secret_key="secret"
    )
    return Bucket(end, Options(attempts=1, timeout_s=30), threading.Event())


def test_nothing_of_this_machines_own_keys_and_settings_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """boto3#4121: a profile of somebody else's, which is not there, ended every run. Keys and settings come from the document alone."""
    (tmp_path / "config").write_text("[default]\nca_bundle = /nowhere\ns3 =\n  addressing_style = virtual\n")
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "config"),
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "perhaps",
        "AWS_MAX_ATTEMPTS": "none",
        "AWS_RETRY_MODE": "none",
        "AWS_ACCESS_KEY_ID": "other",
    }.items():
        monkeypatch.setenv(name, value)
    server = Played()
    told = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    server.good = {"versioning=": reply("200 OK", told)}
    assert store(server.url).versioned() is True
    (head,) = server.asked
    server.close()
    assert head.startswith(b"GET /bucket/?versioning= ") and b"Credential=AK/" in head


@pytest.mark.parametrize("page", ["XHTML", "a root of another kind", "an empty root of nobody"])
def test_a_page_is_no_answer_in_which_nothing_is(page: str) -> None:
    """boto3#887: taken for one, an old version that is not seen is not kept, and a bucket would look unversioned."""
    server = Played()
    server.bad = ("", PAGES[page])
    key = b"k"
    asks: list[Callable[[Bucket], object]] = [
        Bucket.versioned,
        lambda bucket: bucket.versions(key),
        lambda bucket: bucket.tags(key),
        lambda bucket: bucket.canned_acl(key),
        lambda bucket: bucket.parts(key, "id"),
        lambda bucket: bucket.unfinished(key),
    ]
    for ask in asks:
        with pytest.raises(StoreError, match="not believed") as caught:
            ask(store(server.url))
        assert caught.value.kind is Kind.LYING
    server.close()


def test_nobody_is_sent_elsewhere() -> None:
    """A client that asks the same server where to go, and follows that question's redirect the same way, goes on for ever."""
    server = Played()
    server.bad = ("", PAGES["a redirect to another region"])
    bucket = store(server.url)
    for ask in (bucket.versioned, lambda: bucket.versions(b"k"), lambda: bucket.tags(b"k")):
        server.asked.clear()
        with pytest.raises(StoreError) as caught:
            ask()
        assert caught.value.kind in (Kind.REGION, Kind.NETWORK) and len(server.asked) <= 1
    server.close()


def pages(pair: Pair, operation: str, told: list[str]) -> None:
    """The target answers this operation with these documents, one after the other, and with the last for ever."""
    for each in told[:-1]:
        pair.b.rule(operation, Fault(200, body=each.encode()))
    pair.b.rule(operation, Fault(200, body=told[-1].encode()), times=10_000)


def target(pair: Pair) -> Bucket:
    return Bucket(pair.job().target, Options(attempts=1, timeout_s=30), threading.Event())


PARTS = "<ListPartsResult xmlns='urn:x'><IsTruncated>{more}</IsTruncated>{onward}{rows}</ListPartsResult>"
PART = '<Part><PartNumber>{n}</PartNumber><ETag>"e{n}"</ETag><Size>5</Size></Part>'


def parts_page(number: int, onward: str | None) -> str:
    told = "" if onward is None else f"<NextPartNumberMarker>{onward}</NextPartNumberMarker>"
    return PARTS.format(more="false" if onward is None else "true", onward=told, rows=PART.format(n=number))


def test_what_goes_on_on_another_page_is_asked_for(pair: Pair) -> None:
    pages(pair, "parts", [parts_page(1, "1"), parts_page(2, None)])
    assert target(pair).parts(b"k", "id") == [Part(1, "e1", 5), Part(2, "e2", 5)]
    assert [request.query.get("part-number-marker") for request in pair.b.log] == [None, "1"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([parts_page(1, "1")], "round in circles"),
        ([parts_page(1, "")], "does not say how it goes on"),
        ([PARTS.format(more="perhaps", onward="", rows="")], "whether it is cut off"),
        (["<ListPartsResult/>"], "without IsTruncated"),
        ([parts_page(1, None).replace("<Size>5", "<Size>five")], "cannot be read"),
        ([parts_page(1, None).replace("Size>", "Length>")], "a Part without Size"),
        ([parts_page(n, str(n)) for n in range(1, 12)], "more than 10 pages"),
    ],
)
def test_pages_that_do_not_hold_together_end(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, told: list[str], words: str
) -> None:
    monkeypatch.setattr(cold, "MOST_PAGES", 10)
    pages(pair, "parts", told)
    with pytest.raises(StoreError, match=words) as caught:
        target(pair).parts(b"k", "id")
    assert caught.value.kind is Kind.LYING


def test_a_key_that_xml_cannot_hold_is_found_among_others(pair: Pair) -> None:
    key = b"a b/\x01+\xc3\xa9&"
    version = (
        "<Version><Key>{key}</Key><VersionId>{n}</VersionId><IsLatest>true</IsLatest><ETag>&quot;e&quot;</ETag>"
        "<LastModified>2026-12-01T10:00:00.000Z</LastModified></Version>"
    )
    rows = version.format(key="a+b%2F%01%2B%C3%A9%26", n=1) + version.format(key="other", n=2)
    told = f"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{rows}</ListVersionsResult>"
    pages(pair, "versions", [told])
    assert target(pair).versions(key) == [("1", "e", False)]


FINISHED = b"<CompleteMultipartUploadResult><ETag>&quot;e-1&quot;</ETag></CompleteMultipartUploadResult>"


def test_spaces_that_keep_a_connection_open_are_no_answer(pair: Pair) -> None:
    pair.b.rule("complete", Fault(200, body=b" \n " + FINISHED))
    assert target(pair).finish_upload(b"k", "id", [Part(1, "e", 5)], {"if-none-match": "*"}) == "e-1"
    (asked,) = pair.b.log
    assert asked.headers["if-none-match"] == "*" and b'<ETag>"e"</ETag>' in asked.body


def test_a_refusal_that_says_200_is_one(pair: Pair) -> None:
    """S3 says 200 to the end of an upload before it knows."""
    pair.b.rule("complete", Fault(200, body=b"<Error><Code>InternalError</Code></Error>"))
    with pytest.raises(StoreError, match=r"finish upload refused \(InternalError\)") as caught:
        target(pair).finish_upload(b"k", "id", [], {})
    assert caught.value.kind is Kind.SLOW
