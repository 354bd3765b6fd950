"""A wall clock that is off: what programs are told, and guests that get it, keep it and lose it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.machines import clock
from tests.lab.machines.bench import GRA, SBG, Bench, wait_for

pytestmark = pytest.mark.skipif(platform.machine() != clock.MACHINE, reason="the library is for one kind of machine")
TELLS = """
import sys, time
for _ in sys.stdin:
    print(time.clock_gettime(time.CLOCK_REALTIME), time.clock_gettime(5), time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME))
    sys.stdout.flush()
"""
ASKS = """
import ctypes, time
c, pair, single = ctypes.CDLL(None), (ctypes.c_long * 2)(), ctypes.c_long()
c.time.restype = ctypes.c_long
c.gettimeofday(pair, None)
print(pair[0], c.time(ctypes.byref(single)), single.value, c.time(None), int(time.time()), c.clock_gettime(99, pair))
"""
NEAR_S = 5.0


def test_a_running_program_sees_its_wall_clock_set_and_no_other_clock(tmp_path: Path) -> None:
    library = tmp_path / "lib.so"
    library.write_bytes(clock.library(600))
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    with subprocess.Popen(
        [sys.executable, "-c", TELLS], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin and program.stdout
        for off in (600, -600, 0):
            clock.write_word(library, off)
            program.stdin.write("\n")
            program.stdin.flush()
            wall, coarse, monotonic, boottime = map(float, program.stdout.readline().split())
            assert abs(wall - time.time() - off) < NEAR_S and abs(coarse - time.time() - off) < NEAR_S
            assert (
                abs(monotonic - time.monotonic()) < NEAR_S
                and abs(boottime - time.clock_gettime(time.CLOCK_BOOTTIME)) < NEAR_S
            )
        program.stdin.close()


def test_every_way_to_ask_for_the_time_is_told_the_same(tmp_path: Path) -> None:
    library = tmp_path / "lib.so"
    library.write_bytes(clock.library(-3600))
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    told = subprocess.run(
        [sys.executable, "-c", ASKS], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert all(abs(int(each) - (time.time() - 3600)) < NEAR_S for each in told[:5])
    assert told[5] == "-1", "a clock that does not exist"


@pytest.mark.lab
def test_a_guests_clock_is_off_by_a_boot_set_while_it_runs_and_right_again(bench: Bench) -> None:
    host = bench.machines.hosts[GRA, bench.servers[GRA].server_id]

    def off(region: str = GRA) -> float:
        return float(bench.ssh(region, "date +%s.%N")) - time.time()

    clock.set_off([host], 600)
    bench.await_ssh(GRA)
    assert abs(off() - 600) < NEAR_S and abs(off(SBG)) < NEAR_S
    assert bench.ssh(GRA, "sudo grep -c lab-clock /proc/1/maps || true") == "0", "systemd's timers are the kernel's"
    assert bench.ssh(GRA, "sudo grep -c lab-clock /proc/$(pgrep -o sshd)/maps") != "0"
    booted = host.leader()
    clock.set_off([host], -600)
    assert host.leader() == booted and abs(off() + 600) < NEAR_S
    clock.set_right([host])
    assert host.leader() == booted and abs(off()) < NEAR_S
    host.reboot(hard=False)
    bench.await_ssh(GRA)
    wait_for(
        "no program has the library", lambda: bench.ssh(GRA, "sudo grep -l lab-clock /proc/[0-9]*/maps || true") == ""
    )
