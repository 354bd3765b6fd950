"""One story, from its beginning to its verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from contract.errors import DrError
from contract.sites import other
from lab.rehearsal.chaos import customers, invariants
from lab.rehearsal.chaos.eyes import Eyes
from lab.rehearsal.chaos.harms import Harms, Undo
from lab.rehearsal.chaos.invariants import Check, Seen
from lab.rehearsal.chaos.operators import Journal, Operators
from lab.rehearsal.chaos.recovery import Recovered, Recovery
from lab.rehearsal.chaos.story import HERE, THERE, Harm, Story
from lab.rehearsal.stage import Stage
from lab.rehearsal.world import wait_for

IDLE_S = 45.0  # a story without a move lasts so long at least: longer than a lease, a stop and a margin
LATER_S = 5.0  # from the last event of a story to its end
PATIENCE_S = 150.0  # and so long faults wait for the end of the move
CHANGED: Mapping[str, Callable[[Any], Any]] = {
    "postgres": lambda before: {
        **(before or {}),
        "parameters": {**((before or {}).get("parameters") or {}), "work_mem": "5MB"},
    },
}
CANNOT = (RuntimeError, AssertionError, DrError, OSError)


@dataclass
class Event:
    """Something that happened, by the story's clock."""

    at: float
    what: str
    trouble: str = ""


@dataclass
class Result:
    """A story that was played. `harness`: what the rehearsal itself could not do or see; such a run proves nothing and has failed too."""

    story: Story
    sites: Mapping[str, str]
    began: float = field(default_factory=time.time)
    seconds: float = 0.0
    events: list[Event] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    harness: list[str] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)
    recovered: Recovered = field(default_factory=Recovered)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def broken(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]

    @property
    def verdict(self) -> str:
        if self.broken:
            return "FAILED"
        return "harness" if self.harness else "passed"

    def document(self) -> dict[str, Any]:
        return {
            "seed": self.story.seed, "text": self.story.text(), "story": self.story.document(), "sites": dict(self.sites), "began": self.began,
            "verdict": self.verdict, "seconds": round(self.seconds, 1), "events": [asdict(each) for each in self.events],
            "checks": [check.document() for check in self.checks], "harness": self.harness,
            "typed": [asdict(each) for each in self.journal.typed], "words": dict(self.journal.words), "recovery": asdict(self.recovered),
            "epochs": self.epochs, "figures": self.figures,
        }  # fmt: skip


class Player:
    """Plays one story on a settled pair."""

    def __init__(self, stage: Stage, eyes: Eyes, story: Story) -> None:
        self._stage, self._eyes = stage, eyes
        active = stage.active
        self.result = Result(story, {HERE: active, THERE: other(active)})
        self._story, self._sites = story, self.result.sites
        self._harms, self._operators = Harms(stage, self._sites), Operators(stage, self.result.journal)
        self._zero, self._lock = 0.0, threading.Lock()
        self._undo: list[tuple[Harm, Undo]] = []

    def run(self) -> Result:
        """Never raises for what the story met."""
        began, epoch, evidence = time.monotonic(), self._stage.epoch().epoch, self._eyes.evidence()
        folder = self._stage.world.places.run
        trades: list[customers.Trade] = [
            trade(self._stage, folder / f"chaos-{self._story.seed}-{trade.__name__.lower()}.jsonl")
            for trade in customers.TRADES
        ]
        for trade in trades:
            trade.start()
        seen = Seen(sites=self._sites, began=self.result.began)
        try:
            for trade in trades:
                trade.flow()
            self._play()
            self._recover()
            seen.sells = self._flows(trades)
        except CANNOT as error:
            self.result.harness.append(f"could not go on: {error}")
        finally:
            for trade in trades:
                trade.stop()
        self._judge(trades, seen, epoch, evidence)
        self.result.seconds = time.monotonic() - began
        return self.result

    # --- the story

    def _play(self) -> None:
        story = self._story
        before = self._change() if story.changed else None
        self._zero = time.monotonic() - story.begins
        threads = [
            threading.Thread(target=self._hurt, args=(harm,), name=harm.what, daemon=True) for harm in story.harms
        ]
        moving = threading.Thread(
            target=self._move if story.move else lambda: self._until(IDLE_S), name="move", daemon=True
        )
        for thread in (*threads, moving):
            thread.start()
        for thread in threads:
            thread.join()
        self._until(story.horizon + LATER_S)
        moving.join(PATIENCE_S)  # a run that still tries when all is well again may go on
        self._end_all()
        moving.join()
        if story.changed:
            self._stage.world.configure(self._sites[THERE], story.changed, before)

    def _change(self) -> Any:
        world, site, key = self._stage.world, self._sites[THERE], self._story.changed
        before = world.configure(site, key, None)
        world.configure(site, key, CHANGED[key](before))
        return before

    def _hurt(self, harm: Harm) -> None:
        self._until(harm.begins)
        try:
            undo = self._harms.begin(harm)
        except CANNOT as error:
            self._note(f"{harm.what} begins", str(error))
            return
        self._note(f"{harm.what} begins")
        if harm.ends is None:
            with self._lock:
                self._undo.append((harm, undo))
            return
        self._until(harm.ends)
        self._end(harm, undo)

    def _move(self) -> None:
        assert self._story.move is not None
        self._until(0.0)
        self._note("the move is asked for")
        try:
            self._operators.move(self._sites[THERE], self._story.move)
        except CANNOT as error:
            self.result.harness.append(f"move: {error}")
        self._note("the operator's part is over")

    def _end(self, harm: Harm, undo: Undo) -> None:
        try:
            undo()
        except CANNOT as error:
            self._note(f"{harm.what} ends", str(error))
        else:
            self._note(f"{harm.what} ends")

    def _end_all(self) -> None:
        for harm, undo in reversed(self._undo):
            self._end(harm, undo)
        self._stage.fault("return-all")
        self._note("all faults have ended")

    def _until(self, at: float) -> None:
        time.sleep(max(0.0, self._zero + at - time.monotonic()))

    def _note(self, what: str, trouble: str = "") -> None:
        with self._lock:
            self.result.events.append(Event(round(time.monotonic() - self._zero, 1), what, trouble))

    # --- afterwards

    def _recover(self) -> None:
        self.result.recovered = Recovery(self._stage, self._operators).run()
        self._note("the way back is over")
        if self._story.home and not self.result.recovered.trouble:
            self._home()

    def _home(self) -> None:
        """Once more, with nothing wrong: that must be a planned move."""
        target, old, epoch = self._stage.standby, self._stage.active, self._stage.epoch().epoch
        self._stage.ask(target)
        done = self._operators.up(target, "home")
        newest = self._stage.epoch()
        made = done.ok and (newest.epoch, newest.active, newest.planned) == (epoch + 1, target, True)
        self.result.checks.append(
            Check(
                "the move home is a planned one",
                made,
                f"epoch {newest.epoch} of {newest.active}, planned {newest.planned}",
            )
        )
        self._stage.world.request(old, self._stage.active)
        self._operators.up(old, "home, follows")
        wait_for("the old site streams", lambda: self._stage.world.status(old).get("streaming") is True, 60, 0.5)
        self._note("home")

    def _flows(self, trades: list[customers.Trade]) -> bool:
        try:
            for trade in trades:
                trade.flow()
        except RuntimeError as error:
            self._note("orders after the recovery", str(error))
            return False
        return True

    def _judge(self, trades: list[customers.Trade], seen: Seen, epoch: int, evidence: Mapping[str, Any]) -> None:
        result = self.result
        result.harness += self._eyes.look(seen, epoch, evidence)
        told = [each.said for each in result.journal.typed if "Traceback (most recent call last)" in each.said]
        result.epochs = [asdict(each) for each in seen.epochs]
        result.checks += [
            Check(
                "the way back is as the documents say",
                not result.recovered.trouble,
                "\n".join(result.recovered.trouble),
            ),
            Check("every run of pulumi ends", not result.journal.hung, "; ".join(result.journal.hung)),
            Check("no run of pulumi tells a person by a traceback", not told, "\n".join(told)),
            *invariants.checks(self._story, seen),
        ]
        for trade in trades:
            try:
                result.checks += trade.checks(self._stage.active, seen.epochs, seen.evidence)
            except CANNOT as error:
                result.checks.append(Check("customers' promises can be compared", False, str(error)))
            result.figures[type(trade).__name__.lower()] = trade.figures
