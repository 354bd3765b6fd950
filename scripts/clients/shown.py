"""What another machine's program says, shown here as it comes: whoever answers there moves no cursor and sets no title on this terminal."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO, TextIO

from contract.plain import printable

MOST_LINE = 65_536  # bytes that are shown as one line


def run(command: Sequence[str], row: Callable[[str], None] = lambda _: None) -> int:
    """Its exit code. `row`: is told each line of its output, as it is shown. Nothing is given to it to read; it has ended when this returns."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=65_536
    ) as made:
        assert made.stdout is not None and made.stderr is not None
        beside = threading.Thread(target=_show, args=(made.stderr, sys.stderr, lambda _: None), daemon=True)
        beside.start()
        try:
            _show(made.stdout, sys.stdout, row)
            code = made.wait()
        finally:
            made.kill()
            beside.join(1.0)
    return code


def _show(said: IO[bytes], where: TextIO | None, row: Callable[[str], None]) -> None:
    for line in iter(lambda: said.readline(MOST_LINE), b""):
        text = printable(line.decode(errors="replace").rstrip("\r\n"), stay="\t")
        row(text)
        print(text, file=where, flush=True)
