"""`python -m lab drill NAME ... [--runs N]`: play drills by name against a lab of their own, print what was found, keep it as JSON.

Exit code 0 when every drill passed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

from lab.namespace import LabError
from lab.rehearsal.drills import (
    DRILLS,
    Drill,
    assets,
    caches,
    certificates,
    clocks,
    deploys,
    fences,
    hosts,
    lease,
    logged,
    lost,
    modes,
    monitored,
    operators,
    planned,
    points,
    redmine_moved,
    removed,
    renewed,
    restores,
    run,
    signed_in,
    silenced,
    stories,
    watched,
)
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import World, running_lab

# Imported for what they register.
THEMES = (
    planned,
    lost,
    fences,
    lease,
    points,
    removed,
    renewed,
    restores,
    hosts,
    caches,
    certificates,
    clocks,
    operators,
    deploys,
    assets,
    modes,
    signed_in,
    stories,
    watched,
    monitored,
    silenced,
    logged,
    redmine_moved,
)
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
    """A lab for each pair; each record as soon as it is there. Raises LabError."""
    for its in pairs(drills):
        configured = its[0].configured
        changes = {**CHANGES, **configured()} if configured else CHANGES
        with running_lab() as where:
            stage = Stage(World(where, changes))
            stage.bring_up()
            for each in its:
                record = run(each, stage)
                keep(record, folder)
                yield record


def pairs(drills: Iterable[Drill]) -> Iterator[list[Drill]]:
    """Those that are played on one pair of regions, one after the other: as many as follow each other and are configured alike."""
    yield from (list(its) for _, its in itertools.groupby(drills, lambda each: each.configured))


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


def spread(records: Sequence[Record]) -> str:
    """Lowest, middle and highest of each figure, a line each, by drill: for those that were played more than once."""
    lines = []
    for name in dict.fromkeys(record.name for record in records):
        played = [record for record in records if record.name == name]
        if len(played) == 1:
            continue
        lines.append(f"{name}: {sum(not record.faults for record in played)} of {len(played)} passed")
        for figure in dict.fromkeys(key for record in played for key in record.figures):
            told = [record.figures.get(figure) for record in played]
            values = [value for value in told if isinstance(value, int | float) and not isinstance(value, bool)]
            if values:
                low, middle, high = min(values), statistics.median(values), max(values)
                lines.append(f"  {figure:<24} {low:g} {middle:g} {high:g}  ({len(values)})")
    return "\n".join(lines)


def main(names: list[str], folder: Path, runs: int = 1) -> int:
    """Returns the exit code. `runs`: how often all of them are played, one after the other."""
    played: list[Record] = []
    # Closed here, however the loop ends: with it goes its lab.
    with contextlib.closing(play(chosen(names) * runs, folder)) as records:
        for record in records:
            print(tell(record), flush=True)
            played.append(record)
    if runs > 1:
        print(spread(played))
    return 1 if any(record.faults for record in played) else 0
