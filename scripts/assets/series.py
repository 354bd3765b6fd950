"""Requests for many keys, one after another: what a store refuses of one key is its own matter, what it refuses of all is the store's."""

from __future__ import annotations

from collections.abc import Callable

from .errors import FATAL, RETRYABLE, StoreError
from .tally import Tally, show

GIVE_UP = 20  # refused in a row
GIVE_UP_SLOW = 3  # in a row without an answer: each of them took all the patience there is


class Series:
    """One kind of request. What was refused is counted and listed in the tally under `what`."""

    def __init__(self, tally: Tally, what: str) -> None:
        self._tally, self._what = tally, what
        self._in_a_row = 0
        self.over = False  # too many in a row: the rest is not asked for
        self.refused = 0
        self.first = ""

    def run(self, key: bytes, act: Callable[[], object]) -> None:
        """Nothing, once the series is over. Raises StoreError only for what no other request would be spared."""
        if self.over:
            return
        try:
            act()
        except StoreError as error:
            if error.kind in FATAL:
                raise
            self.refused += 1
            self.first = self.first or f"{show(key)}: {error}"
            self._tally.note(self._what, key=show(key), why=str(error))
            self._in_a_row += 1
            self.over = self._in_a_row >= (GIVE_UP_SLOW if error.kind in RETRYABLE else GIVE_UP)
        else:
            self._in_a_row = 0

    def told(self, count: int, what: str) -> str:
        """What went wrong of `count`; empty when nothing did. `what`: what could not be done with them."""
        if not self.refused:
            return ""
        rest = "the rest was not asked for after so many in a row" if self.over else "the others are"
        return f"{self.refused} of {count} {what}, wanted all; {rest}; first: {self.first}; run the same again"
