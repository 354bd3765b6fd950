"""`host converge` and the agent: put there, renewed, taken away with a last word, and nothing done twice."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failed, Usage
from contract.lease import Lease
from scripts.host.agent import deadman
from scripts.host.agent import install as agent_install
from scripts.host.agent import memory as agent_memory
from scripts.host.agent.config import Config
from scripts.host.agent.files import DEADMAN, UNIT, fingerprint, unit_file
from scripts.host.agent.install import Installation
from scripts.host.agent.lease import Memory
from scripts.host.agent.loop import RESTARTING
from scripts.host.agent.memory import Note
from scripts.host.frame import plan
from scripts.host.frame.boots import boottime
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import PRIMARY, Role
from scripts.host.host import service as base
from tests.host.frame.test_frame import DOCUMENT, SETUP
from tests.host.servers.test_agent import Bucket, handler

LEASE = {"lease_s": 30, "stop_s": 5, "margin_s": 5, "heartbeat_s": 2}


class Units:
    """A service manager whose agent leaves its note as soon as it starts."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.calls = layout, list[str]()
        self.up, self.boot = set[str](), set[str]()
        self.starts = True
        self.bound = False  # as after the last daemon-reload

    @property
    def on(self) -> bool:
        return UNIT in self.up

    def active(self, unit: str) -> bool:
        return unit in self.up

    running = active

    def down(self, unit: str) -> bool:
        return unit not in self.up

    def enabled(self, unit: str) -> bool:
        return unit in self.boot

    def enable(self, unit: str) -> None:
        self._say("enable", unit)
        self.boot.add(unit)

    def disable(self, unit: str) -> None:
        self._say("disable", unit)
        self.boot.discard(unit)

    def start(self, unit: str, limit_s: float) -> None:
        self._say("start", unit)
        if self.starts:
            self.up.add(unit)
        if unit == UNIT:
            now = boottime()
            Note(Memory(), started=now, beat=now, fingerprint=fingerprint(self.layout)).write(self.layout)

    def restart(self, unit: str, limit_s: float) -> None:
        assert unit == UNIT, "what is bound to the dead-man would be restarted with it"
        assert (self.layout.run / RESTARTING).exists(), "the old agent is told that another one follows"
        self._say("restart", unit)
        self.start(unit, limit_s)

    def reload(self, unit: str, limit_s: float) -> None:
        assert unit == DEADMAN and unit in self.up
        self._say("reload", unit)

    def stop(self, unit: str, limit_s: float) -> bool:
        if unit == UNIT:
            assert (self.layout.run / RESTARTING).exists(), "or it would stop its primary"
        else:
            assert not self.bound, "or the service would end with it"
        self._say("stop", unit)
        self.up.discard(unit)
        return True

    def daemon_reload(self) -> None:
        self.calls.append("daemon-reload")
        self.bound = bond(self.layout).exists()
        assert not self.bound or DEADMAN in self.up, "a service is bound to what runs, or it is stopped at once"

    def _say(self, verb: str, unit: str) -> None:
        self.calls.append(verb if unit == UNIT else f"{verb} {unit}")


def bond(layout: Layout) -> Path:
    return layout.units / "postgresql@.service.d/dr-lease.conf"


class Machine:
    """A db-1 below a scratch root."""

    def __init__(self, root: Path, endpoint: str) -> None:
        self.layout, self.endpoint = Layout(root), endpoint
        self.units = Units(self.layout)
        self.layout.run.mkdir(parents=True)
        (root / "opt/dr").mkdir(parents=True)
        self.layout.tool.write_bytes(b"one")

    def converge(self, lease: Any = None, **changes: Any) -> list[str]:
        """Steps done."""
        hosts = {
            **DOCUMENT["hosts"],
            "db-1.b": {"name": "db-1.b.dr.internal", "vrack": "10.100.0.111", "front": "10.2.0.11"},
        }
        setup = {
            **SETUP,
            "witness": {**SETUP["witness"], "endpoint": self.endpoint, "bucket": "witness"},
        }
        document = {
            **DOCUMENT,
            "hosts": hosts,
            "setup": setup if lease is None else {**setup, "lease": lease},
            **changes,
        }
        call = Call("host", "converge", document, self.layout, Log(io.StringIO(), "host converge"))
        return plan.converge(base.Base(base.Desired.read(document), self.layout, call.log, self.units), call).actions


@pytest.fixture
def bucket() -> Iterator[tuple[Bucket, str]]:
    from http.server import ThreadingHTTPServer
    from threading import Thread

    made = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    server.daemon_threads = True
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield made, f"http://127.0.0.1:{server.server_port}"
    made.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def machine(tmp_path: Path, bucket: tuple[Bucket, str]) -> Machine:
    return Machine(tmp_path, bucket[1])


def test_bytecode_comes_before_the_agent_that_starts_from_it_and_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(machine.layout.tool, "w") as packed:
        packed.writestr("host/__init__.py", "")
    first = machine.converge(LEASE)
    assert [step.split()[0] for step in first] == [
        "files",
        "compile",
        "agent-files",
        "agent-enable",
        "agent-restart",
        "agent-deadman",
    ]
    assert machine.converge(LEASE) == []
    with zipfile.ZipFile(machine.layout.tool, "w") as packed:
        packed.writestr("host/__init__.py", "VERSION = 2")
    assert [step.split()[0] for step in machine.converge(LEASE)] == ["compile", "agent-restart"]
    monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", b"new\n")  # as after an upgrade of Python
    assert [step.split()[0] for step in machine.converge(LEASE)] == ["compile", "agent-restart"]


def test_it_is_put_there_once(machine: Machine) -> None:
    first = machine.converge(LEASE)
    assert [step.split()[0] for step in first] == [
        "files",
        "agent-files",
        "agent-enable",
        "agent-restart",
        "agent-deadman",
    ]
    assert machine.converge(LEASE) == []
    config = Config.read(machine.layout)
    assert (config.service, config.own.address, config.counterpart.name, config.instance) == (
        "postgres",
        "10.100.0.11",
        "db-1.b.dr.internal",
        None,
    )
    assert (machine.layout.etc / "agent.json").stat().st_mode & 0o777 == 0o600


def test_other_software_settings_or_certificates_renew_it_and_nothing_else_does(machine: Machine) -> None:
    machine.converge(LEASE)
    machine.layout.tool.write_bytes(b"two")
    assert machine.converge(LEASE) == ["agent-restart"]
    assert [step.split()[0] for step in machine.converge({**LEASE, "lease_s": 40})] == ["agent-files", "agent-restart"]
    renewed = machine.converge({**LEASE, "lease_s": 40}, tls={**DOCUMENT["tls"], "cert": "NEW\n"})
    assert [step.split()[0] for step in renewed] == ["files", "agent-restart"]
    machine.units.up.discard(UNIT)
    assert machine.converge({**LEASE, "lease_s": 40}, tls={**DOCUMENT["tls"], "cert": "NEW\n"}) == ["agent-restart"]


def test_it_knows_the_server_that_it_runs_on_and_runs_with_settings_that_do_not_say_it(machine: Machine) -> None:
    machine.converge(LEASE, instance="4711-0815")
    assert Config.read(machine.layout).instance == "4711-0815"
    path = machine.layout.etc / "agent.json"
    older = {key: value for key, value in json.loads(path.read_text()).items() if key != "instance"}
    path.write_text(json.dumps(older))
    assert Config.read(machine.layout).instance is None
    assert [step.split()[0] for step in machine.converge(LEASE, instance="4711-0815")] == [
        "agent-files",
        "agent-restart",
    ]


def test_one_that_does_not_come_up_is_a_failure(machine: Machine) -> None:
    machine.units.starts = False
    with pytest.raises(Failed, match="keeps no lease"):
        machine.converge(LEASE)
    assert not bond(machine.layout).exists(), "nothing is bound to what does not run"


def test_the_service_is_bound_to_a_deadman_that_is_none_of_the_archives(machine: Machine) -> None:
    machine.converge(LEASE)
    layout = machine.layout
    text = (layout.units / DEADMAN).read_text()
    assert "/opt/dr/dr-deadman.py postgres\n" in text and "OOMScoreAdjust=-1000" in text and "Restart=always" in text
    assert bond(layout).read_text() == f"[Unit]\nBindsTo={DEADMAN}\nAfter={DEADMAN}\n"
    script = layout.at("/opt/dr/dr-deadman.py")
    assert script.read_text() == Path(deadman.__file__).read_text()
    order = [call for call in machine.units.calls if call != "daemon-reload"]
    assert order.index("restart") < order.index(f"start {DEADMAN}"), "the agent says first until when it holds"


def test_another_deadman_is_renewed_in_its_place_and_one_that_is_down_is_started(machine: Machine) -> None:
    machine.converge(LEASE)
    machine.layout.at("/opt/dr/dr-deadman.py").write_text("of an older version")
    machine.units.calls.clear()
    assert [step.split()[0] for step in machine.converge(LEASE)] == ["agent-deadman"]
    assert f"reload {DEADMAN}" in machine.units.calls and f"start {DEADMAN}" not in machine.units.calls
    bond(machine.layout).unlink()
    machine.units.calls.clear()
    assert [step.split()[0] for step in machine.converge(LEASE)] == ["agent-deadman"]
    assert f"reload {DEADMAN}" not in machine.units.calls and bond(machine.layout).exists()
    machine.units.up.discard(DEADMAN)
    machine.units.calls.clear()
    bond(machine.layout).unlink()  # a service without it is down by now
    assert [step.split()[0] for step in machine.converge(LEASE)] == ["agent-deadman"]
    assert f"start {DEADMAN}" in machine.units.calls


@pytest.mark.parametrize(
    ("older", "failing", "begun"),
    [
        ("opt/dr/dr-deadman.py", "daemon_reload", f"reload {DEADMAN}"),
        ("opt/dr/dr-deadman.py", "reload", f"reload {DEADMAN}"),
        (f"etc/systemd/system/{UNIT}", "daemon_reload", "restart"),
    ],
)
def test_what_a_busy_service_manager_did_not_take_is_told_to_it_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, older: str, failing: str, begun: str
) -> None:
    """The files are as wanted by then, and what runs is not."""
    machine.converge(LEASE)
    machine.layout.at(older).write_text("of an older version")

    def busy(*_: object) -> None:
        raise Failed("program systemctl: no end within 60 s")

    with monkeypatch.context() as patch, pytest.raises(Failed, match="no end within"):
        patch.setattr(machine.units, failing, busy)
        machine.converge(LEASE)
    machine.units.calls.clear()
    assert machine.converge(LEASE) != [] and begun in machine.units.calls
    assert machine.converge(LEASE) == []


def test_off_says_so_at_the_witness_and_leaves_nothing(machine: Machine, bucket: tuple[Bucket, str]) -> None:
    Role("a", "b", PRIMARY, 1).write(machine.layout)
    machine.converge(LEASE)
    machine.units.calls.clear()
    assert machine.converge(None) == ["agent-off"]
    assert machine.units.calls.index("stop") < machine.units.calls.index("disable") and not machine.units.on
    assert not bond(machine.layout).exists() and not machine.layout.at("/opt/dr/dr-deadman.py").exists()
    assert not machine.units.up and not machine.units.boot
    word = json.loads(bucket[0].objects["heartbeats/a/db-1.json"])
    assert (word["lease"], word["epoch"], word["role"]) == (
        {"state": "off", "silent_s": None, **LEASE},
        1,
        "primary",
    )
    assert not (machine.layout.etc / "agent.json").exists() and not (machine.layout.units / UNIT).exists()
    assert machine.converge(None) == [] == machine.converge(None)


def test_off_without_the_witness_keeps_the_agent(machine: Machine, bucket: tuple[Bucket, str]) -> None:
    machine.converge(LEASE)
    bucket[0].mode = "error"
    with pytest.raises(Failed, match="run the same again"):
        machine.converge(None)
    assert machine.units.on and (machine.layout.etc / "agent.json").exists()


@pytest.mark.parametrize(
    ("lease", "says"),
    [
        ({**LEASE, "lease_s": 10}, "lease_s: found 10, wanted more than"),
        ({**LEASE, "stop_s": 0}, "stop_s: found a number, wanted a whole number from 1"),
        ({**LEASE, "heartbeat_s": "2"}, "heartbeat_s: found a string"),
        ("on", "found a string, wanted an object"),
    ],
)
def test_a_lease_that_cannot_be_kept_is_refused(machine: Machine, lease: Any, says: str) -> None:
    with pytest.raises(Usage, match=says):
        machine.converge(lease)
    assert not (machine.layout.etc / "agent.json").exists()


def test_only_databases_and_caches_keep_one(machine: Machine) -> None:
    hosts = {"app-1.a": {"name": "app-1.a.dr.internal", "vrack": "10.100.0.41", "front": "10.1.0.41"}}
    with pytest.raises(Usage, match="none but on hosts of kind db and cache"):
        machine.converge(LEASE, host="app-1", hosts=hosts)


def test_the_watchdog_ends_a_hanging_agent_within_the_margin(tmp_path: Path) -> None:
    text = unit_file(Layout(tmp_path), Lease(margin_s=8)).content
    assert "WatchdogSec=6\n" in text and "Restart=always\n" in text and "StartLimitIntervalSec=0\n" in text
    assert "Before=postgresql.service postgresql@14-main.service" in text and "redis-server.service" in text


def lapsed(layout: Layout, **memory: Any) -> str | None:
    now = boottime()
    Note(Memory(**memory), started=now, beat=now, fingerprint="x").write(layout)
    return agent_memory.lapsed(layout, Role("a", "b", PRIMARY, 3))


def test_the_guard_knows_whether_the_lease_is_held(machine: Machine) -> None:
    role, now = Role("a", "b", PRIMARY, 3), boottime()
    assert agent_memory.lapsed(machine.layout, role) is None, "without an agent there is none"
    machine.converge(LEASE)
    (machine.layout.run / "lease.json").unlink()
    assert "by nobody since the boot" in str(agent_memory.lapsed(machine.layout, role))
    assert lapsed(machine.layout, witness_at=now - 1) is None
    assert "ran out" in str(lapsed(machine.layout, witness_at=now - 31))
    assert lapsed(machine.layout, witness_at=now - 31, granted_at=now - 1, granted_epoch=3) is None
    assert agent_memory.granted(machine.layout, role) is True
    assert lapsed(machine.layout, granted_at=now - 1, granted_epoch=2) is not None
    assert agent_memory.granted(machine.layout, role) is False
    assert lapsed(machine.layout, begun=now - 1) is not None, "the agent's own start is no contact"
    (machine.layout.etc / "agent.json").write_text("{")
    assert "no lease is kept" in str(agent_memory.lapsed(machine.layout, role))


def test_an_installation_can_be_looked_at_without_a_change(machine: Machine) -> None:
    machine.converge(LEASE)
    config = Config.read(machine.layout)
    assert Installation(config, machine.layout, machine.units).facts() == agent_install.Facts(
        (), True, True, True, True, (), True
    )
    assert Installation(replace(config, service="redis"), machine.layout, machine.units).facts().files == (
        str(machine.layout.etc / "agent.json"),
    )
