"""How long a planned move of the cache holds writers: two real servers on loopback, writers that note what was acknowledged, moves to and fro.

    python -m benchmarks.redis_handover [--moves 12] [--writers 8] [--server redis-server]

Prints one JSON object: milliseconds that the old master held writers (`held_ms`), the longest time between two acknowledged writes of any
writer around each move (`gap_ms`, the client's own turn included), writes acknowledged and lost, and the versions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contract import pipes
from lab.pairs.redis import Pair, Site, settled
from scripts.host.redis import takeover as redis_takeover
from scripts.host.redis.wire import Connection, ErrorReply, Server, Unreachable

WARM_S = 0.3
LIMIT: dict[str, Any] = {"maxmemory": "1gb"}  # every key is looked for at the end


class Writer:
    """Writes keys of its own to whichever cache is the master, in a process of its own; tells at the end when each was acknowledged."""

    def __init__(self, pair: Pair, name: int) -> None:
        self._servers, self._name = [site.server("shop") for site in (pair.a, pair.b)], name
        self._halt = multiprocessing.Event()
        self._told: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
        self._process = multiprocessing.Process(target=self._run, daemon=True)
        self._process.start()
        self.acknowledged: list[float] = []

    def _run(self) -> None:
        acknowledged: list[float] = []
        while not self._halt.is_set():
            for server in self._servers:
                try:
                    self._write_to(server, acknowledged)
                except (Unreachable, ErrorReply):
                    continue
        self._told.put(acknowledged)

    def _write_to(self, server: Server, acknowledged: list[float]) -> None:
        with Connection(server) as connection:
            while connection.call("ROLE")[0] == "master" and not self._halt.is_set():
                for _ in range(100):
                    number = len(acknowledged)
                    connection.call("SET", f"{self._name}:{number}", number)
                    acknowledged.append(time.monotonic())

    def stop(self) -> None:
        self._halt.set()
        self.acknowledged = self._told.get(timeout=30)
        self._process.join(10)

    def longest(self, since: float, until: float) -> float:
        """Seconds between two acknowledged writes, the longest in this span."""
        inside = [at for at in self.acknowledged if since <= at <= until]
        return max((later - earlier for earlier, later in itertools.pairwise(inside)), default=until - since)

    def lost(self, master: Site) -> int:
        with Connection(master.server("shop")) as connection:
            return sum(
                connection.call("GET", f"{self._name}:{number}") != str(number)
                for number in range(len(self.acknowledged))
            )


def move(pair: Pair, moves: int) -> tuple[list[float], list[tuple[float, float]]]:
    """Move the master `moves` times; how long writers were held each time, in ms, and from when to when to look at what they wrote."""
    held, spans = list[float](), list[tuple[float, float]]()
    for epoch in range(2, 2 + moves):
        target, other = (pair.b, pair.a) if epoch % 2 == 0 else (pair.a, pair.b)
        since = _settle()
        target.converge(epoch, target.site, planned=True, **LIMIT)
        spans.append((since, _settle()))
        record = redis_takeover.read(target.layout, epoch)
        if record is None or record.held_ms is None:
            raise SystemExit(
                f"move {epoch - 1}: found no handover, wanted one; the figures would mean nothing; read the log of dr-host"
            )
        held.append(record.held_ms)
        other.converge(epoch, target.site, planned=True, **LIMIT)
        settled(other)
    return held, spans


def _settle() -> float:
    """Let writers write undisturbed, so that a gap has an end on both sides; the time in the middle."""
    time.sleep(WARM_S)
    now = time.monotonic()
    time.sleep(WARM_S)
    return now


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "least": round(min(values), 1),
        "most": round(max(values), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=12)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--server", default="redis-server", help="the server's program")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="redis-handover-"))
    pair = Pair(folder, server=arguments.server)
    try:
        print(json.dumps(run(pair, arguments.moves, arguments.writers), indent=2, sort_keys=True))
    finally:
        pair.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def run(pair: Pair, moves: int, count: int) -> dict[str, Any]:
    for site in (pair.a, pair.b):
        site.converge(1, "a", **LIMIT)
    writers = [Writer(pair, name) for name in range(count)]
    held, spans = move(pair, moves)
    for writer in writers:
        writer.stop()
    master = pair.a if moves % 2 == 0 else pair.b
    found = master.look()
    return {
        "moves": moves, "writers": count, "version": found and found.version, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "acknowledged": sum(len(writer.acknowledged) for writer in writers), "lost": sum(writer.lost(master) for writer in writers),
        "held_ms": spread(held), "gap_ms": spread([max(writer.longest(*span) for writer in writers) * 1000 for span in spans]),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(pipes.status(main))
