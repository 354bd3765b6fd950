"""Who has signed in to a host, in the words of its sshd, kept where its own root removes nothing: the objects below `logs/` at the witness.

A host's objects are chains: each holds the digest of the one before, so none is left out or exchanged unseen. What a host says of itself can be a lie
from the moment on at which it is somebody else's; what it has said before stays as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from . import fields
from .chain import digest
from .checks import integer, optional, text
from .dataclass import dataclass
from .errors import Failed
from .fields import key
from .forms import COUNT, HOST, ID, PHRASE
from .sites import A_SITE
from .wire import document

LOGS = "logs/"
MOST = 99_999_999
MOST_LINES, MOST_TEXT = 300, 400  # of one object, and characters of a line's message: less than a document may have
_CHAIN = r"[0-9a-f]{8}"
_NAME = re.compile(r"logs/([ab])/([a-z]{1,20}-[1-9][0-9]?)/([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{8})-([0-9]{8})\.jsonl")


@dataclass(frozen=True, kw_only=True)
class Head:
    """First line of an object."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    site: str = key(A_SITE, "of the host")
    host: str = key(HOST, "its name")
    chain: str = key(text(_CHAIN, "eight hexadecimal digits"), "drawn when the chain was begun")
    number: int = key(integer(1, MOST), "its place in the chain, from 1")
    before: str = key(
        text(r"([0-9a-f]{64})?", "a SHA-256 in hexadecimal digits, or nothing"),
        "SHA-256 of the object before it; nothing for the first",
        default="",
    )
    begun: str = key(PHRASE, "of the first: why the host has begun a chain", default="")
    boot: str = key(ID, "the kernel's id of the boot", default="0")
    after: str = key(
        PHRASE, "the last entry that was read, by the journal's name, where the journal holds it no more", default=""
    )
    lost: int | None = key(
        optional(COUNT), "how many entries of any kind were behind it; null: the journal is another one", default=None
    )
    version: str = key(PHRASE, "of the software", default="")


@dataclass(frozen=True, kw_only=True)
class Line:
    """Every further line of an object: one entry of the journal. Program, user, process and unit are what the kernel says of whoever wrote it."""

    at: int = key(COUNT, "microseconds since 1970, by the host's clock")
    comm: str = key(PHRASE, "name of the program", default="")
    uid: int | None = key(optional(COUNT), "user of the process", default=None)
    pid: int = key(COUNT, "the process", default=0)
    unit: str = key(PHRASE, "systemd's unit", default="")
    text: str = key(PHRASE, "the message", default="")


@dataclass(frozen=True, kw_only=True)
class Name:
    """What an object's key says of it."""

    site: str
    host: str
    at: str  # when it was made, by the host's clock: 20261129T085512Z
    chain: str
    number: int

    def __str__(self) -> str:
        return f"{prefix(self.site, self.host)}{self.at}-{self.chain}-{self.number:08d}.jsonl"

    @property
    def host_key(self) -> str:
        return f"{self.host}.{self.site}"


def prefix(site: str, host: str) -> str:
    """Of the keys of a host's objects. They are in order of time."""
    return f"{LOGS}{site}/{host}/"


def named(key: str) -> Name | None:
    """None for a key of no such object."""
    found = _NAME.fullmatch(key)
    if found is None:
        return None
    site, host, at, chain, number = found.groups()
    return Name(site=site, host=host, at=at, chain=chain, number=int(number))


def body(head: Head, lines: Sequence[Line]) -> bytes:
    """An object: JSON values, one in a line."""
    rows = [fields.write(it) for it in (head, *lines)]
    return "".join(f"{json.dumps(row, sort_keys=True, ensure_ascii=False)}\n" for row in rows).encode()


def read(key: str, stored: bytes) -> tuple[Head, tuple[Line, ...]]:
    """An object in its form. Raises Failed."""
    subject, otherwise = (
        f"witness object {key}",
        "its host has not written it so; see who has, and the object's older versions",
    )
    rows = stored.split(b"\n")
    if rows[-1] or len(rows) > MOST_LINES + 2:
        raise Failed(
            f"{subject}: found no object of whole lines, wanted at most {MOST_LINES} behind a first; {otherwise}"
        )
    try:
        told = [document.mapping(row) for row in rows[:-1]]
    except ValueError:
        raise Failed(f"{subject}: found a line that is no JSON object, wanted nothing else; {otherwise}") from None
    if not told:
        raise Failed(f"{subject}: found nothing in it, wanted a first line; {otherwise}")
    head = fields.heard(Head, told[0], subject, otherwise)
    return head, tuple(fields.heard(Line, row, subject, otherwise) for row in told[1:])


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What a host has told. `breaks`: where its chains do not hold; `gaps`: what it says itself that it could not tell; `begun`: chains that begin here."""

    lines: tuple[Line, ...]
    breaks: tuple[str, ...]
    gaps: tuple[str, ...]
    begun: tuple[str, ...]


def walk(objects: Iterable[tuple[str, bytes]]) -> Walked:
    """The objects of one host, from whichever is the first of each chain that is handed in. Pure."""
    host, rows, begun = _Host(), list(objects), dict[str, str]()
    for it in filter(None, (named(row[0]) for row in rows)):
        begun[it.chain] = min(begun.get(it.chain, it.at), it.at)
    for name, stored in sorted(rows, key=lambda row: _place(row[0], begun)):
        host.take(name, stored)
    return Walked(
        lines=tuple(sorted(host.lines, key=lambda it: it.at)),
        breaks=(*host.breaks, *host.torn()),
        gaps=tuple(host.gaps),
        begun=tuple(host.begun),
    )


class _Host:
    def __init__(self) -> None:
        self.lines, self.breaks, self.gaps, self.begun = list[Line](), list[str](), list[str](), list[str]()
        self._last = dict[str, tuple[int, str]]()  # of each chain: number and digest of its newest object
        self._all = list[tuple[Name, str]]()  # with their digests
        self._joins = list[tuple[Name, str]]()  # chains that name the end of another one

    def take(self, stored_as: str, stored: bytes) -> None:
        """Of one chain in their order, of several chains in the order in which they were begun."""
        name = named(stored_as)
        if name is None:
            self.breaks.append(f"{stored_as}: found a name of no such object; somebody else has written it")
            return
        last, own = self._last.get(name.chain), digest(stored)
        self.breaks += _missing(name, last)
        try:
            head, told = read(stored_as, stored)
        except Failed as error:
            self.breaks.append(str(error))
        else:
            self.breaks += self._unlike(name, head, last)
            self._tell(name, head)
            self.lines += told
        self._last[name.chain] = name.number, own
        self._all.append((name, own))

    def _unlike(self, name: Name, head: Head, last: tuple[int, str] | None) -> Iterator[str]:
        if (head.site, head.host, head.chain, head.number) != (name.site, name.host, name.chain, name.number):
            yield f"{name}: found another host, chain or number in it: it was written for another place"
        if head.number == 1 and head.before:
            self._joins.append((name, head.before))
        elif last is not None and last[0] + 1 == name.number and head.before != last[1]:
            yield _changed(name, head.before)

    def torn(self) -> Iterator[str]:
        """A chain's first names the end of the one before it, where the host has one. Those older than all that was handed in name what was not."""
        oldest = min((name.at for name, _ in self._all), default="")
        digests = {it for _, it in self._all}
        yield from (
            _changed(name, before) for name, before in self._joins if name.at > oldest and before not in digests
        )

    def _tell(self, name: Name, head: Head) -> None:
        if head.number == 1:
            self.begun.append(f"{name.host_key}: a chain begins at {name.at} ({head.begun or 'no reason told'})")
        if head.after:
            lost = (
                "its journal was emptied or is another one"
                if head.lost is None
                else f"up to {head.lost} entries of its journal were gone"
            )
            self.gaps.append(f"{name}: {lost} before they could be kept")


def _place(stored_as: str, begun: Mapping[str, str]) -> tuple[str, str, int, str]:
    """One chain behind another, as they were begun."""
    name = named(stored_as)
    return ("", "", 0, stored_as) if name is None else (begun[name.chain], name.chain, name.number, stored_as)


def _changed(name: Name, before: str) -> str:
    return f"{name}: found {before or 'nothing'} as the digest of the object before, and no such object: one was changed or removed"


def _missing(name: Name, last: tuple[int, str] | None) -> list[str]:
    if last is None or name.number == last[0] + 1:
        return []
    if name.number == last[0]:
        return [f"{name}: found a second object of that number, wanted one: a host gives each once"]
    wanted = f"number {last[0] + 1}" if name.number == last[0] + 2 else f"numbers {last[0] + 1} to {name.number - 1}"
    return [f"{prefix(name.site, name.host)}: found none of {wanted} of chain {name.chain}, wanted all: removed"]
