"""Servers that somebody has started past their unit, with real processes: they count as running, and they are stopped."""

from __future__ import annotations

import io
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scripts.host.agent import unit as agent_unit
from scripts.host.agent.facts import Server
from scripts.host.agent.unit import Unit
from scripts.host.frame.commands import Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.locks import busy, hold
from scripts.host.frame.log import Log
from scripts.host.frame.processes import family, kill_family, process, processes
from scripts.host.frame.wait import until

LIMIT_S = 20.0
LOOP = "while :; do sleep 0.05; done"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    made: list[subprocess.Popen[bytes]] = []
    yield made
    for each in made:
        kill_family(each.pid)
        each.wait()
        if each.stdout is not None:
            each.stdout.close()


def server(root: Path, made: list[subprocess.Popen[bytes]], text: str, name: str = "redis-server") -> int:
    folder = root / "var/lib/redis"
    folder.mkdir(parents=True, exist_ok=True)
    script = root / name
    script.write_text(f"#!/bin/bash\n{text}\necho ready\n{LOOP}\n")
    script.chmod(0o755)
    made.append(subprocess.Popen([str(script)], stdout=subprocess.PIPE, cwd=folder))
    stdout = made[-1].stdout
    assert stdout is not None and stdout.readline() == b"ready\n"
    return made[-1].pid


def _folder(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def unit(root: Path, log: io.StringIO, found: Sequence[Server] | None = None) -> Unit:
    layout = Layout(root)
    (root / "sys/fs/cgroup/system.slice").mkdir(parents=True, exist_ok=True)

    def find() -> Sequence[Server]:
        if found is not None:
            return found
        named = {each.pid: each.parent for each in processes() if each.name == "redis-server" and each.state != "Z"}
        here = {pid for pid in named if _folder(pid) == root / "var/lib/redis"}
        return [Server(pid) for pid in here if named[pid] not in here]

    return Unit(layout, lambda: "redis-server.service", Log(log, "agent run"), find)


def test_one_past_its_unit_runs_and_is_asked_and_killed_within_the_limit(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    for text, code in (("trap 'exit 0' TERM", 0), ("trap '' TERM", -signal.SIGKILL)):
        log = io.StringIO()
        pid = server(tmp_path, started, text)
        control = unit(tmp_path, log)
        assert control.running() is True and control.writers() is False, "from outside nobody can tell"
        assert control.stop(2.0, lambda: None) is True
        assert started[-1].wait() == code and control.running() is False
        assert f"process {pid} serves and is none of the unit's" in log.getvalue()


def test_a_writer_past_its_unit_is_one_while_it_lives(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    pid = server(tmp_path, started, "")
    assert unit(tmp_path, io.StringIO(), [Server(pid, True)]).writers() is True
    assert unit(tmp_path, io.StringIO(), [Server(pid, False)]).writers() is False
    started[-1].kill()
    started[-1].wait()
    assert unit(tmp_path, io.StringIO(), [Server(pid, True)]).writers() is False


def test_all_processes_are_not_looked_at_at_every_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, now = [], [1000.0]
    monkeypatch.setattr(agent_unit, "boottime", lambda: now[0])
    layout = Layout(tmp_path)
    (tmp_path / "sys/fs/cgroup/system.slice").mkdir(parents=True)
    control = Unit(layout, lambda: "redis-server.service", Log(io.StringIO(), "x"), lambda: looks.append(now[0]) or ())  # type: ignore[func-returns-value]
    for _ in range(10):
        control.running()
        now[0] += 0.5
    assert looks == [1000.0, 1003.0]


def test_a_family_ends_whole(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    pid = server(tmp_path, started, "(trap '' TERM; while :; do sleep 0.05; done) & (sleep 600) &")
    assert until(lambda: len(family(pid)) >= 3, LIMIT_S)
    members = family(pid)
    assert members[-1] == pid and kill_family(pid) >= 3
    started[-1].wait()

    def over() -> bool:
        return all((found := process(each)) is None or found.state == "Z" for each in members)

    assert until(over, LIMIT_S)


def test_whoever_is_at_work_with_a_service_is_seen(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert busy(layout, "postgres") is False
    with hold(layout, "postgres"):
        assert busy(layout, "postgres") is True and busy(layout, "redis") is False
    assert busy(layout, "postgres") is False


def test_a_start_that_has_no_process_left_is_begun_anew_and_one_that_is_at_work_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server was killed before its PID file was whole: systemd waits for it until its limit, ten minutes, and joins every further start to that one."""
    asked: list[str] = []

    def systemctl(argv: Sequence[str], **_: object) -> Done:
        asked.append(" ".join(argv))
        return Done(0, "", "")

    monkeypatch.setattr(agent_unit, "run", systemctl)
    made = unit(tmp_path, io.StringIO(), ())
    made.start()
    group = tmp_path / "sys/fs/cgroup/system.slice/redis-server.service"
    group.mkdir()
    (group / "cgroup.procs").write_text("4711\n")  # the guard that still asks, or the server that recovers
    made.start()
    assert asked == [f"systemctl {verb} --no-block redis-server.service" for verb in ("restart", "start")]
