"""`drctl completion SHELL` and `drctl man`: what shells and `man` know of this command, made from its own arguments."""

from __future__ import annotations

import argparse

from contract.errors import ExitCode
from scripts.ctl import cli
from scripts.ctl.manual import completion, page, words


def run(chosen: argparse.Namespace) -> ExitCode:
    """Prints it."""
    found = list(words.commands(cli.parser()))
    text = page.roff(found) if chosen.command == "man" else completion.SHELLS[chosen.shell](found)
    print(text, end="")
    return ExitCode.DONE
