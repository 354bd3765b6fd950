"""Reading a configuration tree so that every fault of it is reported at once.

A check turns a raw value into a typed one or raises `Unwanted` with what it wants; `Section.take` records the fault and goes on.
After a fault the value handed back is None whatever its type says: nothing built from it may be used before `Section.faults` is
seen to be empty.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from contract.errors import Fault

T = TypeVar("T")
Check = Callable[[object], T]

PLACEHOLDER = "look-up-once"
HIDDEN = "(hidden)"
_ABSENT = object()


class Unwanted(ValueError):
    """A value that a check does not take; the text says what it takes."""


def text(pattern: str, wanted: str) -> Check[str]:
    """A string that the pattern matches as a whole."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value == PLACEHOLDER or not re.fullmatch(pattern, value):
            raise Unwanted(wanted)
        return value

    return check


def one_of(*values: str) -> Check[str]:
    """One of a few words, spelled exactly so."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in values:
            raise Unwanted(" or ".join(values))
        return value

    return check


def integer(low: int, high: int) -> Check[int]:
    """A whole number within both bounds; a string of digits is one too, since the CLI stores top-level values as strings."""

    def check(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Unwanted(f"a whole number from {low} to {high}")
        return value

    return check


def boolean(value: object) -> bool:
    """true or false, as YAML or as the string that the CLI makes of it."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise Unwanted("true or false")


def cidr(prefix: int | None = None) -> Check[str]:
    """An IPv4 network in canonical form, of one size when a prefix length is given."""

    def check(value: object) -> str:
        size = f"/{prefix}" if prefix else "network"
        try:
            network = IPv4Network(value) if isinstance(value, str) else None
        except ValueError:
            network = None
        if network is None or (prefix and network.prefixlen != prefix):
            raise Unwanted(f"an IPv4 {size} with no host bits set, like 10.1.0.0/{prefix or 24}")
        return str(network)

    return check


def address(value: object) -> str:
    """One IPv4 address."""
    try:
        return str(IPv4Address(value)) if isinstance(value, str) else _refuse("an IPv4 address")
    except ValueError as error:
        raise Unwanted("an IPv4 address") from error


def socket(value: object) -> str:
    """An IPv4 address and a port."""
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    wanted = "address:port, like 192.0.2.21:53"
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise Unwanted(wanted)
    try:
        return f"{address(host)}:{int(port)}"
    except Unwanted as error:
        raise Unwanted(wanted) from error


def url(value: object) -> str:
    """An http(s) URL without a trailing slash."""
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc or cast(str, value).endswith("/"):
        raise Unwanted("an http or https URL that does not end in a slash")
    return cast(str, value)


def _refuse(wanted: str) -> str:
    raise Unwanted(wanted)


def listing(item: Check[str], *, at_least: int) -> Check[tuple[str, ...]]:
    """A list of values, each of which the check takes."""

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) < at_least:
            raise Unwanted(f"a list of {at_least} or more")
        taken = []
        for number, entry in enumerate(value):
            try:
                taken.append(item(entry))
            except Unwanted as error:
                raise Unwanted(f"a list whose entry {number} is {error}") from error
        return tuple(taken)

    return check


def mapping(key: str, item: Check[T]) -> Check[Mapping[str, T]]:
    """A mapping whose keys match a pattern and whose values the check takes."""

    def check(value: object) -> Mapping[str, T]:
        if not isinstance(value, dict):
            raise Unwanted("a mapping")
        taken = {}
        for name, entry in value.items():
            if not re.fullmatch(key, str(name)):
                raise Unwanted(f"keys that match {key} (found {name!r})")
            try:
                taken[str(name)] = item(entry)
            except Unwanted as error:
                raise Unwanted(f"a mapping whose value at {name!r} is {error}") from error
        return taken

    return check


class Section:
    """One mapping of the tree. Use as a context: on leaving, keys that nobody took become faults."""

    def __init__(self, path: str, values: object, faults: list[Fault], *, secret: bool = False) -> None:
        self.path = path
        self.faults = faults
        self.secret = secret
        self.readable = isinstance(values, Mapping)
        self._values: Mapping[str, Any] = values if isinstance(values, Mapping) else {}
        self._taken: list[str] = []

    def __enter__(self) -> Section:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed is None:
            self._refuse_unknown()

    def subject(self, key: str) -> str:
        """The key as the operator would type it."""
        joint = "" if self.path.endswith(":") else "."
        return f"{self.path}{joint}{key}"

    def fault(self, key: str, wanted: str, consequence: str, remedy: str, found: str | None = None) -> None:
        """Records a fault of one key."""
        self.faults.append(
            Fault(
                subject=self.subject(key),
                found=found or self.show(key),
                wanted=wanted,
                consequence=consequence,
                remedy=remedy,
            )
        )

    def show(self, key: str) -> str:
        """The value as it may be printed."""
        if key not in self._values:
            return "missing"
        return HIDDEN if self.secret else repr(self._values[key])

    def take(self, key: str, check: Check[T], why: str, fix: str = "", *, default: object = _ABSENT) -> T:
        """The checked value of one key; `why` is what goes wrong without it, `fix` the remedy when it is not plain."""
        self._note(key)
        if key not in self._values and default is not _ABSENT:
            return cast(T, default)
        try:
            if key not in self._values:
                check(None)
            return check(self._values.get(key))
        except Unwanted as error:
            if self.readable:
                self.fault(key, str(error), why, self._remedy(key, fix))
            return cast(T, None)

    def _remedy(self, key: str, fix: str) -> str:
        return fix or f"set it in the stack file, or `pulumi config set --path '{self.subject(key)}' ...`"

    def section(self, key: str, why: str, fix: str = "see the comments in the example stack file") -> Section:
        """A mapping below this one; absent or of another kind is one fault, not one for each key in it."""
        self._note(key)
        inner = self._values.get(key)
        if self.readable and not isinstance(inner, Mapping):
            self.fault(key, "a mapping", why, fix)
        return Section(self.subject(key), inner, self.faults, secret=self.secret)

    def has(self, key: str) -> bool:
        """Whether an optional key is there. Asked for, it is known."""
        self._note(key)
        return key in self._values

    def _note(self, key: str) -> None:
        if key not in self._taken:
            self._taken.append(key)

    def _refuse_unknown(self) -> None:
        for key in self._values:
            if key in self._taken:
                continue
            close = difflib.get_close_matches(str(key), self._taken, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(self._taken))}"
            self.fault(
                str(key), "a known key", "it would be ignored in silence", f"correct or remove it; {hint}", "unknown"
            )
