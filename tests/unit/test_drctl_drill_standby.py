"""`drctl drill standby`: the standby's servers are stopped and started again, however it ends; what it refuses changes nothing; it is recorded."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import ExitCode
from contract.services.commits import Mode
from scripts.clients.compute import Sight as Servers
from scripts.clients.openstack import ApiDown
from scripts.clients.server_states import Server
from scripts.ctl import cli
from scripts.ctl.commands import drill_standby, drill_switchover
from scripts.ctl.moves import recorded
from scripts.ctl.reports import book, writing
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Survey
from tests.unit import played_survey
from tests.unit.played_quiet import Quiet

ITS = played_survey.settings()
NAMES = ITS.leased_servers("b")


class World:
    """Region a is active. Servers stop and start at once, unless `stuck` says otherwise; `after`: what is worse once they are back, until so many pauses."""

    def __init__(self) -> None:
        self.seen = self.whole = played_survey.well(ITS)
        self.servers = {name: Server(id=f"id-{name}", name=name, status="ACTIVE", power=1) for name in NAMES}
        self.asked, self.records, self.held = list[str](), list[Any](), False
        self.stuck: set[str] = set()  # actions that are taken and change nothing
        self.refused: dict[str, str] = {}  # by action: the platform's words
        self.down = False
        self.now, self.pauses = 0.0, 0
        self.well_after = 2
        self.interrupt_at: int | None = None
        self.quiet = Quiet()
        self.instead: Callable[[Any], Survey] | None = None
        assert self.seen.newest.value is not None
        self.epoch = self.seen.newest.value

    # --- the platform
    def compute(self, *_: Any) -> World:
        return self

    def connect(self) -> None:
        if self.down:
            raise ApiDown("compute of GRA: no answer")

    def look_at(self, names: Any, ids: Any) -> Servers:
        self.connect()
        return Servers(servers=tuple(self.servers.values()))

    def act(self, server: Server, action: str) -> str:
        assert self.held and self.quiet.now == "standby"
        self.asked.append(f"{action} {server.name}")
        if action in self.refused:
            return self.refused[action]
        if action not in self.stuck:
            assert server.name is not None
            on = action == "os-start"
            self.servers[server.name] = replace(server, status="ACTIVE" if on else "SHUTOFF", power=1 if on else 4)
        return ""

    # --- the survey
    def look(self, *_: Any, sites: Any = "ab", **__: Any) -> Survey:
        if self.instead is not None:
            return self.instead(sites)
        away = any(it.status != "ACTIVE" for it in self.servers.values())
        back = self.asked and self.asked[-1].startswith("os-start") and self.pauses < self.well_after
        return (
            self.seen
            if not (away or back) or sites != "ab"
            else played_survey.changed(self.seen, "regions/b/hosts/db-1", None)
        )

    # --- the run
    def lease(self, place: Any, site: str, what: str, _: Any, *, tell: Any) -> World:
        assert (site, what) == ("b", "drill standby")
        return self

    def __enter__(self) -> None:
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False

    def rest(self, seconds: float) -> None:
        self.now += seconds
        self.pauses += 1
        if self.pauses == self.interrupt_at:
            raise KeyboardInterrupt


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    for name, played in (
        ("look", it.look),
        ("RunLease", it.lease),
        ("quiet", it.quiet.quiet),
        ("Compute", lambda *_: Api(it)),
    ):
        monkeypatch.setattr(drill_standby, name, played)
    monkeypatch.setattr(recorded, "in_force", lambda _: it.epoch)
    monkeypatch.setattr(writing, "write", lambda _, made, __: it.records.append(made))
    monkeypatch.setattr(book, "draft", lambda _, *, event: event)
    monkeypatch.setattr(drill_standby, "time", SimpleNamespace(sleep=it.rest, monotonic=lambda: it.now))
    return it


class Api:
    """What `Compute` is, of the played platform."""

    def __init__(self, world: World) -> None:
        self.connect, self.look, self.act = world.connect, world.look_at, world.act


def drilled(*words: str) -> int:
    return cli.main(["drill", "standby", "--hold", "20", *words])


STOPS, STARTS = [f"os-stop {it}" for it in NAMES], [f"os-start {it}" for it in NAMES]


def test_a_question_that_is_answered_behind_the_window_begins_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [datetime.datetime(2026, 11, 29, hour, tzinfo=datetime.UTC) for hour in (3, 5)]
    monkeypatch.setattr(drill_switchover, "clock", lambda: times.pop(0))
    assert drilled("--yes", "--window", "02:00-04:00") == ExitCode.REFUSED
    assert world.asked == [] and world.records == [] and "it is 05:00 UTC" in capsys.readouterr().err


def test_the_power_of_a_region_that_sells_by_now_is_not_cut(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The question may have stood on the terminal for an hour."""
    world.epoch = replace(world.epoch, epoch=world.epoch.epoch + 1, active="b", previous="a")
    assert drilled("--yes") == ExitCode.REFUSED
    assert world.asked == [] and world.records == [] and world.quiet.asked == []
    assert "the shop was moved since; nothing was changed" in capsys.readouterr().err


def test_they_go_and_come_back_and_it_is_recorded(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert drilled("--yes", "--reason", "of the quarter") == ExitCode.DONE
    assert world.asked == [*STOPS, *STARTS] and not world.held
    leased = tuple(f"{name}.b" for name in ("db-1", "cache-1", "app-1", "app-2"))
    assert not world.quiet.now and [it[:2] for it in world.quiet.asked] == [("standby", "b")]
    assert set(world.quiet.asked[0][2]) <= set(leased) and len(world.quiet.asked[0][2]) == len(NAMES)
    (event,) = world.records
    assert (event.scenario, event.outcome, event.source, event.target) == ("standby-lost", "done", "a", "b")
    assert event.rto.measured_s is not None and event.reason == "of the quarter" and event.deviations == ()
    assert "for 20 s, 20 s wanted, 4 looks" in event.warnings[0]
    assert "region b: back and as it was" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--dry-run"], []])
def test_nothing_is_touched_without_a_word(world: World, words: list[str]) -> None:
    assert drilled(*words) == (ExitCode.DONE if words else ExitCode.USAGE)
    assert world.asked == [] and world.records == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("regions/b/hosts/db-1", None, "so nothing was done"),
        ("newest", Known(why="no answer"), "nobody knows which region is active"),
    ],
)
def test_a_standby_that_is_not_well_is_left_alone(
    world: World, capsys: pytest.CaptureFixture[str], path: str, value: Any, said: str
) -> None:
    world.seen = (
        played_survey.changed(world.seen, path, value) if path != "newest" else replace(world.seen, newest=value)
    )
    assert drilled("--yes") == ExitCode.REFUSED
    assert world.asked == [] and world.records == [] and said in capsys.readouterr().err


def test_one_whose_loss_would_stop_the_shop_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Stack, "settings", lambda _: replace(ITS, postgres=replace(ITS.postgres, mode=Mode.SYNC)))
    assert drilled("--yes") == ExitCode.REFUSED
    assert world.asked == [] and "no order would be taken" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"status": "SHUTOFF"}, {"task": "rebooting"}, {"locked": True}])
def test_a_server_that_is_not_simply_on_is_left_alone(
    world: World, capsys: pytest.CaptureFixture[str], change: dict[str, Any]
) -> None:
    world.servers[NAMES[0]] = replace(world.servers[NAMES[0]], **change)
    world.instead = lambda _: world.whole
    assert cli.main(["drill", "standby", "--yes"]) == ExitCode.REFUSED
    assert world.asked == [] and "ACTIVE and unlocked; nothing was changed" in capsys.readouterr().err


def test_a_silent_platform_is_asked_for_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.down = True
    assert drilled("--yes") == ExitCode.FAILED
    assert world.asked == [] and "nothing was changed" in capsys.readouterr().err
    assert world.records[0].outcome == "failed"


@pytest.mark.parametrize("how", ["refused", "stuck"])
def test_servers_that_do_not_stop_are_started_again(world: World, capsys: pytest.CaptureFixture[str], how: str) -> None:
    if how == "refused":
        world.refused["os-stop"] = "409 Conflict"
    else:
        world.stuck.add("os-stop")
    assert drilled("--yes") == ExitCode.FAILED
    assert "it is started again" in capsys.readouterr().err
    assert all(it.status == "ACTIVE" for it in world.servers.values()) and world.records[0].outcome == "failed"


def test_servers_that_do_not_start_are_told_with_the_command(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.refused["os-start"] = "no valid host was found"
    assert drilled("--yes") == ExitCode.PARTIAL
    told = capsys.readouterr().err
    assert "no valid host was found" in told and "openstack server start" in told and "has no standby now" in told
    assert world.records[0].outcome == "partial"


def test_a_standby_that_does_not_become_what_it_was_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.well_after = 10**9
    assert drilled("--yes") == ExitCode.PARTIAL
    assert "wanted all as it was" in capsys.readouterr().err and world.records[0].rto.measured_s is None


def test_ctrl_c_ends_the_while_and_starts_them(world: World) -> None:
    world.interrupt_at = 2
    assert drilled("--yes") == ExitCode.DONE
    assert world.asked == [*STOPS, *STARTS] and "before its time" in world.records[0].deviations[0]


def test_a_shop_that_does_not_sell_meanwhile_ends_it(world: World) -> None:
    a = world.seen.regions["a"]
    silent = replace(world.seen, regions={**world.seen.regions, "a": replace(a, entrance=Known(why="no answer"))})
    world.instead = lambda sites: world.whole if sites == "ab" else silent
    assert drilled("--yes") == ExitCode.DONE
    assert "no answer" in world.records[0].deviations[0] and "1 looks meanwhile" in world.records[0].warnings[0]
