"""A program that talks to another machine, run with an end to its time and to what it may say: whoever answers there may never stop."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

PIECE = 65536


class TooMuch(Exception):
    """More was said than is read. The text is a phrase."""


def run(command: Sequence[str], stdin: bytes, limit_s: float, most: int) -> subprocess.CompletedProcess[bytes]:
    """Its code and what it said, at most `most` bytes on each way; whatever becomes of this call, the program has ended.

    Raises TooMuch, and subprocess.TimeoutExpired.
    """
    until = time.monotonic() + limit_s
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as made:
        try:
            said = _talk(made, stdin, until, most)
            code = made.wait(max(until - time.monotonic(), 0.1))
        except BaseException as error:
            made.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise subprocess.TimeoutExpired(command, limit_s) from None
            raise
    return subprocess.CompletedProcess(command, code, *said)


def _talk(made: subprocess.Popen[bytes], stdin: bytes, until: float, most: int) -> tuple[bytes, bytes]:
    """Both ways side by side: neither may wait for the other."""
    assert made.stdin is not None and made.stdout is not None and made.stderr is not None
    said = {made.stdout.fileno(): bytearray(), made.stderr.fileno(): bytearray()}
    rest = memoryview(stdin)
    with selectors.DefaultSelector() as ways:
        for each in said:
            ways.register(each, selectors.EVENT_READ)
        os.set_blocking(made.stdin.fileno(), False)
        ways.register(made.stdin.fileno(), selectors.EVENT_WRITE)
        open_ways = set(said)
        while open_ways:
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(made.args, 0)
            for way, _ in ways.select(left):
                if way.fd not in said:
                    rest = _give(way.fd, rest)
                    if not rest:
                        ways.unregister(way.fd)
                        made.stdin.close()
                    continue
                piece = os.read(way.fd, PIECE)
                said[way.fd] += piece
                if not piece:
                    ways.unregister(way.fd)
                    open_ways.discard(way.fd)
                if len(said[way.fd]) > most:
                    raise TooMuch(f"said more than {most} bytes")
    out, err = said.values()
    return bytes(out), bytes(err)


def _give(descriptor: int, rest: memoryview) -> memoryview:
    """What is left to be said; nothing to somebody who does not listen any more."""
    with suppress(BlockingIOError):
        try:
            return rest[os.write(descriptor, rest[:PIECE]) :]
        except BrokenPipeError:
            return rest[:0]
    return rest
