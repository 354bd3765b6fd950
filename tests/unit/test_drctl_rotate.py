"""`drctl rotate`: the plan first, each step once, and a record however it ends; what it may not begin it does not begin."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from contract.epoch import Epoch
from contract.errors import ExitCode
from contract.report import Event
from scripts.clients.hosts import Answer, Hosts, Unreachable, answer_of
from scripts.ctl import cli
from scripts.ctl.commands import rotate
from scripts.ctl.moves import engine, recorded
from scripts.ctl.moves.engine import Outcome
from scripts.ctl.reports import book, writing
from scripts.ctl.stacks import rotation
from scripts.ctl.stacks.stack import Stack
from tests.components import stack as example
from tests.unit import played_survey
from tests.unit.played_reports import Shelf, its

ITS = its()


class World:
    """Both stacks, runs of both, the primary's host behind both bastions, the witness."""

    def __init__(self) -> None:
        self.epoch: Epoch | None = Epoch(epoch=3, active="a", previous="b", planned=True)
        self.sets = {f"region-{site}": example.secrets() for site in "ab"}
        self.requests: list[tuple[str, str]] = []
        self.runs: list[tuple[str, str]] = []
        self.also: set[tuple[str, ...]] = set()
        self.asked: list[tuple[str, str, str]] = []
        self.fails = ""
        self.logins: Any = {"in_recovery": False, "logins": {"shop_2": 4, "shop_worker_2": 1}}
        self.dead: set[str] = set()
        self.seen = played_survey.well(ITS)
        self.records = Shelf()

    # --- stacks
    def up(self, stack: Stack, _: Any, why: str = "", limited: bool = False, also: Sequence[str] = ()) -> Outcome:
        assert limited, "a pending replacement of a server would ride along"
        self.also.add(tuple(also))
        self.runs.append((stack.name, why))
        if stack.name == self.fails:
            return Outcome(ok=False, code=255, seconds=1, errors=("db-1: no ssh session",), warnings=())
        return Outcome(ok=True, code=0, seconds=1, errors=(), warnings=("a warning of a run",))

    # --- witness and hosts
    def newest(self) -> Epoch | None:
        return self.epoch

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def routes(self, host: str) -> list[str]:
        return sorted("ab", key=lambda site: site == host[-1])

    def call(self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int, **_: Any) -> Answer:
        if via in self.dead:
            raise Unreachable(f"host {host} through the bastion of {via}: no ssh session")
        self.asked.append((host, via, command))
        return Answer(0, answer_of(json.dumps({"facts": self.logins}).encode(), host, command), "")

    must: Any = Hosts.must

    def event(self) -> Event:
        (signed,) = book.opened(self.records, ITS).records  # type: ignore[arg-type]
        assert signed.record.kind == "rotation" and signed.record.event is not None
        return signed.record.event


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(Stack, "secrets", lambda stack: json.loads(json.dumps(it.sets[stack.name])))
    monkeypatch.setattr(Stack, "keep_secrets", lambda stack, told: it.sets.update({stack.name: told}))
    monkeypatch.setattr(Stack, "request", lambda stack, site: it.requests.append((stack.name, site)))
    monkeypatch.setattr(engine, "up", it.up)
    monkeypatch.setattr(rotate, "look", lambda *_, **__: it.seen)
    monkeypatch.setattr(recorded, "Witness", lambda _: it)
    monkeypatch.setattr(rotate, "Hosts", lambda _: it)
    monkeypatch.setattr(rotate, "bastions", lambda _: {site: f"198.51.100.{site == 'b'}" for site in "ab"})
    monkeypatch.setattr(writing, "ReportBucket", lambda *_, **__: it.records)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return it


def at_rest(world: World) -> bool:
    a, b = world.sets.values()
    return a == b and "rotation" not in a


def test_a_dry_run_shows_each_step_and_changes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.dumps(world.sets)
    assert cli.main(["rotate", "database", "--dry-run"]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert "rotation of database begins, region a is active" in said and "12 of 12 steps would be made" in said
    assert (
        said.index("region b lets in both")
        < said.index("region a lets in both")
        < said.index("region b shows the new one")
    )
    assert json.dumps(world.sets) == before and world.runs == [] and world.records.objects == {}


def test_all_of_it_in_one_run_with_a_record_that_holds_no_secret(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rotate", "database", "--yes", "--reason", "yearly", "--ticket", "12"]) == ExitCode.DONE
    assert at_rest(world) and world.sets["region-a"]["postgres"]["login"] == 2
    assert [name for name, _ in world.runs] == ["region-b", "region-a"] * 3
    assert {why for _, why in world.runs} == {"rotate database yearly ticket 12"}
    assert set(world.requests) == {("region-a", "a"), ("region-b", "a")}, "a request that is left over moves nothing"
    assert {it for it in world.asked} == {("db-1.a", "a", "postgres logins")}, "by its own region's bastion first"
    it = world.event()
    assert (it.scenario, it.outcome, it.exit_code, it.reason) == ("rotate database", "done", 0, "yearly")
    assert len(it.plan_lines) == 12 and "a warning of a run" in it.warnings
    said = "".join(capsys.readouterr()) + json.dumps(
        [body.decode() for bodies in world.records.objects.values() for body in bodies]
    )
    for word in (world.sets["region-a"]["postgres"]["app"], example.secrets()["postgres"]["app"], "PRIVATE KEY"):
        assert word not in said


def test_a_run_that_fails_leaves_it_part_way_and_the_same_command_goes_on(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.fails = "region-a"
    assert cli.main(["rotate", "database", "--yes"]) == ExitCode.PARTIAL
    said = capsys.readouterr().err
    assert "no ssh session" in said and "2 of 12 steps are made and stay; the same command goes on" in said
    assert world.event().outcome == "partial"
    world.fails, world.records = "", Shelf()
    world.runs.clear()
    assert cli.main(["rotate", "database", "--yes"]) == ExitCode.DONE
    assert "goes on" in capsys.readouterr().out and at_rest(world)
    assert [name for name, _ in world.runs] == ["region-a", *["region-b", "region-a"] * 2]


def test_a_pair_that_could_not_be_moved_is_not_rotated(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.seen = played_survey.changed(world.seen, "regions/b/hosts/db-1", played_survey.DARK)
    assert cli.main(["rotate", "database", "--yes"]) == ExitCode.REFUSED
    said = capsys.readouterr()
    assert "against:" in said.out and "nothing was changed" in said.err
    assert at_rest(world) and world.runs == [] and world.records.objects == {}


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (lambda it: setattr(it, "epoch", None), ExitCode.REFUSED, "found no epoch"),
        (lambda it: it.sets["region-b"]["rails"].update(secret_key_base="1" * 64), ExitCode.REFUSED, "differ in rails"),
        (
            lambda it: setattr(it, "logins", {"in_recovery": True, "logins": {}}),
            ExitCode.PARTIAL,
            "does not say who is",
        ),
        (
            lambda it: setattr(it, "logins", {"in_recovery": False, "logins": None}),
            ExitCode.PARTIAL,
            "does not say who",
        ),
        (
            lambda it: setattr(it, "logins", {"in_recovery": False, "logins": {"shop": -1}}),
            ExitCode.PARTIAL,
            "concluded",
        ),
        (lambda it: setattr(it, "dead", {"a", "b"}), ExitCode.PARTIAL, "no ssh session"),
    ],
)
def test_what_nobody_knows_shuts_nobody_out(
    world: World, capsys: pytest.CaptureFixture[str], spoil: Callable[[World], None], code: ExitCode, said: str
) -> None:
    spoil(world)
    assert cli.main(["rotate", "database", "--yes"]) == code
    assert said in capsys.readouterr().err
    numbers = {rotation.number(it, "database") for it in world.sets.values()}
    assert numbers in ({0}, {2}), "the old ones are let in as before"


def test_the_other_regions_bastion_leads_there_where_the_own_one_is_dead(world: World) -> None:
    world.dead = {"a"}
    assert cli.main(["rotate", "database", "--yes"]) == ExitCode.DONE
    assert {via for _, via, _ in world.asked} == {"b"}


def test_without_a_terminal_nobody_agrees(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rotate", "database"]) == ExitCode.USAGE
    assert "`--yes` agrees" in capsys.readouterr().err and at_rest(world) and world.runs == []


def test_an_old_login_that_is_still_let_in_at_the_end_is_told_and_the_sets_stay_as_they_are(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.logins = {"in_recovery": False, "logins": {"shop": 0, "shop_2": 4}}
    assert cli.main(["rotate", "database", "--yes"]) == ExitCode.PARTIAL
    assert "logins shop: are still let in" in capsys.readouterr().err
    assert len(world.runs) == 7, "the active region's run was made once more"
    world.logins = {"in_recovery": False, "logins": {"shop_2": 4}}
    world.records = Shelf()
    assert cli.main(["rotate", "database", "--yes"]) == ExitCode.DONE and at_rest(world)


def test_a_kind_that_is_renewed_by_hand_is_no_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["rotate", "archive"])
    assert ended.value.code == 2 and "invalid choice" in capsys.readouterr().err


def test_sessions_are_turned_at_once_and_ended_by_the_same_command_later(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = world.sets["region-a"]["rails"]["secret_key_base"]
    assert cli.main(["rotate", "sessions", "--yes"]) == ExitCode.PARTIAL
    said = capsys.readouterr()
    assert "as they shall" in said.err and "what was signed with the old one has been good for 14 days" in said.out
    assert world.event().outcome == "partial" and len(world.runs) == 4
    found = world.sets["region-a"]
    assert found["rotation"]["sessions"]["secret_key_base"] == before != found["rails"]["secret_key_base"]
    assert not {before, found["rails"]["secret_key_base"]} & set((said.out + said.err).split())
    world.records = Shelf()
    assert cli.main(["rotate", "sessions", "--yes", "--keep-days", "0"]) == ExitCode.DONE
    assert at_rest(world) and world.asked == [], "no database is asked"
    assert world.also == {()}, "nothing of a platform is made or taken away"


def test_keys_of_buckets_are_made_and_taken_away_by_the_runs_and_links_signed_with_the_old_one_stay_good_for_a_day(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rotate", "buckets", "--yes"]) == ExitCode.PARTIAL
    said = capsys.readouterr()
    assert "links into buckets signed before" in said.err and "has been good for 1 days" in said.out
    assert len(world.runs) == 4 and world.sets["region-a"]["buckets"] == {"generation": 2}
    world.records = Shelf()
    assert cli.main(["rotate", "buckets", "--yes", "--keep-days", "0"]) == ExitCode.DONE
    assert at_rest(world) and len(world.runs) == 6
    (also,) = world.also
    keys = "urn:pulumi:region-a::shop::dr:index:AssetBuckets$ovh:CloudProject/s3Credential:S3Credential::assets-user-credential-2"
    server = "urn:pulumi:region-a::shop::dr:index:RegionStack$openstack:compute/instance:Instance::region-db-1"
    assert any(fnmatchcase(keys, it) for it in also) and not any(fnmatchcase(server, it) for it in also)


@pytest.mark.parametrize("days", ["-1", "366", "99999999999"])
def test_days_that_are_none_change_nothing(world: World, capsys: pytest.CaptureFixture[str], days: str) -> None:
    assert cli.main(["rotate", "sessions", "--yes", f"--keep-days={days}"]) == ExitCode.USAGE
    assert "wanted 0 to 365" in capsys.readouterr().err and world.runs == [] and at_rest(world)
