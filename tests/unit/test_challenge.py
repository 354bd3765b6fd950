"""A record like an ACME challenge is written, served and taken back, whatever comes in between; a key, a name or a zone that could not do it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.settings import Settings
from contract.errors import Failed
from contract.services.certificate import Keys
from scripts.ctl.moves import challenge
from scripts.ctl.moves.challenge import World, rehearsed
from tests.unit import played_survey

ITS = played_survey.settings()
HOST, ZONE, OWN_ZONE = ITS.shop.host, ITS.dns.zone, "acme.example"


def its(zone: str | None = None) -> Settings:
    return replace(ITS, shop=replace(ITS.shop, acme=Keys(contact="ops@shop.example", zone=zone)))


class Zone:
    """The API, and name servers that follow a refresh after `late` looks."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.records: dict[int, dict[str, Any]] = {}
        self.fails: dict[str, str] = {}  # by method and the path's end
        self.answer: Any = {"id": 7}
        self.late, self.now = 2, 0.0
        self.cname = {f"{HOST}.{OWN_ZONE}."}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((method, path))
        for what, why in self.fails.items():
            if f"{method} {path}".endswith(what):
                raise Failed(why)
        if method == "POST" and path.endswith("/record"):
            self.records[7] = body
            return self.answer
        if method == "DELETE":
            self.records.pop(int(path.rpartition("/")[2]))
        return None

    def said(self, server: str, name: str, kind: str) -> set[str]:
        if kind == "CNAME":
            assert (server, name) == ("192.0.2.1:53", f"_acme-challenge.{HOST}")
            return self.cname
        self.late -= 1
        own = ZONE if server.startswith("192.0.2.1") else OWN_ZONE
        there = {it["target"] for it in self.records.values() if f"{it['subDomain']}.{own}" == name}
        return there if self.late < 0 else set()

    def rest(self, seconds: float) -> None:
        self.now += seconds

    @property
    def world(self) -> World:
        servers = {ZONE: ["192.0.2.1:53"], OWN_ZONE: ["198.51.100.1:53", "198.51.100.2:53"]}
        return World(self, self.said, servers.__getitem__, lambda: self.now, self.rest)


@pytest.fixture
def zone() -> Zone:
    return Zone()


@pytest.mark.parametrize(("own", "where", "count"), [(None, ZONE, 1), (OWN_ZONE, OWN_ZONE, 2)])
def test_it_is_written_served_and_taken_back(zone: Zone, own: str | None, where: str, count: int) -> None:
    told = rehearsed(its(own), zone.world)
    assert f"zone {where}" in told and f"{count} name servers" in told
    base = f"/domain/zone/{where}"
    assert zone.asked == [
        ("POST", f"{base}/record"),
        ("POST", f"{base}/refresh"),
        ("DELETE", f"{base}/record/7"),
        ("POST", f"{base}/refresh"),
    ]
    assert zone.records == {}


@pytest.mark.parametrize(
    ("spoil", "says", "left"),
    [
        (lambda it: it.fails.update({"/record": "403: This call has not been granted"}), "has not been granted", False),
        (lambda it: setattr(it, "answer", {"id": "7"}), "tells no number of the record", True),
        (lambda it: it.fails.update({"/refresh": "500: no"}), "500: no", False),
        (lambda it: setattr(it, "late", 10**9), "not served by 192.0.2.1:53 600 s after", False),
        (
            lambda it: it.fails.update({"/record/7": "500: no"}),
            "record 7, _acme-rehearsal.www.shop.example, cannot be",
            True,
        ),
    ],
)
def test_what_keeps_a_challenge_from_being_answered_is_told_and_nothing_stays_that_is_not_named(
    zone: Zone, spoil: Any, says: str, left: bool
) -> None:
    spoil(zone)
    with pytest.raises(Failed, match=says):
        rehearsed(its(), zone.world)
    assert bool(zone.records) is left


@pytest.mark.parametrize("found", [set(), {"elsewhere.example."}])
def test_a_name_that_does_not_lead_into_the_challenges_zone_is_told_before_anything_is_written(
    zone: Zone, found: set[str]
) -> None:
    zone.cname = found
    with pytest.raises(Failed, match=f"leads to {HOST}.{OWN_ZONE}"):
        rehearsed(its(OWN_ZONE), zone.world)
    assert zone.asked == []


def test_ctrl_c_takes_it_back(zone: Zone) -> None:
    def pressed(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearsed(its(), replace(zone.world, rest=pressed))
    assert zone.records == {}


def test_a_name_server_that_does_not_answer_has_said_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge, "ANSWER_S", 0.05)
    assert challenge._said("127.0.0.1:9", "x.example", "TXT") == set()
