"""Random faults: a seed is a story, and each thing that must hold after it can be seen not to hold. No lab runs here."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import pytest

from contract.epoch import Epoch
from contract.sites import Role
from lab.__main__ import main
from lab.rehearsal.chaos import catalogue, draw, invariants, run
from lab.rehearsal.chaos.invariants import Seen
from lab.rehearsal.chaos.operators import Journal, Operators, asked_word
from lab.rehearsal.chaos.play import CHANGED, Result
from lab.rehearsal.chaos.recovery import Recovery
from lab.rehearsal.chaos.story import Harm, Move, Story, Touch, resolved
from lab.rehearsal.engine import Run
from lab.rehearsal.stage import Stage

KINDS = tuple(catalogue.ROWS)
SITES = {"here": "a", "there": "b"}
MANY = range(400)
HOSTS = [f"{name}.{site}" for site in "ab" for name in ("db-1", "cache-1", "app-1", "app-2", "control-1")]


def harm(kind, target="", *, lasts=None, begins=1.0):
    return Harm(kind=kind, target=target, begins=begins, lasts=lasts)


def story(*harms, move=None, changed=""):
    return Story(seed=1, harms=harms, move=move, changed=changed)


# --- stories


def test_a_seed_is_a_story_and_another_seed_another_one():
    found = [draw.story(seed, KINDS) for seed in MANY]
    assert found == [draw.story(seed, KINDS) for seed in MANY]
    assert len({each.text() for each in found}) == len(found)


def test_every_kind_is_drawn_and_every_thing_that_people_do():
    found = [draw.story(seed, KINDS) for seed in MANY]
    assert {each.kind for one in found for each in one.harms} == set(KINDS)
    assert {len(one.harms) for one in found} == {1, 2, 3}
    moves = [one.move for one in found if one.move]
    assert len(moves) < len(found)
    assert any(move.operators == 2 for move in moves)
    assert any(move.killed_after for move in moves)
    assert {move.insists for move in moves} == {True, False}
    assert {one.changed for one in found} == {"", *CHANGED}
    assert {one.home for one in found} == {True, False}
    moments = {
        "before" if each.begins < 0 else "within" if each.begins < draw.AFTER[0] else "after"
        for one in found
        for each in one.harms
    }
    assert moments == {"before", "within", "after"}


def test_no_story_has_two_harms_that_the_lab_cannot_hold_at_once():
    for seed in MANY:
        harms = [(each.kind, each.target) for each in draw.story(seed, KINDS).harms]
        for number, one in enumerate(harms):
            assert not any(catalogue.clash(one, other) for other in harms[number + 1 :]), (seed, harms)


def test_a_fault_that_the_lab_does_not_know_is_not_drawn():
    kinds = catalogue.offered(run.known_faults())
    assert set(kinds) == {
        kind for kind, row in catalogue.ROWS.items() if not row.needs or row.needs in run.known_faults()
    }
    for kind in (
        "host",
        "region",
        "link",
        "uplink",
        "clock",
        "storage",
        "storage-lies",
        "api",
        "disk-full",
        "slow-link",
    ):
        assert kind in kinds
        assert kind in run.known_faults()


def test_a_story_without_a_new_fault_is_the_same_before_the_lab_knew_it():
    old = [kind for kind, row in catalogue.ROWS.items() if not row.needs]
    pairs = [(draw.story(seed, KINDS), draw.story(seed, old)) for seed in MANY]
    kept = [(new, before) for new, before in pairs if all(each.kind in old for each in new.harms)]
    assert len(kept) > len(pairs) / 2
    assert all(new == before for new, before in kept)


def test_a_story_in_one_line():
    told = Story(
        seed=7,
        harms=(harm("host", "db-1.here", begins=2.0), harm("link", "both", begins=-3.25, lasts=10.0)),
        move=Move(killed_after=4.0, insists=True),
        changed="postgres",
        home=True,
    )
    assert told.text() == (
        "link both -3.2..+6.8; host db-1.here +2.0..the end; dr:postgres of there changed; move killed after 4.0 insisting; home"
    )
    assert (told.begins, told.horizon) == (-3.25, 6.8)
    assert json.loads(json.dumps(told.document()))["harms"][0]["target"] == "db-1.here"


@pytest.mark.parametrize(
    ("text", "found"),
    [("db-1.here", "db-1.a"), ("compute@there", "compute@b"), ("here->there", "a->b"), ("both", "both"), ("", "")],
)
def test_names_of_the_lab(text, found):
    assert resolved(text, SITES) == found


# --- what a fault may do to a primary


@pytest.mark.parametrize(
    ("kind", "target", "here", "there"),
    [
        ("host", "db-1.here", {Touch.SERVICE}, {Touch.PEER}),
        ("host", "app-1.here", set(), set()),
        ("region", "there", {Touch.PEER}, {Touch.SERVICE}),
        ("uplink", "here", {Touch.WITNESS}, set()),
        ("link", "here->there", {Touch.PEER}, {Touch.PEER}),
        ("storage", "witness", {Touch.WITNESS}, {Touch.WITNESS}),
        ("storage", "here", set(), set()),
        ("witness-cut", "there", set(), {Touch.WITNESS}),
        ("agent-killed", "db-1.here", set(), {Touch.PEER}),
        ("agent-hung", "db-1.here", {Touch.SERVICE}, {Touch.PEER}),
        ("api", "compute@here", set(), set()),
        ("hung-ssh", "db-1.here", set(), set()),
    ],
)
def test_what_is_touched(kind, target, here, there):
    told = story(harm(kind, target))
    assert invariants.touched(told, SITES, "here") == here
    assert invariants.touched(told, SITES, "there") == there


def test_a_primary_may_stop_when_neither_contact_is_sure():
    assert not invariants.may_stop(frozenset({Touch.WITNESS}))
    assert not invariants.may_stop(frozenset({Touch.PEER}))
    assert invariants.may_stop(frozenset({Touch.WITNESS, Touch.PEER}))
    assert invariants.may_stop(frozenset({Touch.SERVICE}))


def test_a_move_ends_the_grants_so_that_a_dead_witness_may_stop_the_primary():
    told = story(harm("storage", "witness"))
    assert not invariants.may_stop(invariants.touched(told, SITES, "here"))
    assert invariants.may_stop(invariants.touched(replace(told, move=Move()), SITES, "here"))


# --- what must hold


def writing(*stretches, until=100.0):
    """Samples each 0.1 s; writer within the stretches."""
    times = [round(0.1 * number, 1) for number in range(int(10 * until))]
    return [{"t": t, "writer": any(begin <= t <= end for begin, end in stretches)} for t in times]


def epoch(number, active, *, planned=True):
    return Epoch(epoch=number, active=active, previous=None, planned=planned)


@pytest.fixture
def well():
    """A pair after a story without a move: everything as it should be."""
    return Seen(
        sites=SITES,
        began=0.0,
        samples={
            "postgres": {"a": writing((0, 100)), "b": writing()},
            "redis": {"a": writing((0, 100)), "b": writing()},
        },
        newest=epoch(3, "a"),
        roles={
            host: {"role": Role.PRIMARY if host.endswith(".a") else Role.STANDBY, "epoch": 3, "site": host[-1]}
            for host in HOSTS
        },
        workers={"app-1.a": True, "app-2.a": True, "app-1.b": False, "app-2.b": False},
        previews={"a": {}, "b": {}},
        writers={"a"},
        caches={"a": "master", "b": "replica"},
        streams=True,
        sells=True,
    )


def broken(told, seen):
    return {check.name for check in invariants.checks(told, seen) if not check.holds}


QUIET = story(harm("api", "compute@here"))


def test_a_pair_that_is_well_breaks_nothing(well):
    assert broken(QUIET, well) == set()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("one writer: postgres", {"samples": {"postgres": {"a": writing((0, 100)), "b": writing((50, 50.1))}}}),
        ("one writer: redis", {"samples": {"redis": {"a": writing((0, 100)), "b": writing((50, 50.1))}}}),
        ("no epoch was claimed twice", {"claimed_twice": ["epochs/00000003.json"]}),
        ("no agent stops what is heard: here", {"lease_stops": {"db-1.a": ["nobody heard for 30 s"]}}),
        ("no agent stops what is heard: there", {"lease_stops": {"cache-1.b": ["nobody heard for 30 s"]}}),
        (
            "a primary that nobody touches writes on",
            {"samples": {"postgres": {"a": writing((0, 40), (43, 100)), "b": writing()}}},
        ),
        ("every host has power", {"off": ["cache-1.a"]}),
        ("no deny is left", {"denies": {"db-1.b": 4}}),
        ("the active site alone writes", {"writers": set()}),
        ("caches have their roles", {"caches": {"a": "master", "b": "master"}}),
        ("the standby streams", {"streams": False}),
        ("both previews are empty", {"previews": {"a": {"update": 1}, "b": {}}}),
        ("both previews are empty", {"previews": {"a": {}}}),
        ("workers run in the active site alone", {"workers": {"app-1.a": False, "app-1.b": False}}),
        ("workers run in the active site alone", {"workers": {"app-1.a": True, "app-1.b": True}}),
        ("workers run in the active site alone", {"workers": {"app-1.a": None, "app-1.b": False}}),
        ("workers run in the active site alone", {"workers": {}}),
        ("no journal has what must never be in one", {"cries": {"cache-1.a": ["== CRITICAL == ..."]}}),
        ("the shop sells", {"sells": False}),
        ("the witness knows the epoch", {"newest": None}),
    ],
)
def test_each_thing_that_must_hold_is_seen_not_to(well, name, change):
    assert name in broken(QUIET, replace(well, **change))


@pytest.mark.parametrize("role", [None, {"role": Role.FENCED, "epoch": 3}, {"role": Role.PRIMARY, "epoch": 2}])
def test_a_host_without_its_role_in_the_newest_epoch_is_named(well, role):
    found = [check for check in invariants.checks(QUIET, replace(well, roles={**well.roles, "db-1.a": role}))]
    (check,) = [each for each in found if each.name == "every host has its role in the newest epoch"]
    assert not check.holds
    assert "db-1.a" in check.seen


def test_a_stop_is_no_false_one_when_the_story_reaches_the_lease(well):
    stopped = replace(
        well,
        lease_stops={"db-1.a": ["nobody heard for 30 s"]},
        samples={"postgres": {"a": writing((0, 40), (60, 100)), "b": writing()}},
    )
    told = story(harm("storage", "witness"), harm("link", "both"))
    assert broken(told, stopped) == set()
    assert broken(QUIET, stopped) == {
        "no agent stops what is heard: here",
        "a primary that nobody touches writes on",
    }


def test_the_deny_of_a_take_over_that_was_made_is_spent(well):
    assert broken(QUIET, replace(well, denies={"db-1.b": 3, "cache-1.b": 2})) == set()


def test_a_short_hole_between_samples_is_no_stop():
    assert invariants.silences(writing((0, 40), (40.8, 100))) == []
    assert invariants.silences(writing((0, 40), (41.5, 100))) == [(40.0, 41.5)]


@pytest.mark.parametrize(
    ("told", "epochs", "holds"),
    [
        (story(harm("api", "ovh"), move=Move()), [epoch(4, "b")], True),
        (story(harm("api", "ovh"), move=Move()), [epoch(4, "b", planned=False)], False),
        (story(harm("api", "ovh"), move=Move()), [], False),
        (story(harm("host", "db-1.here"), move=Move()), [], True),
        (story(harm("api", "ovh"), move=Move(killed_after=3.0)), [], True),
        (story(harm("api", "ovh"), move=Move(), changed="postgres"), [], True),
        (story(harm("api", "ovh")), [], True),
    ],
)
def test_a_move_that_nothing_hinders_must_be_made(well, told, epochs, holds):
    name = "a move that nothing hinders is made, as planned"
    (check,) = [each for each in invariants.checks(told, replace(well, epochs=epochs)) if each.name == name]
    assert check.holds is holds


def test_an_epoch_that_the_witness_was_made_to_forget_may_be_claimed_anew(well):
    seen = replace(well, claimed_twice=["epochs/00000003.json"])
    assert "no epoch was claimed twice" not in broken(story(harm("witness-forgets", "epoch")), seen)
    assert "no epoch was claimed twice" in broken(story(harm("witness-forgets", "heartbeats")), seen)


def test_lost_rows_are_counted_by_table_where_the_evidence_names_them():
    named = {
        "relations": [
            {"name": "orders", "insert": 3, "update": 9},
            {"name": "public.orders", "insert": 1},
            {"name": "items", "insert": 7},
        ]
    }
    assert invariants.account([named, named], "orders") == 8
    assert invariants.account([], "orders") == 0
    assert invariants.account([named, {"relations": [{"file": "1/2/3", "insert": 3}]}], "orders") is None


# --- people, records


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("... or accept it: set accept.data_loss to {epoch: 4, reason: ...} and run", ("data_loss", 4)),
        ("... set accept.configuration\n    to {epoch: 12, reason: ...}", ("configuration", 12)),
        ("... set accept.without_fence to {epoch: 4, reason: ...}", None),
        ("a database that does not answer", None),
    ],
)
def test_the_word_that_a_refusal_asks_for(output, word):
    assert asked_word(output) == word


def test_a_result_tells_its_verdict_and_whatever_was_wrong():
    result = Result(QUIET, SITES)
    assert result.verdict == "passed"
    assert "passed  seed 1" in run.tell(result)
    result.harness.append("samples: no answer")
    assert result.verdict == "harness"
    result.checks.append(invariants.Check("the shop sells", False, "no orders"))
    assert result.verdict == "FAILED"
    assert "the shop sells: no orders" in run.tell(result)
    assert json.loads(json.dumps(result.document(), default=str))["verdict"] == "FAILED"
    assert run.table([result]).endswith("0 of 1 passed")


def test_what_was_played_is_told_when_somebody_interrupts_the_rest(monkeypatch, tmp_path, capsys):
    def play(told, folder):
        yield Result(told[0], SITES)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "play", play)
    assert main(["chaos", "--seed", "7", "--runs", "3", "--records", str(tmp_path)]) == 130
    told = capsys.readouterr()
    assert "1 of 1 passed" in told.out and "interrupted" in told.err and "lab down" in told.err


# --- the way back


class Pair:
    """What the way back asks of a stage: site b is active, and both answer."""

    active = "b"

    def __init__(self):
        self.asked, self.configured, self.cancelled = [], [], []
        self.world = self.pulumi = self

    def request(self, site, active):
        self.asked.append((site, active))

    def status(self, site):
        return {"streaming": True}

    def configure(self, site, key, value):
        self.configured.append((site, key, value))

    def cancel(self, site):
        self.cancelled.append(site)
        return Run(0, 0.1, "")


class Typist(Operators):
    """`pulumi up` by the book: what each run of a site says, in order; afterwards all is well."""

    def __init__(self, stage, **said):
        super().__init__(stage, Journal())
        self.said, self.runs = {site: list(texts) for site, texts in said.items()}, []

    def up(self, site, who="operator", pulumi=None):
        self.runs.append(site)
        texts = self.said.get(site)
        return Run(1, 0.1, texts.pop(0)) if texts else Run(0, 0.1, "")


def way_back(**said):
    pair = Pair()
    typist = Typist(pair, **said)
    return pair, typist, Recovery(cast("Stage", pair), typist).run()


def test_the_active_side_runs_first_and_both_are_asked_for_it():
    pair, typist, found = way_back()
    assert typist.runs == ["b", "a"]
    assert pair.asked == [("a", "b"), ("b", "b")]
    assert (found.again, found.trouble, dict(typist.journal.words)) == (0, [], {})


def test_a_word_is_given_because_the_message_asks_for_it_and_taken_out_again():
    pair, typist, found = way_back(b=["set accept.data_loss to {epoch: 4, reason: ...} and run the same again"])
    assert typist.runs == ["b", "b", "b", "a"]
    assert pair.configured[0][2]["data_loss"]["epoch"] == 4
    assert pair.configured[-1] == ("b", "accept", None)
    assert (found.trouble, dict(typist.journal.words)) == ([], {"data_loss": 1})


def test_the_same_again_only_where_the_message_says_so():
    assert way_back(a=["a hiccup; run the same again"])[2].again == 1
    _, typist, found = way_back(a=["a hiccup"])
    assert typist.runs == ["b", "a"]
    assert "a hiccup" in found.trouble[0]


def test_the_lock_of_a_run_that_was_killed_is_taken():
    pair, typist, found = way_back(b=["error: the stack is currently locked by 1 lock(s)"])
    assert (pair.cancelled, typist.runs, found.again, found.trouble) == (["b"], ["b", "b", "a"], 0, [])


def test_a_run_that_fails_for_ever_is_the_trouble():
    _, typist, found = way_back(b=["run the same again"] * 9)
    assert found.trouble
    assert typist.runs.count("b") < 9
