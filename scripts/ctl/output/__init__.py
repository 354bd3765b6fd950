"""What `drctl` writes and how it ends: its result on stdout, in full or as an error; one line on stderr when something is wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from contract.errors import DrError, Failed, Refused, Usage
from contract.plain import phrase, shown


def write_json(document: dict[str, Any], what: str) -> None:
    """The result of a command, named `what` for the message. Raises Failed when it could not be written in full."""
    if sys.stdout is None:  # closed before we began (`>&-`)
        raise Failed(f"stdout: is closed, wanted a pipe or a file for {what}; nothing was kept; run it into a file")
    try:
        json.dump(document, sys.stdout)
        sys.stdout.flush()
    except OSError as error:
        raise _cut(error, what) from None


def not_on_a_screen(why: str) -> None:
    """Raises Usage where stdout is a terminal."""
    if sys.stdout is not None and sys.stdout.isatty():
        raise Usage(f"stdout: is a terminal, wanted a pipe or a file, because {why}")


def typed(wanted: str, question: str, otherwise: str, *, what: str = "region") -> None:
    """Somebody at the terminal types the word that agrees. `otherwise`: how to agree without one; `what`: the word is of. Raises Usage, Refused; nothing was
    changed then.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise Usage(f"stdin: is no terminal, so nobody can agree; nothing was changed; {otherwise}")
    found = hear(f"{question} ({wanted}) to go on: ")
    if found != wanted:
        raise Refused(f"{what}: found {shown(found)}, wanted {wanted!r}; nothing was changed")


def hear(prompt: str) -> str:
    """A line from the terminal. Raises Usage at its end, and where it is interrupted."""
    print(prompt, end="", flush=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        line = ""
    if not line:
        raise Usage("terminal: was closed before all was answered; nothing was changed; run it again")
    return line.strip()


def say(text: str) -> None:
    """Progress, on stderr: what is printed on stdout is the result."""
    with suppress(OSError):
        print(phrase(text, 2000), file=sys.stderr, flush=True)


def to_the_end(command: Callable[[], int]) -> int:
    """Run a command, see that all it has written goes out, and say what was wrong. Returns the exit code.

    Whoever reads may go at any time: that is one line, and no traceback, neither of the command nor of the interpreter, which writes once more what
    is left when it ends.
    """
    try:
        try:
            return command()
        except BrokenPipeError as error:  # more was printed than fits into the pipe
            raise _cut(error, "the output") from None
        finally:
            _flush()
    except DrError as error:
        _complain(f"drctl: {error}")
        return error.code


def _flush() -> None:
    with suppress(AttributeError):  # there is no such stream
        try:
            sys.stderr.flush()
        except OSError:
            _let_go(sys.stderr)
    with suppress(AttributeError):
        try:
            sys.stdout.flush()
        except OSError as error:
            raise _cut(error, "the output") from None


def _complain(text: str) -> None:
    if sys.stderr is None:  # `print` would take stdout for it
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _let_go(sys.stderr)


def _cut(error: OSError, what: str) -> Failed:
    _let_go(sys.stdout)
    found = "was closed" if isinstance(error, BrokenPipeError) else f"took no more ({error.strerror})"
    return Failed(
        f"stdout: {found} before all of {what} was written; nothing was kept; run it into a file or a whole pipe"
    )


def _let_go(stream: TextIO) -> None:
    """What is left in it goes nowhere, quietly."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
