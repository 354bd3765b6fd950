"""`drctl deploy` and `rollback`: the standby first, taken back where a host does not get well, gone on with where it was left, and what is refused."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.render import documents
from contract import artefact
from contract.epoch import Epoch
from contract.errors import ExitCode
from contract.release import Manifest
from contract.report import Event
from scripts.ctl import cli
from scripts.ctl.commands import deploy
from scripts.ctl.moves import automation, engine, recorded
from scripts.ctl.moves.engine import Outcome
from scripts.ctl.releases.store import SPOILED, WELL, Row
from scripts.ctl.reports import book, kept, writing
from scripts.ctl.stacks.stack import Stack
from tests.unit import played_survey
from tests.unit.played_lease import Leases
from tests.unit.played_quiet import Quiet
from tests.unit.played_reports import Shelf, its

ITS = its()
OLD, OLDER, NEW = "0" * 64, "1" * 64, "f" * 64
APPS = ("app-1.a", "app-2.a", "app-1.b", "app-2.b")
EXPAND, CONTRACT = "add_column :orders, :note, :text\n", "remove_column :orders, :note\n"
MIGRATION = "db/migrate/20260101000002_change.rb"


class World:
    """Stacks, runs, hosts and both buckets. `ill`: hosts on which `bad` does not get well; `dies`: the run at which somebody ends the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configured = dict.fromkeys("ab", OLD)
        self.runs_on = dict.fromkeys(APPS, OLD)
        self.well = dict.fromkeys(APPS, True)
        self.active, self.dies, self.killed, self.dead_from = "a", 0, 0, 0
        self.locked: set[str] = set()  # regions whose stack somebody else works at
        self.beside: tuple[int, str] = (0, "")  # before which run somebody names another release, and which
        self.takes_away: tuple[int, str, str] = (0, "", "")  # the same of a region's hosts
        self.texts_of: dict[str, dict[str, str]] = {}
        self.ill: set[str] = set()
        self.bad = NEW
        self.runs: list[tuple[str, str, str]] = []
        self.records = Shelf()
        self.quiet, self.leases = Quiet(), Leases()
        self.states = {site: WELL for site in "ab"}
        self.manifest = Manifest(
            files={}, processes={"web": "puma", "worker": "bin/work", "release": "bin/migrate"}, ruby="3.3.8"
        )
        self.migration: str | None = None
        self.seen = played_survey.well(ITS)

    # --- stacks and runs
    def settings(self, site: str) -> Any:
        return replace(ITS, shop=replace(ITS.shop, release=self.configured[site]))

    def up(self, stack: Stack, _: Any, *, why: str, limited: bool, also: Sequence[str], stays: bool) -> Outcome:
        assert stays, "whoever moves the shop meanwhile would have it moved back"
        assert limited and self.quiet.now == "deploy" and self.leases.now == ["deploy"]
        site = stack.name[-1]
        if site in self.locked:
            return replace(_outcome(f"stack {stack.name}: is locked by ann"), begun=False)
        self.runs.append((site, self.configured[site][:1], why))
        if self.beside[0] == len(self.runs):
            self.configured = dict.fromkeys("ab", self.beside[1])
        if self.takes_away[0] == len(self.runs):
            self.runs_on |= {host: self.takes_away[2] for host in APPS if host.endswith(self.takes_away[1])}
        if self.dead_from and len(self.runs) >= self.dead_from:
            return _outcome("no ssh session")
        if self.dies == len(self.runs):
            raise KeyboardInterrupt
        if self.killed == len(self.runs):
            os._exit(9)
        for host in (it for it in APPS if it.endswith(f".{site}")):
            if host in self.ill and self.configured[site] == self.bad:
                return _outcome(f"{host}: web process of release: ended by itself")
            self.runs_on[host] = self.configured[site]
        return _outcome()

    def look(self, *_: Any, **__: Any) -> Any:
        seen = self.seen
        for host in APPS:
            name, site = host.split(".")
            place = f"regions/{site}/hosts/{name}/app"
            seen = played_survey.changed(seen, f"{place}/release", f"/opt/shop/releases/{self.runs_on[host]}")
            seen = played_survey.changed(seen, f"{place}/healthy", self.well[host])
        return seen

    # --- the buckets
    def one(self, name: str) -> tuple[Row, bytes]:
        digest = next(it for it in (OLD, OLDER, NEW) if it.startswith(name))
        (self.folder / "config.ru").write_text("run Shop\n")
        files = {"config.ru": self.folder / "config.ru"}
        if self.migration is not None:
            path = self.folder / "change.rb"
            path.write_text(self.migration)
            files[MIGRATION] = path
        artefact.pack(self.manifest, files, self.folder / "made")
        return Row(digest=digest, card=None, states=self.states), (self.folder / "made").read_bytes()

    def files(self, digest: str) -> Collection[str]:
        return {"config.ru", *self.texts_of.get(digest, {})} if digest in (OLD, OLDER, NEW) else set()

    def texts(self, digest: str, names: Collection[str]) -> dict[str, str]:
        return {name: self.texts_of[digest][name] for name in names}

    def events(self) -> list[Event]:
        found = [it.record for it in book.opened(self.records, ITS).records]  # type: ignore[arg-type]
        assert {it.kind for it in found} == {"deploy"}
        return [it.event for it in found if it.event is not None]


def _outcome(error: str = "") -> Outcome:
    return Outcome(ok=not error, code=255 if error else 0, seconds=1, errors=(error,) if error else (), warnings=())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World(tmp_path)
    monkeypatch.setattr(Stack, "settings", lambda stack: it.settings(stack.name[-1]))
    monkeypatch.setattr(Stack, "run_release", lambda stack, told: it.configured.update({stack.name[-1]: told}))
    monkeypatch.setattr(Stack, "request", lambda *_: None)
    monkeypatch.setattr(engine, "up", it.up)
    for module in (deploy, recorded):
        monkeypatch.setattr(module, "in_force", lambda _: Epoch(epoch=3, active=it.active, previous="b", planned=True))
    monkeypatch.setattr(deploy, "look", it.look)
    monkeypatch.setattr(deploy, "quiet", it.quiet.quiet)
    monkeypatch.setattr(recorded, "RunLease", it.leases.lease)
    monkeypatch.setattr(deploy, "keys_of", lambda _: {})
    monkeypatch.setattr(deploy, "Store", lambda *_: it)
    monkeypatch.setattr(deploy, "ReportBucket", lambda *_, **__: it.records)
    monkeypatch.setattr(writing, "ReportBucket", lambda *_, **__: it.records)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return it


def typed(world: World, *words: str) -> int:
    world.runs.clear()
    return int(cli.main([*words, "--yes"]))


def test_the_standby_takes_it_first_and_both_stacks_say_it_at_the_end(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(world, "deploy", NEW[:12], "--reason", "a cart", "--ticket", "7") == ExitCode.DONE
    assert world.runs == [("b", "f", "deploy a cart ticket 7"), ("a", "f", "deploy a cart ticket 7")]
    assert set(world.configured.values()) == {NEW} == set(world.runs_on.values())
    (event,) = world.events()
    assert (event.scenario, event.outcome, event.exit_code) == ("deploy", "done", 0)
    assert (event.versions["release"], event.versions["release_before"]) == (NEW, OLD)
    assert f"release {NEW[:12]} runs in both regions" in capsys.readouterr().out


def test_a_plan_changes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy", NEW, "--dry-run"]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert said.index("region b: each app host takes") < said.index(
        "region a: its migrations run, once, then each app host"
    )
    assert world.runs == [] and world.configured == dict.fromkeys("ab", OLD) and world.records.objects == {}


@pytest.mark.parametrize(
    ("ill", "runs"),
    [("app-1.b", "bb"), ("app-2.b", "bb"), ("app-1.a", "baab"), ("app-2.a", "baab")],
)
def test_where_a_host_does_not_get_well_the_release_before_comes_back_everywhere(
    world: World, ill: str, runs: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ill = {ill}
    assert typed(world, "deploy", NEW) == ExitCode.FAILED
    assert "".join(site for site, _, _ in world.runs) == runs
    assert set(world.configured.values()) == {OLD} == set(world.runs_on.values())
    said = capsys.readouterr().err
    assert f"{ill}: web process of release: ended by itself" in said and "it was taken back" in said
    (event,) = world.events()
    assert (event.outcome, event.exit_code) == ("failed", 1)


def test_a_host_that_is_not_well_after_its_run_counts_too(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.well["app-2.b"] = False
    assert typed(world, "deploy", NEW) == ExitCode.FAILED
    assert "app-2.b is not well" in capsys.readouterr().err
    assert [(site, release) for site, release, _ in world.runs] == [("b", "f"), ("b", "0")]


def test_what_cannot_be_taken_back_is_left_part_way(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.ill, world.bad = {"app-1.b"}, NEW
    world.dead_from = 2
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    assert "taking it back stopped, too" in capsys.readouterr().err
    assert world.events()[0].outcome == "partial"


def test_who_ends_the_way_back_is_told_that_too(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.ill, world.dies = {"app-1.a"}, 3
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    said = capsys.readouterr().err
    assert "ended by itself" in said and "taking it back was interrupted" in said
    assert world.events()[0].outcome == "partial"
    world.ill, world.dies = set(), 0
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLD} == set(world.configured.values())


@pytest.mark.parametrize("at", [1, 2])
def test_one_that_was_ended_goes_on_or_is_taken_back(world: World, at: int, capsys: pytest.CaptureFixture[str]) -> None:
    world.dies = at
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    assert "was interrupted" in capsys.readouterr().err and set(world.configured.values()) == {NEW}
    before = dict(world.runs_on)
    world.dies = 0
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLD} == set(world.configured.values())
    world.runs_on, world.configured = before, dict.fromkeys("ab", NEW)
    assert typed(world, "deploy", NEW) == ExitCode.DONE
    assert set(world.runs_on.values()) == {NEW}


def test_one_that_goes_on_and_fails_goes_back_to_what_still_runs(world: World) -> None:
    world.dies = 2
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    world.dies, world.ill = 0, {"app-1.a"}
    assert typed(world, "deploy", NEW) == ExitCode.FAILED
    assert set(world.runs_on.values()) == {OLD} == set(world.configured.values())
    assert [it.outcome for it in world.events()] == ["partial", "failed"]


def test_a_rollback_is_to_what_the_deploy_has_recorded_and_asks_no_migration(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(world, "rollback") == ExitCode.REFUSED
    assert "hosts run 000000000000, wanted what a deploy has recorded; none is recorded" in capsys.readouterr().err
    assert typed(world, "deploy", OLDER) == typed(world, "deploy", NEW) == ExitCode.DONE
    world.migration = CONTRACT
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLDER} == set(world.configured.values())
    assert "the schema stays as it is" in capsys.readouterr().out
    assert [it.scenario for it in world.events()] == ["deploy", "deploy", "rollback"]


def test_a_rollback_among_several_is_named_by_a_person(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.configured = dict.fromkeys("ab", NEW)
    world.runs_on |= {"app-1.b": OLDER}
    assert typed(world, "rollback") == ExitCode.REFUSED
    assert "hosts run 000000000000, 111111111111, wanted what a deploy has recorded" in capsys.readouterr().err
    assert typed(world, "rollback", OLDER) == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLDER} == set(world.configured.values())


def test_a_rollback_that_is_typed_again_finds_nothing_to_do(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(world, "deploy", OLDER) == typed(world, "deploy", NEW) == ExitCode.DONE
    for _ in range(3):
        assert typed(world, "rollback") == ExitCode.DONE
        assert set(world.runs_on.values()) == {OLDER} == set(world.configured.values())
    assert capsys.readouterr().out.count("all hosts run it already") == 2
    assert typed(world, "deploy", NEW) == typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLDER}


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("at", [1, 2])
def test_a_rollback_that_was_ended_goes_on(world: World, at: int, recorded: bool) -> None:
    assert typed(world, "deploy", OLDER) == typed(world, "deploy", NEW) == ExitCode.DONE
    kept = dict(world.records.objects)
    world.dies = at
    assert typed(world, "rollback") == ExitCode.PARTIAL
    if not recorded:  # it was killed
        world.records.objects.clear()
        world.records.objects.update(kept)
    world.dies = 0
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLDER} == set(world.configured.values())


@pytest.mark.parametrize("words", [("deploy", NEW), ("rollback", OLDER)])
def test_of_two_at_once_the_second_begins_nothing(
    world: World, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    world.leases.other = "ann at desk (deploy since noon)"
    assert typed(world, *words) == ExitCode.REFUSED
    assert not world.runs and world.configured == dict.fromkeys("ab", OLD)
    assert not book.opened(world.records, ITS).records  # type: ignore[arg-type]
    assert "ann at desk (deploy since noon) is at work there; nothing was changed" in capsys.readouterr().err
    assert world.quiet.asked == [], "whoever begins nothing has nobody be quiet about it"


def test_what_was_planned_before_the_shop_was_moved_is_not_begun(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would begin with the region that sells by now."""
    monkeypatch.setattr(recorded, "in_force", lambda _: Epoch(epoch=4, active="b", previous="a", planned=True))
    assert typed(world, "deploy", NEW) == ExitCode.REFUSED
    assert not world.runs and world.configured == dict.fromkeys("ab", OLD) and world.quiet.asked == []
    assert "the shop was moved since; nothing was changed" in capsys.readouterr().err


def test_whoever_was_suspended_and_has_lost_the_lease_meanwhile_runs_nothing_more(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.leases.lost_at = 3
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    assert [site for site, _, _ in world.runs] == ["b"], "nothing is taken back either: by now somebody else is at it"
    said = capsys.readouterr().err
    assert "belongs to ann at desk by now" in said and "2 of 3 steps are made and stay" in said
    assert [it.outcome for it in world.events()] == ["partial"]


def test_a_deploy_that_was_taken_back_leaves_a_rollback_nothing_to_do(world: World) -> None:
    assert typed(world, "deploy", OLDER) == ExitCode.DONE
    world.ill = {"app-1.a"}
    assert typed(world, "deploy", NEW) == ExitCode.FAILED
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLDER} == set(world.configured.values())


def test_a_killed_deploy_that_this_configuration_names_is_gone_back_from(world: World) -> None:
    assert typed(world, "deploy", OLDER) == ExitCode.DONE
    world.configured = dict.fromkeys("ab", NEW)
    world.runs_on |= {"app-1.b": NEW}
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLDER}


def kill(world: World, at: int, *words: str) -> None:
    """The process is killed at a run: it writes nothing more. What it has brought to hosts is there."""
    child = os.fork()
    if not child:
        world.killed = at
        typed(world, *words)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    world.configured = dict.fromkeys("ab", NEW)
    world.runs_on |= {"app-1.b": NEW}


@pytest.mark.parametrize("at", [1, 2])
def test_a_deploy_that_was_killed_has_a_record_once_the_next_command_comes(
    world: World, at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(world, "deploy", OLDER) == ExitCode.DONE
    kill(world, at, "deploy", NEW)
    assert len(world.events()) == 1
    assert typed(world, "rollback", "--dry-run") == ExitCode.DONE
    assert len(world.events()) == 1, "who looks changes nothing"
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLDER} == set(world.configured.values())
    _, killed, _ = world.events()
    assert (killed.scenario, killed.outcome, killed.exit_code) == ("deploy", "interrupted", None)
    assert (killed.versions["release"], killed.versions["release_before"]) == (NEW, OLDER)
    assert "was killed (at: " in killed.errors[0] and f"; {at} of " in killed.errors[0]
    assert "a deploy that was begun here" in capsys.readouterr().err
    assert typed(world, "rollback") == ExitCode.DONE
    assert len(world.events()) == 4, "once"


def test_one_that_is_at_work_is_not_taken_for_killed(world: World, tmp_path: Path) -> None:
    place = documents.witness(ITS)
    kept.begin(place, book.draft("deploy", token="t" * 32))
    writing.killed(ITS, print)
    assert kept.waiting(place) == []
    (file,) = (tmp_path / "drctl").glob("begun-*/*.json")
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"machine": "0" * 32}))
    (file.parent / "other.json").write_text("{")
    writing.killed(ITS, print)
    assert [it.stem for it in kept.waiting(place)] == ["t" * 32] and not file.exists()


def test_where_nothing_can_be_kept_a_deploy_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert typed(world, "deploy", NEW) == ExitCode.DONE
    assert capsys.readouterr().err.count("if it is killed it leaves no record") == 1


@pytest.mark.parametrize("strange", [NEW, "9" * 64, "none of ours"])
def test_what_a_host_says_alone_leads_no_rollback(
    world: World, strange: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(world, "deploy", OLDER) == ExitCode.DONE
    world.runs_on["app-2.b"] = strange
    assert typed(world, "rollback") == ExitCode.REFUSED
    assert "`drctl rollback RELEASE`" in capsys.readouterr().err and world.runs == []
    assert typed(world, "rollback", OLD) == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLD}


@pytest.mark.parametrize("strange", [None, "9" * 64])
def test_a_checkout_that_names_an_older_release_takes_nobody_back_to_that(world: World, strange: str | None) -> None:
    world.configured, world.ill = dict.fromkeys("ab", OLDER), {"app-1.a"}
    if strange:  # one that a host says, and that lies nowhere
        world.seen = played_survey.changed(world.seen, "regions/b/hosts/app-2/app/release", strange)
    assert typed(world, "deploy", NEW) == ExitCode.FAILED
    assert set(world.runs_on.values()) == {OLD} == set(world.configured.values())
    assert world.events()[0].versions["release_before"] == OLD


def test_what_an_earlier_run_has_brought_is_taken_back_as_well(world: World) -> None:
    world.configured = dict.fromkeys("ab", NEW)
    world.runs_on |= {"app-1.a": NEW, "app-1.b": NEW, "app-2.b": NEW}
    world.ill = {"app-2.b"}
    assert typed(world, "deploy", NEW) == ExitCode.FAILED
    assert set(world.runs_on.values()) == {OLD} == set(world.configured.values())


def test_where_nobody_knows_what_ran_before_nothing_is_taken_back(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.configured, world.ill = dict.fromkeys("ab", NEW), {"app-2.a"}
    world.runs_on |= {"app-1.b": NEW, "app-2.b": OLDER}
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    assert "nothing says which release it came in the place of" in capsys.readouterr().err
    assert "".join(site for site, _, _ in world.runs) == "ba"


def test_a_stack_that_somebody_else_works_at_is_left_to_them(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.locked = {"b"}
    assert typed(world, "deploy", NEW) == ExitCode.FAILED
    assert world.runs == [] and set(world.configured.values()) == {OLD}
    assert "is locked by ann" in capsys.readouterr().err


@pytest.mark.parametrize("at", [1, 2])
def test_who_is_overtaken_by_another_deploy_runs_nothing_more(
    world: World, at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    world.beside = (at, OLDER)
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    assert "somebody deploys beside this" in capsys.readouterr().err and len(world.runs) == at
    assert set(world.configured.values()) == {OLDER}, "what the other one has named stays"


def test_what_the_standby_does_not_run_any_more_is_no_end(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """As another deploy, from a checkout of its own, has left it meanwhile."""
    world.takes_away = (2, "b", OLD)
    assert typed(world, "deploy", NEW) == ExitCode.PARTIAL
    assert "region b: app-1.b runs another release; app-2.b runs another release by now" in capsys.readouterr().err


def test_a_way_back_is_open_while_something_is_wrong_and_begins_where_customers_are(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(world, "deploy", NEW) == ExitCode.DONE
    _lost(world)
    _spoiled(world)
    assert typed(world, "deploy", NEW) == ExitCode.REFUSED
    assert typed(world, "rollback") == ExitCode.DONE
    assert [site for site, _, _ in world.runs] == ["a", "b"]
    said = capsys.readouterr().out
    assert "db-1.b" in said and "lies a well, b SPOILED" in said


def test_a_standby_that_is_dead_keeps_nobody_from_the_release_before(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(world, "deploy", NEW) == ExitCode.DONE
    world.ill, world.bad = {"app-1.b"}, OLD
    assert typed(world, "rollback") == ExitCode.PARTIAL
    assert {host: it for host, it in world.runs_on.items() if host.endswith("a")} == {"app-1.a": OLD, "app-2.a": OLD}
    assert "region a runs release 000000000000 and is well, and keeps it" in capsys.readouterr().err
    world.ill = set()
    assert typed(world, "rollback") == ExitCode.DONE
    assert set(world.runs_on.values()) == {OLD}


def test_a_rollback_says_what_the_schema_may_lack(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(world, "deploy", NEW) == ExitCode.DONE
    world.texts_of[NEW] = {MIGRATION: CONTRACT}
    assert cli.main(["rollback", "--dry-run"]) == ExitCode.DONE
    assert (
        "remove_column orders: where it has run, release 000000000000 may need what it took" in capsys.readouterr().out
    )


def test_a_linter_that_does_not_answer_bars_no_rollback(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert typed(world, "deploy", NEW) == ExitCode.DONE
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    world.texts_of[NEW] = {MIGRATION: 'execute "drop table orders"\n'}
    assert typed(world, "rollback") == ExitCode.DONE
    assert "squawk: " in capsys.readouterr().out


def test_what_does_not_fit_on_a_disk_is_refused_by_the_plan(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.seen = played_survey.changed(world.seen, "regions/b/hosts/app-2/disk_free", 250 * 2**20)
    assert typed(world, "deploy", NEW) == ExitCode.REFUSED
    assert "app-2.b: 250 MB of its disk are free, wanted 256 MB for release" in capsys.readouterr().out
    assert world.runs == []
    assert typed(world, "deploy", OLD) == ExitCode.DONE, "one that runs there needs no room"
    world.seen = played_survey.changed(world.seen, "regions/b/hosts/app-2/app/placed", (NEW,))
    assert typed(world, "deploy", NEW) == ExitCode.DONE, "nor one that a run before has brought there"


def _spoiled(world: World) -> None:
    world.states = {"a": WELL, "b": SPOILED}


def _webless(world: World) -> None:
    world.manifest = replace(world.manifest, processes={"worker": "x"})


def _asks(world: World) -> None:
    world.manifest = replace(world.manifest, ruby="3.4")


def _built(world: World) -> None:
    world.manifest = replace(world.manifest, ruby_built="3.1.2")


def _contracts(world: World) -> None:
    world.migration = CONTRACT


def _lost(world: World) -> None:
    world.seen = played_survey.changed(world.seen, "regions/b/hosts/db-1", played_survey.DARK)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_spoiled, "lies a well, b SPOILED"),
        (_webless, "a Procfile without web"),
        (_asks, "it asks for Ruby 3.4"),
        (_built, "its gems were built by Ruby 3.1.2"),
        (_contracts, "20260101000002_change.rb, line 1: remove_column orders"),
        (_lost, "db-1.b"),
    ],
)
def test_what_stands_against_it_is_said_and_nothing_is_changed(
    world: World, spoil: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(world)
    assert typed(world, "deploy", NEW) == ExitCode.REFUSED
    told = capsys.readouterr()
    assert says in told.out and "reasons against it" in told.err
    assert world.runs == [] and world.configured == dict.fromkeys("ab", OLD) and world.records.objects == {}


def test_a_reason_lets_a_migration_pass_and_stands_in_the_record(world: World) -> None:
    world.migration = CONTRACT
    assert typed(world, "deploy", NEW, "--unsafe", "nobody reads it") == ExitCode.DONE
    assert any("nobody reads it" in text and "remove_column" in text for text in world.events()[0].warnings)


def test_no_reason_lets_one_pass_while_hosts_run_several_releases(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.migration, world.runs_on["app-2.b"] = CONTRACT, OLDER
    assert typed(world, "deploy", NEW, "--unsafe", "nobody reads it") == ExitCode.REFUSED
    assert "goes only when all hosts run one" in capsys.readouterr().out
    world.migration = EXPAND
    assert typed(world, "deploy", NEW) == ExitCode.DONE


def test_what_shows_under_load_alone_stands_against_a_deploy_and_bars_no_way_back(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(world, "deploy", NEW) == ExitCode.DONE
    sidekiq = {**world.manifest.processes, "worker": "bundle exec sidekiq"}
    world.manifest = replace(world.manifest, processes=sidekiq)
    assert typed(world, "deploy", OLDER) == ExitCode.REFUSED
    said = capsys.readouterr().out
    assert "dr:redis.scripting is false, while worker runs Sidekiq" in said and world.runs == []
    assert typed(world, "rollback") == ExitCode.DONE


def test_a_program_deploys_as_it_is_typed(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(automation, "version", lambda _: automation.OLDEST)
    shop = automation.Shop(tmp_path)
    assert shop.deploy(NEW[:12], reason="a cart").ok
    assert world.runs == [("b", "f", "deploy a cart"), ("a", "f", "deploy a cart")]
    refused = shop.deploy("no digest")
    assert (refused.code, refused.ok) == (ExitCode.USAGE, False) and "no digest" in refused.error


@pytest.mark.parametrize("name", ["x", "abc", "../../etc", "F" * 64, "f" * 65])
def test_a_name_that_is_no_digest_is_refused(world: World, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(world, "deploy", name) == ExitCode.USAGE
    assert "is no digest" in capsys.readouterr().err


def test_without_a_terminal_nobody_agrees(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["deploy", NEW]) == ExitCode.USAGE
    assert "--yes" in capsys.readouterr().err and world.runs == []
