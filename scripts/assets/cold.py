"""The rare calls: those that S3 answers with a document of XML. Over the same connections as the hot ones, and bounded as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from contract.wire import s3
from contract.wire.s3 import NotS3

from . import answers
from .errors import Kind, StoreError
from .listing import MOMENT
from .metadata import parse_time
from .refusals import refusal
from .wire import DOCUMENT, Answer, Headers, Limits, Wire

T = TypeVar("T")
Query = dict[str, str | bytes]

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
CANNED: dict[frozenset[tuple[str, str]], str | None] = {
    frozenset(): None,
    frozenset({(ALL_USERS, "READ")}): "public-read",
    frozenset({(ALL_USERS, "READ"), (ALL_USERS, "WRITE")}): "public-read-write",
    frozenset({(AUTHENTICATED, "READ")}): "authenticated-read",
}
MOST_PAGES = 1000  # of a thousand entries each; the longest honest answer has ten
MOST_OF_A_BUCKET = 1_000_000
# While a store puts a large object together it sends a space now and then, so that nobody takes it for dead.
FINISH = Limits(most=DOCUMENT.most, within_s=600.0, trickles=True)


class _Question(NamedTuple):
    """`root`: of the document that answers it."""

    operation: str
    key: bytes
    query: Query
    root: str


class Version(NamedTuple):
    """A version of one key; in the order of their age. `time`: when it was written, seconds since 1970 by the store's clock."""

    newest: bool
    time: float
    identity: str
    etag: str
    marker: bool
    size: int = 0


class Part(NamedTuple):
    """One part of an upload, as the store holds it."""

    number: int
    etag: str
    size: int


class Cold:
    """One attempt a call; the caller tries again. Raises StoreError."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._endpoint = wire, wire.endpoint

    def tags(self, key: bytes, version: str = "") -> list[tuple[str, str]]:
        def read(root: ElementTree.Element) -> list[tuple[str, str]]:
            tags = answers.need(root, "TagSet").iterfind("Tag")
            return [(answers.text(tag, "Key"), answers.text(tag, "Value")) for tag in tags]

        query: Query = {"tagging": "", **({"versionId": version} if version else {})}
        return self._document(_Question("tags", key, query, "Tagging"), read)

    def canned_acl(self, key: bytes) -> str | None:
        try:
            grants = self._document(_Question("acl", key, {"acl": ""}, "AccessControlPolicy"), _grants)
        except StoreError as error:
            if error.kind is Kind.UNSUPPORTED:
                return None
            raise
        if grants not in CANNED:
            # Users differ between projects: such grants cannot be said over there.
            raise StoreError(
                Kind.UNSUPPORTED,
                f"{self._endpoint.place}: {key!r} has grants to single users, wanted a canned ACL; grant by user policy instead",
            )
        return CANNED[grants]

    def versioned(self) -> bool:
        """By its own word, or, from a store that gives it to the bucket's owner alone, by the version ids of what lies there; in an empty bucket
        nothing can be lost.
        """
        try:
            question = _Question("versioning", b"", {"versioning": ""}, "VersioningConfiguration")
            return self._document(question, lambda root: root.findtext("Status") == "Enabled")
        except StoreError as error:
            if error.kind is not Kind.DENIED:
                raise
        query: Query = {"versions": "", "max-keys": "1"}
        return self._document(
            _Question("versions", b"", query, "ListVersionsResult"),
            lambda page: all(item.findtext("VersionId") not in (None, "", "null") for item in _either(page)),
        )

    def versions(self, key: bytes) -> list[tuple[str, str, bool]]:
        """See `Bucket.versions`."""
        query: Query = {"versions": "", "encoding-type": "url", "prefix": key}
        onward = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
        found: list[Version] = []

        def read(page: ElementTree.Element) -> bool:
            rows = _either(page)
            same = [_version(item) for item in rows if _key(page, item) == key]
            found.extend(same)
            return bool(rows) and not same

        for others in self._pages(_Question("versions", b"", query, "ListVersionsResult"), onward, read):
            if others:
                break
        return [(row.identity, row.etag, row.marker) for row in _by_age(found)]

    def histories(self) -> Iterator[tuple[bytes, list[Version]]]:
        """See `Bucket.histories`."""
        query: Query = {"versions": "", "encoding-type": "url", "prefix": self._endpoint.prefix}
        onward = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}

        def read(page: ElementTree.Element) -> list[tuple[bytes, Version]]:
            return [(_key(page, item), _version(item)) for item in _either(page)]

        open_: dict[bytes, list[Version]] = {}
        for page in self._pages(
            _Question("versions", b"", query, "ListVersionsResult"), onward, read, MOST_OF_A_BUCKET
        ):
            for key, version in page:
                open_.setdefault(key, []).append(version)
            # The last key may go on in the next page.
            for key in sorted(open_)[:-1]:
                yield key, _by_age(open_.pop(key))
        for key in sorted(open_):
            yield key, _by_age(open_[key])

    def parts(self, key: bytes, upload: str) -> list[Part]:
        """See `Bucket.parts`."""

        def read(page: ElementTree.Element) -> list[Part]:
            return [_part(item) for item in page.iterfind("Part")]

        onward = {"part-number-marker": "NextPartNumberMarker"}
        pages = self._pages(_Question("list parts", key, {"uploadId": upload}, "ListPartsResult"), onward, read)
        return [part for page in pages for part in page]

    def unfinished(self, key: bytes) -> list[tuple[str, float]]:
        """See `Bucket.unfinished`."""

        def read(page: ElementTree.Element) -> list[tuple[str, float]]:
            same = [item for item in page.iterfind("Upload") if _key(page, item) == key]
            return [(answers.text(item, "UploadId"), _moment(answers.text(item, "Initiated"))) for item in same]

        query: Query = {"uploads": "", "encoding-type": "url", "prefix": key}
        onward = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
        pages = self._pages(_Question("list uploads", b"", query, "ListMultipartUploadsResult"), onward, read)
        return [upload for page in pages for upload in page]

    def finish_upload(self, key: bytes, upload: str, parts: list[Part], condition: Headers) -> str:
        """See `Bucket.finish_upload`. CONDITION where the answer does not tell how it went."""
        rows = (
            f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{escape(part.etag)}"</ETag></Part>' for part in parts
        )
        body = f'<CompleteMultipartUpload xmlns="{answers.SPACE}">{"".join(rows)}</CompleteMultipartUpload>'
        headers = {"content-type": "application/xml", **condition}
        query = {"uploadId": upload}
        answer = self._wire.ask("finish upload", "POST", key, query, headers, body=body.encode(), limits=FINISH)
        try:
            root = answers.plain(answer.body.lstrip(), "CompleteMultipartUploadResult")
            etag = root.findtext("ETag", "").strip('"')
        except NotS3:
            self._see_refusal("finish upload", answer)
            etag = ""
        if not etag:
            # It may be there all the same: whoever looks at it finds out.
            text = f"{self._endpoint.place}: finish upload: answer has no ETag, wanted that of the object; the next look decides"
            raise StoreError(Kind.CONDITION, text, side=self._endpoint.name)
        return etag

    def abort_upload(self, key: bytes, upload: str) -> None:
        """See `Bucket.abort_upload`."""
        try:
            self._wire.ask("abort upload", "DELETE", key, {"uploadId": upload})
        except StoreError as error:
            if error.kind is not Kind.ABSENT:
                raise

    def _document(self, question: _Question, read: Callable[[ElementTree.Element], T]) -> T:
        """What `read` finds in the answer; it may raise ValueError."""
        operation, key, query, root = question
        answer = self._wire.ask(operation, "GET", key, query)
        try:
            return read(answers.plain(answer.body, root))
        except NotS3 as error:
            self._see_refusal(operation, answer)
            found = str(error)
        except ValueError as error:
            found = f"what cannot be read ({answers.shown(str(error))})"
        raise self._lie(operation, f"answered {found}; not believed, see what stands at this endpoint")

    def _pages(
        self,
        question: _Question,
        onward: Mapping[str, str],
        read: Callable[[ElementTree.Element], T],
        most: int | None = None,
    ) -> Iterator[T]:
        """What `read` finds in each page. `onward`: which elements of a page the next question takes up, by its names for them."""

        def both(page: ElementTree.Element) -> tuple[T, Query | None]:
            return read(page), _next(page, onward)

        most = most or MOST_PAGES
        for _ in range(most):
            found, after = self._document(question, both)
            yield found
            if after is None:
                return
            if after.items() <= question.query.items():
                raise self._lie(question.operation, "goes round in circles (the same marker), wanted an end")
            question = question._replace(query=question.query | after)
        raise self._lie(question.operation, f"has more than {most} pages, wanted an end")

    def _see_refusal(self, operation: str, answer: Answer) -> None:
        """Some say 200 before they know how it will end."""
        if s3.refusal(answer.body.lstrip()):
            wire = self._wire
            raise refusal(self._endpoint, operation, answer, answer.body, skew=wire.skew, served=wire.served) from None

    def _lie(self, operation: str, what: str) -> StoreError:
        return StoreError(Kind.LYING, f"{self._endpoint.place}: {operation}: {what}", side=self._endpoint.name)


def _by_age(found: list[Version]) -> list[Version]:
    """The newest first. Stores list them so, but markers apart: times of one second do not tell the order, but the newest is named."""
    return sorted(found, key=lambda row: (row.newest, row.time), reverse=True)


def _either(page: ElementTree.Element) -> list[ElementTree.Element]:
    return [item for item in page if item.tag in ("Version", "DeleteMarker")]


def _key(page: ElementTree.Element, item: ElementTree.Element) -> bytes:
    return answers.decoded(answers.text(item, "Key"), page.findtext("EncodingType") == "url")


def _version(item: ElementTree.Element) -> Version:
    return Version(
        answers.text(item, "IsLatest") == "true",
        _moment(answers.text(item, "LastModified")),
        answers.text(item, "VersionId"),
        item.findtext("ETag", "").strip('"'),
        item.tag == "DeleteMarker",
        int(item.findtext("Size", "0")),
    )


def _part(item: ElementTree.Element) -> Part:
    number, etag, size = (answers.text(item, name) for name in ("PartNumber", "ETag", "Size"))
    return Part(int(number), etag.strip('"'), int(size))


def _moment(text: str) -> float:
    if not MOMENT.fullmatch(text):
        raise ValueError(f"time {text!r}")
    return parse_time(text)


def _grants(root: ElementTree.Element) -> frozenset[tuple[str, str]]:
    """To whom else than the owner, and what."""
    owner = answers.need(root, "Owner").findtext("ID")
    found = set()
    for grant in answers.need(root, "AccessControlList").iterfind("Grant"):
        grantee = answers.need(grant, "Grantee")
        group, user = grantee.findtext("URI"), grantee.findtext("ID", "")
        if group is not None or user != owner:
            found.add((group or user, answers.text(grant, "Permission")))
    return frozenset(found)


def _next(page: ElementTree.Element, onward: Mapping[str, str]) -> Query | None:
    """What the next question says beyond this one; None where there is none. Raises NotS3."""
    truncated = answers.text(page, "IsTruncated")
    if truncated not in ("true", "false"):
        raise NotS3(f"a page that says {answers.shown(truncated)!r} of whether it is cut off")
    if truncated == "false":
        return None
    encoded = page.findtext("EncodingType") == "url"
    found: Query = {}
    for name, tag in onward.items():
        if marker := page.findtext(tag):
            found[name] = answers.decoded(marker, encoded and name == "key-marker")
    if not found:
        raise NotS3("a page that is cut off and does not say how it goes on")
    return found
