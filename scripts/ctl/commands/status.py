"""`drctl status`: both regions side by side on one screen, and what is not as it should be. Changes nothing; works with one region dead."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from components.settings import Settings
from contract.errors import ExitCode, Usage
from scripts.ctl import output
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey import screen
from scripts.ctl.survey.asking import Ways, look
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.checks.row import State
from scripts.ctl.survey.document import document

COLOURS = {State.FAIL: "bold red", State.UNKNOWN: "magenta", State.WARN: "yellow", State.OK: "green"}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Prints the screen, or all as JSON. Exit code 0 whatever is found: `check` is what judges. Raises DrError."""
    settings = Stack.chosen(chosen).settings()
    if chosen.watch:
        return _watch(settings, chosen.every)
    if chosen.json:
        survey = look(settings)
        output.write_json(document(survey, judge(survey, settings)), "the status")
    else:
        for line in _plain(settings):
            print(line)
    return ExitCode.DONE


def _plain(settings: Settings) -> Iterator[str]:
    """As text, with colours on a terminal that has them (`NO_COLOR` is heeded)."""
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width: what reads it wants whole lines
        console = Console(highlight=False, width=4000)
    with console.capture() as told:
        console.print(_screen(settings))
    yield from (line.rstrip() for line in told.get().rstrip("\n").split("\n"))


def _watch(settings: Settings, every_s: float) -> ExitCode:
    console = Console(highlight=False)
    if not console.is_terminal:
        raise Usage(
            "stdout: is no terminal, wanted one for --watch; nothing was asked; leave --watch out, or take --json"
        )
    with (
        suppress(KeyboardInterrupt),
        Live(Text("asking ..."), console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            began = time.monotonic()
            live.update(_screen(settings), refresh=True)
            time.sleep(max(every_s - (time.monotonic() - began), 0.0))
    return ExitCode.DONE


def _screen(settings: Settings, ways: Ways | None = None) -> Group:
    survey = look(settings, ways=ways)
    findings = judge(survey, settings)
    regions = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in screen.table(survey, settings):
        regions.add_row(Text(row.name, style="dim"), *(Text(cell, style=_style(cell)) for cell in row.cells))
    return Group(
        *(Text(line, style="bold" if not number else "") for number, line in enumerate(screen.head(survey, settings))),
        "",
        regions,
        "",
        *(Text(line, style=_style(line)) for line in screen.names(survey)),
        "",
        *(Text.assemble((f"{state:<8}", COLOURS[state]), line) for state, line in screen.troubles(findings)),
        Text(screen.summary(survey, findings)),
    )


def _style(cell: str) -> str:
    """What is not known, or is down, stands out by itself: nobody has to read every cell."""
    if cell.startswith("?") or ": ?" in cell:
        return COLOURS[State.UNKNOWN]
    return COLOURS[State.FAIL] if "DOWN" in cell or "NOT " in cell else ""
