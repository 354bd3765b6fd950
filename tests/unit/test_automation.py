"""Moves, looks and runs by a program: the same as typed, told as objects, never asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ExitCode, Failed, Refused
from scripts.ctl.moves import automation
from scripts.ctl.moves.automation import Shop
from scripts.ctl.moves.engine import Outcome, Step
from scripts.ctl.moves.plan import Kind
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.checks.row import Finding, Severity, State
from tests.components.stack import ROOT
from tests.unit.played_survey import changed
from tests.unit.test_moves import WELL, World, digest, world

__all__ = ["world"]  # fixture


@pytest.fixture
def shop(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(automation, "look", lambda *_, **__: world.survey)
    monkeypatch.setattr(automation, "version", lambda _: automation.OLDEST)
    return Shop(tmp_path)


def test_a_move_is_planned_agreed_to_by_its_digest_and_told_link_by_link(shop: Shop, world: World) -> None:
    plan = shop.plan(Kind.SWITCHOVER, "b")
    assert (plan.against, world.runs) == ((), []), "a plan changes nothing"
    seen: list[Step] = []
    moved = shop.switchover("b", plan=plan.digest, watch=seen.append, reason="kernel", approved_by="eve")
    assert moved.ok and moved.steps == tuple(seen) and len(seen) == 16, "four links begun and done, of two runs"
    assert [run[:2] for run in world.runs] == [("region-b", "b"), ("region-a", "b")]
    assert (world.event().reason, world.event().approved_by) == ("kernel", "eve")


@pytest.mark.parametrize(
    ("spoil", "plan", "said"),
    [
        (lambda it: None, "0" * 12, "is not the one of now"),
        (lambda it: setattr(it, "survey", changed(it.survey, "regions/b/hosts/db-1/postgres/streaming", False)), digest(Kind.SWITCHOVER), "reasons against it"),
    ],
)  # fmt: skip
def test_a_refusal_is_an_object_with_its_sentence_and_changes_nothing(
    shop: Shop, world: World, spoil: Callable[[World], Any], plan: str, said: str
) -> None:
    spoil(world)
    moved = shop.switchover("b", plan=plan)
    assert (moved.code, moved.ok, moved.steps) == (ExitCode.REFUSED, False, ()) and said in moved.error
    assert world.runs == []


def test_words_for_the_record_are_no_flags(shop: Shop, world: World) -> None:
    assert shop.switchover("b", plan=digest(Kind.SWITCHOVER), reason="--yes").ok
    assert world.event().reason == "--yes"


def test_both_regions_are_judged(shop: Shop, world: World, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: dr\n")
    assert shop.status() is world.survey
    assert {it.id for it in shop.check()} >= {"pg.role", "state.lock"}


def test_one_region_runs_with_its_request_as_it_is(shop: Shop, world: World, tmp_path: Path) -> None:
    before = (tmp_path / "Pulumi.region-a.yaml").read_text()
    assert shop.up("a", why="a release").ok and world.stays == [False]
    assert world.runs == [("region-a", "a", "a release")] and (tmp_path / "Pulumi.region-a.yaml").read_text() == before


def test_a_preview_says_what_would_change(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    said: Any = {"changeSummary": {"same": 170, "update": 2}, "steps": []}
    monkeypatch.setattr(Stack, "_run", lambda *_, **__: json.dumps(said))
    assert shop.preview("a") == {"update": 2}
    said = {"steps": []}
    with pytest.raises(Failed, match="told no summary of changes"):
        shop.preview("a")


def test_both_are_previewed_each_by_its_letter(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "changes", lambda stack: {"update": 1} if stack.name == "region-b" else {})
    assert shop.previews() == {"a": {}, "b": {"update": 1}}


@pytest.mark.parametrize("active", ["a", "b"])
def test_a_change_runs_in_the_standby_first(shop: Shop, world: World, active: str) -> None:
    assert world.epoch is not None
    world.epoch = replace(world.epoch, active=active)
    assert shop.active() == active
    standby = "b" if active == "a" else "a"
    outcomes = shop.both(why="a change")
    assert list(outcomes) == [standby, active] and all(it.ok for it in outcomes.values())
    assert [run[0] for run in world.runs] == [f"region-{standby}", f"region-{active}"]
    assert world.stays == [True, True], "a checkout of before a move would have the shop moved back"


def test_a_change_that_fails_in_the_standby_reaches_no_customer(shop: Shop, world: World) -> None:
    world.ends["region-b"] = replace(WELL, ok=False, code=1, errors=("a release without web",))
    outcomes = shop.both()
    assert list(outcomes) == ["b"] and not outcomes["b"].ok
    assert [run[0] for run in world.runs] == ["region-b"]


def test_without_an_epoch_nobody_knows_which_is_the_standby(shop: Shop, world: World) -> None:
    world.epoch = None
    with pytest.raises(Refused, match="bring region a up first"):
        shop.both()
    assert world.runs == []


@pytest.mark.parametrize(
    ("against", "ends", "code"), [(False, {}, 0), (True, {}, 1), (False, {"region-b": replace(WELL, ok=False)}, 1)]
)
def test_the_program_of_docs_ci_is_one(
    shop: Shop,
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    against: bool,
    ends: dict[str, Outcome],
    code: int,
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL)
    world.ends = ends
    (tmp_path / "Pulumi.yaml").write_text("name: dr\n")
    monkeypatch.setattr(Stack, "changes", lambda _: {"update": 1})
    severity = Severity.BLOCKS if against else Severity.WARNS
    found = Finding(id="pg.role", state=State.FAIL, severity=severity, subject="db-1.b", found="two primaries")
    monkeypatch.setattr(Shop, "check", lambda _: (found,))
    monkeypatch.chdir(tmp_path)
    ended: Any = 0
    try:
        exec(compile(program, "docs/ci.md", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        ended = end.code
    assert ended == ("pg.role  db-1.b: two primaries, wanted ; " if against else code)
    ran = [run[0] for run in world.runs]
    assert ran == ([] if against else ["region-b"] if ends else ["region-b", "region-a"])


@pytest.mark.parametrize("found", [(), (3, 271, 9)])
def test_a_pulumi_of_another_time_begins_nothing(
    shop: Shop, world: World, monkeypatch: pytest.MonkeyPatch, found: tuple[int, ...]
) -> None:
    monkeypatch.setattr(automation, "version", lambda _: found)
    with pytest.raises(Refused, match=r"pulumi: found .*, wanted 3\.272\.0 or newer"):
        shop.up("a")
    assert shop.failover("b", plan=digest(Kind.FAILOVER)).code is ExitCode.REFUSED
    assert world.runs == []


@pytest.mark.parametrize(
    ("said", "found"), [("v3.272.0", (3, 272, 0)), ("3.300.1-dev", (3, 300, 1)), ("what?", ()), ("", ())]
)
def test_a_version_is_read_as_the_command_says_it(tmp_path: Path, said: str, found: tuple[int, ...]) -> None:
    command = tmp_path / "pulumi"
    command.write_text(f"#!/bin/sh\necho '{said}'\n")
    command.chmod(0o755)
    assert automation.version([str(command), "version"]) == found
    assert automation.version([str(tmp_path / "none"), "version"]) == ()
