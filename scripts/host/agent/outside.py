"""Whether this machine stood still and its clock did not count it, as when a hypervisor pauses it, by the clocks of those who answer.

The host's own wall clock says nothing of that: a paused machine resumes with the time that it had, and a step of NTP is no pause. So the time that
went by between two answers of somebody else is compared with this host's between the same two questions. What counts is the part that is certain:
as if the first answer had been given at its question, and the second when it came.
"""

from __future__ import annotations

from dataclasses import dataclass

CONFIRM_S = 1.0  # for how long the counterpart is waited for, before the witness's clock is believed alone


@dataclass(frozen=True)
class Reading:
    """`since`, `sent`: when the older and the newer question were sent, by `boottime`; `stood_s`: how long this machine stood still in between, at
    the least."""

    since: float
    sent: float
    stood_s: float


class Clock:
    """Somebody else's. `coarse_s`: how far one of its stamps may be off by rounding."""

    def __init__(self, coarse_s: float) -> None:
        self._coarse_s = coarse_s
        self._last: tuple[object, float, float] | None = None

    def heard(self, stamp: float, sent: float, answered: float, of: object = None) -> Reading:
        """`of`: whose time it is; another's cannot be compared."""
        last, self._last = self._last, (of, stamp, sent)
        if last is None or last[0] != of:
            return Reading(sent, sent, 0.0)
        theirs, ours = stamp - last[1] - self._coarse_s, answered - last[2]
        return Reading(last[2], sent, max(theirs - ours, 0.0))


class Pauses:
    """How long this machine stood still, told once, although two clocks show it.

    Nobody sets the counterpart's clock, which counts since its boot. The witness's may be set, so it is believed once the counterpart, asked after
    it, has seen the same, or does not answer at once: a machine that stood still must not write on for the sake of a question.
    """

    def __init__(self) -> None:
        self._told: set[Reading] = set()
        self._pause: Reading | None = None
        self._doubted: tuple[Reading, float] | None = None

    @property
    def doubts(self) -> bool:
        """Whether the counterpart's word is waited for: it is to be asked now."""
        return self._doubted is not None

    def take(self, witness: Reading | None, counterpart: Reading | None, now: float) -> float:
        """Seconds that were not known of yet."""
        stood = 0.0
        if counterpart is not None and counterpart not in self._told:
            stood += self._counted(counterpart, counterpart.stood_s)
        if witness is not None and witness not in self._told:
            self._told.add(witness)
            if witness.stood_s > 0:  # kept, since the next answer may come before the counterpart's
                self._doubted = witness, now
        if self._doubted is None:
            return stood
        doubted, since = self._doubted
        if counterpart is not None and counterpart.sent >= doubted.sent:
            stood += self._counted(doubted, min(doubted.stood_s, counterpart.stood_s))
        elif now - since >= CONFIRM_S:
            stood += self._counted(doubted, doubted.stood_s)
        return stood

    def _counted(self, reading: Reading, stood_s: float) -> float:
        """What of it is new: both clocks show the same pause when their times overlap."""
        self._told = {each for each in self._told if each.sent > reading.sent - 60} | {reading}
        if self._doubted is not None and self._doubted[0] == reading:
            self._doubted = None
        if stood_s <= 0:
            return 0.0
        known = self._pause.stood_s if self._pause is not None and reading.since < self._pause.sent else 0.0
        self._pause = Reading(reading.since, reading.sent, max(stood_s, known))
        return max(stood_s - known, 0.0)
