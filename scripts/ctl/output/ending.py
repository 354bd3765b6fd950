"""SIGTERM and a terminal that goes end a command as Ctrl-C does: what is to be taken back is taken back, and the last line says who has ended it.

Python itself ends at once on both, whatever it is in the middle of: servers that a drill has stopped would stay off.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NUMBERS = (signal.SIGTERM, signal.SIGHUP)
WORDS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "its terminal, which is gone (SIGHUP)"}
ENDED = 128  # with the signal's number: how a shell says it


class Ended(KeyboardInterrupt):
    """Somebody has told this process to end, by `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = signal.Signals(number)


@contextmanager
def heard() -> Iterator[None]:
    """While it is entered the first of them is raised as `Ended`. A shell and the kernel both tell of a terminal that goes: what comes then changes nothing,
    and Ctrl-C is still Ctrl-C. What somebody has chosen to ignore (nohup) is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told = False

    def tell(number: int, _: FrameType | None) -> None:
        nonlocal told
        if number == signal.SIGHUP:
            _let_go()
        if not told:
            told = True
            raise Ended(number)

    before = {it: signal.signal(it, tell) for it in minded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deaf() -> Iterator[None]:
    """What is started in here does not hear that its terminal goes, and is told by whoever has started it. The kernel tells all in the foreground alike, and
    a pulumi that hears it ends at once, its lock left behind. Of the main thread alone.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is ignored is so in a child, too
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def minded() -> list[signal.Signals]:
    """Those that this process was not told to ignore."""
    return [it for it in NUMBERS if signal.getsignal(it) is not signal.SIG_IGN]


def how(error: KeyboardInterrupt) -> tuple[int, str]:
    """Exit code and sentence."""
    number = error.number if isinstance(error, Ended) else signal.SIGINT
    return (
        ENDED + number,
        f"ended by {WORDS[number]}, wanted its end; what was done stands, and the lines above say what was taken back; see `drctl status`, then run the "
        "same again",
    )


def _let_go() -> None:
    """What is said from now on goes nowhere: a line to a terminal that is gone is an error, and would end what takes things back."""
    for number in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, number)
                os.close(null)
