"""`drctl reboot`: the standby's hosts begin anew one after the other, and one that does not come back is the last that was touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from subprocess import CompletedProcess
from typing import Any

import pytest

from contract.epoch import Epoch
from contract.errors import ExitCode, Partial, Refused
from contract.services.commits import Mode
from scripts.clients.hosts import Unreachable
from scripts.ctl import cli
from scripts.ctl.commands import reboot
from scripts.ctl.moves import recorded
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Survey
from tests.unit import played_survey
from tests.unit.played_quiet import Quiet

ITS = played_survey.settings()
HOSTS = ["app-1.b", "app-2.b", "cache-1.b", "db-1.b", "control-1.b"]


class World:
    """Both regions. `stays`: a host that does not begin anew; `breaks`: by host, the path of what is worse once it has, and its value."""

    def __init__(self) -> None:
        self.seen = played_survey.well(ITS)
        for name in ("app-1", "db-1"):
            self.spoil(f"regions/b/hosts/{name}/reboot_due", True)
        self.done: list[str] = []
        self.noted: list[dict[str, Any]] = []
        self.stays, self.cut, self.code = "", False, 0
        self.at_work, self.held = False, False
        self.breaks: dict[str, tuple[str, Any]] = {}
        self.looks, self.pauses = 0, 0
        self.mends_after: int | None = None  # looks after which nothing is worse any more
        self.whole = self.seen
        self.quiet = Quiet()
        assert self.seen.newest.value is not None
        self.epoch, self.moved_behind, self.lost_behind = self.seen.newest.value, -1, -1  # by so many hosts

    def newest(self, _: Any) -> Epoch:
        if 0 <= self.moved_behind <= len(self.done):
            return replace(self.epoch, epoch=self.epoch.epoch + 1, active="b", previous="a")
        return self.epoch

    def still(self, _: Any) -> None:
        if 0 <= self.lost_behind <= len(self.done):
            raise Partial("stack region-b: its lease belongs to bob by now")

    def spoil(self, path: str, value: Any) -> None:
        self.seen = played_survey.changed(self.seen, path, value)

    def look(self, *_: Any, **__: Any) -> Survey:
        self.looks += 1
        if self.mends_after is not None and self.pauses > self.mends_after:
            self.seen, self.mends_after = self.whole, None
        return self.seen

    def lease(self, place: Any, site: str, what: str, _: Any, *, tell: Any) -> World:
        assert what == "reboot"
        return self

    def __enter__(self) -> World:
        if self.at_work:
            raise Refused("stack region-b: bob is at work there")
        self.held = True
        return self

    def __exit__(self, *_: object) -> None:
        self.held = False

    def rest(self, _: float) -> None:
        self.pauses += 1

    def clock(self) -> float:
        return self.pauses * reboot.LOOK_S

    @contextmanager
    def way(self, _: Any, host: str, person: str) -> Iterator[Any]:
        assert person == "eve"
        world = self

        class Found:
            via = "b"
            hosts: Any = None

            def execute(self, name: str, via: str, line: str, stdin: bytes, limit_s: int) -> CompletedProcess[bytes]:
                return world.rebooted(name, line)

        found = Found()
        found.hosts = found
        yield found
        assert host

    def rebooted(self, host: str, line: str) -> CompletedProcess[bytes]:
        assert line == "systemctl --no-block reboot" and self.held
        assert self.quiet.now == "reboot" and self.quiet.asked[-1] == ("reboot", "b", (host,))
        self.done.append(host)
        name, _, site = host.partition(".")
        if host != self.stays and not self.code:
            self.spoil(f"regions/{site}/hosts/{name}/boot", f"new-{len(self.done)}")
            self.spoil(f"regions/{site}/hosts/{name}/reboot_due", False)
            self.whole = self.seen
        if host in self.breaks:
            self.spoil(*self.breaks[host])
        if self.cut:
            raise Unreachable("the connection was closed")
        return CompletedProcess([], self.code, b"", b"")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(reboot, "look", it.look)
    monkeypatch.setattr(reboot, "RunLease", it.lease)
    monkeypatch.setattr(recorded, "in_force", it.newest)
    monkeypatch.setattr(reboot, "way", it.way)
    monkeypatch.setattr(reboot, "quiet", it.quiet.quiet)
    monkeypatch.setattr(reboot, "_tell", lambda _, __, why, hosts: it.noted.append({"hosts": hosts, "why": why}))
    monkeypatch.setattr("scripts.ctl.commands.reboot.time.sleep", it.rest)
    monkeypatch.setattr("scripts.ctl.commands.reboot.time.monotonic", it.clock)
    return it


def begun(*words: str) -> int:
    return cli.main(["reboot", "b", "--yes", "--person", "eve", *words])


def test_hosts_that_are_due_begin_anew_one_after_the_other_and_no_other_does(world: World) -> None:
    assert begun("--reason", "libc", "--ticket", "7") == ExitCode.DONE
    assert world.done == ["app-1.b", "db-1.b"]
    assert world.noted == [{"hosts": ("app-1.b", "db-1.b"), "why": "libc ticket 7"}]
    assert not world.quiet.now and world.quiet.whys == ["libc ticket 7", "libc ticket 7"]
    assert world.quiet.seconds == [660.0, 660.0], "as long as each may take"


def test_a_region_that_sells_by_now_is_not_rebooted_though_it_was_the_standby_when_that_was_asked(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.moved_behind = 0
    assert begun() == ExitCode.REFUSED
    said = capsys.readouterr().err
    assert world.done == [] and "region b active, wanted 3, region a active" in said and "nothing was changed" in said


@pytest.mark.parametrize(
    ("name", "says"), [("moved_behind", "the shop was moved since"), ("lost_behind", "belongs to bob")]
)
def test_nor_are_its_other_hosts_where_the_shop_was_moved_or_the_lease_lost_between_two(
    world: World, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    setattr(world, name, 1)
    assert begun() == ExitCode.PARTIAL
    said = capsys.readouterr().err
    assert world.done == ["app-1.b"] and says in said
    assert said.count("app-1.b have begun anew, and no host behind them was touched") == 1
    assert "nothing was changed" not in said


def test_all_of_them_begin_anew_when_told_and_the_bastion_is_the_last(world: World) -> None:
    assert begun("--all") == ExitCode.DONE
    assert world.done == HOSTS


def test_one_by_name_begins_anew_due_or_not(world: World) -> None:
    assert begun("--host", "cache-1") == ExitCode.DONE
    assert world.done == ["cache-1.b"]


def test_nothing_is_done_where_nothing_is_due(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("app-1", "db-1"):
        world.spoil(f"regions/b/hosts/{name}/reboot_due", False)
    assert begun() == ExitCode.DONE
    assert not world.done and not world.noted and "nothing was done" in capsys.readouterr().out


def test_a_dry_run_says_which_and_touches_none(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert begun("--dry-run") == ExitCode.DONE
    assert not world.done and not world.noted and "app-1.b, db-1.b" in capsys.readouterr().out


def test_a_host_that_does_not_say_whether_it_is_due_is_not_passed_over(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.spoil("regions/b/hosts/cache-1/reboot_due", None)
    assert begun() == ExitCode.REFUSED
    assert not world.done and "cache-1.b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("newest", Known(why="the witness is silent"), "nobody knows which region is active"),
        ("regions/b/hosts/db-1/postgres/in_recovery", False, "db-1.b"),
        ("regions/b/servers", Known(why="no answer"), "servers.on"),
    ],
)
def test_a_pair_that_could_not_do_without_is_left_alone(
    world: World, capsys: pytest.CaptureFixture[str], path: str, value: Any, said: str
) -> None:
    world.spoil(path, value)
    assert begun() == ExitCode.REFUSED
    assert not world.done and not world.noted and said in capsys.readouterr().err


def test_the_active_regions_hosts_are_not_touched(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reboot", "a", "--all", "--yes", "--person", "eve"]) == ExitCode.REFUSED
    assert not world.done and "`drctl switchover b` first" in capsys.readouterr().err


def test_a_shop_that_waits_for_its_standby_is_not_made_to_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = replace(ITS, postgres=replace(ITS.postgres, mode=Mode.SYNC))
    monkeypatch.setattr(Stack, "settings", lambda _: waiting)
    assert begun() == ExitCode.REFUSED
    assert not world.done and "dr:postgres.mode is sync" in capsys.readouterr().err


def test_a_host_that_stays_in_its_boot_ends_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.stays = "app-1.b"
    assert begun("--minutes", "1") == ExitCode.FAILED
    assert world.done == ["app-1.b"] and world.pauses * reboot.LOOK_S > 60
    assert "still in the boot of before" in capsys.readouterr().err


def test_what_is_worse_than_before_ends_it_however_well_the_host_boots(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.breaks["app-1.b"] = ("regions/b/hosts/app-1/app/healthy", False)
    assert begun("--minutes", "1") == ExitCode.FAILED
    assert world.done == ["app-1.b"]
    assert "app-1.b" in capsys.readouterr().err


def test_what_is_worse_for_a_while_is_waited_for(world: World) -> None:
    world.breaks["app-1.b"] = ("regions/b/hosts/db-1", Known(why="no answer"))
    world.mends_after = 3
    assert begun() == ExitCode.DONE
    assert world.done == ["app-1.b", "db-1.b"] and world.pauses >= 3


def test_what_was_not_well_before_holds_nothing_up(world: World) -> None:
    world.spoil("regions/a/hosts/app-1/failed", ("logrotate.service",))
    assert begun() == ExitCode.DONE
    assert world.done == ["app-1.b", "db-1.b"]


def test_a_connection_that_goes_with_the_host_is_no_failure(world: World) -> None:
    world.cut = True
    assert begun() == ExitCode.DONE
    assert world.done == ["app-1.b", "db-1.b"]


def test_a_host_that_refuses_to_go_ends_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.code = 1
    assert begun() == ExitCode.FAILED
    assert world.done == ["app-1.b"] and "ended with 1" in capsys.readouterr().err


def test_a_name_that_is_none_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert begun("--host", "db-9") == ExitCode.USAGE
    assert not world.done and "'db-9'" in capsys.readouterr().err


def test_nothing_is_done_while_somebody_works_at_that_stack(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.at_work = True
    assert begun() == ExitCode.REFUSED
    assert not world.done and "bob is at work" in capsys.readouterr().err


def test_the_stack_is_free_again_however_it_ends(world: World) -> None:
    world.code = 1
    assert begun() == ExitCode.FAILED
    assert not world.held
