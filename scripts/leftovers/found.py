"""What a rule hands back: one thing of ours that is in no state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from contract.dataclass import dataclass
from contract.errors import Failed
from scripts.clients.openstack import ApiDown
from scripts.leftovers.patience import passing

GONE_S = 120.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.3, 5.0


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
    deadline, rests = time.monotonic() + GONE_S, pauses()
    while _holds(lasts):
        if time.monotonic() > deadline:
            raise Failed(
                f"{label}: {found} {GONE_S:.0f} s after {asked} was asked for; look at it in the platform's console"
            )
        time.sleep(next(rests))


def _holds(lasts: Callable[[], bool]) -> bool:
    """A question that was not answered this time ends nothing."""
    try:
        return lasts()
    except ApiDown as error:
        if not passing(error):
            raise
        return True


def pauses() -> Iterator[float]:
    """Seconds between looks at the same thing, longer and longer: most ends come soon, and platforms count requests."""
    rest = FIRST_PAUSE_S
    while True:
        yield rest
        rest = min(rest * 1.5, LONGEST_PAUSE_S)
