"""What one look has found: of the active region, and of the watcher's own place. Data alone."""

from __future__ import annotations

from enum import StrEnum

from contract.dataclass import dataclass
from contract.epoch import Epoch


class Answer(StrEnum):
    """Of one place that was looked at."""

    WELL = "well"
    ILL = "ill"  # it answers, and not as it should: whatever it is, it is not gone
    SILENT = "silent"
    UNKNOWN = "unknown"  # whoever could tell was not heard


@dataclass(frozen=True, kw_only=True)
class Vantage:
    """`name`: what was looked at, and from where; `said`: why it is not well."""

    name: str
    answer: Answer
    said: str = ""

    def line(self) -> str:
        """For people."""
        return f"{self.name}: {self.answer}{f' ({self.said})' if self.said else ''}"


class State(StrEnum):
    """Of the active region, as one look shows it."""

    WELL = "well"
    PART = "part"  # some of it is silent or ill
    LOST = "lost"  # nothing of it answers anybody
    BLIND = "blind"  # the watcher cannot tell: its own place is not sure


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """`at`: seconds of the watcher's own clock, which only goes on; `own`: what shows that it sees at all; `region`: of the active one.

    `working`: who works at a stack just now, empty for nobody. `beside`: who goes over both by a deploy, a rotation or a planned move. Between two runs of one
    nothing of it looks like a loss, and it may stand at a terminal that nobody reads any more: it is told, and nothing waits for it.
    """

    at: float
    epoch: Epoch | None
    own: tuple[Vantage, ...]
    region: tuple[Vantage, ...]
    working: str = ""
    beside: str = ""

    @property
    def state(self) -> State:
        if self.epoch is None or not self.own or any(it.answer is not Answer.WELL for it in self.own):
            return State.BLIND
        found = {it.answer for it in self.region}
        if found == {Answer.SILENT}:
            return State.LOST
        return State.WELL if found == {Answer.WELL} else State.PART

    def lines(self) -> tuple[str, ...]:
        """What was seen, for people: what is not well first."""
        ordered = sorted((*self.region, *self.own), key=lambda it: it.answer is Answer.WELL)
        beside = (f"at work in both regions: {self.beside}",) if self.beside else ()
        return (*(it.line() for it in ordered), *beside)
