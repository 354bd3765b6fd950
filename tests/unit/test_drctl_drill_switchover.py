"""`drctl drill switchover`: there, a while, and home, each way a move like any other; what it refuses changes nothing, and what comes of it is recorded."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from contract.epoch import Epoch
from contract.errors import ExitCode, Refused
from contract.report import Event
from scripts.clients.compute import Sight as Servers
from scripts.clients.server_states import Size
from scripts.ctl import cli
from scripts.ctl.commands import drill_switchover, move
from scripts.ctl.moves.plan import plan as plain
from scripts.ctl.reports import book
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Entrance, Survey
from tests.unit.played_survey import DARK, changed, servers, well
from tests.unit.test_moves import FAILED_RUN, ITS, WELL, World, world

__all__ = ["world"]  # fixture
NOW = datetime.datetime(2026, 11, 29, 3, 0, tzinfo=datetime.UTC)


def seen(epoch: int, active: str) -> Survey:
    survey = well(ITS)
    assert survey.newest.value is not None
    newest = replace(survey.newest.value, epoch=epoch, active=active, previous=None)
    entrances = {
        site: replace(it, entrance=Known(value=Entrance(site=active, seconds=0.1, ends=NOW + datetime.timedelta(99))))
        for site, it in survey.regions.items()
    }
    return replace(survey, newest=Known(value=newest), regions=entrances)


@pytest.fixture
def pair(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Each run of the region that is asked for claims the next epoch; `well` of what is against a way is that of the first survey."""

    def moved(stack: Stack) -> None:
        site, (_, request, _) = stack.name[-1], world.runs[-1]
        assert world.epoch is not None
        if site == request and site != world.epoch.active and world.ends.get(stack.name, WELL).ok:
            world.epoch = replace(world.epoch, epoch=world.epoch.epoch + 1, active=site, previous=None)
            world.survey = seen(world.epoch.epoch, site)

    def planned(kind: Any, target: str, survey: Survey, settings: Any, findings: Any) -> Any:
        """What the checks say of roles is the other tests' matter."""
        away = survey.newest.value is not None and survey.newest.value.active != "a"
        return plain(kind, target, survey, settings, [] if away else findings)

    world.after, world.survey = moved, seen(3, "a")
    for module in (move, drill_switchover):
        monkeypatch.setattr(module, "look", lambda *_, **__: world.survey)
        monkeypatch.setattr(module, "plan", planned)
    monkeypatch.setattr(drill_switchover, "LOOK_S", 0.0)
    monkeypatch.setattr(move, "LOOK_S", 0.0)
    return world


def drilled(pair: World) -> Event:
    (found,) = [it.record.event for it in book.opened(pair.records, ITS).records if it.record.kind == "drill"]  # type: ignore[arg-type]
    assert found is not None
    return found


def ran(*words: str) -> int:
    return cli.main(["drill", "switchover", "--yes", "--hold", "0", *words])


def test_the_shop_moves_there_and_home_and_three_records_are_left(
    pair: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("--reason", "of the quarter") == ExitCode.DONE
    assert [it[:2] for it in pair.runs] == [("region-b", "b"), ("region-a", "b"), ("region-a", "a"), ("region-b", "a")]
    assert {it[2] for it in pair.runs} == {"drill switchover-and-back of the quarter"}
    assert pair.quiet.asked == [("switchover", "b", ()), ("switchover", "a", ())]
    kinds = [it.record.kind for it in book.opened(pair.records, ITS).records]  # type: ignore[arg-type]
    assert kinds == ["move", "move", "drill"]
    it = drilled(pair)
    assert (it.scenario, it.outcome, it.source, it.target) == ("switchover-and-back", "done", "a", "b")
    assert (it.epoch_before, it.epoch) == (3, 5) and it.rto is not None and it.rto.measured_s == 3.0
    assert "there and back: region a sells" in capsys.readouterr().err


def test_a_standby_that_is_too_small_bears_no_drill_though_it_may_be_moved_to(
    pair: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *rest = servers("b", ITS)
    smaller = replace(first, size=Size(cores=1, memory=4096))
    pair.survey = changed(pair.survey, "regions/b/servers", Servers(servers=(smaller, *rest)))
    assert ran() == ExitCode.REFUSED
    told = capsys.readouterr()
    assert "AGAINST  capacity.standby" in told.out and "found 1 reasons against it" in told.err
    assert pair.runs == [] and not pair.records.objects


def test_what_stands_against_a_switchover_stands_against_a_drill(pair: World) -> None:
    pair.survey = changed(pair.survey, "regions/b/hosts/db-1/postgres/streaming", False)
    assert ran() == ExitCode.REFUSED and pair.runs == []


def test_a_dry_run_shows_both_ways_and_changes_nothing(pair: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran("--dry-run") == ExitCode.DONE
    assert "then: away for 0 s, and back the same way" in capsys.readouterr().out
    assert pair.runs == [] and not pair.records.objects


def test_without_a_terminal_nobody_agrees_and_another_plan_is_refused(pair: World) -> None:
    assert cli.main(["drill", "switchover", "--hold", "0"]) == ExitCode.USAGE
    assert cli.main(["drill", "switchover", "--hold", "0", "--plan", "0" * 12]) == ExitCode.REFUSED
    assert pair.runs == []


def test_a_first_move_that_fails_ends_it_where_the_shop_was(pair: World) -> None:
    pair.ends["region-b"] = FAILED_RUN
    assert ran() == ExitCode.FAILED
    assert [it[0] for it in pair.runs] == ["region-b"]
    assert drilled(pair).outcome == "failed"


def test_a_first_move_whose_old_region_does_not_follow_leaves_the_shop_away_and_says_so(
    pair: World, capsys: pytest.CaptureFixture[str]
) -> None:
    pair.ends["region-a"] = FAILED_RUN
    assert ran() == ExitCode.PARTIAL
    assert (
        len(pair.runs) == 2
        and "region b is active; see `drctl check`, then `drctl failback a`" in capsys.readouterr().err
    )
    assert (drilled(pair).outcome, drilled(pair).epoch) == ("partial", 4)


def test_a_way_home_that_fails_says_how_it_comes_home(pair: World, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(stack: Stack) -> None:
        if len(pair.runs) == 3:
            pair.ends["region-a"] = FAILED_RUN
        moved(stack)

    moved, pair.after = pair.after, fails
    assert ran() == ExitCode.PARTIAL
    assert "`drctl failback a`" in capsys.readouterr().err
    assert (drilled(pair).outcome, drilled(pair).epoch) == ("partial", 4)


@pytest.mark.parametrize(("epoch", "active"), [(5, "a"), (6, "b")])
def test_somebody_who_moves_the_shop_meanwhile_is_left_alone(
    pair: World, capsys: pytest.CaptureFixture[str], epoch: int, active: str
) -> None:
    def taken(stack: Stack) -> None:
        moved(stack)
        if len(pair.runs) == 2:
            pair.epoch = Epoch(epoch=epoch, active=active, previous=None, planned=True)
            pair.survey = seen(epoch, active)

    moved, pair.after = pair.after, taken
    assert ran() == ExitCode.PARTIAL
    assert len(pair.runs) == 2 and "drctl failback a" in capsys.readouterr().err


def test_a_region_that_does_not_sell_while_it_leads_is_left_at_once_and_that_is_recorded(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_switchover, "look", lambda *_, **__: replace(pair.survey, regions={
        site: replace(it, entrance=DARK) if pair.epoch and pair.epoch.active == "b" else it for site, it in pair.survey.regions.items()
    }))  # fmt: skip
    assert ran("--hold", "3600") == ExitCode.DONE
    it = drilled(pair)
    assert it.outcome == "done" and "region b's entrance while it was active" in it.deviations[0]


def test_ctrl_c_while_it_is_away_takes_it_home(pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(drill_switchover, "_hold", interrupted)
    assert ran("--hold", "3600") == ExitCode.DONE
    assert [it[:2] for it in pair.runs][-2:] == [("region-a", "a"), ("region-b", "a")]
    assert drilled(pair).deviations == ("ended before its time by the operator, and taken home",)


def test_what_stands_against_the_way_home_is_waited_for(pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
    good, asked = move.planned, list[str]()

    def planned(it: Any, kind: Any, target: str) -> Any:
        found = good(it, kind, target)
        asked.append(target)
        against = [
            finding
            for finding in judge(changed(well(ITS), "regions/b/hosts/db-1/postgres/streaming", False), ITS)
            if finding.blocks
        ]
        return replace(found, against=tuple(against)) if asked.count("a") in (1, 2) and target == "a" else found

    monkeypatch.setattr(move, "planned", planned)
    assert ran() == ExitCode.DONE
    assert asked.count("a") == 4, "twice not yet, then well, then its own plan"


@pytest.mark.parametrize(
    ("window", "hold", "at", "fits"),
    [
        ("02:00-04:00", 900, NOW, True),
        ("02:00-03:20", 900, NOW, False),  # both ways take their time
        ("03:01-05:00", 900, NOW, False),  # not begun
        ("23:00-04:00", 900, NOW, True),  # over midnight
        ("23:00-04:00", 900, NOW.replace(hour=22), False),
        ("03:00-03:00", 0, NOW, False),
    ],
)
def test_all_of_it_is_in_the_window_or_it_does_not_begin(
    pair: World, window: str, hold: int, at: datetime.datetime, fits: bool
) -> None:
    if fits:
        drill_switchover.in_window(window, hold, 2 * drill_switchover.WAY_S, at)
    else:
        with pytest.raises(Refused, match="nothing was changed"):
            drill_switchover.in_window(window, hold, 2 * drill_switchover.WAY_S, at)
    assert pair.runs == []


def test_a_question_that_is_answered_behind_the_window_begins_nothing(
    pair: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [NOW, NOW + datetime.timedelta(hours=2)]
    monkeypatch.setattr(drill_switchover, "clock", lambda: times.pop(0))
    assert ran("--window", "02:00-04:00") == ExitCode.REFUSED
    assert pair.runs == [] and "it is 05:00 UTC" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--window", "2-4"], ["--window", "24:00-25:00"], ["--hold", "-1"], ["--hold", "90000"]]
)
def test_what_is_no_window_and_no_time_is_usage(pair: World, words: list[str]) -> None:
    assert cli.main(["drill", "switchover", "--yes", *words]) == ExitCode.USAGE and pair.runs == []
