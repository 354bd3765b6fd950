"""`dr-watch`: watches the active region until it is told to end. It runs beside the standby, or on a machine of neither region: never where it looks at.

Exit codes: 0 it was told to end, or a single look found all well; 2 a fault of how it was called; 3 a single look found something else.
"""

from __future__ import annotations

import argparse
import datetime
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from components.render import documents
from components.settings import Settings
from contract.errors import ExitCode, Usage
from contract.plain import phrase
from contract.sites import SITES
from scripts.clients.watch_bucket import WatchBucket
from scripts.ctl import output
from scripts.ctl.moves.automation import Shop
from scripts.watch.acting import Acting
from scripts.watch.looking import Looking
from scripts.watch.loop import pages, rounds
from scripts.watch.pages import Telling
from scripts.watch.pulse import State
from scripts.watch.renewing import Renewing
from scripts.watch.ways import ways

MOST_END_S = 30.0  # for what waits to be told, by each way
PROJECT = Path(__file__).resolve().parents[2]


def parser() -> argparse.ArgumentParser:
    """Its arguments."""
    watch = argparse.ArgumentParser(prog="dr-watch", description=(__doc__ or "").partition("\n")[0])
    watch.add_argument("--once", action="store_true", help="one look, printed; exit code 3 where it is not well")
    watch.add_argument(
        "--stacks",
        default="region-{site}",
        help="names of both stacks, {site} for the region's letter; region-{site} by default",
    )
    watch.add_argument("--config-dir", type=Path, help="where the stack files lie; the program's folder by default")
    watch.set_defaults(folder=PROJECT)
    return watch


def main(arguments: Sequence[str] | None = None) -> int:
    """As typed."""
    chosen = parser().parse_args(arguments)
    return output.to_the_end(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    shop = Shop(chosen.folder, stacks=chosen.stacks, files=chosen.config_dir)
    settings = shop.stack(SITES[0]).settings()
    with Looking(settings) as looking:
        if chosen.once:
            pulse = looking.look()
            for line in (str(pulse.state), *pulse.lines(), *([f"at work: {pulse.working}"] if pulse.working else [])):
                print(phrase(line, 400))
            return ExitCode.DONE if pulse.state is State.WELL else ExitCode.REFUSED
        return _watch(settings, shop, looking)


def _watch(settings: Settings, shop: Shop, looking: Looking) -> int:
    found = ways(settings)
    if not found:
        raise Usage(
            "dr-watch: nobody would be told, wanted a way in dr:monitoring.email or in the part monitoring of dr:secrets (slack, pagerduty, webhook); "
            "see docs/watch.md"
        )
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    telling = Telling(found)
    acting = Acting(settings, shop, telling, WatchBucket(documents.witness(settings)), say)
    say(f"mode {acting.terms.mode}; people are told by {', '.join(it.name for it in found)}")
    delivering = pages(telling, end, say)
    rounds(looking, acting, Renewing(shop.stack(SITES[0]), settings), end, say)
    for each in delivering:
        each.join(MOST_END_S)
    return ExitCode.DONE


def say(text: str) -> None:
    """A line of the log, with its time: journald keeps it, or a file."""
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ} {phrase(text, 2000)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
