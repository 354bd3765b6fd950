"""Does the target honour conditional writes? Found out with the first object of a new pair; a store that does not is asked before each write instead."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .errors import Kind, StoreError
from .state import State
from .store import Bucket

FACT = "conditional writes"


class Changed(Exception):
    """Another version, or none, is at the source or at the target than was seen there."""


class Conditions:
    """One for a run, used from several threads."""

    def __init__(self, target: Bucket, state: State) -> None:
        self._target, self._state, self._lock = target, state, threading.Lock()
        known = state.fact(FACT)
        self.honoured = None if known is None else known == "yes"

    def learn(self, put_again: Callable[[], object]) -> None:
        """After an object was created under `If-None-Match: *`: the same again must be refused. Once accepted it leaves one more version of the same bytes."""
        if self.honoured is not None:
            return
        with self._lock:
            if self.honoured is not None:
                return
            try:
                put_again()
            except StoreError as error:
                if error.kind is not Kind.CONDITION:
                    raise
                self.honoured = True
            else:
                self.honoured = False
            self._state.set_fact(FACT, "yes" if self.honoured else "no")

    def check(self, key: bytes, over: str | None) -> None:
        """Raises Changed when something else is there than `over` says; only where the store would not say it itself."""
        if self.honoured is False:
            head = self._target.head(key)
            if (head.etag if head else None) != over:
                raise Changed
