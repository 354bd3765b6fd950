"""`drctl build`: a Rails application becomes a release, one file that is known by its digest (docs/releases.md). It asks no platform."""

from __future__ import annotations

import argparse
from typing import Any

from contract import fields
from contract.checks import Unwanted
from contract.errors import ExitCode, Usage
from contract.plain import shown
from contract.services import app
from contract.services.processes import Process
from scripts.ctl import output
from scripts.ctl.releases.build import Built, Order, build, card_file
from scripts.ctl.stacks.configuration import shared_values


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    if not chosen.application.is_dir():
        raise Usage(
            f"folder {chosen.application}: is none, wanted that of a Rails application; no release was made; name it"
        )
    told = shared_values(chosen.folder).get("dr:app")
    configured = told if isinstance(told, dict) else {}
    built = build(
        Order(
            folder=chosen.application,
            place=chosen.folder / ".build",
            ruby=_checked("ruby", chosen.ruby or configured.get("ruby")),
            most_mb=_checked("release_max_mb", configured.get("release_max_mb")),
            processes=_processes(configured.get("processes")),
            out=chosen.out,
            assets=not chosen.no_assets,
        )
    )
    if chosen.json:
        seconds = {name: round(it, 3) for name, it in built.seconds.items()}
        output.write_json(
            {"schema": 1, "path": str(built.path), "seconds": seconds, **fields.write(built.card)}, "the release"
        )
    else:
        for line in lines(built):
            print(line)
    return ExitCode.DONE


def _checked(name: str, value: object) -> Any:
    """A key of `dr:app`, or its default. Raises Usage."""
    field, known = fields.keys(app.Keys)[name]
    if value is None:
        return field.default
    assert known.check is not None
    try:
        return known.check(value)
    except Unwanted as error:
        raise Usage(f"dr:app.{name}: found {shown(value)}, wanted {error}; no release was made; correct it") from None


def _processes(told: object) -> dict[str, Process]:
    """`dr:app.processes`. Raises Usage."""
    rows = told if isinstance(told, dict) else {}
    return {str(name): fields.read(Process, it, f"dr:app.processes.{shown(str(name))}") for name, it in rows.items()}


def lines(built: Built) -> list[str]:
    """For a person."""
    card, times = built.card, ", ".join(f"{name} {it:.1f}" for name, it in built.seconds.items())
    git = "no git" if card.revision is None else f"{card.revision[:12]}{', with changes' if card.dirty else ''}"
    ruby = f"built by {card.ruby_built}" if card.ruby_built else "brings no gems, takes the hosts'"
    return [
        f"release {card.digest}",
        f"file {built.path}, its card {card_file(built.path).name}",
        f"{card.bytes / 2**20:.2f} MB, {card.count} files of {card.unpacked / 2**20:.2f} MB, {built.natives} native extensions load",
        f"git {git}; Ruby {card.ruby or 'any'}, {ruby}; Rails {card.rails or '?'}; schema {card.schema or 'none'}",
        f"{sum(built.seconds.values()):.1f} s ({times})",
    ]
