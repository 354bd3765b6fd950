"""Checks of single values: each turns a raw value into a typed one, or raises `Unwanted` with what it wants.

They take what YAML, JSON and the `pulumi` CLI make of a value, and they say what they take (`wanted`), for messages and for the reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from .plain import shown

T = TypeVar("T")

PLACEHOLDER = "look-up-once"


class Unwanted(ValueError):
    """A value that a check does not take; the text says what it takes."""


class Check(Generic[T]):
    """A value's rule. `wanted`: what it takes, in words that follow "wanted".

    `typed`: what a value was before the `pulumi` CLI stored it as a text, as it does with all that stands at the top level.
    """

    __slots__ = ("_run", "typed", "wanted")

    def __init__(
        self, wanted: str, run: Callable[[object], T], typed: Callable[[str], object] = lambda words: words
    ) -> None:
        self.wanted, self._run, self.typed = wanted, run, typed

    def __call__(self, value: object) -> T:
        """The typed value. Raises `Unwanted`."""
        return self._run(value)


def text(pattern: str, wanted: str) -> Check[str]:
    """A string that the pattern matches as a whole."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value == PLACEHOLDER or not re.fullmatch(pattern, value):
            raise Unwanted(wanted)
        return value

    return Check(wanted, check)


def one_of(*values: str) -> Check[str]:
    """One of a few words, spelled exactly so."""
    wanted = " or ".join(values)

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in values:
            raise Unwanted(wanted)
        return value

    return Check(wanted, check)


def integer(low: int, high: int) -> Check[int]:
    """A whole number within both bounds."""
    wanted = f"a whole number from {low} to {high}"

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Unwanted(wanted)
        return value

    return Check(wanted, check, lambda words: int(words) if re.fullmatch(r"[0-9]{1,9}", words) else words)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise Unwanted("true or false")


def cidr(prefix: int | None = None) -> Check[str]:
    """An IPv4 network, of exactly this size when one is given."""
    size = f"/{prefix}" if prefix else "network"
    wanted = f"an IPv4 {size} with no host bits set, like 10.1.0.0/{prefix or 24}"

    def check(value: object) -> str:
        from ipaddress import IPv4Network  # noqa: PLC0415 - most of what runs on a host checks no network

        try:
            network = IPv4Network(value) if isinstance(value, str) else None
        except ValueError:
            network = None
        if network is None or (prefix is not None and network.prefixlen != prefix):
            raise Unwanted(wanted)
        return str(network)

    return Check(wanted, check)


def _address(value: object) -> str:
    from ipaddress import IPv4Address  # noqa: PLC0415 - as above

    try:
        return str(IPv4Address(value)) if isinstance(value, str) else _refuse("an IPv4 address")
    except ValueError as error:
        raise Unwanted("an IPv4 address") from error


def _socket(value: object) -> str:
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    wanted = socket.wanted
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise Unwanted(wanted)
    try:
        return f"{_address(host)}:{int(port)}"
    except Unwanted as error:
        raise Unwanted(wanted) from error


def _port(value: object) -> str:
    words = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(words, str) or not re.fullmatch(r"[1-9][0-9]{0,4}", words) or int(words) > 65535:
        raise Unwanted(port.wanted)
    return words


def _url(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^/?#\s]+([/?#]\S*)?", value) or value.endswith("/"):
        raise Unwanted(url.wanted)
    return value


def _refuse(wanted: str) -> str:
    raise Unwanted(wanted)


boolean = Check("true or false", _boolean, lambda words: {"true": True, "false": False}.get(words, words))
address = Check("an IPv4 address", _address)
socket = Check("address:port, like 192.0.2.21:53", _socket)
port = Check("a port from 1 to 65535", _port)
url = Check("an http or https URL that does not end in a slash", _url)
word = text(r"\S+", "a word without spaces")
line = text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,1000}", "one line of text")
prose = text(r"[^\0]*", "a text")
# Not empty and of one line, whatever else is in it: it ends up in files of others' forms, which quote it.
password = text(r"[^\r\n\0]+", "a password of one line")


def optional(item: Check[T]) -> Check[T | None]:
    """The same, or nothing (null)."""

    def check(value: object) -> T | None:
        return None if value is None else item(value)

    return Check(f"{item.wanted}, or null", check)


password_or_none = optional(password)


def listing(item: Check[str], *, at_least: int = 0) -> Check[tuple[str, ...]]:
    """A list of values, each of which the check takes."""

    def check(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) < at_least:
            raise Unwanted(f"a list of {at_least} or more")
        taken = []
        for number, entry in enumerate(value):
            try:
                taken.append(item(entry))
            except Unwanted as error:
                raise Unwanted(f"a list whose entry {number} is {error}") from error
        return tuple(taken)

    return Check(f"a list, {at_least} or more of: {item.wanted}", check)


def mapping(key: str, item: Check[T]) -> Check[Mapping[str, T]]:
    """A mapping whose keys match a pattern and whose values the check takes."""

    def check(value: object) -> Mapping[str, T]:
        if not isinstance(value, Mapping):
            raise Unwanted("a mapping")
        taken = {}
        for name, entry in value.items():
            if not re.fullmatch(key, str(name)):
                raise Unwanted(f"keys that match {key} (found {shown(name)})")
            try:
                taken[str(name)] = item(entry)
            except Unwanted as error:
                raise Unwanted(f"a mapping whose value at {shown(name)} is {error}") from error
        return taken

    return Check(f"a mapping to: {item.wanted}", check)
