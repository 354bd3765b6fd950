"""`drctl rotate`: the plan first, each step once, and a record however it ends; what it may not begin it does not begin."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from components.settings import S3Keys, Settings
from contract.access import Ovh
from contract.buckets import Bucket
from contract.consumer_key import Beginning, beginning
from contract.epoch import Epoch
from contract.errors import ExitCode, Usage
from contract.report import Event
from contract.rotation import KINDS
from lab import assembly
from lab.rehearsal.answers import answers
from scripts.clients.hosts import Answer, Hosts, Unreachable, answer_of
from scripts.ctl import cli
from scripts.ctl.commands import rotate
from scripts.ctl.moves import engine, recorded, witness_keys
from scripts.ctl.moves.engine import Outcome
from scripts.ctl.reports import book, writing
from scripts.ctl.stacks import rotation
from scripts.ctl.stacks.stack import Stack
from tests.components import stack as example
from tests.unit import played_survey
from tests.unit.played_lease import Leases
from tests.unit.played_reports import Shelf, its

ITS = its()
KEYS = assembly.Credentials()


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
        self.records, self.leases = Shelf(), Leases()

    # --- stacks
    def up(self, stack: Stack, _: Any, *, why: str, limited: bool, also: Sequence[str], stays: bool) -> Outcome:
        assert stays, "whoever moves the shop meanwhile would have it moved back"
        assert limited, "a pending replacement of a server would ride along"
        assert self.leases.now == ["rotation"]
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
    monkeypatch.setattr(recorded, "RunLease", it.leases.lease)
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


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not kind.rotated])
def test_of_a_kind_that_is_renewed_otherwise_it_says_how(
    world: World, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert cli.main(["rotate", kind, "--yes"]) == ExitCode.REFUSED
    said = capsys.readouterr().err
    assert "nothing was changed" in said.replace("\n", " ") and KINDS[kind].how[:40] in said
    assert world.runs == [] and at_rest(world) and world.records.objects == {}


def test_a_kind_that_is_none_is_no_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["rotate", "everything"])
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


# --- keys to the witness: of the platform's own making, by a key that is in no stack


class Account:
    """The project of the witness's users: three calls of its API. `keys`: by number of the user; `asked`: method and path."""

    def __init__(self, found: Any) -> None:
        used = [found["witness"], *found["witness"]["hosts"].values()]
        self.keys = {number: {it["access_key"]} for number, it in enumerate(used, 7)}
        self.asked: list[tuple[str, str]] = []
        self.signed: set[str] = set()

    def api(self, account: Ovh, **_: Any) -> Account:
        self.signed |= {account.application_key, account.consumer_key}
        return self

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((method, path))
        assert path.startswith("/cloud/project/third/user") and body is None
        number, _, access = path.removeprefix("/cloud/project/third/user").strip("/").partition("/s3Credentials")
        if not number:
            return [{"id": it, "description": f"user {it}", "status": "ok"} for it in self.keys]
        if method == "GET":
            return [{"access": it} for it in self.keys[int(number)]]
        if method == "POST":
            self.keys[int(number)].add(f"new{number}")
            return {"access": f"new{number}", "secret": f"secretofnew{number}"}
        self.keys[int(number)].remove(access.strip("/"))
        return None

    def reachable(self, bucket: Bucket) -> bool:
        return any(bucket.access_key in keys for keys in self.keys.values())


@pytest.fixture
def account(world: World, monkeypatch: pytest.MonkeyPatch) -> Account:
    for found in world.sets.values():
        for user, keys in found["witness"]["hosts"].items():
            keys["access_key"] = f"access-of-{user.replace('.', '-')}"
    it = Account(world.sets["region-a"])
    monkeypatch.setattr(rotate, "OvhApi", it.api)
    monkeypatch.setattr(
        witness_keys, "RuledBucket", lambda place: SimpleNamespace(reachable=lambda: it.reachable(place))
    )
    monkeypatch.setenv("OVH_INIT_CONSUMER_KEY", "consumer-key-of-who-makes-things")
    monkeypatch.delenv("OVH_APPLICATION_KEY", raising=False)
    return it


@pytest.mark.parametrize("listed", [True, False])
def test_a_new_key_that_is_another_user_s_is_shown_by_nobody(
    world: World, account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """What answers twice with the first answer would put the operator's key onto every host."""
    first, really = {"access": "new7", "secret": "secretofnew7"}, account.ask

    def ask(method: str, path: str, body: Any = None) -> Any:
        found = really(method, path, body)
        if not listed and isinstance(found, list):
            found = [it for it in found if it.get("access") != "new7"]
        return first if method == "POST" else found

    monkeypatch.setattr(account, "ask", ask)
    assert cli.main(["rotate", "witness", "--yes", "--project", "third"]) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert "is one of user" in said and "what was in use is in use" in said and "secretofnew" not in said
    assert at_rest(world) and not world.runs


def test_keys_to_the_witness_are_made_and_deleted_by_the_key_of_who_has_made_its_users(
    world: World, account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[str]()

    def settings(stack: Stack) -> Settings:
        read.append(stack.name)
        keys = S3Keys(**{name: world.sets[stack.name]["witness"][name] for name in ("access_key", "secret_key")})
        return replace(ITS, secrets=replace(ITS.secrets, witness=keys))

    monkeypatch.setattr(Stack, "settings", settings)
    before = {access for keys in account.keys.values() for access in keys}
    assert cli.main(["rotate", "witness", "--yes", "--project", "third"]) == ExitCode.DONE
    assert at_rest(world) and [name for name, _ in world.runs] == ["region-b", "region-a"]
    assert {len(keys) for keys in account.keys.values()} == {1}
    assert not before & {access for keys in account.keys.values() for access in keys}
    assert world.leases.asked[0] in before and world.leases.asked[-1] not in before, "its lease goes by the keys of now"
    assert account.signed == {"secret-application-key", "consumer-key-of-who-makes-things"}
    assert {(method, "s3Credentials" in path) for method, path in account.asked} == {
        ("GET", False), ("GET", True), ("POST", True), ("DELETE", True),
    }, "no user is made, changed or deleted"  # fmt: skip
    asked, granted = (
        set(account.asked),
        beginning(Beginning(service_name="s", zone="z", third="third", regions=(), third_region="DE", buckets=())),
    )
    assert all(any(rule.fits(*call) for rule in granted) for call in asked)
    assert len(read) > 2, "what is put at the end is put by the new key: the one of the beginning is deleted by then"
    said = "".join(capsys.readouterr()) + json.dumps(
        [body.decode() for bodies in world.records.objects.values() for body in bodies]
    )
    assert world.event().outcome == "done"
    for word in ("consumer-key-of-who-makes-things", "secretofnew", "secret-witness-secret"):
        assert word not in said


def test_a_dry_run_looks_at_the_users_and_makes_no_key(
    world: World, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["rotate", "witness", "--dry-run", "--project", "third"]) == ExitCode.DONE
    said = capsys.readouterr().out
    assert "8 of 8 steps would be made" in said and "deleted at the platform" in said
    assert {method for method, _ in account.asked} == {"GET"} and world.runs == []
    account.keys.clear()
    assert cli.main(["rotate", "witness", "--dry-run", "--project", "third"]) == ExitCode.REFUSED
    assert "no user of project third" in capsys.readouterr().err, "before anybody agrees to a plan"


@pytest.mark.parametrize(
    ("spoil", "words", "code", "said"),
    [
        (lambda it, env: env.delenv("OVH_INIT_CONSUMER_KEY"), (), ExitCode.USAGE, "OVH_INIT_CONSUMER_KEY: is not set"),
        (lambda it, env: None, ("--project", "../x"), ExitCode.USAGE, "wanted the id of a Public Cloud project"),
        (lambda it, env: it.keys.clear(), (), ExitCode.REFUSED, "no user of project third has the key of operator"),
        (
            lambda it, env: it.keys.update({7: {"a b", *it.keys[7]}}),
            (),
            ExitCode.FAILED,
            "wanted a key of letters, digits",
        ),
    ],
)
def test_what_cannot_be_done_by_the_platform_is_not_begun(
    world: World,
    account: Account,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Account, pytest.MonkeyPatch], Any],
    words: Sequence[str],
    code: ExitCode,
    said: str,
) -> None:
    spoil(account, monkeypatch)
    assert cli.main(["rotate", "witness", "--yes", "--project", "third", *words]) == code
    assert said in capsys.readouterr().err
    assert "POST" not in {method for method, _ in account.asked} and world.runs == [] and at_rest(world)


def test_the_project_is_that_of_the_answers_where_there_are_some(
    world: World, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = answers(assembly.description(assembly.cloud_config(KEYS), KEYS, ("root", "root"), ""))
    del told["endpoints"]["archive_ca"]
    told["witness"] = {**told["witness"], "service_name": "5" * 32}
    (tmp_path / "init.yaml").write_text(yaml.safe_dump(told))
    assert rotate._project(tmp_path, ITS) == "5" * 32
    (tmp_path / "init.yaml").write_text("project: UPPER")
    with pytest.raises(
        Usage, match=r"init.yaml: .* Wanted the project of the witness's users from it; nothing was changed"
    ):
        rotate._project(tmp_path, ITS)
    (tmp_path / "init.yaml").unlink()
    assert rotate._project(tmp_path, ITS) == ITS.service_name


def test_the_programs_own_key_is_renewed_in_one_run_and_the_old_one_is_in_no_set(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = world.sets["region-a"]["ssh"]["operator"]
    assert cli.main(["rotate", "operator", "--yes"]) == ExitCode.DONE
    assert at_rest(world) and [name for name, _ in world.runs] == ["region-b", "region-a"] * 3
    after = world.sets["region-b"]["ssh"]
    assert after["former"] == [" ".join(before["public"].split()[:2])] and before["private"] not in json.dumps(
        world.sets
    )
    assert world.also == {()} and after["operator"]["private"] not in "".join(capsys.readouterr())
