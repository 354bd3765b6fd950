"""Questions asked side by side, for a time: one that hangs keeps no other from being answered, nor whoever asks from going on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

A = TypeVar("A")


def beside(asked: Mapping[str, Callable[[], A]], limit_s: float | None = None) -> dict[str, A]:
    """What each answers; those that have not within `limit_s` seconds are missing, and go on until the process ends. No question may raise.

    Plain threads: a pool of them reads half as much as everything else that a reading of figures takes.
    """
    found: dict[str, A] = {}

    def ask(name: str) -> None:
        found[name] = asked[name]()

    threads = [threading.Thread(target=partial(ask, name), daemon=True) for name in asked]
    for thread in threads:
        thread.start()
    end = None if limit_s is None else time.monotonic() + limit_s
    for thread in threads:
        thread.join(None if end is None else max(end - time.monotonic(), 0))
    return dict(found)
