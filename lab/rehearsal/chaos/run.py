"""`python -m lab chaos --seed N --runs M`: so many stories from that seed on, one after the other; a line each, a JSON file each, a table.

A run that has failed keeps its logs, and the next one gets a lab of its own; one that has passed leaves a settled pair to the next.
Exit code 1 when an invariant was broken, or the rehearsal itself could not do or see what it should.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lab.faults import Faults
from lab.rehearsal.chaos import catalogue, draw
from lab.rehearsal.chaos.eyes import Eyes
from lab.rehearsal.chaos.play import Player, Result
from lab.rehearsal.chaos.story import Story
from lab.rehearsal.drill import CHANGES
from lab.rehearsal.stage import Stage
from lab.rehearsal.world import World, running_lab


@dataclass
class Bench:
    """A pair of regions that stand."""

    stage: Stage
    eyes: Eyes


def stories(seeds: Iterable[int], runs: int) -> list[Story]:
    """So many from each seed on."""
    kinds = catalogue.offered(known_faults())
    return [draw.story(number, kinds) for seed in seeds for number in range(seed, seed + runs)]


def known_faults() -> frozenset[str]:
    """Kinds that `lab fault` knows; they do not depend on a lab that runs."""
    none = cast("Any", None)
    return frozenset(Faults({}, none, services={}, storage=none, ovh=none, dns=none).kinds)


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    """A lab of this process with both regions up, gone at the end."""
    with running_lab() as where:
        stage = Stage(World(where, CHANGES))
        stage.bring_up()
        eyes = Eyes(stage)
        yield Bench(stage, eyes)


def play(told: Iterable[Story], folder: Path) -> Generator[Result, None, None]:
    """Each result as soon as it is there, its file written. A new lab after one that has not passed."""
    waiting = list(told)
    while waiting:
        with bench() as standing:
            while waiting:
                result = Player(standing.stage, standing.eyes, waiting.pop(0)).run()
                keep(result, folder, standing)
                yield result
                if result.verdict != "passed":
                    break


def keep(result: Result, folder: Path, standing: Bench) -> None:
    """`<folder>/<seed>.json`, and `<folder>/<seed>/` with the logs where something was wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    seed = result.story.seed
    (folder / f"{seed}.json").write_text(json.dumps(result.document(), indent=1, sort_keys=True, default=str) + "\n")
    if result.verdict != "passed":
        standing.eyes.keep(folder / str(seed))
        for ledger in standing.stage.world.places.run.glob(f"chaos-{seed}-*.jsonl"):
            (folder / str(seed) / ledger.name).write_bytes(ledger.read_bytes())


def tell(result: Result) -> str:
    """One line, and one for each thing that was wrong."""
    lines = [f"{result.verdict}  seed {result.story.seed}  ({result.seconds:.0f} s)  {result.story.text()}"]
    lines += [f"        {check.name}: {check.seen.strip()}" for check in result.broken]
    lines += [f"        rehearsal: {text.strip()}" for text in result.harness]
    lines += [f"        {event.at:+.1f} {event.what}: {event.trouble}" for event in result.events if event.trouble]
    return "\n".join(lines)


def table(results: list[Result]) -> str:
    """One row a run."""
    heads = ("seed", "verdict", "seconds", "orders", "lost", "gap s", "epochs", "words", "again", "story")
    rows = [heads, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads) - 1)]
    lines = [
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    passed = sum(result.verdict == "passed" for result in results)
    return "\n".join([*lines, "", f"{passed} of {len(results)} passed"])


def _row(result: Result) -> tuple[str, ...]:
    orders = result.figures.get("orders", {})
    epochs = " ".join(f"{each['active']}{'' if each['planned'] else '!'}" for each in result.epochs) or "-"
    return (
        str(result.story.seed), result.verdict, f"{result.seconds:.0f}", str(orders.get("acknowledged", "-")), str(orders.get("lost", "-")),
        str(orders.get("longest_gap_s", "-")), epochs, str(sum(result.journal.words.values())), str(result.recovered.again), result.story.text(),
    )  # fmt: skip


def main(seeds: Iterable[int], runs: int, folder: Path, *, show: bool) -> int:
    """Returns the exit code. `show`: only print the stories."""
    told = stories(seeds, runs)
    if show:
        print("\n".join(f"{story.seed}  {story.text()}" for story in told))
        return 0
    results: list[Result] = []
    try:
        with contextlib.closing(play(told, folder)) as played:
            for result in played:
                results.append(result)
                print(tell(result), flush=True)
    finally:  # also of one that was interrupted: what was played counts
        print(f"\n{table(results)}")
    return 1 if any(result.verdict != "passed" for result in results) else 0
