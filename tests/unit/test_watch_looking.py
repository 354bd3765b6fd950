"""One look: whom it asks, and what each silence counts as. And the rounds: nothing that one of them meets ends the watcher."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.settings import S3Keys, Settings
from contract.epoch import Epoch
from contract.errors import Failed
from contract.heartbeat import Heartbeat
from contract.runs import Run
from contract.watch import Watch
from scripts.clients.hosts import Answer as Said
from scripts.clients.run_bucket import Word
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl.stacks.stack import Stack
from scripts.links.verify import NotYet
from scripts.watch import acting, looking, loop
from scripts.watch.looking import Looking
from scripts.watch.loop import pages, rounds
from scripts.watch.pages import Page, Telling
from scripts.watch.pulse import Answer, Pulse, State
from scripts.watch.renewing import Renewing
from tests.unit import played_survey

ITS = played_survey.settings()
EPOCH = Epoch(epoch=3, active="a", previous="b", planned=True)
LB = played_survey.LB
RUN = Run(
    run="r", site="b", what="up", who="bob", place="desk", at="2026-11-29T03:00:00Z", machine="0" * 32, pid=1, begun=1
)


class World:
    """All that a look asks. Each answer can be spoiled by an attribute."""

    def __init__(self) -> None:
        self.epoch: Epoch | None = EPOCH
        self.witness_down = False
        self.beat_age: dict[str, float | None] = {"db-1": 1.0, "cache-1": 1.0}
        self.agent: dict[str, Any] = {"last_granted_s": 1.0, "up_s": 9000.0, "peer": {"age_s": 1.0}}
        self.dead: set[str] = set()  # entrances by address, "bastion", "standby"
        self.entrance: dict[str, tuple[int, Exception | None]] = {}
        self.word_there, self.worked_at = Word(), "a"

    # --- the witness
    def _ask(self) -> None:
        if self.witness_down:
            raise WitnessDown("witness: no answer within 2 s")

    def newest(self) -> Epoch | None:
        self._ask()
        return self.epoch

    def addresses(self, site: str) -> dict[str, str]:
        self._ask()
        return {"lb": LB[site], "bastion": f"203.0.113.{7 + (site == 'b')}"}

    def heartbeat(self, site: str, host: str) -> Heartbeat | None:
        self._ask()
        age = self.beat_age[host]
        assert site == "a"
        return None if age is None else Heartbeat(document={}, age_s=age)

    def word(self, site: str) -> Word:
        self._ask()
        return self.word_there if site == self.worked_at else Word()

    # --- hosts
    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def lead(self, site: str, connect_s: int) -> None:
        assert site == "a"
        if "bastion" in self.dead:
            raise Failed("bastion of a: no ssh session")

    def must(self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int) -> Said:
        assert (host, via) == ("db-1.b", "b")
        if "standby" in self.dead:
            raise Failed("host db-1.b: no ssh session")
        return Said(0, {"facts": self.agent}, "")

    # --- customers
    def shop(self, host: str, address: str, ca: str | None, *, public: bool) -> Any:
        world = self

        class Shop:
            def well(self, health: Any, limit_s: float) -> str:
                if address in world.dead:
                    raise TimeoutError("timed out")
                status, error = world.entrance.get(address, (200, None))
                if error is not None:
                    raise error
                if status != 200:
                    raise NotYet(f"GET {health.health_path}: {status}")
                return "a"

        return Shop()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    it = World()
    for name in ("Witness", "RunBucket", "Hosts"):
        monkeypatch.setattr(looking, name, lambda *_, **__: it)
    monkeypatch.setattr(looking, "Shop", it.shop)
    monkeypatch.setattr(looking, "remember", lambda *_: None)
    monkeypatch.setattr(looking, "remembered", lambda _: {})
    monkeypatch.setattr(looking, "LIMIT_S", 1.0)
    return it


def seen(settings: Any = ITS) -> Pulse:
    with Looking(settings) as it:
        return it.look()


def of(pulse: Pulse, name: str) -> Answer:
    (found,) = [it.answer for it in (*pulse.region, *pulse.own) if it.name.startswith(name)]
    return found


def lose(world: World) -> None:
    world.beat_age = {"db-1": 40.0, "cache-1": 40.0}
    world.agent["last_granted_s"] = world.agent["peer"]["age_s"] = 41.0
    world.dead = {LB["a"], "bastion"}


def test_a_pair_that_is_well_is_seen_from_five_places(world: World) -> None:
    pulse = seen()
    assert pulse.state is State.WELL and pulse.epoch == EPOCH and pulse.working == ""
    assert [it.name for it in pulse.region] == [
        "entrance of a, from here", "bastion of a, from here", "db-1.a, at the witness", "cache-1.a, at the witness", "db-1.a, at db-1.b",
    ]  # fmt: skip


def test_a_region_that_is_gone_is_lost(world: World) -> None:
    lose(world)
    assert seen().state is State.LOST


def alive(world: World, place: str) -> None:
    if place == "entrance":
        world.dead -= {LB["a"]}
    elif place == "bastion":
        world.dead -= {"bastion"}
    elif place in world.beat_age:
        world.beat_age[place] = 2.0
    elif place == "granted":
        world.agent["last_granted_s"] = 2.0
    else:
        world.agent["peer"] = {"age_s": 2.0}


@pytest.mark.parametrize("place", ["entrance", "bastion", "db-1", "cache-1", "granted", "asked"])
def test_one_sign_of_life_is_enough_against_a_loss(world: World, place: str) -> None:
    lose(world)
    alive(world, place)
    assert seen().state is State.PART


@pytest.mark.parametrize("dead", ["standby", LB["b"]])
def test_a_watcher_that_reaches_the_standby_no_more_sees_nothing(world: World, dead: str) -> None:
    lose(world)
    world.dead |= {dead}
    assert seen().state is State.BLIND


def test_a_silent_witness_makes_it_blind(world: World) -> None:
    lose(world)
    world.witness_down = True
    assert seen().state is State.BLIND
    world.witness_down, world.epoch = False, None
    assert seen().state is State.BLIND


def _untrusted() -> Exception:
    error = ssl.SSLCertVerificationError("expired")
    error.verify_message = "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ((200, None), Answer.WELL),
        ((502, None), Answer.ILL),
        ((302, None), Answer.ILL),
        ((0, NotYet("no usable answer")), Answer.ILL),
        ((0, _untrusted()), Answer.ILL),
        ((0, MemoryError()), Answer.UNKNOWN),
        ((0, ConnectionRefusedError("refused")), Answer.SILENT),
    ],
)
def test_an_entrance_that_answers_badly_is_not_gone(world: World, answer: Any, wanted: Answer) -> None:
    world.entrance[LB["a"]] = answer
    assert of(seen(), "entrance of a") is wanted


def test_the_standbys_own_entrance_may_answer_badly_while_the_region_behind_it_is_gone(world: World) -> None:
    lose(world)
    world.entrance[LB["b"]] = (502, None)
    assert seen().state is State.LOST


@pytest.mark.parametrize(
    ("agent", "wanted"),
    [
        ({"last_granted_s": None, "up_s": 9000.0, "peer": None}, Answer.SILENT),
        ({"last_granted_s": None, "up_s": 2.0, "peer": None}, Answer.UNKNOWN),
        ({"last_granted_s": None, "up_s": None, "peer": {}}, Answer.UNKNOWN),
        ({"last_granted_s": 40.0, "up_s": 9000.0, "peer": {"age_s": 1.0}}, Answer.WELL),
    ],
)
def test_whether_the_other_region_has_asked_for_its_lease(world: World, agent: dict[str, Any], wanted: Answer) -> None:
    world.agent = agent
    assert of(seen(), "db-1.a, at db-1.b") is wanted


def test_a_host_that_never_beat_is_silent_there(world: World) -> None:
    world.beat_age["cache-1"] = None
    assert of(seen(), "cache-1.a") is Answer.SILENT


def test_a_heartbeat_counts_by_the_terms_of_who_beats(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"lease_s": 60, "stop_s": 5, "margin_s": 5, "heartbeat_s": 20}
    monkeypatch.setattr(world, "heartbeat", lambda *_: Heartbeat(document={"lease": slow}, age_s=30.0))
    assert of(seen(), "db-1.a, at the witness") is Answer.WELL


def test_without_a_lease_there_are_fewer_places(world: World) -> None:
    pulse = seen(replace(ITS, lease=None))
    assert [it.name for it in pulse.region] == ["entrance of a, from here", "bastion of a, from here"]


@pytest.mark.parametrize("place", ["a", "b"])
def test_who_works_at_a_stack_is_told(world: World, place: str) -> None:
    world.worked_at = place
    world.word_there = Word(run=RUN, etag="e", age_s=1.0)
    assert "bob at desk" in seen().working
    world.word_there = Word(run=RUN, etag="e", age_s=900.0)
    assert seen().working == ""


def test_who_goes_over_both_regions_is_told_and_waited_for_by_nobody(world: World) -> None:
    world.worked_at, world.word_there = "pair", Word(run=RUN, etag="e", age_s=1.0)
    pulse = seen()
    assert pulse.working == "" and pulse.lines()[-1].startswith("at work in both regions: bob at desk")
    world.word_there = Word(run=RUN, etag="e", age_s=900.0)
    assert not any("at work" in line for line in seen().lines())


# --- rounds


class Rounds:
    """A watcher whose looks go wrong in turn."""

    def __init__(self, looks: list[Callable[[], Pulse]], end: threading.Event) -> None:
        self.looks, self.end, self.seen = looks, end, list[Pulse]()
        self.terms = Watch(every_s=2)

    def look(self, pulse: Pulse | None = None) -> Any:
        if pulse is not None:
            self.seen.append(pulse)
            return None
        if len(self.looks) == 1:
            self.end.set()
        return self.looks.pop(0)()


@dataclass
class Kept:
    """A stack file between two looks."""

    answers: list[Callable[[], Any]]

    def look(self) -> Any:
        return self.answers.pop(0)()


def _raises(error: Exception) -> Callable[[], Any]:
    def look() -> Any:
        raise error

    return look


def test_nothing_that_a_round_meets_ends_the_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    end, said = threading.Event(), list[str]()
    pulse = Pulse(at=0.0, epoch=EPOCH, own=(), region=())
    it = Rounds([_raises(Failed("no route")), _raises(KeyError("x")), lambda: pulse], end)
    monkeypatch.setattr(end, "wait", lambda _: None)
    kept = Kept([lambda: None, _raises(Failed("is half written")), _raises(OSError("gone"))])
    rounds(it, it, kept, end, said.append)  # type: ignore[arg-type]
    assert it.seen == [pulse]
    assert [line for line in said if "looks go by" in line] == [
        "the set of secrets cannot be read: is half written; looks go by the one of before",
        "the set of secrets cannot be read: gone; looks go by the one of before",
    ]
    assert any("no route" in line for line in said) and any("KeyError" in line for line in said)


def test_keys_that_are_renewed_while_it_watches_are_those_of_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of before are deleted soon after: a watcher that went by them would be blind, and say so at night."""
    file = tmp_path / "Pulumi.region-a.yaml"
    file.write_text("one")
    told, read = {"now": ITS}, list[str]()

    def settings(stack: Stack) -> Settings:
        read.append(stack.name)
        return told["now"]

    monkeypatch.setattr(Stack, "settings", settings)
    renewing = Renewing(Stack(name="region-a", folder=tmp_path), ITS)
    assert renewing.look() is None and read == [], "a file that is as it was is not opened"
    file.write_text("another request")
    assert renewing.look() is None and renewing.look() is None and read == ["region-a"]
    keys = S3Keys(access_key="new", secret_key="new-secret")
    told["now"] = replace(ITS, project="other", secrets=replace(ITS.secrets, witness=keys))
    file.write_text("with new keys")
    found = renewing.look()
    assert found is not None and found.secrets.witness == keys and renewing.look() is None
    assert found.project == ITS.project, "all else is that with which it has begun"
    for module, name in ((looking, "Witness"), (looking, "RunBucket"), (acting, "WatchBucket")):
        monkeypatch.setattr(module, name, lambda place, **_: place)
    looks, acts = Looking(ITS), acting.Acting(ITS, None, None, None, print)  # type: ignore[arg-type]
    said = list[str]()
    looks._to({"a": "198.51.100.1"})
    loop._renew(looks, acts, Kept([lambda: found]), said.append)  # type: ignore[arg-type]
    places: list[Any] = [looks._witness, looks._runs, acts.bucket]
    assert {it.access_key for it in places} == {"new"}
    assert looks._hosts is None, "a session that is open goes by the key of before"
    assert said == ["the set of secrets is another one: the next looks go by it"]


def test_what_waits_is_told_before_the_watcher_ends() -> None:
    got, end = list[Page](), threading.Event()

    class Way:
        name = "slack"

        def send(self, page: Page) -> None:
            got.append(page)

    telling = Telling([Way()])
    telling.tell(Page(key="k", title="t", lines=()))
    end.set()
    for thread in pages(telling, end, lambda _: None):
        thread.join(5)
    assert [it.key for it in got] == ["k"]
