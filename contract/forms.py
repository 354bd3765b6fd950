"""Forms of what comes from outside: the witness, the platforms' APIs, hosts, name servers.

Whatever of it becomes a line of a configuration, a word of a command, a record or a message is read through one of these where it comes in, and
again where it is used. None takes a line end, a quote or anything else that a file or a shell reads as its own, but for `PHRASE` and `TREE`, which
are for messages and for the record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .checks import Check, Unwanted, address, integer, text
from .plain import phrase, printable

MOST_BYTES = 2**20  # of a document from outside
DEEPEST, MOST_NODES = 12, 20_000  # of a tree

HOST = text(r"[a-z]{1,20}-[1-9][0-9]?", "the name of a host within its site, like db-1")
HOST_KEY = text(r"[a-z]{1,20}-[1-9][0-9]?\.[ab]", "the key of a host, like db-1.a")
SERVER = text(r"[a-z0-9][a-z0-9-]{0,62}", "the name of a server: lower-case letters, digits and dashes")
DOMAIN = text(
    r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a domain name in lower case"
)
REGION = text(r"[A-Za-z0-9-]{1,32}", "the name of a region")
BUCKET = text(r"[a-z0-9][a-z0-9.-]{0,62}", "the name of a bucket")
DATABASE = text(r"[a-z_][a-z0-9_-]{0,62}", "a name in lower case")
ID = text(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "an id of letters, digits and dashes")
# Of an S3 user, as a platform hands them out.
S3_KEY = text(r"[A-Za-z0-9/+=_.-]{1,128}", "a key of letters, digits and + / = _ . -")
PUBLIC_KEY = text(
    r"ssh-[a-z0-9-]{1,30} [A-Za-z0-9+/]{1,1000}={0,2}( [A-Za-z0-9@._-]{1,100})?",
    "a public key in one line, as OpenSSH writes it",
)
LSN = text(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", "a position in the WAL, like 16/B374D848")
EPOCH = integer(1, 99_999_999)
SERIAL = text(r"[0-9]{1,20}", "a number in digits")
COUNT = integer(0, 2**63 - 1)
TIMELINE = integer(1, 2**32 - 1)


def is_id(text: str) -> bool:
    """Whether it may be a part of a path, or a word of a command."""
    try:
        return bool(ID(text))
    except Unwanted:
        return False


def _unicast(value: object) -> str:
    from ipaddress import IPv4Address  # noqa: PLC0415 - most of what runs on a host checks none

    try:
        found = IPv4Address(address(value))
    except Unwanted:
        raise Unwanted(ENTRANCE.wanted) from None
    if found.is_loopback or found.is_multicast or found.is_link_local or found.is_unspecified or found.is_reserved:
        raise Unwanted(ENTRANCE.wanted)
    return str(found)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e12:
        raise Unwanted(SECONDS.wanted)
    return value


def _phrase(value: object) -> str:
    if not isinstance(value, str):
        raise Unwanted(PHRASE.wanted)
    return phrase(value)


def _tree(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not _sound(value, DEEPEST, [MOST_NODES]):
        raise Unwanted(TREE.wanted)
    return dict(value)


def _sound(value: object, deep: int, left: list[int]) -> bool:
    left[0] -= 1
    if deep == 0 or left[0] < 0:
        return False
    if isinstance(value, Mapping):
        return all(_sound(name, 1, left) and _sound(each, deep - 1, left) for name, each in value.items())
    if isinstance(value, list):
        return all(_sound(each, deep - 1, left) for each in value)
    if isinstance(value, str):
        return len(value) <= 20_000 and printable(value) == value
    return not isinstance(value, float) or math.isfinite(value)


# Neither this machine nor its neighbours nor many: what a name may lead customers to, or a proxy requests.
ENTRANCE = Check("an IPv4 address that others can reach", _unicast)
SECONDS = Check("a number of seconds", _seconds)
PHRASE = Check("a text", _phrase)  # taken as one line of what can be seen
TREE = Check("an object of texts, numbers, lists and objects, not nested deep", _tree)
