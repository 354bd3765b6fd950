"""A command whose reader goes before it has said all, as `head` does, ends quietly with 141: what a shell says of a program that SIGPIPE has ended.

Not by that signal itself: our commands write to sockets too, where a peer that goes is to be dealt with, and a story or a drill takes its lab
down before it ends. Python therefore ignores the signal, and the failed write comes as an error that is caught here, once for all commands.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import TextIO

READER_GONE = 128 + signal.SIGPIPE


def status(main: Callable[[], int]) -> int:
    """The exit code of `main`, or 141 when nobody reads its output any more; the output has been written when this returns."""
    try:
        try:
            code = main()
        except SystemExit as end:  # argparse, when it has printed the help or a usage error
            if not isinstance(end.code, int):
                raise
            code = end.code
        # Here and not at the interpreter's end, where the error could be caught by nobody.
        for stream in _streams():
            stream.flush()
    except BrokenPipeError:
        if not _let_go():  # a socket's: a fault like any other
            raise
        return READER_GONE
    except BaseException:
        _let_go()
        raise
    return code


def before_exec() -> None:
    """What this process becomes shall end by the signal, as if a shell had started it: an ignored signal would stay ignored."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _streams() -> list[TextIO]:
    """None of those that were closed before the start (`>&-`)."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _let_go() -> bool:
    """Is there nobody who reads? Then the interpreter, which flushes once more at its end, does so into something that takes everything."""
    gone = [stream for stream in _streams() if _unread(stream)]
    for stream in gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(gone)


def _unread(stream: TextIO) -> bool:
    try:
        descriptor = stream.fileno()
    except OSError:  # no file: what a test puts there
        return False
    look = select.poll()
    look.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in look.poll(0))
