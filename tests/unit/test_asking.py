"""Who is asked for a survey, and what becomes of silence, errors and nonsense."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.epoch import Epoch
from contract.heartbeat import Heartbeat
from scripts.clients.compute import Sight
from scripts.clients.hosts import Answer, Unreachable
from scripts.clients.openstack import ApiDown
from scripts.clients.state_copies import Copy, StateCopies
from scripts.clients.witness import Tried, Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl.survey import asking, deep, names
from scripts.ctl.survey.asking import Ways, look
from scripts.ctl.survey.deep import Stacks
from scripts.ctl.survey.seen import Told
from tests.unit.played_survey import LB, host, recorded, settings

ITS = settings()
BASTIONS = {"a": "203.0.113.7", "b": "198.51.100.7"}
TOLD = Told(addresses=frozenset(["203.0.113.12"]), others=frozenset(), ttl=60, serial=7)


class World:
    """Everybody who is asked; `asked` names them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.opened: list[dict[str, str]] = []
        self.witness_down = False
        self.dead: set[tuple[str, str]] = set()  # host and the bastion that leads to it no more
        self.lost: set[str] = set()  # sites whose bastion is dead
        self.answers: dict[str, Answer] = {}
        self.slow = 0.0

    # the witness
    def _word(self, found: Any) -> Any:
        if self.witness_down:
            raise WitnessDown("witness: does not answer")
        return found

    def newest(self) -> Epoch:
        return self._word(Epoch(epoch=3, active="a", previous="b", planned=True))  # type: ignore[no-any-return]

    def addresses(self, site: str) -> dict[str, str]:
        return self._word({"lb": LB[site], "bastion": BASTIONS[site]})  # type: ignore[no-any-return]

    def heartbeat(self, site: str, name: str) -> Heartbeat:
        self.asked.append(f"beat {name}.{site}")
        return self._word(Heartbeat(document={}, age_s=4.0))  # type: ignore[no-any-return]

    def versions(self, _: str) -> list[str]:
        return self._word(["epochs/00000001.json", "epochs/00000001.json", "epochs/00000002.json"])  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        if name in ("last_check", "followed", "configuration", "servers", "unsettled", "locked", "listed", "stored"):
            return lambda *_: self._word([] if name == "listed" else None)
        raise AttributeError(name)


class PlayedHosts:
    world: World

    def __init__(self, told: Any) -> None:
        self.world.opened.append(dict(told.bastions))
        self._bastions = dict(told.bastions)

    def __enter__(self) -> PlayedHosts:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def routes(self, key: str) -> list[str]:
        own = key.rsplit(".", 1)[1]
        return sorted(self._bastions, key=lambda site: site == own)

    def lead(self, site: str, _: int) -> None:
        self.world.asked.append(f"way {site}")
        if site in self.world.lost:
            raise Unreachable(f"bastion of {site}: no ssh session")

    def call(self, key: str, via: str, command: str, *_: Any, **__: Any) -> Answer:
        self.world.asked.append(f"{key} via {via}")
        assert command == "host survey"
        time.sleep(self.world.slow)
        if (key, via) in self.world.dead:
            raise Unreachable(f"host {key} through the bastion of {via}: no ssh session")
        name, site = key.split(".")
        return self.world.answers.get(key) or Answer(0, {"facts": fields.write(host(site, name))}, "")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()
    PlayedHosts.world = it
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(asking, "Witness", lambda *_, **__: it)
    monkeypatch.setattr(asking, "TrailBucket", lambda *_, **__: it)
    monkeypatch.setattr(asking, "CheckBucket", lambda *_, **__: it)
    monkeypatch.setattr(asking, "glance", lambda _: it._word(recorded()))
    monkeypatch.setattr(asking, "Hosts", PlayedHosts)
    for name, found in (("authoritative", TOLD), ("resolved", TOLD), ("delegated", frozenset[str]())):
        monkeypatch.setattr(names, name, lambda *_, found=found: found)

    def platform(of: asking.Asking, site: str) -> Any:
        it.asked.append(f"platform {site}")
        if site == "a":
            raise ApiDown("OpenStack API x: no answer within 3 s")
        return Sight()

    monkeypatch.setattr(asking.Asking, "_servers", platform)
    monkeypatch.setattr(asking.Asking, "_members", lambda *_: {"app-1": "ONLINE"})

    def entrance(_: asking.Asking, address: str) -> Any:
        it.asked.append(f"entrance {address}")
        raise RuntimeError("a-secret")

    monkeypatch.setattr(asking.Asking, "_entrance", entrance)
    return it


def test_every_host_of_both_regions_is_asked_by_its_own_regions_bastion(world: World) -> None:
    found = look(ITS)
    for key in ITS.hosts:
        assert f"{key} via {key[-1]}" in world.asked
    assert all(word.known for region in found.regions.values() for word in region.hosts.values())
    assert found.regions["a"].beats["db-1"].age_s == 4.0 and found.epochs.value == 1, "one is there twice"


def test_a_bastion_that_leads_nowhere_is_passed_by_and_a_host_without_a_way_is_one_unknown(world: World) -> None:
    world.dead = {("db-1.b", "b"), ("cache-1.b", "a"), ("cache-1.b", "b")}
    found = look(ITS)
    assert found.regions["b"].hosts["db-1"].known and "db-1.b via a" in world.asked
    assert "no ssh session" in found.regions["b"].hosts["cache-1"].why
    assert found.regions["b"].hosts["app-1"].known


def test_each_bastion_is_signed_in_to_before_whoever_is_behind_it_and_a_dead_one_once(world: World) -> None:
    """sshd drops at random what comes beside ten that have not signed in yet: a region of full size has more hosts."""
    world.lost = {"a"}
    found = look(ITS)
    assert sorted(it for it in world.asked if it.startswith("way")) == ["way a", "way b"]
    assert world.asked.index("way b") < world.asked.index("db-1.b via b")
    assert not [it for it in world.asked if it.endswith("via a")] and "db-1.a via b" in world.asked
    assert all(word.known for word in found.regions["a"].hosts.values())


def test_a_bastion_is_signed_in_to_while_the_witness_is_asked_and_anew_where_it_has_moved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(ITS)
    led, really = threading.Event(), PlayedHosts.lead

    def lead(it: PlayedHosts, site: str, limit_s: int) -> None:
        led.set()
        really(it, site, limit_s)

    def addresses(site: str) -> dict[str, str]:
        assert led.wait(10), "whoever is remembered is signed in to before the witness has answered"
        return {"lb": LB[site], "bastion": BASTIONS[site]}

    monkeypatch.setattr(PlayedHosts, "lead", lead)
    monkeypatch.setattr(world, "addresses", addresses, raising=False)
    world.asked.clear()
    found = look(ITS).regions["b"]
    assert found.addresses.known and found.hosts["db-1"].known
    assert sorted(it for it in world.asked if it.startswith("way")) == ["way a", "way b"]
    moved = {**BASTIONS, "b": "198.51.100.99"}
    monkeypatch.setitem(BASTIONS, "b", moved["b"])
    world.asked.clear()
    assert look(ITS).regions["b"].hosts["db-1"].known
    assert world.opened[-1] == moved and world.asked.count("way b") == 2, "where it was, and where it is"


def test_a_region_that_is_lost_is_not_asked_where_nobody_wants_its_word(world: World) -> None:
    found = look(ITS, sites=["b"])
    assert not [it for it in world.asked if ".a via" in it or it in ("way a", "platform a", f"entrance {LB['a']}")]
    assert "beat db-1.a" in world.asked, "the witness tells of it"
    assert found.regions["a"].hosts["db-1"].why == "was not asked" and found.regions["b"].hosts["db-1"].known


def test_what_raises_hides_nobody_and_no_secret_is_told(world: World) -> None:
    found = look(ITS)
    assert found.regions["a"].entrance.why == "could not be asked (RuntimeError)"
    assert found.regions["a"].servers.why.startswith("OpenStack API x") and found.regions["b"].servers.known


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(1, None, "ERROR host survey: out of memory"), "out of memory"),
        (Answer(0, None, "no JSON object of ours", usable=False), "no JSON object of ours"),
        (Answer(0, {"facts": {"postgres": {"lag_bytes": "many"}}}, ""), "postgres.lag_bytes: found 'many'"),
        (Answer(0, {"facts": {"failed": ["a\x1b[2J"]}}, ""), "failed"),
    ],
)
def test_a_host_that_answers_nonsense_is_unknown_with_the_reason(world: World, answer: Answer, told: str) -> None:
    world.answers["db-1.a"] = answer
    word = look(ITS).regions["a"].hosts["db-1"]
    assert word.value is None and told in word.why and word.why.isprintable()


def test_nobody_is_waited_for_beyond_the_limit(world: World) -> None:
    world.slow = 20.0
    found = look(ITS, limit_s=0.3)
    assert {word.why for word in found.regions["a"].hosts.values()} == {"no answer within 0.3 s"}
    assert found.newest.known


def test_a_silent_witness_leaves_the_hosts_by_the_addresses_of_before(world: World) -> None:
    world.witness_down = True
    assert look(ITS).regions["a"].hosts["db-1"].why == "was not asked"
    world.witness_down = False
    look(ITS)
    world.witness_down = True
    found = look(ITS)
    assert not found.newest.known and found.regions["a"].hosts["db-1"].known
    assert world.opened[-1] == BASTIONS


def test_connections_are_kept_from_one_look_to_the_next(world: World) -> None:
    with Ways() as ways:
        for _ in range(3):
            look(ITS, ways=ways)
    assert world.opened == [BASTIONS], "each new one is a sign-in"


class PlayedOffer:
    """A region's APIs; that of region a takes no sign-in."""

    signed_in: list[str]  # by each

    def __init__(self, _: Any, region: str, **__: Any) -> None:
        self.region = region

    def connect(self) -> None:
        self.signed_in.append(self.region)
        if self.region == ITS.regions["a"].compute_region:
            raise ApiDown("OpenStack API x: no answer within 3 s")

    def room(self) -> str:
        return "room"

    def sizes(self, flavors: Any) -> dict[str, None]:
        return dict.fromkeys(flavors)

    def image(self, image_id: str) -> str:
        return "active" if image_id == ITS.regions["b"].image_id else ""

    def everyone(self) -> list[Any]:
        raise RuntimeError("a-secret")


@pytest.fixture
def deeper(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[PlayedOffer]:
    PlayedOffer.signed_in = []
    monkeypatch.setattr(deep, "Offer", PlayedOffer)
    monkeypatch.setattr(Witness, "tried", lambda _: Tried(conditional=True, versioned=None))
    monkeypatch.setattr(
        StateCopies, "copies", lambda _, site: [Copy(site=site, at=at, digest="0" * 64) for at in (7, 9)]
    )
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/none")
    return PlayedOffer


def test_status_asks_no_platform_for_what_check_alone_wants(deeper: type[PlayedOffer]) -> None:
    assert look(ITS).deep is None and deeper.signed_in == []


def test_check_asks_each_platform_with_one_sign_in_and_a_silent_one_hides_no_other(deeper: type[PlayedOffer]) -> None:
    found = look(ITS, stacks=Stacks(project="shop", names={"a": "region-a", "b": "region-b"})).deep
    assert found is not None
    b = ITS.regions["b"].compute_region
    assert deeper.signed_in.count(b) == 1
    assert found.rooms["a"].why.startswith("OpenStack API x") and found.images["b"].value == "active"
    assert found.listed["b"].why == "could not be asked (RuntimeError)"
    assert found.copies["b"].value == 9, "the newest"
    assert found.witness.value == Tried(conditional=True, versioned=None)
    assert "has no .pulumi in it" in found.backend.why and "has no .pulumi in it" in found.locks["a"].why
