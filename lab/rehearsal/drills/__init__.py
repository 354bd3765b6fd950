"""Drills: one fault each, the move that follows or must not follow, and what has to be true afterwards. `python -m lab drill --help`.

A drill is a function of a `Stage` and a `Record`, registered under its name by `drill`. It may leave faults in force and regions down:
`run` settles the pair behind it, and fails the drill when that cannot be done.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import DrError
from lab.rehearsal.stage import Record, Stage

Play = Callable[[Stage, Record], None]
Configured = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Drill:
    """A story by its name, and what it shows. `configured`: of one that has a pair of its own, what that has otherwise than the others' (`World`)."""

    name: str
    shows: str
    play: Play
    configured: Configured | None = None


DRILLS: dict[str, Drill] = {}


def drill(name: str, configured: Configured | None = None) -> Callable[[Play], Play]:
    """Register a drill; what it shows is the first line of its docstring. `configured`: see `Drill`."""

    def register(play: Play) -> Play:
        DRILLS[name] = Drill(name, (play.__doc__ or "").strip().split("\n")[0], play, configured)
        return play

    return register


def run(chosen: Drill, stage: Stage) -> Record:
    """Play it, settle, and say what was found. Never raises for what the drill met: that is a fault of its record."""
    record = Record(chosen.name)
    try:
        chosen.play(stage, record)
    except (RuntimeError, AssertionError, DrError) as error:
        record.faults.append(f"could not go on: {error}")
    try:
        stage.settle(record)
    except (RuntimeError, DrError) as error:
        record.faults.append(f"the pair could not be settled again: {error}")
        stage.repair()
    try:
        stage.shows_nothing(record)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        record.faults.append(f"nobody knows whether secrets are shown: {type(error).__name__}")
    return record
