"""Bounded waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], limit_s: float, every_s: float = 0.05) -> bool:
    """Ask `condition` until it holds (True) or `limit_s` seconds are over (False). It is asked at least once, and once at the end."""
    deadline = time.monotonic() + limit_s
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(every_s, left))
    return True
