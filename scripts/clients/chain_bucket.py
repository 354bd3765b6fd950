"""A chain in the witness bucket (`contract/chain.py`): objects that are each created once, and locked where the bucket locks.

Each is created with `If-None-Match: *` under the next number, so two that come at once never share one: whoever is second takes the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import ClassVar

from contract.chain import MOST, Chain, digest
from contract.errors import Failed
from contract.wire import s3
from scripts.clients.kept_bucket import KeptBucket

PAGE = 1000  # keys that a store lists at once
TRIES = 5  # at numbers that others take meanwhile


class ChainBucket(KeptBucket):
    """The witness, and one chain in it."""

    chain: ClassVar[Chain]

    def listed(self) -> list[str]:
        """Keys of all that lies in the chain's folder."""
        return self._keys(self.chain.folder)

    def last(self) -> int:
        """Number of the newest object, 0 where there is none. Raises Failed."""
        return newest(self._behind)

    def _behind(self, number: int) -> tuple[list[int], bool]:
        """Numbers of the first page of what lies behind one, and whether there is more."""
        what, folder = f"list the {self.chain.folder.strip('/')}", self.chain.folder
        query = {"list-type": "2", "prefix": folder, **({"start-after": self.chain.name_of(number)} if number else {})}
        page = self._page(what, query, s3.OBJECTS)
        found = [it for it in map(self.chain.number_of, page.keys) if it]
        if any(it <= number for it in found):
            raise self._down(what, "its listing begins before what was asked for")
        return found, page.told.get("IsTruncated") == "true"

    def stored(self, number: int) -> bytes | None:
        """An object of the chain as it is stored; None when there is none."""
        found = self._read(self.chain.name_of(number))
        return None if found is None else found.body

    def record(self, number: int, body: bytes) -> bool:
        """Create an object. Returns whether it is this one that stands there: a number is never given twice."""
        return self.create(self.chain.name_of(number), body, "application/json")

    def whole(self) -> tuple[list[tuple[str, bytes]], list[str]]:
        """All of it, and what the store itself says is wrong with it: what is there in two versions was written over, what has versions and is not
        listed was removed. One that cannot be read is a break, and those behind it may be well. Raises Failed.
        """
        objects, listed = list[tuple[str, bytes]](), self.listed()
        breaks = strange(listed, self.versions(self.chain.folder))
        for name in listed:
            number, body = self.chain.number_of(name), None
            try:
                body = self.stored(number) if number else None
            except Failed as error:
                breaks.append(str(error))
            objects.append((name, body or b""))
        return objects, breaks


def strange(listed: Collection[str], versions: Collection[str]) -> list[str]:
    """What the versions of a folder say of it, a sentence each."""
    counts = {name: 0 for name in listed}
    for name in versions:
        counts[name] = counts.get(name, 0) + 1
    return [f"{name}: was removed: older versions of it are there" for name in sorted(set(counts) - set(listed))] + [
        f"{name}: was written over: there are {counts[name]} versions" for name in listed if counts[name] > 1
    ]


def newest(behind: Callable[[int], tuple[list[int], bool]]) -> int:
    """The highest number that there is. `behind`: the lowest numbers above one, a page of them, and whether there are more.

    In strides that double until nothing lies behind one, and are halved then: a trail of a hundred thousand entries takes some ten pages of its hundred. A
    stranger's keys between the numbers may hide what lies behind them: the number that is found then is taken, and nothing is written over it.
    """
    last, stride, growing = 0, 0, True
    while True:
        found, more = behind(min(last + stride, MOST))
        if found:
            last = max(found)
            if not more:
                return last
            stride = max(2 * stride, PAGE) if growing else stride // 2
        elif stride:
            growing, stride = False, stride // 2 if stride > PAGE else 0
        else:
            return last


def append(bucket: ChainBucket, made: Callable[[int, str], bytes], called: str) -> int:
    """Put an object behind the last one. `made`: its bytes, by its number and the digest of the one before. Returns its number. Raises Failed, and
    whatever `made` does. `called`: the chain, for the message.
    """
    chain = bucket.chain
    for _ in range(TRIES):
        last = bucket.last()
        if last >= MOST:
            raise Failed(
                f"witness object {chain.name_of(last)}: has the last number there is; somebody else has written it; remove it"
            )
        body = bucket.stored(last) if last else b""
        if body is None:  # it went, or is not handed out yet: without it there is no link to it
            continue
        if bucket.record(last + 1, made(last + 1, digest(body) if last else "")):
            return last + 1
    raise Failed(
        f"{called}: found its end in motion, {TRIES} times, wanted a number for this {chain.called}; it was not written; run the same again"
    )
