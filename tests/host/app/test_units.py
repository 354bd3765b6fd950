"""Units of the shop's processes: what systemd is told of each, which of them are stopped when a site is left, and what becomes of those that are no more."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from contract.errors import Failed, Refused
from contract.services.processes import Process
from contract.services.redis import worker
from scripts.host.app import caches, service, status, well
from scripts.host.app.config import Desired
from scripts.host.app.names import CACHES_UNIT, HAPROXY, PROCESSES, SPARE, WEB
from scripts.host.app.service import App
from scripts.host.app.units import of_active_site, startable
from scripts.host.frame import systemd
from scripts.host.frame.call import Call
from scripts.host.frame.commands import TIMED_OUT, Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import Role
from scripts.host.frame.systemd import Look, Systemd
from tests.host.app.test_app import (
    ACTIVE,
    ALL,
    GUARDED,
    NEWER,
    PROCFILE,
    RELEASE,
    SERVING,
    STANDBY,
    TURN,
    WORKER,
    at_work,
    document,
    lies,
    steps,
    texts,
)

__all__ = ["at_work"]
MORE = f"{PROCFILE}mailer: bundle exec sidekiq -c $RAILS_MAX_THREADS\nnightly: bin/rails shop:clean\n"
NIGHTLY = Process(schedule="30 4 * * *")


def test_each_process_has_as_many_units_as_it_is_to_run_and_a_dot_before_their_numbers() -> None:
    found = texts(procfile=MORE, worker=Process(count=3), mailer=Process(active_only=False), nightly=NIGHTLY)
    assert found.active == (
        "shop-nightly.timer",
        "shop-worker.service",
        "shop-worker.2.service",
        "shop-worker.3.service",
    )
    assert found.always == ("shop-mailer.service",)
    assert found.jobs == ("shop-nightly.service",)
    assert "guard app" not in found.texts["shop-mailer.service"]
    assert "EnvironmentFile=/etc/shop/processes/worker.env\n" in found.texts["shop-worker.3.service"]
    assert texts(procfile=MORE, worker=Process(count=0), nightly=NIGHTLY).active == (
        "shop-mailer.service",
        "shop-nightly.timer",
    )


def test_what_has_its_times_runs_on_the_first_host_alone() -> None:
    assert "shop-nightly.timer" in texts(procfile=MORE, nightly=NIGHTLY).texts
    there = texts(False, MORE, nightly=NIGHTLY)
    assert not [name for name in there.texts if "nightly" in name] and there.jobs == ()


def test_limits_are_systemds() -> None:
    its = Process(memory_mb=512, stop_s=7, notify=True)
    found = texts(procfile=MORE, worker=its, nightly=Process(schedule="@daily", limit_s=90))
    for line in ("MemoryMax=512M", "TimeoutStopSec=7", "Type=notify", "Restart=always"):
        assert f"{line}\n" in found.texts[WORKER]
    assert "MemoryMax" not in found.texts[WEB] and "TimeoutStopSec=5\n" in found.texts[WEB]
    assert "TimeoutStartSec=90\n" in found.texts["shop-nightly.service"]
    assert "OnCalendar=*-*-* 00:00:00 UTC\n" in found.texts["shop-nightly.timer"]
    assert "[Install]" not in found.texts["shop-nightly.service"], "its timer starts it"


def test_each_process_has_a_home_and_may_make_its_own_what_is_its_own() -> None:
    """Bundler wants one, or makes one that Ruby's `remove_entry_secure` ends on where no file may be given even to whom it belongs."""
    found = texts(procfile=MORE, nightly=NIGHTLY).texts
    running = {name: text for name, text in found.items() if name.endswith(".service")}
    assert {WEB, SPARE, WORKER, "shop-release.service", "shop-nightly.service"} <= set(running)
    for name, text in running.items():
        folder = re.search(r"^WorkingDirectory=(.+)$", text, re.MULTILINE)
        home = re.search(r"^Environment=HOME=(.+)$", text, re.MULTILINE)
        assert folder and home and home[1] == f"{folder[1]}/tmp", name
        assert f"ReadWritePaths=-{home[1]}\n" in text, name
        assert text.index("Environment=") < text.index("EnvironmentFile="), (
            "who says another home in `dr:app.env` gets it"
        )
        filters = re.findall(r"^SystemCallFilter=(.+)$", text, re.MULTILINE)
        assert filters.index("@chown") > filters.index("~@resources @privileged"), name


def test_systemd_takes_the_units_and_fills_nothing_into_a_command(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing; `make setup` installs it")
    odd = PROCFILE.replace("ruby bin/worker", 'printf \'%s %n \\\\ "$PORT" ${HOME}\' "a b"')
    found = texts(procfile=odd + "nightly: bin/x\n", nightly=Process(schedule="0 0 13 * fri")).texts
    assert 'ExecStart=/bin/sh -c "exec printf \'%%s %%n \\\\\\\\ \\"$$PORT\\" $${HOME}\' \\"a b\\""\n' in found[WORKER]
    for name, text in {**found, CACHES_UNIT: caches.UNIT}.items():
        (tmp_path / name).write_text(
            text.replace("/usr/bin/ruby", "/bin/true").replace("/usr/sbin/haproxy", "/bin/true")
        )
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        said = [line for line in done.stderr.splitlines() if name in line and "not found" not in line]
        assert not said, said


def test_by_their_files_it_is_known_what_works_in_the_active_site_alone() -> None:
    found = texts(procfile=MORE, mailer=Process(active_only=False), nightly=NIGHTLY).texts
    assert of_active_site(found) == ["shop-nightly.service", "shop-nightly.timer", WORKER]
    assert startable(found) == ["shop-nightly.timer", WORKER], "a job waits for its timer"
    before = {
        WORKER: f"[Service]\nType=notify\n{systemd.guard_line('app')}Restart=on-failure\n",
        "shop-migrate.service": "x",
    }
    assert startable(before) == [WORKER], "as a version before this one has left them"


MANY = replace(ACTIVE, workers=("shop-nightly.timer", WORKER), others=("shop-mailer.service",))


def test_workers_begin_and_end_side_by_side() -> None:
    there = ("shop-nightly.timer", WORKER)
    at_rest = replace(
        SERVING, workers=there, left=(), at_work=ALL - {WORKER}, enabled=ALL - {WORKER}, role="standby", role_epoch=2
    )
    assert steps(at_rest, replace(MANY, turn=True))[-2:] == [
        "enable shop-nightly.timer shop-worker.service",
        "begin shop-nightly.timer shop-worker.service",
    ]
    running = replace(at_rest, left=("shop-nightly.service", *there), at_work=ALL | {*there}, enabled=ALL | {*there})
    for turn in (True, False):
        assert steps(running, replace(MANY, active=False, turn=turn, others=()))[:2] == [
            "stop shop-nightly.service shop-nightly.timer shop-worker.service",
            "disable shop-nightly.timer shop-worker.service",
        ]


def test_a_standby_rests_what_no_configuration_names_any_more() -> None:
    old = replace(
        SERVING, workers=(WORKER, "shop-old.service"), left=("shop-old.service",), enabled=ALL | {"shop-old.service"}
    )
    found = steps(old, replace(STANDBY, turn=True, workers=()))
    assert found[:2] == ["stop shop-old.service", "disable shop-worker.service shop-old.service"]


def test_other_processes_run_in_both_sites() -> None:
    begin = ["enable shop-mailer.service", "restart shop-mailer.service"]
    assert steps(SERVING, replace(ACTIVE, others=("shop-mailer.service",))) == begin
    standby = replace(
        SERVING, workers=(), left=(), at_work=ALL - {WORKER}, enabled=ALL - {WORKER}, role="standby", serves=False
    )
    assert steps(standby, replace(STANDBY, others=("shop-mailer.service",))) == begin


def test_a_release_that_has_nothing_to_do_before_it_runs_is_not_asked_to() -> None:
    new = replace(SERVING, current="/opt/shop/releases/old", migrated=None)
    assert [it for it in steps(new, replace(ACTIVE, migrates=False)) if it.startswith("release")] == []
    assert "release shop-release.service" in steps(new, ACTIVE)


def test_the_packages_own_haproxy_is_put_to_rest() -> None:
    found = steps(replace(SERVING, at_work=ALL | {HAPROXY}, enabled=ALL | {HAPROXY}), ACTIVE)
    assert found == [f"stop {HAPROXY}", f"disable {HAPROXY}"]
    assert HAPROXY not in " ".join(steps(replace(SERVING, enabled=ALL | {HAPROXY}), TURN)), (
        "that is not worth a moment of a move"
    )


def test_a_release_whose_processes_cannot_run_is_refused_and_a_turn_keeps_what_serves(tmp_path: Path) -> None:
    (tmp_path / RELEASE.lstrip("/")).mkdir(parents=True)
    (tmp_path / RELEASE.lstrip("/") / "Procfile").write_text("worker: ruby bin/worker\n")
    app = App(Desired.read(document()), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))
    with pytest.raises(Refused, match=r"release of the shop is a Procfile without web.*Nothing was changed"):
        app.plan(replace(SERVING, current="/opt/shop/releases/old"))
    turn = App(Desired.read(document(turn=True)), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))
    assert [str(step) for step in turn.plan(replace(SERVING, serves=False))] == ["serve"]


def test_times_that_systemd_does_not_understand_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / RELEASE.lstrip("/")).mkdir(parents=True)
    (tmp_path / RELEASE.lstrip("/") / "Procfile").write_text(MORE)
    told = document(processes={"nightly": {"schedule": "Moonday 04:30"}})
    app = App(Desired.read(told), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))
    monkeypatch.setattr(service, "run", lambda argv, **_: Done(1 if "Moonday" in argv[-1] else 0, "", ""))
    with pytest.raises(Refused, match="'Moonday 04:30 UTC'"):
        app.refuse_calendars()


def test_units_that_are_no_more_are_stopped_and_go_with_what_they_were_told(at_work, tmp_path: Path) -> None:
    turn, units = at_work
    (tmp_path / NEWER.lstrip("/") / "Procfile").write_text("web: puma\nmailer: bin/mail\nnightly: bin/x\n")
    turn(release=NEWER, processes={"mailer": {"count": 2}, "nightly": {"schedule": "@daily"}})
    folder, told = Layout(tmp_path).units, tmp_path / PROCESSES.lstrip("/")
    assert sorted(path.name for path in folder.glob("shop-*")) == [
        "shop-mailer.2.service",
        "shop-mailer.service",
        "shop-nightly.service",
        "shop-nightly.timer",
        "shop-web.service",
        "shop-web.spare.service",
    ]
    assert units.halted[0] == ("shop-release.service", WORKER)
    assert sorted(path.name for path in told.iterdir()) == ["mailer.env", "nightly.env", "web.env"]
    turn(release=NEWER, processes={"mailer": {"count": 1}, "nightly": {"count": 0}})
    left = ["shop-mailer.service", "shop-web.service", "shop-web.spare.service"]
    assert sorted(path.name for path in folder.glob("shop-*")) == left
    units.begun.clear()
    turn(release=NEWER, processes={"mailer": {"count": 1}, "nightly": {"count": 0}})
    assert units.begun == []


@pytest.mark.parametrize(
    ("block", "begun"),
    [
        ({"processes": {"worker": {"env": {"MORE": "1"}}}}, [WORKER]),
        ({"processes": {"worker": {"memory_mb": 100}}}, [WORKER]),
        ({"env": {"MORE": "{site}"}}, [SPARE, WEB, WORKER]),
        ({"release_limit_s": 20}, []),
    ],
)
def test_what_is_changed_for_one_process_begins_no_other_anew(at_work, block, begun) -> None:
    turn, units = at_work
    turn(**block)
    assert [unit for unit in units.begun if unit != "daemon-reload"] == begun


class Played:
    """systemctl: what it was asked, and units that run."""

    def __init__(self, running: set[str], failing: bool = False) -> None:
        self.running, self.failing, self.asked = running, failing, list[list[str]]()

    def __call__(self, argv: list[str], **_: object) -> Done:
        self.asked.append(argv)
        if argv[1] == "show":
            return Done(
                0, "\n".join(f"ActiveState={'active' if it in self.running else 'inactive'}\n" for it in argv[4:]), ""
            )
        if argv[1] == "stop":
            self.running -= set() if self.failing else {*argv[2:]}
            return Done(TIMED_OUT if self.failing else 0, "", "")
        if argv[1] == "start":
            self.running |= {it for it in argv[2:] if not self.failing or it != argv[-1]}
            return Done(int(self.failing), "", "")
        return Done(0, "", "")

    def words(self, verb: str) -> list[list[str]]:
        return [it[2:] for it in self.asked if it[1] == verb]


def played(monkeypatch: pytest.MonkeyPatch, *running: str, failing: bool = False) -> Played:
    found = Played({*running}, failing)
    monkeypatch.setattr(systemd, "run", found)
    return found


ITS = ("shop-nightly.service", "shop-nightly.timer", WORKER, "shop-worker.2.service")


@pytest.fixture
def call(tmp_path: Path) -> Call:
    lies(tmp_path, *ITS)
    lies(tmp_path, WEB, "shop-mailer.service", text="[Service]\n")
    Role(site="a", peer="b", role="primary", epoch=3).write(Layout(tmp_path))  # type: ignore[arg-type]
    return Call("app", "quiesce", {}, Layout(tmp_path), Log(io.StringIO(), "app quiesce"))


def test_one_word_stops_all_that_works_in_the_active_site_and_one_starts_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = played(monkeypatch, *ITS, WEB, "shop-mailer.service")
    service.quiesce(call)
    assert manager.running == {WEB, "shop-mailer.service"} and len(manager.words("stop")) == 1
    assert service.resume(call).facts == {"worker": True}
    assert manager.running == {WEB, "shop-mailer.service", *ITS} - {"shop-nightly.service"}
    assert len(manager.words("start")) == 1
    manager = played(monkeypatch, *ITS[1:], failing=True)
    with pytest.raises(
        Failed, match=r"shop-nightly\.timer, shop-worker\.2\.service, shop-worker\.service: found still running"
    ):
        service.quiesce(call)


def test_a_start_that_fails_names_the_one_that_does_not_run(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = played(monkeypatch, failing=True)
    lies(call.layout.root, "shop-zebra.service")
    with pytest.raises(Failed, match=r"unit shop-zebra\.service: found systemctl start ended"):
        service.resume(call)
    assert manager.words("start")


@pytest.mark.parametrize(
    ("role", "running", "works"),
    [
        ("primary", ITS[1:], True),
        ("primary", ITS[1:3], False),
        ("standby", (), False),
        ("standby", ITS[3:], True),
        ("standby", ITS[:1], True),
    ],
)
def test_status_says_whether_all_of_it_works_or_any(
    call: Call, monkeypatch: pytest.MonkeyPatch, role: str, running: tuple[str, ...], works: bool
) -> None:
    Role(site="a", peer="b", role=role, epoch=4).write(call.layout)  # type: ignore[arg-type]
    played(monkeypatch, *running)
    facts = status.status(call).facts
    assert facts["worker"] is works
    assert {name for name, runs in facts["processes"].items() if runs} == {*running}
    assert WEB not in facts["processes"]
    assert facts["placed"] == []
    for name in ("a" * 64, "b" * 64, f"{'c' * 64}.partial", "manual"):
        call.layout.at(f"/opt/shop/releases/{name}").mkdir(parents=True)
    assert sorted(status.status(call).facts["placed"]) == ["a" * 64, "b" * 64], "what is half there is none"


def test_a_manager_that_does_not_say_is_no_word_that_a_unit_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "run", lambda argv, **_: Done(124, "ActiveState=active\n", ""))
    assert Systemd().look(["a", "b"]) == {"a": Look(), "b": Look()}
    assert not Look().down and not Look().active


def test_no_word_of_the_shops_is_taken_for_haproxys_own() -> None:
    desired = Desired.read(document())
    text = caches.config(desired)
    sent = bytes.fromhex(text.partition("tcp-check send-binary ")[2].split()[0])
    password = desired.cache_password.encode()
    assert sent == b"*3\r\n$4\r\nAUTH\r\n$4\r\nshop\r\n$%d\r\n%s\r\n" % (len(password), password)
    assert desired.cache_password not in text and worker("a") not in text
    servers = [line.split() for line in text.splitlines() if line.startswith("  server ")]
    assert servers == [
        ["server", "cache-1.a", "10.100.0.21:6379", "verifyhost", "cache-1.a.dr.internal"],
        ["server", "cache-1.b", "10.100.0.121:6379", "verifyhost", "cache-1.b.dr.internal", "backup"],
    ]
    assert GUARDED not in caches.UNIT


def looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, down: tuple[str, ...], **told: object) -> App:
    """The app of a host on which some units do not run."""
    (tmp_path / RELEASE.lstrip("/")).mkdir(parents=True)
    (tmp_path / RELEASE.lstrip("/") / "Procfile").write_text(PROCFILE)
    monkeypatch.setattr(well, "healthy", lambda layout: True)
    states = {unit: Look("failed" if unit in down else "active") for unit in (*ALL, "shop-mailer.service")}
    monkeypatch.setattr(Systemd, "look", lambda self, units: {unit: states[unit] for unit in units})
    return App(Desired.read(document(**told)), Layout(tmp_path), Systemd(), Log(io.StringIO(), "app converge"))


@pytest.mark.parametrize("unit", [WORKER, CACHES_UNIT])
def test_a_process_that_does_not_run_is_a_failure_of_the_call_behind_the_proof_and_of_no_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    app = looked_at(tmp_path, monkeypatch, (unit,))
    with pytest.raises(Failed, match=f"not well: {unit}"):
        app.verify(SERVING)
    app.wanted = replace(app.wanted, turn=True)
    assert app.verify(SERVING)["role"] == "primary"


def test_a_worker_that_is_left_in_the_standby_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = looked_at(tmp_path, monkeypatch, (WORKER,), active="b")
    assert app.verify(replace(SERVING, left=()))["role"] == "standby"
    with pytest.raises(Failed, match=r"shop-worker\.service in the standby site"):
        app.verify(SERVING)
