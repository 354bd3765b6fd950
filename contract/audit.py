"""The audit trail: who has done what to this shop, as a chain. Each entry holds the digest of the one before, so none is changed or left out unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import fields
from .checks import integer, mapping, one_of, optional, text
from .errors import Failed
from .fields import key
from .forms import EPOCH, ID, PHRASE
from .sites import A_SITE
from .wire import document

AUDIT = "audit/"
MOST = 99_999_999
_DIGEST = text(r"([0-9a-f]{64})?", "a SHA-256 in hexadecimal digits, or nothing")
WHAT = ("run", "claim", "moved", "refused", "failed", "destroy", "certificate", "state")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """`audit/<number>.json`, created once. Nothing of it is a secret; who, where and why are what the machine of that person says."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    number: int = key(integer(1, MOST), "its place in the chain, from 1", default=1)
    before: str = key(_DIGEST, "SHA-256 of the object before it, as it is stored; nothing for the first", default="")
    what: str = key(
        one_of(*WHAT),
        "`run`: a `pulumi up` was let begin; `claim`: an epoch was claimed; `moved`: the name leads here; `refused`, `failed`: nothing, or not all, was done; "
        "`destroy`: the keeper let a site go, or `drctl destroy` took the name away; "
        "`certificate`: somebody was given root on the hosts for some hours; `state`: a copy of the stack's state was put back",
    )
    site: str = key(A_SITE, "of the stack")
    epoch: int | None = key(optional(EPOCH), "in force, as far as it is known", default=None)
    who: str = key(PHRASE, "the ssh certificate's name, `DR_WHO`, or user@host")
    place: str = key(PHRASE, "from where: the address that has logged in there, else the host")
    at: str = key(PHRASE, "when, RFC 3339, by that machine's clock")
    token: str = key(ID, "of this entry alone: two that are alike in all else are told apart", default="0")
    why: str = key(PHRASE, "`DR_WHY`, `dr:why`, or the reason of a word", default="")
    said: str = key(PHRASE, "of a refusal or failure: its sentence", default="")
    version: str = key(PHRASE, "of the program", default="")
    facts: Mapping[str, str] = key(
        mapping(r"[a-z_]{1,30}", PHRASE),
        "digests of what a run brings (release, tool, configuration, secrets), rung of a fence",
        default={},
    )


def name_of(number: int) -> str:
    """The object's key."""
    return f"{AUDIT}{number:08d}.json"


def number_of(name: str) -> int | None:
    """The place that an object's key gives it; None for what is no entry."""
    digits = name.removeprefix(AUDIT).removesuffix(".json")
    return (
        int(digits)
        if len(digits) == 8 and digits.isascii() and digits.isdigit() and name == name_of(int(digits))
        else None
    )


def digest(body: bytes) -> str:
    """What the next entry holds of this one."""
    return hashlib.sha256(body).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Walked:
    """`breaks`: a sentence for each place where the chain does not hold; `head`: number and digest of the last entry, to be noted elsewhere."""

    entries: tuple[Entry, ...]
    breaks: tuple[str, ...]
    head: str


def walk(objects: Iterable[tuple[str, bytes]]) -> Walked:
    """The chain from its first entry, in the order of the names. Pure."""
    entries, breaks, before, awaited = list[Entry](), list[str](), "", 1
    for name, body in sorted(objects):
        number = number_of(name)
        if number is None or number < 1:
            breaks.append(
                f"{name}: found a name of no entry, wanted {AUDIT}<eight digits>.json; somebody else has written it"
            )
            continue
        if number != awaited:
            breaks.append(
                f"{name_of(awaited)}: found none, wanted the entries up to {name_of(number - 1)}: they were removed"
            )
        elif entry := _entry(name, body, breaks):
            entries.append(entry)
            if entry.number != number:
                breaks.append(
                    f"{name}: found number {entry.number} in it, wanted {number}: it was written for another place"
                )
            if entry.before != before:
                breaks.append(
                    f"{name}: found {entry.before or 'nothing'} as the digest of the entry before, wanted {before or 'nothing'}: one of the two was changed"
                )
        before, awaited = digest(body), number + 1
    return Walked(entries=tuple(entries), breaks=tuple(breaks), head=f"{awaited - 1}:{before}" if awaited > 1 else "")


def read(name: str, body: bytes) -> Entry:
    """One entry in its form. Raises Failed."""
    otherwise = "it is no entry of the trail, which breaks there; see the object's older versions, and who has written the last one"
    try:
        told = document.mapping(body)
    except ValueError:
        raise Failed(f"witness object {name}: found no JSON object, wanted an entry; {otherwise}") from None
    return fields.heard(Entry, told, f"witness object {name}", otherwise)


def _entry(name: str, body: bytes, breaks: list[str]) -> Entry | None:
    try:
        return read(name, body)
    except Failed as error:
        breaks.append(str(error))
    return None
