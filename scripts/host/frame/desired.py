"""The document on stdin: the envelope that every service shares with the service's own block, and a reader of the small documents of other verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from contract import documents, fields
from contract.dataclass import dataclass
from contract.documents import Host
from contract.errors import Fault, Usage
from contract.reading import Told
from contract.version import SCHEMA

from .rolefile import PRIMARY, STANDBY, Role

__all__ = ["SCHEMA", "Envelope", "Host", "Reader", "read"]
T = TypeVar("T")


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
class Envelope(documents.Envelope):
    """What every desired document says, and what follows from it for this host."""

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
        return Role(self.site, self.peer, PRIMARY if self.active else STANDBY, self.epoch.epoch)


def read(document: Mapping[str, Any], service: str, block: type[T], *, with_epoch: bool = True) -> tuple[Envelope, T]:
    """The envelope, and the block that stands in it under the service's name. Raises Usage that names every fault of both."""
    faults: list[Fault] = []
    with Told("document", document, faults) as at:
        envelope = fields.take(at, Envelope)
        with at.section(service, "there is nothing to converge to") as inner:
            told = fields.take(inner, block)
        if with_epoch and at.empty("epoch"):
            at.fault("epoch", "an object", "no role is known", "correct the document")
    if not with_epoch:
        envelope = replace(envelope, epoch=None)
    fields.agree(Told(f"document.{service}", document.get(service), faults), told)
    fields.refuse(faults)
    return envelope, told


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
