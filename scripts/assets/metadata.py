"""What goes with an object's bytes, and the copier's own notes in it.

Notes are two entries of user metadata on the copy, never carried further: `dr-source` says which version of the source's object this is a copy of,
`dr-digest` what the bytes hash to. They make the copy's origin known to a copier that has lost its state, and to one on another host.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

META = "x-amz-meta-"
SOURCE_NOTE, DIGEST_NOTE = META + "dr-source", META + "dr-digest"
ENCODING, SENT_IN_CHUNKS = "content-encoding", "aws-chunked"
PLAIN = (
    "content-type",
    "cache-control",
    "content-disposition",
    ENCODING,
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
)
STORAGE_CLASS = "x-amz-storage-class"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEADER_TIME = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Origin:
    """`dr-source`, read back. `time`: seconds since 1970 by the source's clock."""

    epoch: int
    etag: str
    time: float
    version: str


def is_md5(etag: str) -> bool:
    """Looks like that of an object put in one piece; a store may still mean something else by it."""
    return MD5.fullmatch(etag) is not None


def digest_of(body: bytes) -> str:
    """As in `dr-digest`."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def parse_time(text: str) -> float:
    """Seconds since 1970 of a listing's or a header's time. Raises ValueError."""
    if text[:1].isdigit():
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    found = HEADER_TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"time {text!r}")
    day, month, *rest = found.groups()
    year, hour, minute, second = map(int, rest)
    return datetime.datetime(
        year, MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=datetime.UTC
    ).timestamp()


def iso_time(text: str) -> str:
    """A header's time in the form that listings have."""
    return datetime.datetime.fromtimestamp(parse_time(text), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _encoding(text: str) -> str:
    """Without `aws-chunked`, which is how a body was sent once and no property of the object: some stores keep it, others do not."""
    tokens = [token.strip() for token in text.split(",")]
    if all(token.lower() != SENT_IN_CHUNKS for token in tokens):
        return text
    return ", ".join(token for token in tokens if token and token.lower() != SENT_IN_CHUNKS)


def carried(headers: Mapping[str, str]) -> dict[str, str]:
    """The request headers that give the copy what the answer's `headers` say of the source."""
    kept = {name: headers[name] for name in PLAIN if headers.get(name)}
    if encoding := _encoding(kept.pop(ENCODING, "")):
        kept[ENCODING] = encoding
    kept |= {
        name: value
        for name, value in headers.items()
        if name.startswith(META) and name not in (SOURCE_NOTE, DIGEST_NOTE)
    }
    if headers.get(STORAGE_CLASS, "STANDARD") != "STANDARD":
        kept[STORAGE_CLASS] = headers[STORAGE_CLASS]
    return kept


def notes(epoch: int | None, etag: str, modified: str, version: str, digest: str) -> dict[str, str]:
    """The copier's own entries. `modified`: the source's Last-Modified header; `digest` may be empty when nobody knows it yet."""
    text = f"epoch={epoch or 0} etag={quote(etag, safe='')} time={parse_time(modified):.3f} version={quote(version, safe='')}"
    return {SOURCE_NOTE: text} | ({DIGEST_NOTE: digest} if digest else {})


def origin(headers: Mapping[str, str]) -> Origin | None:
    """None when the object was not written by a copier."""
    text = headers.get(SOURCE_NOTE)
    if text is None:
        return None
    values = dict(part.partition("=")[::2] for part in text.split())
    try:
        return Origin(int(values["epoch"]), unquote(values["etag"]), float(values["time"]), unquote(values["version"]))
    except (KeyError, ValueError):
        # Damaged by somebody: as good as written by somebody.
        return None


def known_digest(headers: Mapping[str, str], etag: str) -> str:
    """What the bytes of an object hash to as far as its headers tell; else empty."""
    return headers.get(DIGEST_NOTE) or (f"md5:{etag}" if is_md5(etag) else "")


def same_content(source: Mapping[str, str], target: Mapping[str, str]) -> bool:
    """True only when proven by a digest that both sides have in the same form. Lengths are the caller's."""
    a, b = source.get("etag", "").strip('"'), target.get("etag", "").strip('"')
    if is_md5(a) and a == b:
        return True
    ours = {source.get(DIGEST_NOTE), f"md5:{a}" if is_md5(a) else None} - {None}
    theirs = {target.get(DIGEST_NOTE), f"md5:{b}" if is_md5(b) else None} - {None}
    return bool(ours & theirs)


def same_metadata(source: Mapping[str, str], target: Mapping[str, str], storage_class: bool = False) -> list[str]:
    """Names of what differs; the storage class only on demand, because the other store may not have it."""
    a, b = carried(source), carried(target)
    if not storage_class:
        a.pop(STORAGE_CLASS, None)
        b.pop(STORAGE_CLASS, None)
    differing = {name for name in a.keys() | b.keys() if _trim(a.get(name)) != _trim(b.get(name))}
    if source.get("x-amz-tagging-count", "0") != target.get("x-amz-tagging-count", "0"):
        differing.add("tags")
    return sorted(differing)


def _trim(value: str | None) -> str:
    return " ".join((value or "").split())
