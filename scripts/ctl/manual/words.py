"""The words that `drctl` takes, read from its parser: commands with those below them, options, and what may stand for each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Word:
    """An option, or what a command is told without one. `flags`: empty for the latter."""

    name: str
    flags: tuple[str, ...] = ()
    value: str = ""  # what is written for its value; empty where it takes none
    choices: tuple[str, ...] = ()
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Command:
    """`path`: its words, ("report", "sign"); empty for `drctl` itself. `below`: commands that may follow, with what each is for."""

    path: tuple[str, ...]
    about: str
    words: tuple[Word, ...]
    below: tuple[tuple[str, str], ...]

    @property
    def options(self) -> tuple[Word, ...]:
        return tuple(it for it in self.words if it.flags)

    @property
    def places(self) -> tuple[Word, ...]:
        """What it is told without an option, in order."""
        return tuple(it for it in self.words if not it.flags)


def commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    """All of them, each before those below it, in the order of the parser."""
    yield from _under(parser, (), parser.description or "")


def _under(parser: argparse.ArgumentParser, path: tuple[str, ...], about: str) -> Iterator[Command]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    helps = {it.dest: it.help or "" for action in below for it in action._choices_actions}
    words = [_word(action) for action in parser._actions if action not in below and action.help != argparse.SUPPRESS]
    yield Command(
        path=path,
        about=about,
        words=tuple(words),
        below=tuple((name, helps.get(name, "")) for action in below for name in action.choices),
    )
    for action in below:
        for name, made in action.choices.items():
            yield from _under(made, (*path, name), helps.get(name, ""))


def _word(action: argparse.Action) -> Word:
    choices = tuple(map(str, action.choices or ()))
    takes = action.nargs != 0
    value = "" if not takes else str(action.metavar) if action.metavar else "|".join(choices) or action.dest.upper()
    about = (action.help or "") % {"default": action.default, "prog": "drctl"}
    return Word(
        name=action.dest,
        flags=tuple(action.option_strings),
        value=value.replace("_", "-") if takes and not choices and not action.metavar else value,
        choices=choices,
        about=about,
    )
