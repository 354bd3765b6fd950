"""The document on stdin: the envelope that every service shares, and a reader that names each fault of a block at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contract.errors import Usage

from .rolefile import PRIMARY, STANDBY, Role

SCHEMA = 1


class Reader:
    """Takes typed values out of a JSON object and gathers what is wrong; `done()` raises one Usage with all of it."""

    def __init__(self, document: Any, subject: str) -> None:
        self._faults: list[str] = []
        self._subject = subject
        self._values: dict[str, Any] = {}
        if isinstance(document, dict):
            self._values = document
        else:
            self._faults.append(f"{subject}: found {_kind(document)}, wanted an object")

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._take(key, str, "a string", default, ""))

    def optional_text(self, key: str) -> str | None:
        value = self._values.get(key)
        return None if value is None else self.text(key)

    def number(self, key: str, default: int | None = None) -> int:
        value = self._take(key, int, "a number", default, 0)
        return int(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        return bool(self._take(key, bool, "true or false", default, False))

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        value = self._take(key, list, "a list of strings", default, [])
        if not all(isinstance(item, str) for item in value):
            self._fault(key, "a list with other things", "a list of strings")
            return []
        return list(value)

    def mapping(self, key: str, default: dict[str, Any] | None = None) -> dict[str, Any]:
        return dict(self._take(key, dict, "an object", default, {}))

    def optional_mapping(self, key: str) -> dict[str, Any] | None:
        return None if self._values.get(key) is None else self.mapping(key)

    def secret(self, key: str) -> str:
        """A password: not empty, one line, no NUL. Its value never shows in a message."""
        value = self.text(key)
        if not value or any(mark in value for mark in "\n\r\0"):
            self._fault(key, "an empty text or one with a line end", "a password of one line")
        return value

    def fault(self, key: str, found: str, wanted: str) -> None:
        """Add a finding of the caller's own."""
        self._fault(key, found, wanted)

    def done(self) -> None:
        if self._faults:
            raise Usage(f"{'; '.join(self._faults)}; nothing was changed; correct the document")

    def _take(self, key: str, kind: type, wanted: str, default: Any, empty: Any) -> Any:
        if key not in self._values and default is not None:
            return default
        value = self._values.get(key)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        self._fault(key, _kind(value) if key in self._values else "nothing", wanted)
        return empty

    def _fault(self, key: str, found: str, wanted: str) -> None:
        self._faults.append(f"{self._subject}.{key}: found {found}, wanted {wanted}")


@dataclass(frozen=True)
class Checkpoint:
    """Where the old primary ended: the start of its shutdown checkpoint record, and its timeline."""

    lsn: str
    timeline: int

    @classmethod
    def read(cls, document: dict[str, Any], subject: str) -> Checkpoint:
        reader = Reader(document, subject)
        found = cls(reader.text("lsn"), reader.number("timeline"))
        reader.done()
        return found


@dataclass(frozen=True)
class Epoch:
    """The epoch in force, as the fence link found it."""

    number: int
    active: str
    previous: str | None
    planned: bool
    checkpoint: Checkpoint | None
    entrance: str | None = None  # public address of the active site's shop


@dataclass(frozen=True)
class Host:
    """A host of either site."""

    name: str
    vrack: str
    front: str


@dataclass(frozen=True)
class Tls:
    """PEM texts: the private CA, this host's certificate and key."""

    ca: str
    cert: str
    key: str = field(repr=False)


@dataclass(frozen=True)
class Envelope:
    """What every desired document says. `block` is the service's own part, for a `Reader`."""

    site: str
    peer: str
    host: str
    epoch: Epoch | None
    hosts: dict[str, Host]
    tls: Tls
    block: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, document: dict[str, Any], service: str, *, with_epoch: bool = True) -> Envelope:
        """Raises Usage that names every fault."""
        reader = Reader(document, "document")
        if document.get("schema") != SCHEMA:
            reader.fault("schema", repr(document.get("schema")), str(SCHEMA))
        site, peer, host = reader.text("site"), reader.text("peer"), reader.text("host")
        raw_hosts, raw_tls, block = reader.mapping("hosts"), reader.mapping("tls"), reader.mapping(service)
        raw_epoch = reader.mapping("epoch") if with_epoch else None
        reader.done()
        tls = Reader(raw_tls, "document.tls")
        pem = Tls(tls.text("ca"), tls.text("cert"), tls.text("key"))
        tls.done()
        hosts = {key: _host(key, value) for key, value in raw_hosts.items()}
        return cls(site, peer, host, None if raw_epoch is None else _epoch(raw_epoch), hosts, pem, block)

    @property
    def active(self) -> bool:
        """Whether this site is the active one. Without an epoch nobody is."""
        return self.epoch is not None and self.epoch.active == self.site

    @property
    def own_key(self) -> str:
        """This host's key in `hosts`, such as "db-1.a"."""
        return f"{self.host}.{self.site}"

    def at(self, key: str) -> Host:
        """The host `key`. Raises Usage when the document does not list it."""
        if key not in self.hosts:
            raise Usage(
                f"document.hosts.{key}: found nothing, wanted a host; nothing was changed; correct the document"
            )
        return self.hosts[key]

    def role(self) -> Role:
        """The role that this document gives to the host."""
        if self.epoch is None:
            raise Usage("document.epoch: found nothing, wanted an object; nothing was changed; correct the document")
        return Role(self.site, self.peer, PRIMARY if self.active else STANDBY, self.epoch.number)


def _host(key: str, value: Any) -> Host:
    reader = Reader(value, f"document.hosts.{key}")
    host = Host(reader.text("name"), reader.text("vrack"), reader.text("front"))
    reader.done()
    return host


def _epoch(document: dict[str, Any]) -> Epoch:
    reader = Reader(document, "document.epoch")
    checkpoint = reader.optional_mapping("checkpoint")
    found = Epoch(
        reader.number("epoch"),
        reader.text("active"),
        reader.optional_text("previous"),
        reader.flag("planned", False),
        None if checkpoint is None else Checkpoint.read(checkpoint, "document.epoch.checkpoint"),
        reader.optional_text("entrance"),
    )
    reader.done()
    return found


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), type(value).__name__)
