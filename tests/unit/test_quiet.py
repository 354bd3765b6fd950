"""Silences of what is done on purpose: both regions are told and told again at its end, whoever is dead there holds up nothing."""

from __future__ import annotations

import datetime
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from contract import fields
from contract.errors import Failed, Refused, Usage
from contract.monitoring import rules
from contract.monitoring.rules import Limits
from contract.monitoring.silences import AFTERMATH_S, CAUSES, NEVER, Silence, Undertaking, Unsilence
from contract.services.monitoring import Keys
from scripts.clients.hosts import Answer, Unreachable
from scripts.ctl.moves import quiet as module
from scripts.ctl.moves.quiet import quiet
from scripts.host.host.monitoring import silences
from tests.host.servers.monitoring_cases import CASES
from tests.unit import played_survey

ITS = replace(played_survey.settings(), monitoring=Keys())
NOW = datetime.datetime(2026, 11, 29, 3, 0, tzinfo=datetime.UTC)
RULES = {rule.name for group in rules.groups(Limits()).values() for rule in group}


class World:
    """Control hosts of both regions. `dead`, `stuck`: regions whose one is; `at_end`: only then."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.dead, self.stuck, self.at_end = set[str](), set[str](), False
        self.bastions: Any = {"a": "192.0.2.1", "b": "192.0.2.2"}
        self.refused = False
        self.over = threading.Event()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to(self, _: Any, bastions: dict[str, str]) -> World:
        if self.refused:
            raise Refused("ssh cannot work here")
        self.ways = bastions
        return self

    def routes(self, host: str) -> list[str]:
        return list(self.ways)

    def must(self, host: str, via: str, verb: str, document: dict[str, Any], _: int) -> Answer:
        assert host == f"control-1.{via}"
        if not self.at_end or verb.endswith("unsilence"):
            if via in self.dead:
                raise Unreachable(f"host {host}: no ssh session")
            if via in self.stuck:
                self.over.wait(30)
        form = {"monitoring silence": Silence, "monitoring unsilence": Unsilence}[verb]
        self.asked.append((via, verb.split()[1], fields.read(form, document, verb)))
        return Answer(0, {"facts": {"silences": 3}}, "")

    def told(self, verb: str) -> dict[str, Any]:
        return {site: document for site, asked, document in self.asked if asked == verb}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    it = World()

    def bastions(_: Any) -> Any:
        if isinstance(it.bastions, Exception):
            raise it.bastions
        return it.bastions

    monkeypatch.setattr(module, "Ways", lambda: it)
    monkeypatch.setattr(module, "bastions", bastions)
    monkeypatch.setattr(module, "LIMIT_S", 1.0)
    yield it
    it.over.set()


def reboots(**more: Any) -> Any:
    told = {"hosts": ["db-1.b"], "seconds": 660.0, "why": "kernel"}
    return quiet(ITS, Undertaking.REBOOT, "b", **{**told, **more})


def test_both_regions_are_told_and_at_the_end_told_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with reboots():
        begun = world.told("silence")
        assert not world.told("unsilence")
    assert set(begun) == set(world.told("unsilence")) == {"a", "b"}
    assert begun["a"] == begun["b"] and (begun["a"].site, begun["a"].hosts) == ("b", ("db-1.b",))
    assert (begun["a"].seconds, begun["a"].why) == (660, "kernel") and begun["a"].who
    assert world.told("unsilence")["b"] == Unsilence(id=begun["a"].id, after_s=AFTERMATH_S)
    assert capsys.readouterr().err == ""


def test_each_has_an_id_of_its_own_and_lasts_no_longer_than_its_kind_may(world: World) -> None:
    with reboots(seconds=1e6):
        pass
    first = world.told("silence")["a"]
    with quiet(ITS, Undertaking.SWITCHOVER, "a"):
        pass
    second = world.told("silence")["a"]
    assert first.id != second.id
    assert [it.seconds for it in (first, second)] == [CAUSES[it].most_s for it in (Undertaking.REBOOT, Undertaking.SWITCHOVER)]  # fmt: skip


@pytest.mark.parametrize("keys", [None, Keys(enabled=False)])
def test_where_nobody_watches_nobody_is_asked(world: World, keys: Keys | None) -> None:
    world.bastions = Failed("nobody is to ask")
    with quiet(replace(ITS, monitoring=keys), Undertaking.DEPLOY, "a"):
        pass
    assert world.asked == []


@pytest.mark.parametrize("fault", ["dead", "stuck", "both", "no bastion", "witness", "ssh"])
def test_who_cannot_be_told_is_one_line_and_holds_up_nothing(
    world: World, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    if fault in ("dead", "stuck"):
        getattr(world, fault).add("a")
    elif fault == "both":
        world.dead |= {"a", "b"}
    elif fault == "no bastion":
        del world.bastions["a"]
    elif fault == "witness":
        world.bastions = Failed("witness: does not answer")
    else:
        world.refused = True
    done = False
    with reboots():
        done = True
        begun = capsys.readouterr().err.splitlines()
    assert done
    ended = capsys.readouterr().err.splitlines()
    for lines, wanted in ((begun, "may be told as a fault"), (ended, "end by themselves, 660 s")):
        (line,) = lines
        assert line.startswith("warning: ") and wanted in line and line.endswith("nothing waits for that")
    reached = {"dead": {"b"}, "stuck": {"b"}, "no bastion": {"b"}}.get(fault, set())
    assert set(world.told("silence")) == set(world.told("unsilence")) == reached


def test_what_fails_or_is_ended_has_its_silence_taken_away_and_fails_as_it_did(world: World) -> None:
    for error in (Failed("the host is not back"), KeyboardInterrupt()):
        with pytest.raises(type(error)), reboots():
            raise error
    assert [(site, verb) for site, verb, _ in world.asked].count(("a", "unsilence")) == 2


def test_whoever_interrupts_its_end_has_not_interrupted_what_was_done(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with reboots():
        monkeypatch.setattr(module, "bastions", lambda _: {})
        monkeypatch.setattr(module, "Questions", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert "end by themselves" in capsys.readouterr().err


# --- what may be silenced at all


def names(it: Any) -> set[str]:
    return {*it.hosts, *it.site, *it.other}


@pytest.mark.parametrize("undertaking", Undertaking)
def test_an_undertaking_silences_rules_that_are_there_and_none_that_is_always_told(undertaking: Undertaking) -> None:
    causes = CAUSES[undertaking]
    assert names(causes) and names(causes) <= RULES and not names(causes) & NEVER
    assert NEVER <= RULES
    for place, label in ((causes.hosts, "host"), (causes.site, "site"), (causes.other, "site")):
        for name in place:
            assert all(label in case.labels for case in CASES[name]), (
                f"{name} has no label {label}: it would not be met"
            )


def made(**more: Any) -> list[dict[str, Any]]:
    told = {
        "id": "0123456789ab",
        "undertaking": "reboot",
        "site": "b",
        "hosts": ["db-1.b"],
        "seconds": 60,
        "who": "ann",
    }
    return list(silences.documents(fields.read(Silence, {**told, **more}, "it"), NOW))


def silent(documents: list[dict[str, Any]], **labels: str) -> bool:
    """As Alertmanager matches: each matcher's expression, to the whole of a label."""
    return any(
        all(re.fullmatch(it["value"], labels.get(it["name"], "")) for it in document["matchers"])
        for document in documents
    )


def test_a_silence_is_of_named_alerts_at_named_places_for_a_time() -> None:
    found = made()
    assert silent(found, alertname="HostDown", host="db-1.b", site="b")
    assert silent(found, alertname="StandbyMissing", host="db-1.a", site="a")
    for labels in (
        {"alertname": "HostDown", "host": "db-1.a", "site": "a"},
        {"alertname": "HostDown", "host": "db-1xb", "site": "b"},
        {"alertname": "HostDown", "host": "db-10.b", "site": "b"},
        {"alertname": "StandbyMissing", "host": "db-1.b", "site": "b"},
        {"alertname": "TwoWriters"},
        {"alertname": "RegionGone", "site": "b"},
        {"alertname": "ShopDown"},
    ):
        assert not silent(found, **labels), labels
    for it in found:
        assert (it["startsAt"], it["endsAt"]) == ("2026-11-29T03:00:00.000Z", "2026-11-29T03:01:00.000Z")
        assert {each["name"] for each in it["matchers"]} in ({"alertname", "host"}, {"alertname", "site"})
        assert all(each["value"] and ".*" not in each["value"] for each in it["matchers"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"hosts": []}, "hosts: found none"),
        ({"hosts": ["db-1.a"]}, "hosts: found db-1.a"),
        ({"hosts": [".*"]}, "hosts"),
        ({"hosts": ["db-1.b|.*"]}, "hosts"),
        ({"undertaking": "switchover"}, "none: switchover stops none"),
        ({"undertaking": "failover"}, "undertaking"),
        ({"undertaking": ".*"}, "undertaking"),
        ({"matchers": [{"name": "alertname", "value": ".*"}]}, "matchers"),
        ({"seconds": 3601}, "3600 at most"),
        ({"seconds": 10**9}, "seconds"),
        ({"site": "a|b"}, "site"),
        ({"id": "x"}, "id"),
    ],
)
def test_what_is_wider_than_an_undertaking_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(Usage, match=re.escape(said)):
        made(**more)


def test_a_comment_says_what_who_and_why_in_one_line_and_what_stands_there_is_no_id_of_another() -> None:
    it, *_ = made(who="ann at desk", why="new\nkernel [ba9876543210]")
    assert it["comment"] == "reboot of region b, db-1.b, by ann at desk: new kernel [ba9876543210] [0123456789ab]"
