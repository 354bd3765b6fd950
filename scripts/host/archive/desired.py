"""The `archive` block of a desired document, and what of it the host remembers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from ..frame.desired import Envelope, Reader
from .layout import ArchiveLayout

SIZES = {"MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
DEFAULT_QUEUE, DEFAULT_FULL, DEFAULT_INCREMENTAL = "2GB", "Sun *-*-* 02:30:00 UTC", "Mon..Sat *-*-* 02:30:00 UTC"


@dataclass(frozen=True)
class Repository:
    """A bucket of one region. `endpoint`: host or host:port, always TLS."""

    endpoint: str
    region: str
    bucket: str


@dataclass(frozen=True)
class Memory:
    """Not secret; see `ArchiveLayout.memory`. `queue_max`: bytes of WAL that may wait for a repository that does not take it."""

    site: str
    peer: str
    version: int
    port: int
    queue_max: int

    @property
    def repositories(self) -> tuple[str, str]:
        """The own region's first: it is nearer, and a region that died takes the other one along."""
        return self.site, self.peer

    def text(self) -> str:
        return json.dumps(self.__dict__, sort_keys=True) + "\n"

    @classmethod
    def read(cls, layout: ArchiveLayout) -> Memory | None:
        """None on a host that was never prepared."""
        try:
            found = json.loads(layout.memory.read_bytes())
            return cls(
                str(found["site"]), str(found["peer"]), *(int(found[key]) for key in ("version", "port", "queue_max"))
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True)
class Desired:
    """`ca`: PEM of a private CA of the S3 servers, or None. `retention_full`: full backups that are kept, with all that depends on them."""

    envelope: Envelope
    version: int
    port: int
    repositories: dict[str, Repository]
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    passphrase: str = field(repr=False)
    ca: str | None
    retention_full: int
    process_max: int
    queue_max: str
    full: str
    incremental: str

    @property
    def memory(self) -> Memory:
        return Memory(self.envelope.site, self.envelope.peer, self.version, self.port, size(self.queue_max))

    @classmethod
    def read(cls, document: dict[str, Any], *, with_epoch: bool = True) -> Desired:
        """Raises Usage that names every fault."""
        envelope = Envelope.read(document, "archive", with_epoch=with_epoch)
        subject = "document.archive"
        reader = Reader(envelope.block, subject)
        raw = Reader(reader.mapping("repositories"), f"{subject}.repositories")
        repositories = {site: _repository(raw, site, subject) for site in (envelope.site, envelope.peer)}
        keys, schedule = (
            Reader(reader.mapping("keys"), f"{subject}.keys"),
            Reader(reader.mapping("schedule", {}), f"{subject}.schedule"),
        )
        queue = reader.text("queue_max", DEFAULT_QUEUE)
        if not re.fullmatch(r"[1-9]\d*(MB|GB|TB)", queue):
            reader.fault(
                "queue_max",
                repr(queue),
                'a size such as "2GB"; without a limit a dead repository fills the disk of the primary',
            )
        numbers = {name: reader.number(name, default) for name, default in (("retention_full", 4), ("process_max", 2))}
        for name, value in numbers.items():
            if not 1 <= value <= 999:
                reader.fault(name, str(value), "1 to 999")
        found = cls(
            envelope,
            reader.number("version"),
            reader.number("port", 5432),
            repositories,
            keys.secret("access_key"),
            keys.secret("secret_key"),
            _passphrase(reader),
            reader.optional_text("ca"),
            numbers["retention_full"],
            numbers["process_max"],
            queue,
            schedule.text("full", DEFAULT_FULL),
            schedule.text("incremental", DEFAULT_INCREMENTAL),
        )
        for key in ("full", "incremental"):
            if "\n" in schedule.text(key, "-"):
                schedule.fault(key, "several lines", "a calendar event of systemd")
        for part in (reader, raw, keys, schedule):
            part.done()
        return found


def _repository(raw: Reader, site: str, subject: str) -> Repository:
    reader = Reader(raw.mapping(site), f"{subject}.repositories.{site}")
    endpoint = reader.text("endpoint")
    if not re.fullmatch(r"https://[^/\s]+/?", endpoint):
        reader.fault(
            "endpoint",
            repr(endpoint),
            "https://host or https://host:port: WAL holds every row, and pgBackRest speaks to S3 over TLS only",
        )
    found = Repository(endpoint.removeprefix("https://").rstrip("/"), reader.text("region"), reader.text("bucket"))
    reader.done()
    return found


def _passphrase(reader: Reader) -> str:
    value = reader.secret("passphrase")
    # pgBackRest's configuration has no quotes: blanks at the ends of a value are lost there.
    if value != value.strip() or len(value) < 12:
        reader.fault(
            "passphrase",
            "fewer than 12 characters, or blanks at an end",
            "12 or more characters without blanks at the ends",
        )
    return value


def size(text: str) -> int:
    """Bytes of a size such as "2GB"."""
    return int(text[:-2]) * SIZES[text[-2:]]
