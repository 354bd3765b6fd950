"""Hosts of both regions greet each other with what a rotation would make: real handshakes between the hosts' own code, at every door and every stage."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import config
from components.settings import Settings
from contract import fields
from contract.errors import Usage
from contract.greeting import Place, Turn, Use
from contract.hosts import certificate_names, kind_of, serves
from scripts.ctl.moves import greeting
from scripts.ctl.moves.greeting import CASES, Case, Door, all_greeted, doors, greeted
from scripts.ctl.stacks import rotation
from scripts.ctl.stacks.secrets import CLIENT, SERVER, Authority, certificates, names_of
from scripts.host.frame.layout import Layout
from tests.components import stack
from tests.unit.played_greeting import Line, hosts

SHOP = "www.shop.example"
STRANGE = {"unable to get local issuer certificate", "self-signed certificate in certificate chain"}


@pytest.fixture(scope="module")
def its() -> Settings:
    return config.parse(stack.configuration(), {"secrets"})


@pytest.fixture(scope="module")
def secrets(its: Settings) -> dict[str, Any]:
    names = {key: certificate_names(host) for key, host in its.hosts.items()}
    return {**stack.secrets(), "tls": certificates(names, SHOP)}


@pytest.fixture(scope="module")
def made(its: Settings, secrets: dict[str, Any]) -> dict[str, Any]:
    kinds = (greeting.HOSTS, greeting.CACHES, greeting.LOGINS)
    return {kind: rotation.fresh(secrets, kind, names_of(its)) for kind in kinds}


@pytest.fixture(scope="module")
def found(its: Settings, made: dict[str, Any], secrets: dict[str, Any]) -> list[Door]:
    return list(doors(its, made, secrets))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, Any]) -> dict[str, Layout]:
    return hosts(tmp_path_factory.mktemp("hosts"), secrets["tls"])


@pytest.fixture
def lines(layouts: dict[str, Layout]) -> dict[str, Line]:
    return {key: Line(layout, key) for key, layout in layouts.items()}


def asked(door: Door, lines: dict[str, Line], case: Case) -> str:
    return greeted(door, case, lines)


def test_every_host_is_at_both_ends_of_a_door_to_the_other_region(its: Settings, found: list[Door]) -> None:
    assert all(it.server.host[-1] != it.client.host[-1] for it in found)
    assert {it.client.host for it in found} == set(its.hosts)
    assert {it.server.host for it in found} == {key for key in its.hosts if serves(kind_of(key))}
    assert {it.client.place for it in found} == set(Place) - {Place.DATABASE}


def test_all_take_each_other_at_every_stage_and_none_lets_in_what_is_old_at_the_end(
    found: list[Door], lines: dict[str, Line]
) -> None:
    assert all_greeted(iter(found), lines) == (len(found) * len(CASES), [])


@pytest.mark.parametrize("case", CASES, ids=[it.what for it in CASES])
def test_a_certificate_of_another_ca_is_told_at_each_door_and_stage(
    found: list[Door], lines: dict[str, Line], case: Case
) -> None:
    """The one that asks shows a stranger's where it should show what is new; where it shows its own, the other end trusts a stranger alone."""
    stranger = Authority("somebody")
    for door in {it.client.place: it for it in found}.values():
        if not case.fits:  # a door that opens to what it should refuse
            taken = asked(door, lines, replace(case, server=(Use.NEW, Use.BOTH)))
            assert taken.endswith(": taken")
        elif case.client[0] is Use.NEW:
            other = replace(door, client=replace(door.client, new=stranger.issue([door.client.host])))
            assert STRANGE & set(re.split("[:;] ", asked(other, lines, case)))
        else:
            other = replace(door, server=replace(door.server, ca=stranger.certificate_pem))
            told = asked(other, lines, replace(case, server=(case.server[0], Use.NEW)))
            assert STRANGE & set(re.split("[:;] ", told)), told


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"days": 0.001}, "expired"),
        ({"names": ["db-1.x.dr.internal"]}, "Hostname mismatch"),
        ({"purposes": ("client",)}, "unsuitable certificate purpose"),
        ({"key": "another"}, "key values mismatch"),
    ],
)
def test_a_certificate_that_is_over_or_for_another_purpose_name_or_key_is_told(
    found: list[Door], lines: dict[str, Line], what: dict[str, Any], says: str
) -> None:
    door = next(it for it in found if it.server.host == "db-1.b" and it.server.place is Place.HOST)
    by = Authority("shop hosts")
    purposes = (CLIENT,) if "purposes" in what else (SERVER, CLIENT)
    pair = by.issue(what.get("names", [door.name]), what.get("days", 800), purposes)
    if "key" in what:
        pair["key"] = by.issue(["another"])["key"]
    door = Door(
        server=replace(door.server, new=pair, ca=by.certificate_pem),
        client=replace(door.client, new=by.issue([door.client.host]), ca=by.certificate_pem),
        name=door.name,
    )
    _, wrong = all_greeted(iter([door]), lines)
    assert wrong and says.lower() in wrong[0].lower().replace("_", " "), wrong


def test_a_host_that_says_nothing_ends_its_own_doors_alone(
    found: list[Door], lines: dict[str, Line], tmp_path: Path, secrets: dict[str, Any]
) -> None:
    del lines["cache-1.a"]
    broken = hosts(tmp_path, {**secrets["tls"], "hosts": {"app-1.b": secrets["tls"]["hosts"]["app-1.b"]}})["app-1.b"]
    (broken.etc / "ca.pem").unlink()
    lines["app-1.b"] = Line(broken, "app-1.b")
    _, wrong = all_greeted(iter(found), lines)
    assert wrong and all("app-1.b" in it or "cache-1.a" in it for it in wrong)
    assert any("ca.pem cannot be read" in it for it in wrong)
    assert len([it for it in wrong if "app-1.b" in it]) > 1, "its later doors are named, and not asked"


@pytest.mark.parametrize(
    "lie", [{"state": "fine"}, {"said": "%"}, {"said": "A" * 70_000}, {"why": "a\x1b[2Jb" * 100}, {"state": "waits"}]
)
def test_what_a_host_answers_is_hostile(
    found: list[Door], lines: dict[str, Line], layouts: dict[str, Layout], lie: dict[str, Any]
) -> None:
    lines["db-1.b"] = Line(
        layouts["db-1.b"], "db-1.b", lambda answer: {**answer, **lie, "state": lie.get("state", "refused")}
    )
    door = next(it for it in found if it.server.host == "db-1.b")
    _, wrong = all_greeted(iter([door]), lines)
    assert wrong and "\x1b" not in "".join(wrong) and all(len(it) < 1000 for it in wrong)
    assert lines["db-1.b"].said <= len(CASES) * (greeting.TURNS + 1), "it is bounded"


def test_a_host_that_takes_its_time_at_each_turn_is_named_and_holds_up_no_other(
    found: list[Door], lines: dict[str, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(greeting, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Slow:
        def say(self, document: dict[str, Any], limit_s: float) -> dict[str, Any]:
            now[0] += min(19.0, limit_s)
            return {"said": "", "state": "waits", "why": ""}

    _, wrong = all_greeted(iter(found), {**lines, "app-1.b": Slow()})
    assert now[0] <= greeting.HOST_S, "and not for as long as there are doors"
    assert any("app-1.b, dr-host certificate greet: took 180 s for its answers in all" in it for it in wrong)
    assert all("app-1.b" in it for it in wrong), "nobody else is accused of it"


@pytest.mark.parametrize(
    "begin",
    [
        {"place": "host", "shows": "new", "trusts": "own"},
        {"place": "host", "shows": "own", "trusts": "new"},
        {"place": "shop", "shows": "own", "trusts": "own"},
        {"place": "host", "shows": "both", "trusts": "own"},
        {"place": "elsewhere", "shows": "own", "trusts": "own"},
        {"place": "host", "shows": "own", "trusts": "own", "login": "../x"},
    ],
)
def test_a_line_that_lacks_what_it_needs_is_refused(begin: dict[str, Any]) -> None:
    with pytest.raises(Usage):
        fields.read(Turn, {"schema": 1, "begin": begin}, "line")


def test_no_new_key_is_ever_in_a_file(
    found: list[Door], lines: dict[str, Line], layouts: dict[str, Layout], made: dict[str, Any]
) -> None:
    all_greeted(iter(found[:4]), lines)
    keys = [it["key"] for it in made[greeting.HOSTS]["hosts"].values()]
    texts = [path.read_text() for it in layouts.values() for path in it.etc.parents[1].rglob("*") if path.is_file()]
    assert texts and not any(key in text for key in keys for text in texts)
