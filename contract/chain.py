"""A chain of objects at the witness: numbers without a gap from 1, and each object holds the digest of the one before, as that is stored.

So none is changed, left out or put between unseen. What cannot be seen is that the last ones were taken away: hence `head`, to be noted elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from .checks import text
from .dataclass import dataclass
from .errors import Failed

MOST = 99_999_999
BEFORE = text(r"([0-9a-f]{64})?", "a SHA-256 in hexadecimal digits, or nothing")


class Placed(Protocol):
    """What an object of a chain says of its own place."""

    @property
    def number(self) -> int: ...

    @property
    def before(self) -> str: ...


P = TypeVar("P", bound=Placed)


@dataclass(frozen=True, kw_only=True)
class Walked(Generic[P]):
    """`breaks`: a sentence for each place where the chain does not hold; `head`: number and digest of the last object, to be noted elsewhere."""

    entries: tuple[P, ...]
    breaks: tuple[str, ...]
    head: str


def digest(body: bytes) -> str:
    """What the next object holds of this one."""
    return hashlib.sha256(body).hexdigest()


@dataclass(frozen=True)
class Chain:
    """`folder`: of its keys, "audit/"; `called`: what messages call one of its objects, `several` of them."""

    folder: str
    called: str
    several: str

    def name_of(self, number: int) -> str:
        """The object's key."""
        return f"{self.folder}{number:08d}.json"

    def number_of(self, name: str) -> int | None:
        """The place that an object's key gives it; None for what is none of this chain."""
        digits = name.removeprefix(self.folder).removesuffix(".json")
        plain = len(digits) == 8 and digits.isascii() and digits.isdigit()
        return int(digits) if plain and name == self.name_of(int(digits)) else None

    def walk(self, objects: Iterable[tuple[str, bytes]], read: Callable[[str, bytes], P]) -> Walked[P]:
        """From its first object, in the order of the names. `read`: one in its form, by its key; raises Failed. Pure but for that."""
        entries, breaks, before, awaited = list[P](), list[str](), "", 1
        for name, body in sorted(objects):
            number = self.number_of(name)
            if number is None or number < 1:
                breaks.append(
                    f"{name}: found a name of no {self.called}, wanted {self.folder}<eight digits>.json; somebody else has written it"
                )
                continue
            if number != awaited:
                breaks.append(
                    f"{self.name_of(awaited)}: found none, wanted the {self.several} up to {self.name_of(number - 1)}: they were removed"
                )
            elif found := _heard(name, body, read, breaks):
                entries.append(found)
                breaks += self._misplaced(name, found, number, before)
            before, awaited = digest(body), number + 1
        head = f"{awaited - 1}:{before}" if awaited > 1 else ""
        return Walked(entries=tuple(entries), breaks=tuple(breaks), head=head)

    def _misplaced(self, name: str, found: Placed, number: int, before: str) -> list[str]:
        """`before`: digest of the object before, as it is stored."""
        breaks = []
        if found.number != number:
            breaks.append(
                f"{name}: found number {found.number} in it, wanted {number}: it was written for another place"
            )
        if found.before != before:
            breaks.append(
                f"{name}: found {found.before or 'nothing'} as the digest of the {self.called} before, wanted {before or 'nothing'}: one of the two was changed"
            )
        return breaks


def _heard(name: str, body: bytes, read: Callable[[str, bytes], P], breaks: list[str]) -> P | None:
    try:
        return read(name, body)
    except Failed as error:
        breaks.append(str(error))
    return None
