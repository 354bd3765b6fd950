"""What a watcher does with a loss: it tells, it waits for a word, or it moves the shop once; and whatever is not sure is left to people."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest

from contract.epoch import Epoch
from contract.errors import ExitCode, Failed, Refused
from contract.watch import Alarm, Attempt, Mode, Watch, Word, age_s
from scripts.ctl.moves.automation import Moved
from scripts.ctl.moves.plan import Kind, Plan
from scripts.watch import acting
from scripts.watch.acting import Acting
from scripts.watch.judging import Event, What
from scripts.watch.pages import Page, Telling
from scripts.watch.pulse import Answer, Pulse, Vantage
from tests.unit import played_survey

ITS = played_survey.settings()
START = datetime.datetime(2026, 11, 29, 3, 0, tzinfo=datetime.UTC)
EPOCH = Epoch(epoch=3, active="a", previous="b", planned=True)
PLAN = Plan(kind=Kind.FAILOVER, shop=ITS.shop.host, source="a", target="b", epoch=3, loss="2.0 s of writes")


class World:
    """Witness, receivers, and the move itself."""

    def __init__(self, mode: Mode, **terms: Any) -> None:
        self.at = START
        self.alarms, self.words, self.attempts = dict[str, Alarm](), dict[str, Word](), dict[int, Attempt]()
        self.pages, self.moves, self.notes, self.said = list[Page](), list[dict[str, str]](), list[str](), list[str]()
        self.down, self.taken, self.no_plan = False, False, ""
        self.moved = Moved(code=ExitCode.DONE)
        settings = replace(ITS, watch=Watch(mode=mode, **terms))
        self.it = Acting(settings, self, self, self, self.said.append, now=lambda: self.at)  # type: ignore[arg-type]

    # --- people
    def tell(self, page: Page) -> None:
        self.pages.append(page)

    # --- the witness
    def _ask(self) -> None:
        if self.down:
            raise Failed("witness: does not answer")

    def put_alarm(self, alarm: Alarm) -> bool:
        self._ask()
        return self.alarms.setdefault(alarm.id, alarm) is alarm and not self.taken

    def word(self, ident: str) -> Word | None:
        self._ask()
        return self.words.get(ident)

    def begin(self, attempt: Attempt) -> bool:
        self._ask()
        return self.attempts.setdefault(attempt.epoch, attempt) is attempt

    def last_begun(self, mode: Mode) -> Attempt | None:
        self._ask()
        return next(
            (self.attempts[it] for it in sorted(self.attempts, reverse=True) if self.attempts[it].mode == mode), None
        )

    # --- the shop
    def plan(self, kind: Kind, target: str) -> Plan:
        if self.no_plan:
            raise Refused(self.no_plan)
        assert (kind, target) == (Kind.FAILOVER, "b")
        return PLAN

    def failover(self, target: str, **told: str) -> Moved:
        self.moves.append({"target": target, **told})
        return self.moved

    # --- what happens
    def lost(self) -> None:
        self.it.event(Event(what=What.LOST, pulse=pulse(), for_s=30.0))

    def confirm(self, **told: str) -> None:
        (alarm,) = self.alarms.values()
        word = {"id": alarm.id, "plan": alarm.plan, "who": "ann", "place": "phone", "at": "2026-11-29T03:01:00+00:00"}
        self.words[alarm.id] = Word(**{**word, **told})  # type: ignore[arg-type]

    @property
    def last(self) -> str:
        page = self.pages[-1]
        return "\n".join((page.title, *page.lines))


def pulse(answer: Answer = Answer.SILENT, **more: Any) -> Pulse:
    own = (Vantage(name="witness", answer=Answer.WELL),)
    region = (Vantage(name="entrance of a, from here", answer=answer, said="no answer within 3 s"),)
    return Pulse(**{"at": 0.0, "epoch": EPOCH, "own": own, "region": region, **more})


@pytest.fixture(autouse=True)
def _noted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Played:
        def __init__(self, place: Any, what: str, site: str, **told: Any) -> None:
            assert what == "watch"

        def lost(self, _: float) -> str:
            return ""

    monkeypatch.setattr(acting, "Note", Played)


def test_who_tells_moves_nothing_and_says_what_was_seen_what_it_would_cost_and_what_to_run() -> None:
    world = World(Mode.TELL)
    world.lost()
    (page,) = world.pages
    assert page.urgent and not page.over and page.title == f"{ITS.shop.host}: region a is lost"
    assert "entrance of a, from here: silent (no answer within 3 s)" in page.text
    assert "would be lost now: 2.0 s of writes" in page.text and "`drctl failover b`" in page.text
    (alarm,) = world.alarms.values()
    assert (alarm.site, alarm.epoch, alarm.plan) == ("a", 3, "") and alarm.loss == "2.0 s of writes"
    world.it.look(pulse())
    assert not world.moves and not world.attempts


def test_a_loss_that_nobody_can_tell_is_said_as_that() -> None:
    world = World(Mode.TELL)
    world.no_plan = "witness: no answer"
    world.lost()
    assert "what would be lost is not known: witness: no answer" in world.last


def test_a_plan_waits_for_a_word_and_is_carried_out_by_it() -> None:
    world = World(Mode.ASSIST)
    world.lost()
    (alarm,) = world.alarms.values()
    assert f"`drctl confirm {alarm.id}`" in world.last and alarm.plan == PLAN.digest
    world.it.look(pulse())
    assert not world.moves
    world.confirm()
    world.it.look(pulse())
    (move,) = world.moves
    assert (move["target"], move["plan"], move["approved_by"]) == ("b", PLAN.digest, "ann")
    assert world.attempts[3].mode == Mode.ASSIST and "the shop was moved to region b" in world.last
    world.it.look(pulse())
    assert len(world.moves) == 1


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (pulse(Answer.WELL), "is not silent any more"),
        (pulse(Answer.ILL), "is not silent any more"),
        (pulse(own=(Vantage(name="witness", answer=Answer.SILENT),)), "is not silent any more"),
        (pulse(working="eve at desk"), "somebody else is at work"),
    ],
)
def test_a_word_for_what_is_not_so_any_more_moves_nothing(seen: Pulse, said: str) -> None:
    world = World(Mode.ASSIST)
    world.lost()
    world.confirm()
    world.it.look(seen)
    assert not world.moves and not world.attempts and said in world.last


def test_a_word_for_another_plan_moves_nothing() -> None:
    world = World(Mode.ASSIST)
    world.lost()
    world.confirm(plan="0" * 12)
    world.it.look(pulse())
    assert not world.moves and "another plan" in world.last


def test_a_word_that_comes_late_moves_nothing() -> None:
    world = World(Mode.ASSIST, confirm_within_s=600)
    world.lost()
    world.at += datetime.timedelta(seconds=601)
    world.it.look(pulse())
    assert "nobody has confirmed it in time" in world.last
    world.confirm()
    world.it.look(pulse())
    assert not world.moves


def test_a_plan_is_void_once_the_shop_was_moved_or_the_region_is_well() -> None:
    world = World(Mode.ASSIST)
    world.lost()
    world.confirm()
    world.it.look(pulse(epoch=replace(EPOCH, epoch=4, active="b", previous="a")))
    world.it.look(pulse())
    assert not world.moves
    world = World(Mode.ASSIST)
    world.lost()
    world.it.event(Event(what=What.OVER, pulse=pulse(Answer.WELL), for_s=90.0))
    world.confirm()
    world.it.look(pulse())
    assert not world.moves


def test_a_witness_that_is_silent_is_no_word_and_no_end_of_waiting() -> None:
    world = World(Mode.ASSIST)
    world.lost()
    world.confirm()
    world.down = True
    world.it.look(pulse())
    assert not world.moves
    world.down = False
    world.it.look(pulse())
    assert len(world.moves) == 1


def test_automatic_moves_the_shop_and_tells_how_that_ended() -> None:
    world = World(Mode.AUTOMATIC)
    world.lost()
    (move,) = world.moves
    assert (move["target"], move["plan"], move["approved_by"]) == ("b", PLAN.digest, "")
    assert [it.title.partition(": ")[2] for it in world.pages] == ["region a is lost", "the shop was moved to region b"]
    assert "is moved to region b now" in world.pages[0].text and world.attempts[3].mode == Mode.AUTOMATIC


def test_what_was_tried_once_is_left_to_people() -> None:
    """Its own failed try, or another watcher's."""
    world = World(Mode.AUTOMATIC)
    world.moved = Moved(code=ExitCode.REFUSED, error="loss of an unplanned move: 900 s")
    world.lost()
    assert "refused, and nothing was changed" in world.last and "900 s" in world.last
    world.it.event(Event(what=What.OVER, pulse=pulse(Answer.WELL), for_s=90.0))
    world.lost()
    assert len(world.moves) == 1 and "this epoch was tried before" in world.last


@pytest.mark.parametrize(
    ("code", "said"),
    [(ExitCode.PARTIAL, "stopped part-way"), (ExitCode.UNKNOWN, "nobody can tell"), (ExitCode.FAILED, "has failed")],
)
def test_a_move_that_ends_badly_is_told_as_what_it_is(code: ExitCode, said: str) -> None:
    world = World(Mode.AUTOMATIC)
    world.moved = Moved(code=code, error="why")
    world.lost()
    assert said in world.last and world.pages[-1].urgent and not world.pages[-1].over


@pytest.mark.parametrize("epoch", [2, 1])
@pytest.mark.parametrize(
    ("at", "said"),
    [
        ((START - datetime.timedelta(hours=2)).isoformat(), "moved by itself 2.0 h ago"),
        ((START + datetime.timedelta(hours=2)).isoformat(), "moved by itself 0.0 h ago"),
        ("yesterday", "nobody knows when"),
    ],
)
def test_nothing_is_moved_by_itself_so_soon_after_the_last_time(epoch: int, at: str, said: str) -> None:
    """Also where people have moved it since."""
    world = World(Mode.AUTOMATIC, rest_s=86_400)
    attempt = Attempt(epoch=epoch, mode=Mode.AUTOMATIC, alarm="0" * 12, who="w", place="p", at=at)
    world.attempts[epoch] = attempt
    world.lost()
    assert not world.moves and said in world.last and "`drctl failover b`" in world.last
    world.attempts[epoch] = replace(attempt, mode=Mode.ASSIST)
    world.lost()
    assert len(world.moves) == 1


@pytest.mark.parametrize("broken", ["down", "taken", "plan", "lease"])
def test_where_anything_is_not_sure_nothing_is_moved_by_itself(broken: str) -> None:
    world = World(Mode.AUTOMATIC)
    if broken == "down":
        world.down = True
    elif broken == "taken":
        world.taken = True
    elif broken == "plan":
        world.no_plan = "nobody knows"
    else:
        world.it.settings = replace(world.it.settings, lease=None)
    world.lost()
    assert not world.moves and not world.attempts and "it is not moved by itself" in world.last


def test_an_alarm_that_could_not_be_kept_waits_for_no_word() -> None:
    world = World(Mode.ASSIST)
    world.down = True
    world.lost()
    assert "not kept at the witness" in world.last and "drctl confirm" not in world.last
    world = World(Mode.ASSIST)
    world.taken = True
    world.lost()
    world.confirm()
    world.it.look(pulse())
    assert not world.moves


def test_a_part_and_blindness_wake_nobody_and_have_an_end_under_their_own_key() -> None:
    world = World(Mode.AUTOMATIC)
    world.it.event(Event(what=What.PART, pulse=pulse(Answer.ILL), for_s=120.0))
    world.it.event(Event(what=What.BLIND, pulse=pulse(epoch=None), for_s=120.0))
    assert [it.urgent for it in world.pages] == [False, False] and not world.moves
    world.it.event(Event(what=What.OVER, pulse=pulse(Answer.WELL), for_s=200.0))
    assert [it.over for it in world.pages] == [False, False, True, True]
    assert {it.key for it in world.pages[:2]} == {it.key for it in world.pages[2:]} and len(
        {it.key for it in world.pages}
    ) == 2


def test_a_time_that_is_none_is_long_ago() -> None:
    assert age_s("soon", START) == float("inf")
    assert age_s("2026-11-29T03:00:00", START) == 0.0


def test_telling_is_what_delivers() -> None:
    assert Telling(()).deliver() == []
