"""The links of the role chain that run on the operator's machine: `python -m scripts.links <link> [--caller <pid>]`, the links as in `table.py`.

A JSON document on stdin, one JSON object on stdout (it is stored in Pulumi's state: no secrets, no times), one line of error on stderr.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from contract import fields
from contract.errors import DrError, ExitCode, Usage
from scripts.clients.trail import Note, ended
from scripts.links.interrupts import Interrupted, install
from scripts.links.table import LINKS

NOTED_S = 3.0  # for a word in the audit trail, at most


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    name = arguments[0] if len(arguments) == 1 else ""
    if name not in LINKS:
        print(f"usage: python -m scripts.links {'|'.join(LINKS)} < document.json", file=sys.stderr)
        return ExitCode.USAGE
    link = import_module(LINKS[name])
    told: Any = None
    try:
        told = fields.read(link.Document, _document(), f"document of {name}")
        answer = link.run(told)
    except DrError as error:
        print(f"ERROR {name}: {error}", file=sys.stderr, flush=True)
        if told is not None:
            _note(name, told, ended(error), str(error))
        return error.code
    except Interrupted:
        print(f"ERROR {name}: was told to end, or its caller is gone; run the same again", file=sys.stderr)
        return ExitCode.FAILED
    except (
        Exception
    ) as error:  # a fault of the program: where it stands is for whoever mends it, what it means for whoever reads this
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        where = f"{Path(frame.f_code.co_filename).name}, line {line}"
        print(
            f"ERROR {name}: ended by a fault of this program ({type(error).__name__} at {where}); run the same again, and report it with this line",
            file=sys.stderr,
            flush=True,
        )
        if told is not None:
            _note(name, told, "failed", f"fault of this program: {type(error).__name__} at {where}")
        return ExitCode.FAILED
    json.dump(answer, sys.stdout, sort_keys=True)
    print()
    return ExitCode.DONE


def _note(link: str, told: Any, what: str, said: str) -> None:
    """Into the audit trail: the run has ended by then, and nothing waits for it."""
    try:
        lost = Note(told.witness, what, told.site, said=said, facts={"link": link}).lost(NOTED_S)
    except Interrupted:  # the link has ended, and said how
        lost = "was told to end before it was noted in the audit trail; note it by hand, with your name and the time"
    if lost:
        print(f"WARNING {link}: {lost}", file=sys.stderr)


def caller(arguments: list[str]) -> tuple[list[str], int]:
    """The arguments without `--caller <pid>`, and that id: the shell knows it before this process can be left alone. Else the parent as it is now."""
    match arguments:
        case [*others, "--caller", pid] if pid.isdigit():
            return others, int(pid)
    return arguments, os.getppid()


def _document() -> object:
    try:
        return json.load(sys.stdin)
    except ValueError:
        raise Usage(
            "stdin: found no JSON, wanted the link's document (docs/interfaces.md, section 3); nothing was changed; "
            "run `pulumi up`, which makes it"
        ) from None


if __name__ == "__main__":
    words, started_by = caller(sys.argv[1:])
    install(started_by)
    sys.exit(main(words))
