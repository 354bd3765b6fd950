"""Stopping by force, with real processes in a real control group and no service manager that would take an order."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.host.agent.unit import Unit, unit_name
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until

UNIT = "redis-server.service"


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group at the place of the unit's, below a scratch root."""
    with tempfile.TemporaryDirectory(prefix="drunit") as root:
        mount = Path(root, "sys/fs/cgroup")
        mount.mkdir(parents=True)
        subprocess.run(["mount", "-t", "cgroup2", "none", str(mount)], check=True)
        # All of this machine's groups are there; the tests' own is moved to the unit's place by a link.
        own = mount / f"drtest-{os.getpid()}"
        slices = Path(root, "scratch/sys/fs/cgroup")
        try:
            (own / "system.slice" / UNIT).mkdir(parents=True)
            slices.mkdir(parents=True)
            (slices / "system.slice").symlink_to(own / "system.slice")
            yield Path(root, "scratch")
        finally:
            (own / "cgroup.kill").write_text("1")
            assert until(lambda: "populated 0" in (own / "cgroup.events").read_text(), 10)
            for folder in (own / "system.slice" / UNIT, own / "system.slice", own):
                folder.rmdir()
            subprocess.run(["umount", str(mount)], check=True)


def process(root: Path, name: str, text: str) -> subprocess.Popen[bytes]:
    """A script that the kernel calls by `name`, in the unit's group."""
    script, procs = root / name, root / "sys/fs/cgroup/system.slice" / UNIT / "cgroup.procs"
    script.write_text(f"#!/bin/bash\necho $$ > {procs}\n{text}\necho ready\nwhile :; do sleep 0.05; done\n")
    script.chmod(0o755)
    started = subprocess.Popen([str(script)], stdout=subprocess.PIPE)
    assert started.stdout is not None and started.stdout.readline() == b"ready\n"
    return started


@pytest.mark.lab
@pytest.mark.parametrize(("text", "killed"), [("trap 'exit 0' TERM", False), ("trap '' TERM", True)])
def test_it_is_asked_first_and_killed_before_the_limit_is_over(group: Path, text: str, killed: bool) -> None:
    log, calls = io.StringIO(), []
    unit = Unit(Layout(group), lambda: UNIT, Log(log, "agent run"))
    assert unit.running() is False
    server = process(group, "redis-server", text)
    assert unit.running() is True
    assert unit.stop(2.0, lambda: calls.append(1)) is True
    assert unit.running() is False and calls
    assert server.wait() == (-9 if killed else 0)
    assert ("killed" in log.getvalue()) is killed
    assert "does not take the order" in log.getvalue(), "here no service manager listens"
    assert server.stdout is not None
    server.stdout.close()


@pytest.mark.lab
def test_a_guard_that_still_asks_is_no_running_service(group: Path) -> None:
    unit = Unit(Layout(group), lambda: UNIT, Log(io.StringIO(), "agent run"))
    guard = process(group, "python3", "trap 'exit 0' TERM")
    assert unit.running() is False
    guard.kill()
    guard.wait()
    assert guard.stdout is not None
    guard.stdout.close()


def test_the_unit_is_the_one_of_what_is_installed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert unit_name(layout, "postgres") is None
    layout.var.mkdir(parents=True)
    (layout.var / "postgres.json").write_text('{"version": 16, "port": 5432, "site": "a", "peer": "b"}')
    assert unit_name(layout, "postgres") == "postgresql@16-main.service"
    assert unit_name(layout, "redis") == "redis-server.service"
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/valkey-server").touch()
    assert unit_name(layout, "redis") == "valkey-server.service"
