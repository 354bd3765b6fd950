"""`drctl drill lab` and `drctl chaos`: rehearsals in the laptop's lab, by its own program, which has a cloud, two regions and customers of its own.

Nothing here knows the lab but how it is called, and nothing of a real pair is asked or touched: it goes without stack files, passphrase and keys.

Exit codes: 0 all of it passed; 1 something did not; 2 the arguments are wrong.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from contract.errors import ExitCode, Refused
from contract.plain import shown
from scripts.ctl.output.ending import Ended

CODES = {0: ExitCode.DONE, 2: ExitCode.USAGE}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises Refused where there is no lab."""
    folder: Path = chosen.folder
    if not (folder / "lab/__main__.py").is_file():
        raise Refused(
            f"rehearsal in the lab: found no lab in {shown(str(folder))}, wanted the whole project, not its program alone; nothing was begun; run it in a "
            "checkout, after `make setup`"
        )
    process = subprocess.Popen([sys.executable, "-m", "lab", *words(chosen)], cwd=folder)
    while True:
        try:
            return CODES.get(process.wait(), ExitCode.FAILED)
        except Ended:
            process.send_signal(signal.SIGINT)
        except KeyboardInterrupt:  # the lab has heard it, too, and takes down what it has made
            continue


def words(chosen: argparse.Namespace) -> list[str]:
    """What the lab's program is told."""
    if chosen.command == "drill":
        return ["drill", *(chosen.names or ["list"]), "--runs", str(chosen.runs)]
    seeds = [str(seed) for seed in chosen.seed]
    return ["chaos", "--seed", *seeds, "--runs", str(chosen.runs), *(["--show"] if chosen.show else [])]
