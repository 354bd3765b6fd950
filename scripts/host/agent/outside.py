"""Whether this machine stood still and its clock did not count it, as when a hypervisor pauses it, by the clocks of those who answer.

The host's own wall clock says nothing of that: a paused machine resumes with the time that it had, and a step of NTP is no pause. So the time that
went by between two answers of somebody else is compared with this host's between the same two questions. What counts is the part that is certain:
as if the first answer had been given at its question, and the second when it came.
"""

from __future__ import annotations

from contract.dataclass import dataclass

CONFIRM_S = 1.0  # for how long the other one is waited for, before a clock that shows a pause is believed alone
WITNESS, COUNTERPART = "witness", "counterpart"
_OTHER = {WITNESS: COUNTERPART, COUNTERPART: WITNESS}


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

    Either clock may be wrong: the witness's may be set, and the counterpart's jumps with a machine that is moved, or tells what somebody wants it to
    tell. So one that shows a pause is believed once the other, asked after it, has seen the same, or does not answer at once: a machine that stood
    still must not write on for the sake of a question.
    """

    def __init__(self) -> None:
        self._told: set[Reading] = set()
        self._pause: Reading | None = None
        # By whose clock it is: what it shows, and since when that is known.
        self._doubted: dict[str, tuple[Reading, float]] = {}

    @property
    def awaited(self) -> tuple[str, ...]:
        """Whose word is waited for: they are to be asked now."""
        return tuple(_OTHER[name] for name in self._doubted)

    def take(self, witness: Reading | None, counterpart: Reading | None, now: float) -> float:
        """Seconds that were not known of yet."""
        heard = {WITNESS: witness, COUNTERPART: counterpart}
        for name, reading in heard.items():
            if reading is not None and reading not in self._told:
                self._told = {each for each in self._told if each.sent > reading.sent - 60} | {reading}
                if reading.stood_s > 0:  # kept, since the next answer may come before the other's
                    self._doubted[name] = reading, now
        stood = 0.0
        for name, (doubted, since) in list(self._doubted.items()):
            other = heard[_OTHER[name]]
            if other is not None and other.sent >= doubted.sent:
                stood += self._counted(doubted, min(doubted.stood_s, other.stood_s))
            elif now - since >= CONFIRM_S:
                stood += self._counted(doubted, doubted.stood_s)
            else:
                continue
            del self._doubted[name]
        return stood

    def _counted(self, reading: Reading, stood_s: float) -> float:
        """What of it is new: both clocks show the same pause when their times overlap."""
        if stood_s <= 0:
            return 0.0
        known = self._pause.stood_s if self._pause is not None and reading.since < self._pause.sent else 0.0
        self._pause = Reading(reading.since, reading.sent, max(stood_s, known))
        return max(stood_s - known, 0.0)
