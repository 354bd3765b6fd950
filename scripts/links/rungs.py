"""The ladder: its rungs in order, each a way of its own to prove that the site which loses the role writes no more.

Rung 1, the clean stop over ssh, is `planned.py`; 2, the power, `power.py`; 3, the lease, `silence.py`. Here are the operator's word (4), and how
they are climbed: what disturbs nobody else is tried side by side.
"""

from __future__ import annotations

import queue
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar

from contract.accept import Word
from contract.dataclass import dataclass
from contract.errors import DrError, Failed


class RungFailed(Exception):
    """This rung proves nothing; the reasons are for the list that the operator sees."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, kw_only=True)
class Proof:
    """That the site has stopped writing, as it is kept with the epoch."""

    rung: int
    evidence: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """For the epoch's object."""
        return asdict(self)


class Rung(ABC):
    """One way to prove it. Nothing is done to the site before `prove`."""

    number: ClassVar[int]
    name: ClassVar[str]

    def __init__(self) -> None:
        self.over = threading.Event()  # another rung holds, or nobody needs one any more

    @abstractmethod
    def prove(self, tried: Sequence[str]) -> Proof:
        """`tried`: a line for each rung below that does not hold. Raises RungFailed, with nothing left behind; Refused when no rung may be tried."""

    def give_up(self) -> None:
        """From another thread: `prove` is to end soon, because its answer is not needed."""
        self.over.set()

    def leave(self) -> str:
        """Let go of what `prove` holds, because nothing was claimed. Returns what is so now; empty when that goes without saying."""
        return ""


def climb(rungs: Iterable[Rung], tried: list[str]) -> tuple[Rung, Proof] | None:
    """The first rung that holds; None when none does. The reasons of those that do not are added to `tried`."""
    for rung in rungs:
        try:
            return rung, rung.prove(tried)
        except RungFailed as error:
            tried += [f"rung {rung.number} ({rung.name}): {reason}" for reason in error.reasons]
    return None


def race(rungs: Sequence[Rung], tried: list[str]) -> tuple[Rung, Proof] | None:
    """As `climb`, side by side: whichever holds first ends it for all. A rung that raises anything is one that proves nothing."""
    ended: queue.SimpleQueue[tuple[Rung, Proof | Sequence[str]]] = queue.SimpleQueue()

    def attempt(rung: Rung) -> None:
        try:
            ended.put((rung, rung.prove(tried)))
        except RungFailed as error:
            ended.put((rung, error.reasons))
        except BaseException as error:  # whatever it is, somebody waits for the end of this rung
            ended.put((rung, [f"ended by itself ({type(error).__name__}: {error})"]))

    for rung in rungs:
        # Not waited for: one that is at a question ends with it, or with the process.
        threading.Thread(target=attempt, args=(rung,), name=rung.name, daemon=True).start()
    failed: dict[int, Sequence[str]] = {}
    try:
        for _ in rungs:
            rung, found = ended.get()
            if isinstance(found, Proof):
                return rung, found
            failed[rung.number] = found
        return None
    finally:
        for rung in rungs:
            rung.give_up()
        tried += [
            f"rung {rung.number} ({rung.name}): {reason}" for rung in rungs for reason in failed.get(rung.number, ())
        ]


@contextmanager
def held(*rungs: Rung) -> Iterator[None]:
    """Around what relies on rungs: whatever ends it, a key of the operator's among it, they are let go, and the error says what is so now."""
    try:
        yield
    except BaseException as error:
        now = "; ".join(filter(None, (rung.leave() for rung in rungs)))
        if isinstance(error, DrError):
            if not now:
                raise
            raise type(error)(f"{error}; {now}") from None
        if isinstance(error, Exception):
            raise Failed(
                "; ".join(filter(None, (f"ended by itself ({type(error).__name__}: {error})", now)))
            ) from error
        print(f"INFO fence: {now or 'let go of what it held'}", file=sys.stderr)
        raise


class Override(Rung):
    """Rung 4: the operator's typed word for the epoch in force."""

    number, name = 4, "override"

    def __init__(self, word: Word | None, epoch: int) -> None:
        """`epoch`: the one in force."""
        super().__init__()
        self._word, self._epoch = word, epoch

    def prove(self, tried: Sequence[str]) -> Proof:
        """As of `Rung`; kept with the word: why nothing better could be had."""
        if self._word is None:
            raise RungFailed("not given")
        if self._word.epoch != self._epoch:
            raise RungFailed(f"is for epoch {self._word.epoch}, the epoch in force is {self._epoch}")
        return Proof(rung=self.number, evidence={"override": self._word.reason, "tried": list(tried)})
