"""A link that is told to end, or whose caller is gone, ends by itself: what it has changed is taken back, or brought to its end.

`pulumi` that is killed leaves its links running: they are in process groups of their own. Such a link would go on behind the back of the next
run. It notices by its standard output, whose reader is gone, or by its parent: pulumi's plugin, which reads, may outlive the engine by minutes, but
kills the command that it has started itself, and that is the `timeout` around the link.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PARENT_MS = 500  # between two looks at the parent
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """No error of the link: whatever is held is let go on its way up."""


class _State:
    shields = 0
    told = False  # once; what undoes must not be interrupted again
    raised = False


def install(caller: int) -> None:
    """For the main thread of a link's process, once. `caller`: id of the process that has started it; another parent means that it is gone."""
    for number in _SIGNALS:
        signal.signal(number, _told)
    threading.Thread(target=_watch, args=(caller,), name="caller", daemon=True).start()


@contextmanager
def shielded() -> Iterator[None]:
    """What begins in here is brought to its end; whoever interrupts is heard afterwards."""
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
    _raise_if_due()


def _told(_: int, __: FrameType | None) -> None:
    _State.told = True
    _raise_if_due()


def _raise_if_due() -> None:
    if _State.told and not _State.raised and _State.shields == 0:
        _State.raised = True
        raise Interrupted


def _watch(caller: int) -> None:
    """Until nobody reads standard output any more, or the parent is another. Another kind of output than a pipe has no reader that could go."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # an error is told without being asked for
    while not poll.poll(PARENT_MS) and os.getppid() == caller:
        continue
    os.kill(os.getpid(), signal.SIGTERM)
