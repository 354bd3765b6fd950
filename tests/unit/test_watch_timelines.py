"""Whole stories through the watcher, from what each place answers to what it does, by a clock of the test's own: a loss is acted upon, and nothing else is.

It is played as `automatic`, where a false alarm costs the most: what would move the shop here would wake somebody in the other modes.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from contract.epoch import Epoch
from contract.heartbeat import Heartbeat
from contract.runs import PAIR
from contract.sites import other
from contract.watch import Mode, Watch
from scripts.clients.hosts import Answer as Said
from scripts.clients.run_bucket import Word
from scripts.ctl.moves.plan import Kind, Plan
from scripts.watch import acting, looking
from scripts.watch.judging import Judge
from scripts.watch.looking import Looking
from tests.unit.test_watch_acting import PLAN, START
from tests.unit.test_watch_acting import World as Told
from tests.unit.test_watch_looking import ITS, LB, RUN
from tests.unit.test_watch_looking import World as Places

MOVED = Epoch(epoch=4, active="b", previous="a", planned=True)
TERMS = Watch()


class People(Told):
    """Who is told; a plan is made of a move either way."""

    def plan(self, kind: Kind, target: str) -> Plan:
        assert kind is Kind.FAILOVER
        return replace(PLAN, source=other(target), target=target)


class Pair(Places):
    """Both regions, whichever is active. `silent_s`: since when nobody at work has said a word; None: nobody is. `beside`: somebody goes over both."""

    silent_s: float | None = None
    beside = False

    def heartbeat(self, site: str, host: str) -> Heartbeat | None:
        return super().heartbeat("a", host)

    def lead(self, site: str, connect_s: int) -> None:
        super().lead("a", connect_s)

    def must(self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int) -> Said:
        return super().must("db-1.b", "b", command, document, limit_s)

    def word(self, site: str) -> Word:
        self._ask()
        if site == PAIR:
            return Word(run=RUN, etag="e", age_s=3.0) if self.beside else Word()
        return Word() if self.silent_s is None else Word(run=RUN, etag="e", age_s=self.silent_s)


State = Callable[[Pair, float], None]  # of the world, so many seconds after it has begun


def well(_: Pair, __: float) -> None:
    """As it begins."""


def gone(it: Pair, for_s: float) -> None:
    """No power, no network: nothing of region a is seen by anybody."""
    it.beat_age = dict.fromkeys(it.beat_age, 2.0 + for_s)
    it.agent = {**it.agent, "last_granted_s": 2.0 + for_s, "peer": {"age_s": 2.0 + for_s}}
    it.dead |= {LB["a"], "bastion"}


def way_there_cut(it: Pair, _: float) -> None:
    """From here alone: everybody else sees it."""
    it.dead |= {LB["a"], "bastion"}


def way_there_and_link_cut(it: Pair, for_s: float) -> None:
    """The witness still hears region a."""
    gone(it, for_s)
    it.beat_age = dict.fromkeys(it.beat_age, 1.0)


def own_line_cut(it: Pair, for_s: float) -> None:
    """From here nothing is seen at all."""
    it.witness_down = True
    it.dead |= {*LB.values(), "bastion", "standby"}


def cut_off_from_both(it: Pair, for_s: float) -> None:
    """The witness alone answers, and its heartbeats are late as well."""
    gone(it, for_s)
    it.dead |= {*LB.values(), "standby"}


def witness_dead(it: Pair, _: float) -> None:
    it.witness_down = True


def witness_dead_and_gone(it: Pair, for_s: float) -> None:
    gone(it, for_s)
    it.witness_down = True


def slow(it: Pair, _: float) -> None:
    """Too slow for every question; its database's heartbeats alone get through, two of three, and late."""
    gone(it, 7.0)
    it.beat_age = {"db-1": 6.5, "cache-1": 9.0}


def answers_badly(it: Pair, for_s: float) -> None:
    """All else is gone, and what is left of it answers 503."""
    gone(it, for_s)
    it.dead -= {LB["a"]}
    it.entrance[LB["a"]] = (503, None)


def overloaded(it: Pair, _: float) -> None:
    it.entrance[LB["a"]] = (503, None)


def flapping(it: Pair, for_s: float) -> None:
    """Gone for three looks of four."""
    if int(for_s / TERMS.every_s) % 4:
        gone(it, for_s % (4 * TERMS.every_s))


def moving(it: Pair, for_s: float) -> None:
    """`drctl switchover`: at work, and region a is taken out of service meanwhile."""
    gone(it, for_s)
    it.silent_s = 3.0


def deploys(it: Pair, for_s: float) -> None:
    """Between two runs: its terminal is stopped (Ctrl-S, a pager), so it comes to no end, and its lease is renewed all the same."""
    it.beside = True


def gone_beside_a_deploy(it: Pair, for_s: float) -> None:
    gone(it, for_s)
    it.beside = True


def killed_at_work(it: Pair, for_s: float) -> None:
    """Whoever was at work says nothing any more, and neither does the region."""
    gone(it, for_s)
    it.silent_s = for_s


def left_in_the_middle(it: Pair, _: float) -> None:
    """The database was stopped for a move that nobody goes on with: hosts live, the shop does not sell."""
    it.entrance[LB["a"]] = (503, None)


def lives_in_b(it: Pair, _: float) -> None:
    it.epoch = MOVED


def b_gone(it: Pair, for_s: float) -> None:
    """It is active, and nothing of it is seen from the first look on."""
    it.epoch = MOVED
    gone(it, for_s + 10)
    it.dead = {LB["b"], "bastion"}


@dataclass(frozen=True)
class Story:
    """`parts`: states one after the other, each for some seconds. `told`: pages in order: what they are of, and whether that is over. `moved_s`: when the
    shop was moved, by the clock; None: not at all.
    """

    parts: tuple[tuple[State, float], ...]
    told: tuple[str, ...] = ()
    moved_s: float | None = None


LOST = ("lost", "lost")  # that it is, and how the move has ended
# A heartbeat is late after two of them and three seconds; from the first look that sees that on it takes `lost_after_s`.
SEEN_S = 10 + TERMS.lost_after_s
STORIES = {
    # --- it is lost
    "power": Story(((well, 60), (gone, 120)), LOST, 60 + SEEN_S),
    "power, and the move is done": Story(((well, 60), (gone, 35), (lives_in_b, 120)), (*LOST, "lost over"), 60 + SEEN_S),
    "power, behind an hour that was slow": Story(((slow, 900), (gone, 60)), ("part", *LOST), 900 + SEEN_S),
    "who was at work died with it": Story(((well, 60), (killed_at_work, 120)), LOST, 110),
    "somebody deploys, and does not notice": Story(((deploys, 60), (gone_beside_a_deploy, 120)), LOST, 60 + SEEN_S),
    # --- it is not
    "nothing": Story(((well, 600),)),
    "flapping": Story(((well, 60), (flapping, 900)), ("part",)),
    "flapping, and well": Story(((well, 60), (flapping, 900), (well, 120)), ("part", "part over")),
    "a blink": Story(((well, 60), (gone, 15), (well, 300), (gone, 15), (well, 300))),
    "the way there is cut": Story(((well, 60), (way_there_cut, 900)), ("part",)),
    "the way there and the link are cut": Story(((well, 60), (way_there_and_link_cut, 900)), ("part",)),
    "this line is cut": Story(((well, 60), (own_line_cut, 900)), ("blind",)),
    "cut off from both": Story(((well, 60), (cut_off_from_both, 900)), ("blind",)),
    "slow": Story(((well, 60), (slow, 1800)), ("part",)),
    "overloaded": Story(((well, 60), (overloaded, 1800), (well, 120)), ("part", "part over")),
    "all but an entrance that answers badly": Story(((well, 60), (answers_badly, 900)), ("part",)),
    "the witness is dead": Story(((well, 60), (witness_dead, 1800), (well, 120)), ("blind", "blind over")),
    "the witness and the region are dead": Story(((well, 60), (witness_dead_and_gone, 1800)), ("blind",)),
    "a planned move": Story(((well, 60), (moving, 90), (lives_in_b, 600))),
    "a planned move that takes long": Story(((well, 60), (moving, 1200), (lives_in_b, 600))),
    "a move that was left in its middle": Story(((well, 60), (moving, 60), (left_in_the_middle, 900)), ("part",)),
    # --- one behind the other
    "silence of two regions is not added": Story(((well, 60), (gone, 25), (b_gone, 15), (lives_in_b, 60))),
    "the witness dies first and comes back": Story(((witness_dead, 300), (gone, 60)), ("blind", *LOST), 300 + SEEN_S),
    "there and back by hand, and then power": Story(
        ((well, 60), (moving, 60), (lives_in_b, 300), (b_gone, 60)), LOST, 420 + TERMS.lost_after_s
    ),
}  # fmt: skip


def played(story: Story, monkeypatch: pytest.MonkeyPatch) -> tuple[People, tuple[str, ...], list[float]]:
    """The people, what they were told, and when the shop was moved."""
    now, told, moves = 0.0, list[str](), list[float]()
    monkeypatch.setattr(looking, "time", SimpleNamespace(monotonic=lambda: now))
    people = People(Mode.AUTOMATIC)
    judge = Judge(people.it.terms)
    asked = Pair()
    for name in ("Witness", "RunBucket", "Hosts"):
        monkeypatch.setattr(looking, name, lambda *_, **__: asked)
    monkeypatch.setattr(looking, "Shop", asked.shop)
    with Looking(ITS) as watcher:
        for state, seconds in story.parts:
            began = now
            while now < began + seconds:
                asked.__init__()  # type: ignore[misc]
                asked.silent_s, asked.beside = None, False
                state(asked, now - began)
                people.at = START + datetime.timedelta(seconds=now)
                before, pages = len(people.moves), len(people.pages)
                pulse = watcher.look()
                if event := judge.feed(pulse):
                    people.it.event(event)
                people.it.look(pulse)
                moves += [now] * (len(people.moves) - before)
                told += [f"{it.key.split()[1]}{' over' * it.over}" for it in people.pages[pages:]]
                now += TERMS.every_s
    return people, tuple(told), moves


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "remember", lambda *_: None)
    monkeypatch.setattr(looking, "remembered", lambda _: {})
    monkeypatch.setattr(acting, "Note", lambda *_, **__: SimpleNamespace(lost=lambda _: ""))
    monkeypatch.setattr("scripts.clients.run_lease.this_machine.identity", lambda: "another")


@pytest.mark.parametrize("name", STORIES)
def test_a_loss_is_acted_upon_and_nothing_else_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    story = STORIES[name]
    people, told, moves = played(story, monkeypatch)
    assert told == story.told
    assert moves == ([] if story.moved_s is None else [story.moved_s])
    assert any(it.urgent for it in people.pages) == (story.moved_s is not None), "nobody is woken for less"
