"""What a rule hands back: one thing of ours that is in no state."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from contract.errors import Failed

GONE_S = 120.0


@dataclass(frozen=True)
class Found:
    """`held_by`: why it must not be removed ("server x uses it"); None when nothing hangs on it."""

    label: str
    remove: Callable[[], None]
    held_by: str | None = None
    remedy: str = "remove it by hand if nobody needs it"


def await_gone(label: str, there: Callable[[], bool]) -> None:
    """Wait until the platform has finished removing. Raises Failed."""
    await_end(label, there, "still there", "its removal")


def await_end(label: str, lasts: Callable[[], bool], found: str, asked: str) -> None:
    """Wait until `lasts` holds no more. `found`: what is so until then; `asked`: what was asked for. Raises Failed."""
    deadline = time.monotonic() + GONE_S
    while lasts():
        if time.monotonic() > deadline:
            raise Failed(
                f"{label}: {found} {GONE_S:.0f} s after {asked} was asked for; look at it in the platform's console"
            )
        time.sleep(0.3)
