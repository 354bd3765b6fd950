"""A primary that went on alone becomes a standby again: how long that takes, by the size of the database.

    python -m benchmarks.rejoin [--mb 300 1500] [--rows 1000] [--repeat 3] [--json FILE]

Two real servers on loopback in a scratch folder, of the newest PostgreSQL on this machine, driven by the product's own code. For each size: a
database of pgbench's tables, a standby by base backup (timed too, for comparison), and then, in both directions in turn: the standby is killed,
the primary commits ROWS rows alone, one a commit, and is killed as well; the standby takes over and commits a row; the old primary converges.
That last run is what is timed, with its steps: evidence, crash recovery, pg_rewind, start, streaming seen from both ends. `evidence_rows` is what
the evidence counted, and `copied` whether anything had to be copied anew: a run with another number, or with a copy, ends the benchmark.

The servers run with fsync off, as in the tests; the evidence and pg_rewind sync what they write all the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contract import pipes
from lab.pairs.postgres import Node, Pair, caught_up
from scripts.host.frame.plan import Step
from scripts.host.postgres.service import Postgres

MB_PER_SCALE = 14.9  # pgbench's tables and their indexes
PARAMETERS = {"shared_buffers": "256MB", "max_connections": "20", "max_wal_size": "4GB"}
TABLE = "create table orders (id bigserial primary key, total int)"
LONE_ROWS = "select format('insert into orders (total) values (%s)', n) from generate_series(1, {rows}) n \\gexec\n"


@contextmanager
def clocked() -> Iterator[dict[str, float]]:
    """Seconds of each step of a converge, while it lasts."""
    apply = Postgres.apply
    seconds: dict[str, float] = {}

    def timed(self: Postgres, step: Step) -> None:
        begin = time.monotonic()
        apply(self, step)
        seconds[step.name] = round(seconds.get(step.name, 0.0) + time.monotonic() - begin, 3)

    Postgres.apply = timed  # type: ignore[method-assign]
    try:
        yield seconds
    finally:
        Postgres.apply = apply  # type: ignore[method-assign]


def fill(node: Node, megabytes: int) -> None:
    """pgbench's tables, made inside the server."""
    argv = [
        node.layout.program("pgbench"),
        "-q",
        "-i",
        "-I",
        "dtGp",
        "-s",
        str(max(1, round(megabytes / MB_PER_SCALE))),
    ]
    argv += ["-h", str(node.layout.sockets), "-p", str(node.ports[node.site]), "-U", "postgres", "shop"]
    subprocess.run(argv, user=node.layout.user, check=True, capture_output=True)
    node.sql("checkpoint")


def diverge(pair: Pair, epoch: int, rows: int) -> tuple[Node, Node]:
    """The old primary of `epoch`, dead and with `rows` of its own, and the new one of the next."""
    old, new = (pair.a, pair.b) if epoch % 2 else (pair.b, pair.a)
    caught_up(old, new)
    new.kill()
    old.server.sql(LONE_ROWS.format(rows=rows), database="shop", limit_s=600)
    old.kill()
    new.server.start()
    new.converge(epoch + 1, new.site, previous=old.site, parameters=PARAMETERS)
    new.sql("insert into orders (total) values (-1)", "shop")
    return old, new


def rejoin(pair: Pair, epoch: int, rows: int) -> dict[str, Any]:
    """One repetition. Raises AssertionError when it did not go as told."""
    old, new = diverge(pair, epoch, rows)
    with clocked() as steps:
        begin = time.monotonic()
        result = old.converge(epoch + 1, new.site, previous=old.site, parameters=PARAMETERS)
        total = time.monotonic() - begin
    evidence = json.loads((old.layout.evidence / str(epoch + 1) / "evidence.json").read_text())
    copied = "copy" in result.actions
    assert not copied and evidence["rows"] == rows, (result.actions, evidence["rows"])
    caught_up(new, old)
    assert old.sql("select count(*) from orders", "shop") == new.sql("select count(*) from orders", "shop")
    return {
        "seconds": round(total, 2),
        "evidence_rows": evidence["rows"],
        "evidence_bytes": evidence["bytes"],
        "copied": copied,
        "steps": steps,
    }


def measure(megabytes: int, rows: int, repeat: int) -> dict[str, Any]:
    """All repetitions with one database."""
    pair = Pair()
    try:
        pair.a.converge(1, "a", parameters=PARAMETERS)
        pair.a.sql(TABLE, "shop")
        fill(pair.a, megabytes)
        size = int(pair.a.sql("select sum(pg_database_size(oid)) from pg_database")) >> 20
        begin = time.monotonic()
        pair.b.converge(1, "a", parameters=PARAMETERS)
        copy = round(time.monotonic() - begin, 2)
        runs = [rejoin(pair, epoch, rows) for epoch in range(1, repeat + 1)]
        return {"version": pair.a.version, "database_mb": size, "first_copy_s": copy, "rows": rows, "runs": runs}
    finally:
        pair.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Rejoin by rewind, by the size of the database.")
    parser.add_argument("--mb", type=int, nargs="+", default=[300, 1500])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = []
    print(f"{'database':>10} {'first copy':>11} {'rejoin min / median / max':>27}  median of the steps")
    for megabytes in arguments.mb:
        one = measure(megabytes, arguments.rows, arguments.repeat)
        found.append(one)
        seconds = [run["seconds"] for run in one["runs"]]
        medians = {
            name: statistics.median(run["steps"].get(name, 0.0) for run in one["runs"])
            for name in one["runs"][0]["steps"]
        }
        told = ", ".join(f"{name} {value:.2f}" for name, value in medians.items() if value >= 0.05)
        spread = f"{min(seconds):.2f} / {statistics.median(seconds):.2f} / {max(seconds):.2f} s"
        print(f"{one['database_mb']:>7} MB {one['first_copy_s']:>9.1f} s {spread:>27}  {told}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
