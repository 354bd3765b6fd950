"""What one call of `dr-host` costs before it does anything: `python -m benchmarks.host_start`, from source and from bytecode in turn."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from components import bundle
from contract import pipes

PROJECT = Path(__file__).resolve().parents[1]


def seconds(archive: Path, verb: list[str]) -> float:
    """One call that finds no document and ends."""
    began = time.perf_counter()
    done = subprocess.run(
        ["/usr/bin/python3", archive, *verb], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    took = time.perf_counter() - began
    if done.returncode != 2:
        raise SystemExit(f"dr-host {' '.join(verb)}: found exit code {done.returncode}, wanted 2 (no document)")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--verb", nargs=2, default=["postgres", "converge"])
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="host-start-"))
    try:
        source, compiled = folder / "source.pyz", folder / "compiled.pyz"
        for place in (source, compiled):
            shutil.copy(PROJECT / bundle.dr_host(PROJECT).path, place)
        # By the Python that runs it, as on a host.
        add = "from pathlib import Path; from host.frame import bytecode; bytecode.add(Path(sys.argv[2]))"
        code = f"import sys; sys.path.insert(0, sys.argv[1]); {add}"
        subprocess.run(["/usr/bin/python3", "-c", code, source, compiled], check=True)
        taken: dict[Path, list[float]] = {source: [], compiled: []}
        for _ in range(chosen.calls):
            for place, times in taken.items():
                times.append(seconds(place, chosen.verb))
        for place, times in taken.items():
            print(f"{place.stem:<9} {statistics.median(times) * 1000:6.0f} ms (median of {chosen.calls})")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
