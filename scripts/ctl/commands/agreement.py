"""How somebody agrees to a move: by its plan, which is shown, by the plan's digest, or to whatever it is."""

from __future__ import annotations

import argparse
import sys

from contract.errors import Refused
from contract.plain import phrase, shown
from scripts.ctl import output
from scripts.ctl.moves.plan import Plan

# For the record, where somebody is at the terminal to agree.
ASKED = {"approved_by": "Approved by", "witnessed_by": "Witnessed by", "reason": "Reason", "ticket": "Ticket"}


def show(found: Plan) -> None:
    """To people."""
    for line in found.lines():
        text = line.lstrip()
        print(f"{line[: len(line) - len(text)]}{phrase(text, 600)}")


def agreed(found: Plan, chosen: argparse.Namespace) -> None:
    """By the plan's digest, by `--yes`, or typed. Raises Usage, Refused."""
    if chosen.plan and chosen.plan != found.digest:
        raise Refused(
            f"plan {shown(chosen.plan)}: is not the one of now ({found.digest}), wanted that which was agreed to: another epoch is in force since; nothing was "
            "changed; look at the plan (--dry-run), and name it"
        )
    if chosen.yes or chosen.plan:
        return
    if sys.stdin is not None and sys.stdin.isatty():
        _asked(chosen)
    output.typed(
        found.target,
        "Type the region that shall be active",
        "name the plan with --plan, or agree to whatever it is with --yes",
    )


def _asked(chosen: argparse.Namespace) -> None:
    """For the record, of what was not told: before the clock runs."""
    for name, question in ASKED.items():
        if not getattr(chosen, name):
            print(f"{question} (Enter: nothing): ", end="", flush=True)
            setattr(chosen, name, phrase(sys.stdin.readline(), 200))
