"""`python -m lab drill NAME ...`: play drills by name against a lab of their own, print what was found, keep it as JSON.

Exit code 0 when every drill passed.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Generator, Iterable
from pathlib import Path

from lab.namespace import LabError
from lab.rehearsal.drills import (
    DRILLS,
    Drill,
    assets,
    caches,
    clocks,
    fences,
    hosts,
    lost,
    modes,
    operators,
    planned,
    run,
)
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import World, running_lab

THEMES = (planned, lost, fences, hosts, caches, clocks, operators, assets, modes)  # imported for what they register
# Both addresses in DNS, and nothing protected: the lab is thrown away.
CHANGES = {"dns": {"mode": "dual"}, "protect": False, "assets": {"interval_s": 10}}


def chosen(names: Iterable[str]) -> list[Drill]:
    """By name; all when none is named. Raises LabError on a name that is none."""
    wanted = list(names) or list(DRILLS)
    unknown = [name for name in wanted if name not in DRILLS]
    if unknown:
        raise LabError(f"drill: found {', '.join(unknown)}, wanted one of {', '.join(DRILLS)}", 2)
    return [DRILLS[name] for name in wanted]


def play(drills: Iterable[Drill], folder: Path) -> Generator[Record, None, None]:
    """One lab for all; each record as soon as it is there."""
    with running_lab() as where:
        stage = Stage(World(where, CHANGES))
        stage.bring_up()
        for each in drills:
            record = run(each, stage)
            keep(record, folder)
            yield record


def keep(record: Record, folder: Path) -> None:
    """`<folder>/<drill>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{record.name}.json").write_text(json.dumps(record.document(), indent=1, sort_keys=True) + "\n")


def tell(record: Record) -> str:
    """For people: one line, and one for each fault."""
    took = time.time() - record.began
    lines = [
        f"{'passed' if not record.faults else 'FAILED'}  {record.name}  ({took:.0f} s)  {json.dumps(record.figures, sort_keys=True, default=str)}"
    ]
    return "\n".join([*lines, *(f"        {fault}" for fault in record.faults)])


def main(names: list[str], folder: Path) -> int:
    """Returns the exit code."""
    failed = 0
    # Closed here, however the loop ends: with it goes its lab.
    with contextlib.closing(play(chosen(names), folder)) as records:
        for record in records:
            print(tell(record), flush=True)
            failed += bool(record.faults)
    return 1 if failed else 0
