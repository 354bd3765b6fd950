"""Patience with stores: how many requests at once, how often again, how long in between."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from contract.errors import Failed

from .errors import RETRYABLE, Kind, StoreError

T = TypeVar("T")


class Stopped(Failed):
    """The run was asked to stop: by a signal, or because another thread met an error that ends it."""


class Throttle:
    """Requests at once to one store: grows by one per round of successes, halves when the store says that it is too much."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._limit, self._busy = float(most), float(most), 0
        self._free = threading.Condition(threading.Lock())
        self._clock, self._halved_at = clock, float("-inf")
        self.slowed = 0  # times the limit was halved

    @property
    def limit(self) -> float:
        """Requests allowed at once."""
        return self._limit

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Waits for a free place."""
        with self._free:
            while self._busy >= max(1, int(self._limit)):
                self._free.wait()
            self._busy += 1
        try:
            yield
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify()

    def good(self) -> None:
        """A request went through."""
        if self._limit < self._most:
            with self._free:
                self._limit = min(self._most, self._limit + 1 / self._limit)
                self._free.notify()

    def bad(self) -> None:
        """The store is overloaded. The answers to one burst count once."""
        with self._free:
            now = self._clock()
            if now - self._halved_at > 1:
                self._halved_at = now
                self._limit = max(1.0, self._limit / 2)
                self.slowed += 1


class Patience:
    """Tries again what may succeed later: exponential back-off with full jitter, the store's own Retry-After respected."""

    def __init__(self, attempts: int, base_s: float, cap_s: float, stop: threading.Event) -> None:
        self._attempts, self._base, self._cap, self._stop = attempts, base_s, cap_s, stop
        self.retries = 0

    def run(self, call: Callable[[], T], throttle: Throttle, also: Kind | None = None) -> T:
        """The result of `call`, which raises StoreError. Raises the last one, or Stopped. `also`: one more kind that may pass."""
        for attempt in range(1, self._attempts + 1):
            if self._stop.is_set():
                raise Stopped("run: asked to stop; the same command again goes on from here")
            try:
                result = call()
            except StoreError as error:
                if error.kind not in {*RETRYABLE, also} or attempt == self._attempts:
                    raise
                if error.kind in RETRYABLE:
                    throttle.bad()
                self.retries += 1
                self._stop.wait(self.delay(attempt, error.retry_after))
            else:
                throttle.good()
                return result
        raise AssertionError("unreachable: the last attempt returns or raises")

    def delay(self, attempt: int, retry_after: float) -> float:
        """Seconds before attempt + 1."""
        return float(
            max(min(retry_after, self._cap), random.uniform(0, min(self._cap, self._base * 2 ** (attempt - 1))))
        )
