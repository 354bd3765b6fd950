"""Moves by drctl: what is planned, agreed to, run and said; and the engine against a pulumi that is played."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.epoch import Epoch
from contract.errors import ExitCode, Failed
from scripts.ctl import cli
from scripts.ctl.commands import move
from scripts.ctl.moves import engine
from scripts.ctl.moves.engine import Outcome, Step
from scripts.ctl.moves.plan import Kind, plan
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.known import Known
from scripts.ctl.survey.seen import Survey
from tests.unit.played_survey import DARK, changed, dark, settings, well

ITS = settings()
WELL = Outcome(ok=True, code=0, seconds=8.0, errors=(), warnings=())


class World:
    """The shop outside: what is seen, who runs, and how each run ends."""

    def __init__(self) -> None:
        self.survey: Survey = well(ITS)
        self.epoch: Epoch | None = self.survey.newest.value
        self.runs: list[tuple[str, str, str]] = []  # stack, its request, why
        self.ends: dict[str, Outcome] = {}
        self.after: Any = lambda stack: None  # what a run leaves

    def newest(self) -> Epoch | None:
        return self.epoch


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()

    def up(stack: Stack, watch: engine.Watch, *, why: str = "") -> Outcome:
        told = yaml.safe_load((stack.folder / f"Pulumi.{stack.name}.yaml").read_text())
        it.runs.append((stack.name, told["config"]["dr:failover_region"], why))
        watch(Step(link="fence", state="done", at_s=1.0))
        it.after(stack)
        return it.ends.get(stack.name, WELL)

    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(move, "look", lambda *_, **__: it.survey)
    monkeypatch.setattr(move, "Witness", lambda *_, **__: it)
    monkeypatch.setattr(engine, "up", up)
    monkeypatch.setattr(cli, "PROJECT", tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for site in "ab":
        text = f"# kept\nconfig:\n  dr:site: {site}\n  dr:failover_region: a  # this one goes\n"
        (tmp_path / f"Pulumi.region-{site}.yaml").write_text(text)
    return it


def digest(kind: Kind, target: str = "b") -> str:
    survey = well(ITS)
    return plan(kind, target, survey, ITS, judge(survey, ITS)).digest


def test_a_switchover_runs_the_target_and_then_has_the_other_region_follow(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = cli.main(["switchover", "b", "--yes", "--reason", "new kernel", "--ticket", "42"])
    assert done == ExitCode.DONE
    assert world.runs == [("region-b", "b", "new kernel ticket 42"), ("region-a", "b", "new kernel ticket 42")]
    told = capsys.readouterr()
    assert "region a to region b, epoch 3 to 4" in told.out and "loss: none" in told.out
    assert "fence: done" in told.err and "region b sells; the run took 8.0 s" in told.err
    assert (tmp_path / "Pulumi.region-a.yaml").read_text().startswith("# kept\n"), "the file is as it was but for that"


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
    assert world.runs == [("region-b", "b", "")], "the lost region is not asked"
    assert "database unknown" in capsys.readouterr().out


def test_a_failover_tells_what_is_lost_before_anybody_agrees(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["failover", "b", "--dry-run"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "loss: not received here: database" in told and "plan " in told
    assert world.runs == []


def test_the_lost_regions_next_run_asks_for_what_is_true(world: World, tmp_path: Path) -> None:
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.DONE
    for site in "ab":
        assert (
            yaml.safe_load((tmp_path / f"Pulumi.region-{site}.yaml").read_text())["config"]["dr:failover_region"] == "b"
        )


@pytest.mark.parametrize(("typed", "code"), [("b\n", ExitCode.DONE), ("a\n", ExitCode.REFUSED), ("", ExitCode.REFUSED)])
def test_the_name_of_the_region_is_typed_at_a_terminal(
    world: World, monkeypatch: pytest.MonkeyPatch, typed: str, code: ExitCode
) -> None:
    typing = io.StringIO(typed)
    monkeypatch.setattr(typing, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", typing)
    assert cli.main(["failover", "b"]) == code
    assert bool(world.runs) is (code is ExitCode.DONE)


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
    assert cli.main(["failover", "b", "--yes"]) == ExitCode.REFUSED
    assert "another run was faster" in capsys.readouterr().err and world.runs == []


def test_where_nobody_knows_which_region_is_active_nothing_is_moved(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.survey = replace(world.survey, newest=DARK)
    for command in ("switchover", "failover"):
        assert cli.main([command, "b", "--yes"]) == ExitCode.REFUSED
    assert "nobody can tell which region is active" in capsys.readouterr().err and world.runs == []


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


def test_a_switchover_that_is_told_to_end_ends_behind_the_run_that_is_under_way(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ends["region-b"] = replace(WELL, interrupted=True)
    assert cli.main(["switchover", "b", "--yes"]) == ExitCode.PARTIAL
    assert [run[0] for run in world.runs] == ["region-b"]
    assert "`drctl rejoin a` has it follow" in capsys.readouterr().err


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
    assert (done.ok, done.code, done.errors) == (False, 255, ("fence: no epoch was claimed",))
    assert steps[-1].state == "failed"


def test_one_that_says_nothing_in_events_is_told_by_its_last_line(tmp_path: Path) -> None:
    done = engine.up(played(tmp_path, "print('error: the stack is locked'); sys.exit(255)"), print)
    assert done.errors == ("error: the stack is locked",)


def test_no_pulumi_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="cannot be run"):
        engine.up(Stack(name="x", folder=tmp_path, program=str(tmp_path / "none")), print)


def test_a_sigterm_is_told_to_pulumi_which_ends_by_itself(tmp_path: Path) -> None:
    body = """
def ends(*_):
    tell(diagnosticEvent={"severity": "error", "message": "update canceled"})
    sys.exit(1)
signal.signal(signal.SIGINT, ends)
of("resourcePreEvent", "fence-claim")
time.sleep(60)
"""
    begun = threading.Event()
    before = signal.getsignal(signal.SIGTERM)

    def send() -> None:
        assert begun.wait(30)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    done = engine.up(played(tmp_path, body), lambda _: begun.set())
    sender.join()
    assert (done.ok, done.errors, done.interrupted) == (False, ("update canceled",), True)
    assert signal.getsignal(signal.SIGTERM) is before
