"""The copier beside rclone, on the same two servers in the same run.

    python -m benchmarks.assets --rclone PATH --versitygw PATH [--case NAME ...] [--repeat 3] [--json FILE]

Two versitygw servers (posix back end, versioned buckets) are started on loopback in a scratch folder. For each repetition every tool starts from the same
state, and the order of the tools rotates: the target is made afresh for a first copy, and for the others each tool has a target bucket of its
own. Where nothing changed, `listings alone` is what both listings cost with nobody who looks at them. CPU time and peak memory are those of
the tool's process (its children's included); requests are counted from the servers' access logs. `left wrong` is what differs between the
two buckets afterwards, by an independent look at names, sizes and MD5.

`--case scale` needs no server: listings are simulated, 10,000 to 1,000,000 keys on each side, and time and peak memory of the planner are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import assets_data as data
from benchmarks.assets_scale import scale
from contract import pipes

PROJECT = Path(__file__).resolve().parents[1]
# A process inherits the peak memory of the one that started it, so that must be a small one.
SMALL_PARENT = """
import os, sys
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
with open(sys.argv[1], "w") as out:
    out.write(f"{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""
FLOOR = "listings alone"  # of the copier's pair, by nobody who looks at them: the bound of "nothing changed"
TUNED = ["--fast-list", "--transfers", "32", "--checkers", "64", "--checksum"]


@dataclass
class Measured:
    """One run of one tool. Seconds, and MB of 10^6 bytes."""

    wall: float
    cpu: float
    memory: float
    servers: float
    requests: dict[str, dict[str, int]]
    wrong: int = -1


@dataclass
class Bench:
    """The two servers and the tools."""

    home: Path
    rclone: str
    servers: dict[str, data.Server] = field(default_factory=dict)

    def tool(self, name: str) -> list[str]:
        """The command line that brings `target` to what `source` has."""
        if name == FLOOR:
            return [sys.executable, "-m", "benchmarks.assets_floor", str(self.home / "job.json")]
        if name == "dr-assets":
            return [
                sys.executable,
                "-m",
                "scripts.assets",
                "sync",
                "--compact",
                "--config",
                str(self.home / "job.json"),
            ]
        options = TUNED if name == "rclone tuned" else []
        return [
            self.rclone,
            "--config",
            str(self.home / "rclone.conf"),
            "sync",
            f"source:{data.BUCKET}",
            f"target:{TARGETS[name]}",
            *options,
        ]

    def configure(self) -> None:
        ends = {name: server.document() for name, server in self.servers.items()}
        (self.home / "job.json").write_text(json.dumps({"schema": 1, **ends, "state_dir": str(self.home / "state")}))
        sections = [
            f"[{name}]\ntype = s3\nprovider = Other\nendpoint = {end['endpoint']}\nregion = {end['region']}\n"
            f"access_key_id = {end['access_key']}\nsecret_access_key = {end['secret_key']}\nforce_path_style = true\n"
            for name, end in ends.items()
        ]
        (self.home / "rclone.conf").write_text("\n".join(sections))

    def run(self, name: str) -> Measured:
        before = {key: server.cpu() for key, server in self.servers.items()}
        # What was written before must not be written back during this run.
        os.sync()
        marks = {key: server.mark() for key, server in self.servers.items()}
        started = time.monotonic()
        argv = [sys.executable, "-S", "-E", "-c", SMALL_PARENT, str(self.home / "usage"), *self.tool(name)]
        done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=False)
        wall = time.monotonic() - started
        if done.returncode:
            raise SystemExit(
                f"benchmark: {name} ended with {done.returncode}, wanted 0: {done.stdout[-1000:]}{done.stderr[-1000:]}"
            )
        cpu, peak = (float(text) for text in (self.home / "usage").read_text().split())
        used = sum(server.cpu() - before[key] for key, server in self.servers.items())
        requests = {key: server.requests(marks[key]) for key, server in self.servers.items()}
        return Measured(wall, cpu, peak * 1024 / 1e6, used, requests)

    def forget(self) -> None:
        shutil.rmtree(self.home / "state", ignore_errors=True)


TOOLS = ("dr-assets", "rclone tuned", "rclone default")
TARGETS = {
    "dr-assets": data.BUCKET,
    FLOOR: data.BUCKET,
    "rclone tuned": "bench-tuned",
    "rclone default": "bench-default",
}


def first_copy(
    bench: Bench, fill: Callable[[data.Server], int], repeat: int, tools: tuple[str, ...]
) -> dict[str, list[Measured]]:
    """Into an empty bucket."""
    count = fill(bench.servers["source"])
    results: dict[str, list[Measured]] = {}
    for number in range(repeat):
        for name in rotated(tools, number):
            bench.servers["target"].empty(*TARGETS.values())
            bench.forget()
            measured = bench.run(name)
            measured.wrong = data.differences(bench.servers["source"], bench.servers["target"], TARGETS[name])
            results.setdefault(name, []).append(measured)
            tell(name, measured, count)
    return results


def no_change(
    bench: Bench, fill: Callable[[data.Server], int], repeat: int, tools: tuple[str, ...]
) -> dict[str, list[Measured]]:
    """Both sides are equal, copied by the tool itself before."""
    return repeated(bench, fill, repeat, (*tools, *([FLOOR] if "dr-assets" in tools else ())), change=None)


def one_percent(
    bench: Bench, fill: Callable[[data.Server], int], repeat: int, tools: tuple[str, ...]
) -> dict[str, list[Measured]]:
    """One object in a hundred changed since, half of them at the same size."""
    return repeated(bench, fill, repeat, tools, change=data.change_one_percent)


def repeated(
    bench: Bench,
    fill: Callable[[data.Server], int],
    repeat: int,
    tools: tuple[str, ...],
    *,
    change: Callable[[data.Server, int], None] | None,
) -> dict[str, list[Measured]]:
    count = fill(bench.servers["source"])
    results: dict[str, list[Measured]] = {}
    bench.servers["target"].empty(*TARGETS.values())
    for name in tools:
        bench.run(name)
    if "dr-assets" in tools:
        # Its second run notes what the target's listing shows of the copies.
        bench.run("dr-assets")
    for number in range(repeat):
        if change:
            change(bench.servers["source"], number)
        for name in rotated(tools, number):
            measured = bench.run(name)
            measured.wrong = data.differences(bench.servers["source"], bench.servers["target"], TARGETS[name])
            results.setdefault(name, []).append(measured)
            tell(name, measured, count)
    return results


def rotated(tools: tuple[str, ...], by: int) -> tuple[str, ...]:
    """So that no tool always comes first."""
    by %= len(tools)
    return tools[by:] + tools[:by]


CASES: dict[str, tuple[str, Callable[..., dict[str, list[Measured]]], Callable[[data.Server], int]]] = {
    "small": (
        "20,000 objects of 4-40 KB, first copy",
        first_copy,
        lambda server: data.fill(server, 20_000, 4_000, 40_000),
    ),
    "large": (
        "50 objects of 64 MB, first copy",
        first_copy,
        lambda server: data.fill(server, 50, 64_000_000, 64_000_000),
    ),
    "same": (
        "20,000 objects of 1 KB, nothing changed",
        no_change,
        lambda server: data.fill(server, 20_000, 1_000, 1_000),
    ),
    "changed": (
        "20,000 objects of 1 KB, 1 % changed",
        one_percent,
        lambda server: data.fill(server, 20_000, 1_000, 1_000),
    ),
    "same100k": (
        "100,000 objects of 1 KB, nothing changed",
        no_change,
        lambda server: data.fill(server, 100_000, 1_000, 1_000),
    ),
}


def tell(name: str, measured: Measured, count: int) -> None:
    print(
        f"  {name:15} {measured.wall:7.2f} s  {count / measured.wall:7.0f} objects/s  client CPU {measured.cpu:6.2f} s  "
        f"servers {measured.servers:6.2f} s  peak {measured.memory:5.0f} MB  left wrong {measured.wrong}",
        flush=True,
    )


def summary(results: dict[str, list[Measured]]) -> list[str]:
    """Medians, and how many times each peer's time ours takes to fit in."""
    rows = []
    ours = {
        key: statistics.median(getattr(item, key) for item in results["dr-assets"])
        for key in ("wall", "cpu", "memory", "servers")
    }
    cores = os.cpu_count() or 1
    for name, runs in results.items():
        middle = {
            key: statistics.median(getattr(item, key) for item in runs) for key in ("wall", "cpu", "memory", "servers")
        }
        busy = (middle["cpu"] + middle["servers"]) / (middle["wall"] * cores)
        together = (middle["cpu"] + middle["servers"]) / (ours["cpu"] + ours["servers"])
        rows.append(
            f"  {name:15} median {middle['wall']:.2f} s of {len(runs)}, {middle['wall'] / ours['wall']:.2f}x our time, "
            f"{together:.2f}x our processor time with the servers', client CPU {middle['cpu']:.2f} s, "
            f"servers' share {middle['servers'] / max(middle['servers'] + middle['cpu'], 1e-9):.0%}, machine busy with both {busy:.0%}, "
            f"peak {middle['memory']:.0f} MB, requests {runs[-1].requests}"
        )
    return rows


@contextmanager
def servers(binary: str, rclone: str, folder: Path | None) -> Iterator[Bench]:
    home = Path(tempfile.mkdtemp(prefix="assets-bench-", dir=folder))
    bench = Bench(home, rclone)
    try:
        for name, region in (("source", "gra"), ("target", "sbg")):
            bench.servers[name] = data.Server(home / name, binary, region)
        bench.configure()
        yield bench
    finally:
        for server in bench.servers.values():
            server.stop()
        shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rclone", default=shutil.which("rclone"), help="the program; default: the one on PATH")
    parser.add_argument("--versitygw", default=shutil.which("versitygw"), help="the program; default: the one on PATH")
    parser.add_argument("--case", action="append", choices=[*CASES, "scale"])
    parser.add_argument("--tool", action="append", choices=TOOLS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the servers keep their objects; one in memory takes the disk out of the figures",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    cases = chosen.case or ["scale", *CASES]
    record: dict[str, Any] = {}
    if "scale" in cases:
        record["scale"] = scale()
    served = [case for case in cases if case != "scale"]
    for program, found in (("rclone", chosen.rclone), ("versitygw", chosen.versitygw)):
        if served and not (found and os.access(found, os.X_OK)):
            raise SystemExit(f"benchmark: {program} not found, wanted a program; build it and name it with --{program}")
    for case in served:
        with servers(chosen.versitygw, chosen.rclone, chosen.folder) as bench:
            text, measure, fill = CASES[case]
            print(f"{case}: {text} ({chosen.repeat} runs; load of the machine {os.getloadavg()[0]:.1f})", flush=True)
            results = measure(bench, fill, chosen.repeat, tuple(chosen.tool or TOOLS))
            print("\n".join(summary(results)), flush=True)
            record[case] = {name: [vars(item) for item in runs] for name, runs in results.items()}
    if chosen.json:
        chosen.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(pipes.status(main))
