"""Run in a network namespace of its own: a standby that copies its master over a slow link, under writes, and is cut off for a while.

    unshare --net python -m lab.pairs.slow_link FOLDER SERVER

Prints one JSON object: how often the master gave a full copy and how often a replica went on where it stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lab.pairs.redis import Pair, Site, settled
from scripts.host.redis.wire import Connection

LINK = "4mbit"
DATA_KEYS, KEY_SIZE = 400, 10_000  # 4 MB, some 8 s on the link
WRITES = 13  # a tenth of a second: about 128 kB a second
SIZES: dict[str, Any] = {"write_rate": "128kb", "bridge_s": 60, "link_mbit": 4}


class Writer(threading.Thread):
    """Writes at a fixed rate until it is stopped."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site, self.halt, self.count = site, threading.Event(), 0

    def run(self) -> None:
        with Connection(self._site.server("shop"), timeout_s=30) as connection:
            while not self.halt.wait(0.1):
                connection.call_at_once(*(("SET", f"w:{self.count + number}", noise(1000)) for number in range(WRITES)))
                self.count += WRITES


def noise(size: int) -> str:
    """Text that does not get smaller on its way."""
    return os.urandom(size // 2).hex()


def network() -> None:
    # Loopback's own packets are larger than what a shaped link lets through at once.
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)


def slow() -> None:
    """From now on everything shares the slow link."""
    subprocess.run(f"tc qdisc add dev lo root tbf rate {LINK} burst 64kb limit 96kb".split(), check=True)


def stats(site: Site) -> dict[str, int]:
    found = dict(line.split(":", 1) for line in site.operator("INFO", "stats").splitlines() if ":" in line)
    return {name: int(found[name]) for name in ("sync_full", "sync_partial_ok")}


def main(folder: str, server: str) -> None:
    network()
    pair = Pair(Path(folder), server=server)
    try:
        pair.a.converge(1, "a", **SIZES)
        with Connection(pair.a.server("shop"), timeout_s=30) as connection:
            for number in range(DATA_KEYS):
                connection.call("SET", f"cart:{number}", noise(KEY_SIZE))
        slow()
        writer = Writer(pair.a)
        writer.start()
        pair.b.converge(1, "a", **SIZES)
        first, during = stats(pair.a), writer.count
        pair.b.operator("REPLICAOF", "127.0.0.1", 1)
        threading.Event().wait(3)  # the cut that is to be bridged
        pair.b.converge(1, "a", **SIZES)
        linked = settled(pair.b)
        writer.halt.set()
        writer.join()
        print(json.dumps({"first": first, "then": stats(pair.a), "written_during_the_copy": during, "linked": linked}))
    finally:
        pair.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
