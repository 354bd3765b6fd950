"""Customers who come at a rate of their own, whatever becomes of those before them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class Arrivals(ABC):
    """`per_s` of them, each in a thread of its own, from entering to leaving. `_one`: held while something is written down, or read of it."""

    def __init__(self, per_s: float) -> None:
        self._every = 1 / per_s
        self._over, self._one = threading.Event(), threading.Lock()
        self._threads: list[threading.Thread] = []
        self._opening = threading.Thread(target=self._open, daemon=True)

    def start(self) -> None:
        """They come from now on."""
        self._opening.start()

    def end(self) -> None:
        """Nobody comes any more, and whoever has come is waited for."""
        self._over.set()
        for thread in (self._opening, *self._threads):  # once nobody comes any more, all that have come are in the list
            thread.join(90)

    @property
    def come(self) -> int:
        """How many have."""
        return len(self._threads)

    def _open(self) -> None:
        while not self._over.wait(self._every):
            self._threads.append(threading.Thread(target=self._ask, args=(len(self._threads),), daemon=True))
            self._threads[-1].start()

    @abstractmethod
    def _ask(self, number: int) -> None:
        """What each does. `number`: from 0."""
