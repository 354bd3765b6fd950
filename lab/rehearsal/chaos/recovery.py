"""The way back, as docs/failover.md has it and no other: the active region's run first, then the one that follows.

No `dr:repair`. A word of the operator only where the message of the run asks for it; the same again only where the message says so, or where
`pulumi cancel` had to be said before. All of that is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contract.errors import DrError
from contract.sites import other
from lab.rehearsal.chaos.operators import Operators
from lab.rehearsal.stage import Stage
from lab.rehearsal.world import wait_for

ANSWERS_S, FOLLOWS_S, AGAIN = 180.0, 120.0, 3
SAME_AGAIN = ("run the same again", "run it again", "run again")


@dataclass
class Recovered:
    """`again`: runs that were repeated because the message said so. `trouble`: where the way ended before its end."""

    again: int = 0
    trouble: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


class Recovery:
    """After the faults have ended."""

    def __init__(self, stage: Stage, operators: Operators) -> None:
        self._stage, self._operators, self.found = stage, operators, Recovered()

    def run(self) -> Recovered:
        """Never raises for what it meets: that is the trouble."""
        try:
            active = self._stage.active
            for site in "ab":
                self._stage.world.request(site, active)
            waited = self._answers(active)
            self.found.figures["active_answers_after_s"] = None if waited is None else round(waited, 1)
            for site in (active, other(active)):
                self._up(site)
            follows = wait_for(f"region {other(active)} streams", lambda: self._streams(other(active)), FOLLOWS_S, 0.5)
            self.found.figures["follows_after_s"] = round(follows, 1)
        except (RuntimeError, AssertionError, DrError) as error:
            self.found.trouble.append(str(error))
        return self.found

    def _answers(self, site: str) -> float | None:
        """Its run is what matters; this is for hosts that still boot."""
        try:
            return wait_for(f"region {site} answers", lambda: bool(self._stage.world.status(site)), ANSWERS_S, 1.0)
        except RuntimeError:
            return None

    def _streams(self, site: str) -> bool:
        return self._stage.world.status(site).get("streaming") is True

    def _up(self, site: str) -> None:
        words = self._operators.journal.words.total()
        done = self._operators.up(site, "recovery")
        for _ in range(AGAIN):
            done = self._operators.insist(site, done, "recovery")
            if done.ok:
                break
            unlocked = self._operators.unlocked(site, done)
            told = " ".join(done.output.split())
            if not unlocked and not any(phrase in told for phrase in SAME_AGAIN):
                break
            self.found.again += not unlocked
            done = self._operators.up(site, "recovery, the same again")
        if done.ok and self._operators.journal.words.total() > words:
            done = self._operators.up(site, "recovery, the word taken out")
        if not done.ok:
            self.found.trouble.append(f"pulumi up -s region-{site} ended with {done.code}:\n{done.diagnostics}")
