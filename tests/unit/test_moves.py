"""Moves by drctl: what is planned, agreed to, run and said; and the engine against a pulumi that is played."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.render import documents
from contract.epoch import Epoch
from contract.errors import ExitCode, Failed
from contract.report import Event, Loss
from scripts.clients.state_copies import Copy
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import arguments, move
from scripts.ctl.moves import engine
from scripts.ctl.moves.engine import Outcome, Step
from scripts.ctl.moves.plan import Kind, plan
from scripts.ctl.reports import book, kept, writing
from scripts.ctl.reports.glance import Glance
from scripts.ctl.reports.recording import Recording
from scripts.ctl.reports.standing import Brief
from scripts.ctl.stacks import state_aside
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Survey
from tests.unit.played_lease import Leases
from tests.unit.played_quiet import Quiet
from tests.unit.played_reports import Shelf, its
from tests.unit.played_survey import DARK, changed, dark, well

ITS = its()
WELL = Outcome(ok=True, code=0, seconds=8.0, errors=(), warnings=())


class World:
    """The shop outside: what is seen, who runs, and how each run ends."""

    def __init__(self) -> None:
        self.survey: Survey = well(ITS)
        self.epoch: Epoch | None = self.survey.newest.value
        self.runs: list[tuple[str, str, str]] = []  # stack, its request, why
        self.silent: list[str] = []  # of each, whom nobody is told of
        self.limited: list[bool] = []  # of each, whether to the role chain
        self.ends: dict[str, Outcome] = {}
        self.witness_why = ""  # it says nothing
        self.after: Any = lambda stack: None  # what a run leaves
        self.links: tuple[str, ...] = (
            "fence",
            "database",
            "the proof that the shop sells",
            "name",
        )  # that a run tells of
        self.records = Shelf()
        self.quiet, self.leases = Quiet(), Leases()
        self.stays: list[bool] = []

    def event(self) -> Event:
        """Of the one record that was made."""
        (signed,) = book.opened(self.records, ITS).records  # type: ignore[arg-type]
        assert signed.record.event is not None
        return signed.record.event

    def newest(self) -> Epoch | None:
        if self.witness_why:
            raise WitnessDown(self.witness_why)
        return self.epoch


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    it = World()

    def up(stack: Stack, watch: engine.Watch, *, why: str = "", limited: bool = False, stays: bool = False) -> Outcome:
        it.stays.append(stays)
        told = yaml.safe_load((stack.folder / f"Pulumi.{stack.name}.yaml").read_text())
        it.runs.append((stack.name, told["config"]["dr:failover_region"], why))
        it.limited.append(limited)
        it.silent.append(it.quiet.now)
        for number, link in enumerate(it.links):
            watch(Step(link=link, state="begun", at_s=float(number)))
            watch(Step(link=link, state="done", at_s=number + 1.0))
        it.after(stack)
        return it.ends.get(stack.name, WELL)

    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(move, "look", lambda *_, **__: it.survey)
    monkeypatch.setattr(move, "quiet", it.quiet.quiet)
    monkeypatch.setattr(move, "RunLease", it.leases.lease)
    for module in (move, writing):
        monkeypatch.setattr(module, "Witness", lambda *_, **__: it)
    monkeypatch.setattr(writing, "ReportBucket", lambda *_, **__: it.records)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setattr(engine, "up", up)
    monkeypatch.setattr(state_aside, "silence", lambda _: "")
    monkeypatch.setattr(arguments, "PROJECT", tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for site in "ab":
        text = f"# kept\nconfig:\n  dr:site: {site}\n  dr:failover_region: a  # this one goes\n"
        (tmp_path / f"Pulumi.region-{site}.yaml").write_text(text)
    return it


def digest(kind: Kind, target: str = "b") -> str:
    survey = well(ITS)
    return plan(kind, target, survey, ITS, judge(survey, ITS)).digest


class PlayedAside:
    """In the place of `Aside`; `did`: in order."""

    def __init__(self, stack: Stack, digest: str) -> None:
        self.stack, self.of, self.did = (
            stack,
            Copy(site="b", at=time.time() - 7300, digest=digest.ljust(64, "0")),
            list[str](),
        )

    def make(self) -> Stack:
        self.did.append("made")
        return replace(self.stack, environment={"PULUMI_BACKEND_URL": "file:///aside"})

    def keep(self, _: Any) -> None:
        self.did.append("kept")


@pytest.fixture
def aside(monkeypatch: pytest.MonkeyPatch) -> list[PlayedAside]:
    """Those that were chosen."""
    found = list[PlayedAside]()

    def chosen(_: Any, stack: Stack, __: str, digest: str, mute: str) -> PlayedAside:
        assert "does not answer" in mute
        found.append(PlayedAside(stack, digest))
        return found[-1]

    monkeypatch.setattr(state_aside.Aside, "chosen", chosen)
    monkeypatch.setattr(state_aside, "silence", lambda _: "Pulumi's backend, bucket shop-state: does not answer")
    return found


def test_a_plan_says_that_the_backend_is_silent_and_what_to_type(
    world: World, aside: list[PlayedAside], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["failover", "b", "--dry-run"]) == ExitCode.DONE
    told = capsys.readouterr().err
    assert "bucket shop-state: does not answer" in told and "`drctl state list --site b`" in told
    assert "--state-copy" in told and (world.runs, aside) == ([], [])


def test_a_backend_that_hangs_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    held = threading.Event()
    monkeypatch.setattr(state_aside, "silence", lambda _: str(held.wait(60)))
    monkeypatch.setattr(move, "BACKEND_S", 0.2)
    try:
        assert cli.main(["failover", "b", "--dry-run"]) == ExitCode.DONE
    finally:
        held.set()
    assert "no answer within 0.2 s; the run waits for it in vain" in capsys.readouterr().err


def test_a_failover_without_the_backend_runs_with_the_copy_and_keeps_it_however_it_ends(
    world: World, aside: list[PlayedAside], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["failover", "b", "--state-copy", "3f9c12ab45de"]
    assert cli.main([*asked, "--dry-run"]) == ExitCode.DONE
    assert "state: copy 3f9c12ab45de, made 2 h ago" in capsys.readouterr().out and aside[0].did == []
    places = list[Any]()
    world.after = lambda stack: places.append(stack.environment)
    assert cli.main([*asked, "--yes"]) == ExitCode.DONE
    assert aside[1].did == ["made", "kept"] and places == [{"PULUMI_BACKEND_URL": "file:///aside"}]
    assert any("backend was silent" in it for it in world.event().deviations)
    world.ends["region-b"] = replace(WELL, ok=False, code=255, errors=("the fence cannot be sure",))
    assert cli.main([*asked, "--yes"]) != ExitCode.DONE
    assert aside[2].did == ["made", "kept"]
    for more, did in ((["--dry-run"], []), ([], ["made", "kept"])):
        cli.main([*asked, "--resume", *more])
        assert aside.pop().did == did


def test_a_switchover_runs_the_target_and_then_has_the_other_region_follow(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = cli.main(["switchover", "b", "--yes", "--reason", "new kernel", "--ticket", "42"])
    assert done == ExitCode.DONE
    assert world.runs == [("region-b", "b", "new kernel ticket 42"), ("region-a", "b", "new kernel ticket 42")]
    told = capsys.readouterr()
    assert world.silent == ["switchover", "switchover"] and world.quiet.whys == ["new kernel ticket 42"]
    assert "region a to region b, epoch 3 to 4" in told.out and "loss: none" in told.out
    assert "fence: done" in told.err and "region b sells; the run took 8.0 s" in told.err
    assert (tmp_path / "Pulumi.region-a.yaml").read_text().startswith("# kept\n"), "the file is as it was but for that"


def test_a_planned_move_waits_for_a_deploy_and_a_failover_for_nobody(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.leases.other = "ann at desk (deploy since noon)"
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.REFUSED
    assert not world.runs and "ann at desk" in capsys.readouterr().err
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    assert [it[0] for it in world.runs] == ["region-b"] and not world.leases.taken


def test_a_move_that_was_suspended_while_another_was_begun_tells_the_region_that_was_left_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.leases.lost_at = 1
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.PARTIAL
    assert [it[0] for it in world.runs] == ["region-b"]
    said = capsys.readouterr().err
    assert "region a: was not told to follow, because both regions: its lease belongs to ann" in said
    assert "`drctl rejoin a` has it follow" in said


def test_a_switchover_of_a_pair_that_is_not_well_is_refused_with_every_reason_at_once(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = {file: file.read_text() for file in tmp_path.iterdir()}
    spoiled = changed(world.survey, "regions/b/hosts/db-1/postgres/streaming", False)
    world.survey = changed(spoiled, "regions/a/hosts/db-1/postgres/lag_bytes", 2**40)
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.REFUSED
    told = capsys.readouterr()
    assert "AGAINST  pg.replication.streaming" in told.out and "AGAINST  pg.replication.lag" in told.out
    assert "found 2 reasons against it" in told.err and "drctl failover b" in told.err
    assert world.runs == [] and {file: file.read_text() for file in tmp_path.iterdir()} == before


def test_what_nobody_knows_stands_against_a_switchover_and_not_against_a_failover(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.survey = replace(dark(ITS), newest=well(ITS).newest)
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.REFUSED
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    assert world.quiet.asked == [], "nobody is to be quiet about that"
    assert world.runs == [("region-b", "b", "")], "the lost region is not asked"
    assert "database unknown" in capsys.readouterr().out


def test_a_failover_tells_what_is_lost_before_anybody_agrees(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["failover", "b", "--dry-run"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "loss: not received here: database" in told and "plan " in told
    assert world.runs == []


def test_a_plan_says_how_long_the_last_moves_of_its_kind_have_taken(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*records: Brief) -> str:
        world.survey = replace(
            world.survey, reports=Known(value=Glance(records=records, signed={}, breaks=(), waiting=0))
        )
        assert cli.main(["switchover", "b", "--dry-run"]) == ExitCode.DONE
        return next(it for it in capsys.readouterr().out.splitlines() if it.startswith("  time: "))

    def move(number: int, scenario: str, rto_s: float | None, outcome: str = "done", **more: Any) -> Brief:
        good: dict[str, Any] = {"kind": "move", "at": "2026-11-29T10:00:00Z", "digest": "0" * 64, "signer": "drctl"}
        return Brief(number=number, scenario=scenario, rto_s=rto_s, outcome=outcome, **good, **more)

    assert told() == told(move(1, "switchover", None)) == "  time: not known: no move of this kind is recorded"
    assert told(move(1, "failover", 9.0), move(2, "switchover", 3.0, "partial")).endswith(
        "no move of this kind is recorded"
    )
    found = told(move(1, "switchover", 7.0, outage_s=1.25), move(2, "failover", 90.0), move(3, "failback", 8.5))
    assert found == (
        "  time: 8.5 s until a real order was taken, 1.2 s of them without an order: the longest of the last 2 of this kind (records 1, 3)"
    )
    assert "the longest of the last 5" in told(*(move(number, "switchover", 100.0 - number) for number in range(1, 9)))
    world.survey = replace(world.survey, reports=DARK)
    cli.main(["failover", "b", "--dry-run"])
    assert "  time: not known: " in capsys.readouterr().out


def test_a_move_in_the_middle_of_a_deploy_names_both_releases(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["failover", "b", "--dry-run"])
    assert "releases:" not in capsys.readouterr().out, "where all run one, that is no news"
    world.survey = changed(world.survey, "regions/b/hosts/app-2/app/release", f"/opt/shop/releases/{'a' * 64}")
    world.survey = changed(world.survey, "regions/a/hosts/app-1/app/release", None)
    claimed(world)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    line = "  releases: region a runs 1 and what nobody says; region b runs 1 and aaaaaaaaaaaa"
    assert line in capsys.readouterr().out
    it = world.event()
    assert line.strip() in [each.strip() for each in it.plan_lines]
    assert (it.versions["release_of_a"], it.versions["release_of_b"]) == (
        "1 and what nobody says",
        "1 and aaaaaaaaaaaa",
    )


def test_the_lost_regions_next_run_asks_for_what_is_true(world: World, tmp_path: Path) -> None:
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    for site in "ab":
        assert (
            yaml.safe_load((tmp_path / f"Pulumi.region-{site}.yaml").read_text())["config"]["dr:failover_region"] == "b"
        )


@pytest.mark.parametrize(
    ("typed", "code"), [("ann\n\n\n\nb\n", ExitCode.DONE), ("\n\n\n\na\n", ExitCode.REFUSED), ("", ExitCode.USAGE)]
)
def test_the_name_of_the_region_is_typed_at_a_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch, typed: str, code: ExitCode
) -> None:
    typing = io.StringIO(typed)
    monkeypatch.setattr(typing, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typing)
    assert cli.main(["failover", "b"]) == code
    assert bool(world.runs) is (code is ExitCode.DONE)
    assert not world.runs or world.event().approved_by == "ann"


def test_without_a_terminal_nobody_can_agree(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["failover", "b"]) == ExitCode.USAGE
    assert "--plan" in capsys.readouterr().err and world.runs == []


def test_a_plan_that_was_agreed_to_is_that_of_now_or_it_is_refused(world: World) -> None:
    agreed = digest(Kind.FAILOVER)
    assert cli.main(["failover", "b", "--plan", digest(Kind.SWITCHOVER)]) == ExitCode.REFUSED
    assert cli.main(["failover", "b", "--plan", agreed]) == ExitCode.DONE
    newer = replace(world.survey.newest.value, epoch=4) if world.survey.newest.value else None
    world.survey, world.epoch = replace(world.survey, newest=Known(value=newer)), newer
    assert cli.main(["failover", "b", "--plan", agreed]) == ExitCode.REFUSED
    assert len(world.runs) == 1


def test_another_operator_who_was_faster_is_seen_before_anything_is_changed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.epoch is not None
    world.epoch = replace(world.epoch, epoch=4, active="b")
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.REFUSED
    assert "another run was faster" in capsys.readouterr().err and world.runs == []


def test_where_nobody_knows_which_region_is_active_nothing_is_moved(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.survey, world.epoch = replace(world.survey, newest=DARK), None
    for words in (["switchover", "b", "--yes"], ["failover", "b", "--dry-run"], ["failover", "b", "--yes"]):
        assert cli.main(words) == ExitCode.REFUSED
        assert "nobody can tell which region is active" in capsys.readouterr().err and world.runs == []
    world.witness_why = "does not answer"
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.REFUSED
    assert "witness: does not answer, wanted the epoch in force" in capsys.readouterr().err and world.runs == []


def test_a_failover_that_is_agreed_to_beforehand_waits_for_no_host_and_has_its_plan_in_the_record(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, survey = threading.Event(), world.survey
    world.after = lambda _: begun.set()
    monkeypatch.setattr(move, "look", lambda *_, **__: begun.wait(30) and survey)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    told = capsys.readouterr()
    assert "agreed to beforehand" in told.err and "  loss: " in told.out
    assert any(line.startswith("loss: not received") for line in world.event().plan_lines)


def test_a_failover_that_was_not_agreed_to_beforehand_runs_nothing_before_its_plan_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: Any, **__: Any) -> Survey:
        assert world.runs == []
        return world.survey

    monkeypatch.setattr(move, "look", look)
    monkeypatch.setattr("scripts.ctl.output.typed", lambda *_: None)
    assert cli.main(["failover", "b"]) == ExitCode.DONE and len(world.runs) == 1


def test_hosts_that_say_nothing_keep_nobody_from_a_failover(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(*_: Any, **__: Any) -> Survey:
        raise Failed("ssh: no key here")

    monkeypatch.setattr(move, "look", look)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    assert "what would be lost is not told beforehand: ssh: no key here" in capsys.readouterr().err
    lines = world.event().plan_lines
    assert lines[0].startswith("failover of www.shop.example: region a to region b") and "loss: not known" in lines


def test_the_active_region_is_not_moved_to_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["switchover", "a", "--yes"]) == ExitCode.REFUSED
    assert "it is active already (epoch 3)" in capsys.readouterr().err and world.runs == []


FAILED_RUN = Outcome(
    ok=False, code=255, seconds=3.0, errors=("region a: nothing proves that it has stopped writing",), warnings=()
)


def test_a_run_that_fails_with_the_shop_where_it_was_says_who_writes_and_what_to_run(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    world.ends["region-b"] = FAILED_RUN
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.FAILED
    told = capsys.readouterr()
    assert "error: region a: nothing proves that it has stopped writing" in told.err
    assert (
        "region a: its database is a primary, which writes" in told.out
        and "region b: its database is a standby" in told.out
    )
    assert "next: the same command again goes on; `drctl abort` has region a" in told.out
    assert "dr:failover_region: a" in (tmp_path / "Pulumi.region-a.yaml").read_text(), "it stays where it is"


def test_a_run_that_fails_behind_the_claim_has_stopped_part_way(world: World) -> None:
    world.ends["region-b"] = FAILED_RUN
    assert world.epoch is not None
    newer = replace(world.epoch, epoch=4, active="b")
    seen = replace(changed(well(ITS), "regions/a/hosts/db-1/postgres/running", False), newest=Known(value=newer))
    world.after = lambda _: setattr(world, "survey", seen)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.PARTIAL


def test_a_run_that_fails_with_a_silent_witness_has_an_end_that_nobody_knows(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ends["region-b"] = FAILED_RUN
    world.after = lambda _: setattr(world, "survey", dark(ITS))
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.UNKNOWN
    assert "region a: nobody knows" in capsys.readouterr().out


def test_a_region_that_is_back_follows_whoever_is_active(world: World) -> None:
    assert cli.main(["rejoin", "b"]) == ExitCode.DONE
    assert world.runs == [("region-b", "a", "")]
    assert cli.main(["rejoin", "a"]) == ExitCode.REFUSED


def test_failback_waits_until_nothing_stands_against_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move, "LOOK_S", 0.0)
    behind = changed(world.survey, "regions/a/hosts/db-1/postgres/lag_bytes", 2**40)
    seen = iter([behind, behind])
    monkeypatch.setattr(move, "look", lambda *_, **__: next(seen, world.survey))
    assert cli.main(["failback", "b", "--yes"]) == ExitCode.DONE
    assert [run[:2] for run in world.runs] == [("region-b", "a"), ("region-b", "b"), ("region-a", "b")]


def test_abort_runs_the_region_that_is_active_and_nobody_begins_the_move_anew(world: World, tmp_path: Path) -> None:
    world.ends["region-b"] = FAILED_RUN
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.FAILED
    assert cli.main(["abort"]) == ExitCode.DONE
    assert world.runs[1:] == [("region-a", "a", "")]
    for site in "ab":
        assert (
            yaml.safe_load((tmp_path / f"Pulumi.region-{site}.yaml").read_text())["config"]["dr:failover_region"] == "a"
        )


@pytest.mark.parametrize(
    ("words", "limited"),
    [
        (["switchover", "b"], [True, True]),
        (["failover", "b"], [True]),
        (["failback", "b"], [False, True, True]),
        (["switchover", "b", "--with-changes"], [False, False]),
    ],
)
def test_a_move_runs_the_role_chain_alone_and_a_region_that_comes_back_all_of_it(
    world: World, words: list[str], limited: list[bool]
) -> None:
    assert cli.main([*words, "--yes"]) == ExitCode.DONE
    assert world.limited == limited


def test_of_a_host_that_fails_its_own_sentence_is_told_and_not_how_it_was_called() -> None:
    seen = engine.Seen(lambda _: None, 0.0)
    said = "INFO app converge: write /etc/shop/env\nWARNING app converge: it is full\nERROR app converge: web process: found none, wanted one"
    called = "Process exited with status 1: running \"timeout -k 5 1200 sh -c 'pages of it'\":"
    seen.take({"diagnosticEvent": {"severity": "error", "message": f"{called}\n{said}\n"}})
    assert [*seen.errors] == [
        "WARNING app converge: it is full",
        "ERROR app converge: web process: found none, wanted one",
    ]


def test_what_a_move_stands_on_and_nobody_has_made_yet_is_told_with_the_way_out() -> None:
    seen = engine.Seen(lambda _: None, 0.0)
    urn = "urn:pulumi:region-b::shop::dr:region:Host$command:remote:Command::"
    text = f"Resource '{urn}region-app-3-converge' depends on '{urn}region-app-3-server' which was was not specified in --target list."
    seen.take({"diagnosticEvent": {"severity": "error", "message": f"error: {text}\nEither include resource"}})
    (found, *_) = seen.errors
    assert found.startswith("region-app-3-converge: stands on region-app-3-server, which this stack has not made yet")
    assert "--with-changes" in found


def test_a_switchover_that_is_told_to_end_ends_behind_the_run_that_is_under_way(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ends["region-b"] = replace(WELL, interrupted=True)
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.PARTIAL
    assert [run[0] for run in world.runs] == ["region-b"]
    assert "`drctl rejoin a` has it follow" in capsys.readouterr().err


# --- the record of a move

LOSS: dict[str, Any] = {
    "bytes": 4096, "seconds": 2.0, "unseen_s": 0.0, "redis_bytes": 10, "redis": {"offset": 99}, "assets": {
        "replicated_until": 1_796_000_000.0, "unreplicated": {"count": 3, "bytes": 7}
    }, "heartbeat_age_s": 3.0,
}  # fmt: skip


def claimed(world: World, **told: Any) -> None:
    """A run claims the next epoch."""
    assert world.epoch is not None
    good: dict[str, Any] = {
        "epoch": 4,
        "active": "b",
        "previous": "a",
        "planned": False,
        "loss": LOSS,
        "fence": {"rung": 2, "evidence": {"nova": "SHUTOFF"}},
    }
    newer = replace(world.epoch, **good | told)
    world.after = lambda _: setattr(world, "epoch", newer)


def test_a_take_over_leaves_a_record_of_what_was_planned_seen_and_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DR_WHO", "alice")
    claimed(world)
    told = ["--reason", "fire", "--ticket", "7", "--approved-by", "ann", "--witnessed-by", "bob\x1b[2J"]
    assert cli.main(["failover", "b", "--plan", digest(Kind.FAILOVER), *told]) == ExitCode.DONE
    it = world.event()
    assert (it.scenario, it.outcome, it.exit_code, it.plan) == ("failover", "done", 0, digest(Kind.FAILOVER))
    assert (it.ran_by, it.approved_by, it.reason, it.ticket) == (
        "alice",
        "ann",
        "fire",
        "7",
    ) and it.witnessed_by == "bob\\x1b[2J"
    assert (it.source, it.target, it.epoch_before, it.epoch) == ("a", "b", 3, 4) and it.plan_lines
    assert it.fence is not None and (it.fence.rung, it.fence.evidence) == (2, {"nova": "SHUTOFF"})
    assert it.loss is not None and (it.loss.bytes, it.loss.cache_bytes, it.loss.cache_offset, it.loss.assets) == (
        4096,
        10,
        99,
        3,
    )
    assert it.loss.transactions is None and it.loss.assets_until == "2026-11-30T00:53:20Z", (
        "what nobody has counted is unknown"
    )
    assert it.rpo is not None and (it.rpo.declared_s, it.rpo.measured_s) == (30, 2.0)
    assert it.rto is not None and it.rto.measured_s is not None and it.rto.measured_s < 60
    assert [(stage.site, stage.link, stage.state) for stage in it.timeline][:2] == [
        ("b", "fence", "done"),
        ("b", "database", "done"),
    ]
    assert it.versions["drctl"] and it.deviations == ()


def test_a_switchover_has_two_runs_and_no_loss_where_the_old_primary_was_stopped_cleanly(world: World) -> None:
    claimed(world, planned=True, loss=None, checkpoint={"lsn": "0/16", "timeline": 3}, fence={"rung": 1})
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.DONE
    it = world.event()
    assert {(stage.run, stage.site) for stage in it.timeline} == {(1, "b"), (2, "a")}
    assert it.loss is not None and it.loss.bytes == 0 and it.rpo is not None and it.rpo.measured_s == 0
    assert it.deviations == ("agreed to beforehand, whatever the plan would be (--yes)",)


@pytest.mark.parametrize("words", [["--yes"], []])
def test_the_recovery_time_ends_with_the_proof_and_not_with_the_run(
    world: World, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    at, typing = [0.0], io.StringIO("\n\n\n\nb\n")
    monkeypatch.setattr("scripts.ctl.reports.recording.time.monotonic", lambda: at[0])
    monkeypatch.setattr(typing, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typing)

    def looked(*_: Any, **__: Any) -> Survey:
        at[0] += 5.0  # seconds of a look, before anybody can type
        return world.survey

    monkeypatch.setattr(move, "look", looked)
    claimed(world)
    claims = world.after

    def ended(stack: Stack) -> None:
        claims(stack)
        at[0] += 1000.0  # behind the proof

    def step(it: Recording, one: Step) -> None:
        at[0] += 1.0
        noted(it, one)

    noted, world.after = Recording.step, ended
    monkeypatch.setattr(Recording, "step", step)
    assert cli.main(["failover", "b", *words]) == ExitCode.DONE
    it = world.event()
    proof = 6.0 + (5.0 if words else 0.0)  # the sixth word of a link; who agrees beforehand waits for the look as well
    assert it.rto is not None and it.rto.measured_s == proof
    assert it.seconds == proof + 2 + 1000.0


def test_an_objective_that_was_missed_is_a_deviation(world: World) -> None:
    claimed(world, loss=LOSS | {"unseen_s": 40.0})
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    assert "RPO: 42 s, declared 30 s" in world.event().deviations


@pytest.mark.parametrize("loss", [LOSS | {"seconds": None}, LOSS | {"bytes": "many"}, LOSS | {"unseen_s": None}, None])
def test_a_loss_that_nobody_knows_is_never_zero(world: World, loss: Any) -> None:
    claimed(world, loss=loss)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    it = world.event()
    assert it.rpo is not None and it.rpo.measured_s is None and "not known" in it.rpo.method


def test_the_proof_of_somebody_elses_later_epoch_is_not_that_of_this_move(world: World) -> None:
    claimed(world, epoch=6)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    it = world.event()
    assert (
        it.epoch == 6
        and it.fence is None
        and it.loss == Loss(method="not counted: the epoch of this move was not seen")
    )


def test_a_move_that_fails_leaves_a_record_in_which_nothing_was_measured(world: World) -> None:
    world.ends["region-b"] = FAILED_RUN
    world.links = ("fence",)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.FAILED
    it = world.event()
    assert (it.outcome, it.exit_code, it.errors) == ("failed", 1, FAILED_RUN.errors)
    assert it.rto is not None and it.rto.measured_s is None and it.rpo is not None and it.rpo.measured_s is None
    assert (
        it.fence is None
        and it.loss == Loss(method="not counted: the epoch of this move was not seen")
        and it.epoch == 3
    )


def test_one_that_was_told_to_end_is_recorded_as_that(world: World) -> None:
    world.ends["region-b"] = replace(WELL, interrupted=True)
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.PARTIAL
    it = world.event()
    assert it.outcome == "interrupted" and "somebody wanted it to end before its time" in it.deviations
    assert any("does not follow yet" in error for error in it.errors)


def test_a_key_that_ends_the_command_itself_is_recorded_and_goes_on(world: World) -> None:
    def pressed(_: Stack) -> None:
        raise KeyboardInterrupt

    world.after = pressed
    with pytest.raises(KeyboardInterrupt):
        cli.main(["failover", "b", "--yes"])
    it = world.event()
    assert (it.outcome, it.exit_code) == ("interrupted", None)


def test_where_nothing_was_run_there_is_nothing_to_record(world: World) -> None:
    assert cli.main(["failover", "b", "--dry-run"]) == ExitCode.DONE
    assert cli.main(["switchover", "a", "--yes"]) == ExitCode.REFUSED
    assert world.records.objects == {}


@pytest.mark.parametrize("command", [["rejoin", "b"], ["abort"]])
def test_what_moves_nobody_measures_no_recovery(world: World, command: list[str]) -> None:
    assert cli.main(command) == ExitCode.DONE
    it = world.event()
    assert it.scenario == command[0] and it.rto is not None and it.rto.measured_s is None


def test_failback_is_one_record_whose_recovery_begins_with_the_agreement(world: World) -> None:
    world.after = lambda stack: claimed(world) if stack.name == "region-a" else None
    assert cli.main(["failback", "b", "--yes"]) == ExitCode.DONE
    it = world.event()
    assert [stage.run for stage in it.timeline if stage.link == "fence"] == [1, 2, 3]
    assert it.scenario == "failback" and it.rto is not None and it.rto.measured_s is not None


def test_no_secret_that_a_run_has_said_is_in_its_record(world: World) -> None:
    secret = ITS.secrets.postgres.app
    world.ends["region-b"] = replace(
        FAILED_RUN, errors=(f"psql: password {secret} of shop", ITS.secrets.operator.private)
    )
    assert cli.main(["failover", "b", "--yes", "--reason", secret]) == ExitCode.FAILED
    it, (body,) = world.event(), world.records.objects["reports/00000001.json"]
    assert it.errors[0] == "psql: password (hidden) of shop" and it.reason == "(hidden)"
    for line in (secret, *ITS.secrets.operator.private.splitlines()[1:-1]):
        assert line.encode() not in body


@pytest.mark.parametrize("fault", ["down", "signature", "disk"])
def test_a_record_that_cannot_be_written_changes_no_end(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise {"signature": Failed("ssh-keygen: is not there"), "disk": OSError(28, "No space left on device")}[fault]

    if fault == "down":
        world.records.down = True
    elif fault == "signature":
        monkeypatch.setattr("scripts.clients.ssh_signature.sign", fails)
    else:
        monkeypatch.setattr(kept, "keep", fails)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    told, waiting = capsys.readouterr().err, kept.waiting(documents.witness(ITS))
    if fault == "disk":
        assert "the record of this move could not be made (OSError)" in told and waiting == []
    else:
        assert "`drctl report push` writes it there" in told and len(waiting) == 1


def test_whoever_presses_a_key_while_it_is_written_ends_the_writing_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(book, "append", pressed)
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    assert "`drctl report push`" in capsys.readouterr().err and len(kept.waiting(documents.witness(ITS))) == 1


@pytest.mark.parametrize("text", ['{"at": 1796000000, "what": "order", "ok": true}\n', "{"])
def test_what_customers_met_is_taken_from_the_samples_and_a_bad_file_is_a_warning(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    (tmp_path / "samples").write_text(text)
    assert cli.main(["failover", "b", "--yes", "--samples", str(tmp_path / "samples")]) == ExitCode.DONE
    it, told = world.event(), capsys.readouterr().err
    assert it.outage is not None and it.outage.measured_s is None
    assert [(found.what, found.count) for found in it.samples] == ([("order", 1)] if text != "{" else [])
    assert ("found no JSON object" in told) is (text == "{")


# --- the engine

PULUMI = """\
#!{python}
import json, os, signal, sys, time
args = sys.argv[1:]
events = args[args.index("--event-log") + 1]
open({told!r}, "w").write(json.dumps([args, os.environ.get("DR_WHY"), os.environ["PULUMI_DEBUG_COMMANDS"]]))
def tell(**event):
    with open(events, "a") as log:
        log.write(json.dumps(event) + "\\n")
def of(kind, name, op="update"):
    tell(**{{kind: {{"metadata": {{"op": op, "urn": "urn:pulumi:region-b::dr::command:local:Command::" + name}}}}}})
{body}
"""


def played(folder: Path, body: str) -> Stack:
    program = folder / "pulumi"
    program.write_text(PULUMI.format(python=sys.executable, told=str(folder / "told"), body=body))
    program.chmod(0o755)
    return Stack(name="region-b", folder=folder, file=folder / "file.yaml", program=str(program))


def test_the_engine_is_asked_as_by_hand_and_its_links_are_told_as_they_run(tmp_path: Path) -> None:
    body = """
of("resourcePreEvent", "region-db-1-converge", "same")
of("resourcePreEvent", "fence-claim"); of("resOutputsEvent", "fence-claim")
of("resourcePreEvent", "postgres-converge")
tell(diagnosticEvent={"severity": "warning", "message": "a warning\\n"})
of("resOutputsEvent", "postgres-converge")
"""
    steps: list[Step] = []
    done = engine.up(played(tmp_path, body), steps.append, why="a reason")
    args, why, debug = json.loads((tmp_path / "told").read_text())
    assert args[:3] == ["up", "--yes", "--skip-preview"] and args[args.index("--stack") + 1] == "region-b"
    assert args[args.index("--config-file") + 1] == str(tmp_path / "file.yaml") and (why, debug) == ("a reason", "true")
    assert [(it.link, it.state) for it in steps] == [
        ("fence", "begun"), ("fence", "done"), ("database", "begun"), ("database", "done"),
    ]  # fmt: skip
    assert (done.ok, done.warnings, done.errors) == (True, ("a warning",), ())
    events = args[args.index("--event-log") + 1]
    assert not Path(events).parent.exists(), "events name the inputs of every resource"


@pytest.mark.parametrize(("limited", "also", "once"), [(True, (), True), (True, ("**key",), False), (False, (), False)])
def test_a_run_keeps_its_state_once_only_where_it_makes_nothing_that_its_state_alone_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limited: bool, also: tuple[str, ...], once: bool
) -> None:
    for name in engine.KEPT_ONCE:
        monkeypatch.delenv(name, raising=False)
    body = f"open({str(tmp_path / 'kept')!r}, 'w').write(json.dumps(os.environ.get('PULUMI_SKIP_CHECKPOINTS')))"
    assert engine.up(played(tmp_path, body), print, limited=limited, also=also).ok
    assert json.loads((tmp_path / "kept").read_text()) == ("true" if once else None)


def test_a_run_has_the_environment_of_its_stack_with_the_engines_own_words_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://silent")
    body = f"open({str(tmp_path / 'at')!r}, 'w').write(json.dumps(os.environ.get('PULUMI_BACKEND_URL')))"
    stack = played(tmp_path, body)
    assert engine.up(stack, print).ok and json.loads((tmp_path / "at").read_text()) == "s3://silent"
    aside = replace(stack, environment={**os.environ, "PULUMI_BACKEND_URL": "file:///aside"})
    assert engine.up(aside, print, why="one").ok and json.loads((tmp_path / "at").read_text()) == "file:///aside"
    assert json.loads((tmp_path / "told").read_text())[1:] == ["one", "true"]


def test_a_run_that_fails_is_told_by_its_own_sentences_once_each(tmp_path: Path) -> None:
    body = """
of("resourcePreEvent", "fence-claim"); of("resOpFailedEvent", "fence-claim")
for _ in range(2):
    tell(diagnosticEvent={"severity": "error", "message": "fence: no epoch was claimed\\nexit status 3: running \\"pages of it\\""})
tell(diagnosticEvent={"severity": "error", "message": "update failed"})
sys.exit(255)
"""
    steps: list[Step] = []
    done = engine.up(played(tmp_path, body), steps.append)
    assert (done.ok, done.code, done.errors) == (False, 255, ("fence: no epoch was claimed",)) and done.begun
    assert steps[-1].state == "failed"


LOCKED = """
print("error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
      "lock file with `pulumi cancel`.", file=sys.stderr)
print("  s3://states/.pulumi/locks/organization/dr/region-b/abc.json: created by ann@desk (pid 4711) at 2026-11-28T03:00:00Z", file=sys.stderr)
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("print('error: could not load the state'); print('  more of it'); sys.exit(255)", "could not load the state"),
        ("print('an end without a word'); sys.exit(255)", "an end without a word"),
        ("sys.exit(255)", "it said nothing"),
    ],
)
def test_one_that_says_nothing_in_events_is_told_by_its_error_or_its_last_line(
    tmp_path: Path, body: str, said: str
) -> None:
    assert engine.up(played(tmp_path, body), print).errors == (said,)


def test_a_locked_stack_is_told_by_who_holds_it_and_what_frees_it(tmp_path: Path) -> None:
    """pulumi's own advice takes the lock of a run that lives."""
    done = engine.up(played(tmp_path, LOCKED), print)
    (said,) = done.errors
    assert not done.begun, "nothing was changed there"
    assert "is locked by ann@desk (pid 4711) at 2026-11-28T03:00:00Z" in said
    assert "drctl unlock" in said and "pulumi cancel" not in said


@pytest.mark.parametrize("stays", [True, False])
def test_a_run_that_moves_nothing_says_so_to_the_program_and_its_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    monkeypatch.delenv("DR_STAYS", raising=False)
    body = f"open({str(tmp_path / 'env')!r}, 'w').write(json.dumps(os.environ.get('DR_STAYS')))"
    assert engine.up(played(tmp_path, body), print, stays=stays).ok
    assert json.loads((tmp_path / "env").read_text()) == ("1" if stays else None)


def test_an_abort_moves_nothing_and_a_move_does(world: World) -> None:
    assert cli.main(["abort"]) == ExitCode.DONE and world.stays == [True]
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.DONE and world.stays[1:] == [False, False]


UNKEPT = """
of("resourcePreEvent", "fence-claim"); of("resOutputsEvent", "fence-claim")
print("error: there was a problem deleting the lock at s3://states/x.json, manual clean up may be required: blob", file=sys.stderr)
print("error: writing snapshot: failed to save snapshot: An IO error occurred: no such host", file=sys.stderr)
sys.exit(1)
"""
KILLED = 'of("resourcePreEvent", "fence-claim"); print("~ command updating (0s)", flush=True); os.kill(os.getpid(), 9)'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (UNKEPT, ("did not take the state", "no such host", "`drctl check`")),
        (KILLED, ("pulumi was killed (signal 9)",)),
    ],
)
def test_a_run_whose_state_was_not_kept_says_what_is_so_and_what_frees_it(
    tmp_path: Path, body: str, said: tuple[str, ...]
) -> None:
    (error,) = engine.up(played(tmp_path, body), print, limited=True).errors
    assert all(text in error for text in (*said, "the next run tells it again", "`drctl unlock`")), error
    assert "clean up" not in error and "updating" not in error


def test_a_link_that_was_killed_is_named_though_it_could_not_say_why(tmp_path: Path) -> None:
    body = """
of("resourcePreEvent", "fence-claim"); of("resOpFailedEvent", "fence-claim")
tell(diagnosticEvent={"severity": "error", "urn": "urn:pulumi:region-b::dr::command:local:Command::fence-claim",
     "message": 'signal: killed: running "exec timeout -k 5 90 python -m scripts.links fence":\\n'})
tell(diagnosticEvent={"severity": "error", "message": "update failed"})
sys.exit(255)
"""
    (error,) = engine.up(played(tmp_path, body), print).errors
    assert error.startswith("fence: was ended by a signal (killed) before it could say why") and "timeout" not in error
    seen = engine.Seen(lambda _: None, 0.0)
    seen.take({"diagnosticEvent": {"severity": "error", "message": 'signal: killed: running "x":'}})
    (tmp_path / "said").touch()
    (told,) = engine._errors(seen, 255, True, tmp_path / "said", Stack(name="region-b", folder=tmp_path))
    assert "its run was told to end" in told, "the plugin has ended it, as it shall"


def test_what_a_run_that_was_ended_at_once_has_left_is_one_sentence() -> None:
    """pulumi's own page asks for `pulumi refresh`, and for a look into the console of another cloud."""
    seen = engine.Seen(lambda _: None, 0.0)
    page = (
        "Attempting to deploy or update resources with 1 pending operations from previous deployment.\n"
        "  * urn:pulumi:region-b::dr::dr:chain$command:{kind}::fence-claim, interrupted while updating\n"
        "These resources are in an unknown state\n\nyou can repair your stack using `pulumi refresh`\n"
    )
    seen.take({"diagnosticEvent": {"severity": "warning", "message": page.format(kind="local:Command")}})
    assert [*seen.warnings] == [
        "a run before this one was ended at once while it was at fence-claim; hosts and links are told again by this one, and nothing has to be done"
    ]
    seen.take(
        {"diagnosticEvent": {"severity": "warning", "message": page.replace("command:{kind}", "openstack:Instance")}}
    )
    assert any("`pulumi refresh`" in text for text in seen.warnings), "of a server somebody has to look"


def test_no_pulumi_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be run"):
        engine.up(Stack(name="x", folder=tmp_path, program=str(tmp_path / "none")), print)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_and_a_terminal_that_goes_are_told_to_pulumi_which_ends_by_itself(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Of the latter the kernel tells all that are in the foreground: pulumi must not hear it, it would end at once with its lock left."""
    body = """
if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
def ends(*_):
    tell(diagnosticEvent={"severity": "error", "message": "update canceled"})
    sys.exit(1)
signal.signal(signal.SIGINT, ends)
os.kill(os.getpid(), signal.SIGHUP)
of("resourcePreEvent", "fence-claim")
time.sleep(60)
"""
    begun = threading.Event()
    before = signal.getsignal(number)

    def send() -> None:
        assert begun.wait(30)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    done = engine.up(played(tmp_path, body), lambda _: begun.set())
    sender.join()
    assert (done.ok, done.errors, done.interrupted) == (False, ("update canceled",), True)
    assert signal.getsignal(number) is before
