"""What the lease agent costs a host: `python3 benchmarks/agent.py <pid> [seconds]` on the host prints its memory and its share of one core."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def cpu_s(pid: int) -> float:
    """Seconds of CPU that the process and the helpers it has ended used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def rss_kib(pid: int) -> int:
    """Resident memory now."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def main(pid: int, seconds: float = 60.0) -> None:
    """Prints one line."""
    before, began, most = cpu_s(pid), time.monotonic(), 0
    while time.monotonic() - began < seconds:
        most = max(most, rss_kib(pid))
        time.sleep(1)
    share = (cpu_s(pid) - before) / (time.monotonic() - began)
    print(f"process {pid}: at most {most / 1024:.1f} MiB resident, {share:.2%} of one core over {seconds:g} s")


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:3]))
