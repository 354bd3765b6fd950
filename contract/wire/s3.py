"""What S3 says in XML, believed only where it is S3 that speaks: the root element is looked at, whatever its namespace.

A login page, an empty body and another server's "not found" would otherwise look like a bucket in which nothing is.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping
from hashlib import md5
from xml.parsers import expat

from ..dataclass import dataclass

OBJECTS = ("ListBucketResult", "Contents")
VERSIONS = ("ListVersionsResult", "Version")
_TOLD = ("IsTruncated", "NextKeyMarker", "NextVersionIdMarker")


class NotS3(ValueError):
    """The text is what was found instead, as a phrase."""


@dataclass(frozen=True)
class Page:
    """Keys in the order in which they stand there. `told`: what the listing says of itself, as far as it does."""

    keys: list[str]
    told: Mapping[str, str]


def content_md5(body: bytes) -> str:
    """The value of Content-MD5. A bucket with object lock asks for it with whatever is put there, beside any other checksum."""
    return b64encode(md5(body, usedforsecurity=False).digest()).decode()


def retention(until: float) -> dict[str, str]:
    """Headers of a put that keep the object from everybody, its writer and the account's owner among them. `until`: seconds since 1970."""
    return {
        "x-amz-object-lock-mode": "COMPLIANCE",
        "x-amz-object-lock-retain-until-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until)),
    }


def listing(document: bytes, kind: tuple[str, str] = OBJECTS) -> Page:
    """A page of `OBJECTS` or of `VERSIONS`. Raises NotS3 for anything else, which would look like an empty one."""
    root, row = kind
    found = _texts(document, root, {(row, "Key"), *((name,) for name in _TOLD)})
    return Page(
        [text for path, text in found if len(path) > 1], {path[0]: text for path, text in found if len(path) == 1}
    )


def behind(page: Page, kind: tuple[str, str]) -> dict[str, str]:
    """What to ask for the next page with; empty where this one does not say."""
    if kind is OBJECTS:
        return {"start-after": page.keys[-1]} if page.keys else {}
    names = {"NextKeyMarker": "key-marker", "NextVersionIdMarker": "version-id-marker"}
    return {asked: page.told[told] for told, asked in names.items() if page.told.get(told)}


def refusal(document: bytes) -> str:
    """The code of an error, like `NoSuchKey`; empty where the document is no error of S3's."""
    try:
        codes = [text for _, text in _texts(document, "Error", {("Code",)})]
    except NotS3:
        return ""
    return codes[0] if len(codes) == 1 and codes[0].isascii() and codes[0].isalnum() else ""


def locks(document: bytes) -> bool:
    """Whether a bucket's lock has a rule for all that is stored there. Raises NotS3 for what is no lock."""
    return bool(_texts(document, "ObjectLockConfiguration", {("Rule", "DefaultRetention")}))


def versioned(document: bytes) -> bool:
    """Whether a bucket keeps old versions of what is stored over. Raises NotS3 for what is no answer to that."""
    return [text for _, text in _texts(document, "VersioningConfiguration", {("Status",)})] == ["Enabled"]


def absent(status: int, document: bytes) -> bool:
    """Whether an answer says that there is no such object. No other "not found" does: the bucket may be gone, or the way lead elsewhere."""
    return status == 404 and refusal(document) == "NoSuchKey"


def _texts(document: bytes, root: str, wanted: set[tuple[str, ...]]) -> list[tuple[tuple[str, ...], str]]:
    """The texts of the elements at these paths below the root, in order. Raises NotS3."""
    at, found = list[str](), list[tuple[tuple[str, ...], list[str]]]()

    def begin(tag: str, _: dict[str, str]) -> None:
        at.append(tag.rpartition(" ")[2])
        if at[0] != root:
            raise NotS3(f"a document {at[0][:40]!r}")
        if tuple(at[1:3]) in wanted and len(at) <= 3:
            found.append((tuple(at[1:]), []))

    def text(piece: str) -> None:
        if len(at) <= 3 and found and found[-1][0] == tuple(at[1:]):
            found[-1][1].append(piece)

    def doctype(*_: object) -> None:
        raise NotS3("a document with entities of its own")  # they may be longer than any answer

    # Not ElementTree, which costs the agent half a megabyte.
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.CharacterDataHandler = begin, text
    parser.EndElementHandler, parser.StartDoctypeDeclHandler = lambda _: at.pop(), doctype
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, LookupError):  # the latter: an encoding that Python has not
        raise NotS3("a document that is no XML") from None
    except ValueError as error:  # the same, or what is said above
        raise (error if isinstance(error, NotS3) else NotS3("a document that is no XML")) from None
    return [(path, "".join(pieces)) for path, pieces in found]
