"""A release of the shop as one file, an artefact: a gzipped tar with a manifest at its head that lists every other file by its digest.

A release is known by the SHA-256 of the artefact. What was true of the build alone (when, how large) stands in a card beside the file, which the
digest does not cover. Both may have been written by anybody: they are read through these forms, and bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypeVar

from . import fields
from .buckets import Bucket
from .checks import Check, Unwanted, boolean, integer, mapping, optional, text
from .dataclass import dataclass
from .errors import Failed
from .fields import key, part
from .forms import COUNT, PHRASE
from .report import SHA256, TIME
from .services import processes
from .wire import document

T = TypeVar("T")
MANIFEST = ".release.json"  # the first entry of the tar, and a file of the unpacked release
SUFFIX, CARD_SUFFIX = ".tar.gz", ".json"
RELEASES, UPLOADS = "/opt/shop/releases", "/opt/dr/uploads"  # on a host: unpacked ones, and what arrives
FOLDER = "releases/"  # in the bucket of releases
WRITTEN_AT_WORK = ("tmp", "log")  # folders that Rails writes beside its code: no release has them
MOST_FILES, MOST_MANIFEST = 200_000, 64 * 2**20  # a Rails application with all its gems has some 20,000 files
MOST_PATH, MOST_NAME = 1024, 255  # bytes
SPARE = 256 * 2**20  # bytes of a host's disk that stay free for everything else that writes there

RUBY = text(r"[1-9][0-9]{0,2}\.[0-9]{1,3}(\.[0-9]{1,3})?", "a version of Ruby, like 3.3")
VERSION = text(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", "a version")
REVISION = text(r"[0-9a-f]{40}([0-9a-f]{24})?", "a revision of git")
_GEM, _PROCESS = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", processes.NAME
_STAGED = re.compile(r"[\x00-\x1f\x7f\\]")
_FILE = re.compile(r"0(644|755) (0|[1-9][0-9]{0,12}) ([0-9a-f]{64})")


def is_path(name: str) -> bool:
    """Whether it leads to a file within the release, and looks like what it is."""
    pieces = name.split("/")
    return (
        not _STAGED.search(name)
        and len(name.encode(errors="replace")) <= MOST_PATH
        and all(piece not in ("", ".", "..") and len(piece.encode(errors="replace")) <= MOST_NAME for piece in pieces)
        and name.encode(errors="replace").decode() == name
        and name != MANIFEST
        and pieces[0] not in WRITTEN_AT_WORK
    )


@dataclass(frozen=True)
class File:
    """`mode` 0o644 or 0o755, `size` in bytes, `sha256` of the contents."""

    mode: int
    size: int
    sha256: str

    def line(self) -> str:
        """As the manifest says it."""
        return f"{self.mode:04o} {self.size} {self.sha256}"


def _files(value: object) -> Mapping[str, File]:
    if not isinstance(value, Mapping) or not 0 < len(value) <= MOST_FILES:
        raise Unwanted(FILES.wanted)
    found = dict[str, File]()
    for name, line in value.items():
        told = _FILE.fullmatch(line) if isinstance(line, str) else None
        if told is None or not isinstance(name, str) or not is_path(name):
            raise Unwanted(FILES.wanted)
        found[name] = File(int(told[1], 8), int(told[2]), told[3])
    if any(parent in found for name in found for parent in above(name)):
        raise Unwanted(FILES.wanted)
    return found


def above(name: str) -> list[str]:
    """The folders that a path lies in, the outermost first."""
    pieces = name.split("/")[:-1]
    return ["/".join(pieces[: count + 1]) for count in range(len(pieces))]


FILES = Check(f"paths within the release, {MOST_FILES} at most, each to `mode size sha256`", _files)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of the application. Null: it has none, or it was not looked at."""

    ruby: str | None = key(
        optional(RUBY), "the Ruby that it asks for, by .ruby-version, Gemfile or Gemfile.lock", default=None
    )
    ruby_built: str | None = key(
        optional(RUBY), "the Ruby that its gems were installed by; null: it brings none", default=None
    )
    rails: str | None = key(optional(VERSION), "the version of Rails in Gemfile.lock", default=None)
    gems: Mapping[str, str] = key(mapping(_GEM, VERSION), "of Gemfile.lock, with their versions", default={})
    schema: str | None = key(
        optional(text(r"[0-9_]{1,30}", "a version")), "version of the newest migration", default=None
    )
    processes: Mapping[str, str] = key(
        mapping(_PROCESS, PHRASE), "commands of the Procfile, by their names", default={}
    )
    revision: str | None = key(optional(REVISION), "of git", default=None)
    dirty: bool | None = key(optional(boolean), "whether files differ from that revision", default=None)

    def procfile(self) -> str:
        """Its processes, as a Procfile has them."""
        return "\n".join(f"{name}: {command}" for name, command in self.processes.items())


@dataclass(frozen=True, kw_only=True)
class Manifest(Facts):
    """`.release.json` within the artefact."""

    format: int = key(integer(1, 1), "form of the artefact", default=1)
    files: Mapping[str, File] = key(FILES, "every other file")

    @property
    def size(self) -> int:
        """Bytes of all files, unpacked."""
        return sum(it.size for it in self.files.values())


@dataclass(frozen=True, kw_only=True)
class Card(Facts):
    """`<artefact>.json` beside the artefact, and beside it in each bucket: the same, without the list of files."""

    format: int = key(integer(1, 1), "form of the artefact", default=1)
    digest: str = key(SHA256, "SHA-256 of the artefact")
    bytes: int = key(COUNT, "of the artefact", unit="bytes")
    unpacked: int = key(COUNT, "of its files", unit="bytes")
    count: int = key(integer(1, MOST_FILES), "how many files")
    built: str | None = key(
        optional(TIME), "when, as that machine's clock had it; null: it was found without one", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Block of `app place`: what brings a release to a host."""

    digest: str = key(SHA256, "the release")
    most_mb: int = key(integer(1, 16_384), "an artefact, and what it unpacks to, may be so large", unit="MB")
    kept: int = key(integer(1, 50), "releases that stay on the host, this one among them")
    own: Bucket | None = part(Bucket, "where the own region keeps it; null: it was copied to this host", optional=True)
    peer: Bucket | None = part(Bucket, "where the other one does", optional=True)


def text_of(it: Manifest) -> bytes:
    """The one spelling of a manifest."""
    told = fields.write(it) | {"files": {name: file.line() for name, file in it.files.items()}}
    return json.dumps(told, sort_keys=True, indent=0, ensure_ascii=True).encode() + b"\n"


def card_text(it: Card) -> bytes:
    """The one spelling of a card."""
    return json.dumps(fields.write(it), sort_keys=True, indent=1).encode() + b"\n"


def object_of(digest: str, suffix: str = SUFFIX) -> str:
    """Its name in a bucket of releases."""
    return f"{FOLDER}{digest}{suffix}"


def manifest(body: bytes, subject: str) -> Manifest:
    """Raises Failed for anything else, in a sentence that shows no more of it than a word."""
    return _read(Manifest, body, MOST_MANIFEST, subject)


def card(body: bytes, subject: str) -> Card:
    """The same of a card."""
    return _read(Card, body, 2**20, subject)


def _read(cls: type[T], body: bytes, most: int, subject: str) -> T:
    otherwise = "it is no release of `drctl build`, and nothing was done with it; build it again"
    try:
        if len(body) > most:
            raise ValueError("too long")
        told = document.mapping(body)
    except ValueError:
        raise Failed(f"{subject}: found no JSON object of at most {most} bytes, wanted one; {otherwise}") from None
    return fields.heard(cls, told, subject, otherwise)
