"""The dead-man with real processes: whatever has become of the agent, a primary does not outlive its lease, and nobody else is stopped for it."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failed
from scripts.host.agent import deadman
from scripts.host.agent.deadman import FLAGS, KINDS, Deadman, now
from scripts.host.frame.layout import Layout
from scripts.host.frame.processes import process
from scripts.host.frame.rolefile import FENCED, PRIMARY, STANDBY, Role
from scripts.host.frame.wait import until

LONG_S = 600.0
LIMIT_S = 20.0


class Machine:
    """A host below a scratch root with something that the kernel calls a server."""

    def __init__(self, root: Path) -> None:
        self.root, self.layout = root, Layout(root)
        self.layout.run.mkdir(parents=True)
        self.started: list[subprocess.Popen[bytes]] = []

    def holds(self, seconds: float, stop_s: float = 5) -> None:
        (self.layout.run / "held-until").write_text(f"{now() + seconds:.3f} {stop_s}\n")

    def role(self, role: Any, epoch: int = 3) -> None:
        Role("a", "b", role, epoch).write(self.layout)

    def server(self, name: str = "postgres", folder: str = "var/lib/postgresql/17/main", text: str = "") -> int:
        """Its process; with `text` it does what that says first."""
        where = self.root / folder
        where.mkdir(parents=True, exist_ok=True)
        script = self.root / name
        script.write_text(f"#!/bin/bash\n{text}\necho ready\nwhile :; do sleep 0.05; done\n")
        script.chmod(0o755)
        before = signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # tests that a shell runs beside itself ignore it, and so would this
        started = subprocess.Popen([str(script)], stdout=subprocess.PIPE, cwd=where, start_new_session=True)
        signal.signal(signal.SIGINT, before)
        self.started.append(started)
        assert started.stdout is not None and started.stdout.readline() == b"ready\n"
        return started.pid

    def deadman(self, *arguments: str, script: str = deadman.__file__, notify: str = "") -> subprocess.Popen[bytes]:
        """As its unit starts it."""
        argv = [sys.executable, *FLAGS, script, *(arguments or ("postgres", str(self.root)))]
        started = subprocess.Popen(argv, env={"NOTIFY_SOCKET": notify} if notify else {}, stderr=subprocess.PIPE)
        self.started.append(started)
        return started

    def close(self) -> None:
        for each in self.started:
            if each.poll() is None:
                os.kill(each.pid, signal.SIGKILL)
            each.wait()
            for pipe in (each.stdout, each.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def ended(pid: int) -> Callable[[], bool]:
    """A zombie, which nobody has asked after yet, has ended."""

    def has() -> bool:
        found = process(pid)
        return found is None or found.state == "Z"

    return has


def step(machine: Machine, after_s: float = 0.0, kind: str = "postgres") -> None:
    """One look of a dead-man that has just begun."""
    Deadman(KINDS[kind], str(machine.root)).step(now() + after_s)


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse(Path(deadman.__file__).read_text())
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert all(each and each.split(".")[0] in sys.stdlib_module_names for each in (*modules, *names))
    assert not any(node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


def test_a_primary_whose_agent_says_nothing_more_is_stopped_when_its_lease_is_over(machine: Machine) -> None:
    """The agent may be dead, held, starved, without settings or from half an archive: none of that reaches this process."""
    machine.role(PRIMARY)
    machine.holds(1.5)
    pid = machine.server(text="trap 'exit 0' INT")
    watch = machine.deadman()
    over = now() + 1.5
    assert until(ended(pid), LIMIT_S) and now() >= over - 0.5, "not before"
    watch.kill()
    assert b"told to stop" in watch.communicate()[1]


def test_one_that_does_not_hear_is_killed_with_all_its_children(machine: Machine) -> None:
    machine.role(PRIMARY)
    machine.holds(-1, stop_s=0.5)
    pid = machine.server(text="trap '' INT TERM")
    machine.deadman()
    assert until(ended(pid), LIMIT_S)
    assert machine.started[0].wait() == -signal.SIGKILL


def test_what_somebody_starts_after_that_is_stopped_too(machine: Machine) -> None:
    machine.role(PRIMARY)
    machine.holds(-LONG_S)
    machine.deadman()
    for _ in range(2):
        pid = machine.server(text="trap 'exit 0' INT")
        assert until(ended(pid), LIMIT_S)


def test_a_machine_without_a_server_is_not_searched_at_every_look(machine: Machine) -> None:
    machine.role(PRIMARY)
    watch, at = Deadman(KINDS["postgres"], str(machine.root)), now()
    watch.step(at)
    pid = machine.server(text="trap 'exit 0' INT")
    watch.step(at + deadman.REST_S / 2)
    assert not ended(pid)()
    watch.step(at + deadman.REST_S)
    assert until(ended(pid), LIMIT_S)


def test_while_the_lease_is_held_nothing_happens(machine: Machine) -> None:
    machine.role(PRIMARY)
    machine.holds(LONG_S)
    pid = machine.server(text="trap 'exit 0' INT")
    step(machine)
    step(machine, LONG_S - 1)
    assert not ended(pid)()
    step(machine, LONG_S + 1)
    assert until(ended(pid), LIMIT_S)


@pytest.mark.parametrize("role", [STANDBY, FENCED])
def test_who_is_no_primary_has_no_lease_that_could_run_out(machine: Machine, role: Any) -> None:
    """An agent that is broken on a standby costs no replication; the moment the host is a primary it does count."""
    machine.role(role)
    pid = machine.server(text="trap 'exit 0' INT")
    step(machine)
    machine.holds(-LONG_S)
    step(machine)
    assert not ended(pid)()
    machine.role(PRIMARY)
    step(machine)
    assert until(ended(pid), LIMIT_S)


@pytest.mark.parametrize("text", [None, "", "soon 5\n", "99999999999", "nan 5\n", "\xff" * 9])
def test_what_cannot_be_read_is_a_lease_that_is_over(machine: Machine, text: str | None) -> None:
    machine.role(PRIMARY)
    if text is not None:
        (machine.layout.run / "held-until").write_text(text, encoding="latin-1")
    pid = machine.server(text="trap 'exit 0' INT")
    step(machine)
    assert until(ended(pid), LIMIT_S)


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_role_that_cannot_be_read_counts_as_that_of_a_primary(machine: Machine, text: str | None) -> None:
    if text is not None:
        (machine.layout.run / "role.json").write_text(text)
    pid = machine.server(text="trap 'exit 0' INT")
    step(machine)
    assert until(ended(pid), LIMIT_S)


def test_after_a_boot_the_role_is_read_from_the_disk(machine: Machine) -> None:
    machine.role(STANDBY)
    (machine.layout.run / "role.json").unlink()
    pid = machine.server(text="trap 'exit 0' INT")
    step(machine)
    assert not ended(pid)()


def test_the_operators_word_for_this_epoch_holds_without_an_agent(machine: Machine) -> None:
    machine.role(PRIMARY, 3)
    (machine.layout.run / "lease-override").write_text("3")
    pid = machine.server(text="trap 'exit 0' INT")
    step(machine)
    assert not ended(pid)()
    machine.role(PRIMARY, 4)
    step(machine)
    assert until(ended(pid), LIMIT_S)


def test_servers_are_told_by_what_they_are(machine: Machine) -> None:
    machine.role(PRIMARY)
    others = [
        machine.server(folder="var/lib/postgresql/restored"),  # one beside it, to look at what was
        machine.server(folder="srv/postgresql/17/main"),
        machine.server(name="python3"),  # the guard, which asks whether it may start
        machine.server("redis-server", "var/lib/redis/dr-sentinel"),
    ]
    caches = [
        machine.server("redis-server", "var/lib/redis", "trap 'exit 0' TERM"),
        machine.server("valkey-server", "var/lib/valkey", "trap 'exit 0' TERM"),
    ]
    database = machine.server(text="trap 'exit 0' INT")
    step(machine)
    assert until(ended(database), LIMIT_S) and not any(ended(pid)() for pid in (*others, *caches))
    step(machine, kind="redis")
    assert all(until(ended(pid), LIMIT_S) for pid in caches) and not any(ended(pid)() for pid in others)


def test_the_service_manager_hears_that_it_lives_and_it_begins_anew_from_another_file(machine: Machine) -> None:
    machine.role(STANDBY)
    script = machine.root / "dr-deadman.py"
    script.write_text(Path(deadman.__file__).read_text())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(machine.root / "notify"))
        manager.settimeout(LIMIT_S)
        watch = machine.deadman("postgres", str(machine.root), script=str(script), notify=str(machine.root / "notify"))
        assert (manager.recv(64), manager.recv(64)) == (b"READY=1", b"WATCHDOG=1")
        script.write_text(script.read_text().replace('b"READY=1"', 'b"READY=2"'))
        watch.send_signal(signal.SIGHUP)
        assert until(lambda: manager.recv(64) == b"READY=2", LIMIT_S), "the same process, another file"
        assert watch.poll() is None


def test_the_rolefile_leaves_its_copy_where_no_disk_is_waited_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for role in (STANDBY, PRIMARY, FENCED):
        Role("a", "b", role, 3).write(layout)
        assert json.loads((layout.run / "role.json").read_text()) == Role("a", "b", role, 3).document()


def test_a_full_disk_leaves_no_primary_unwatched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    Role("a", "b", STANDBY, 3).write(layout)
    write = Role._text

    def full(self: Role) -> bytes:
        if (layout.run / "role.json").read_bytes() == write(self):
            raise Failed("disk full")
        return write(self)

    monkeypatch.setattr(Role, "_text", full)
    with pytest.raises(Failed):
        Role("a", "b", PRIMARY, 4).write(layout)
    assert json.loads((layout.run / "role.json").read_text())["role"] == PRIMARY
