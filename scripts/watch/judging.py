"""From looks to what has happened: how long it has been so decides, and whoever is at work is left at it. Pure.

One look proves nothing: a region is lost once every look has shown that for `lost_after_s`, and any other look begins the time anew. What comes and
goes is told as such: only `calm_s` of all being well is the end of it.
"""

from __future__ import annotations

from enum import StrEnum

from contract.dataclass import dataclass
from contract.watch import Watch
from scripts.watch.pulse import Pulse, State


class What(StrEnum):
    """That people, or the program itself, have to know."""

    LOST = "lost"
    PART = "part"
    BLIND = "blind"
    OVER = "over"  # all is well again, or the shop was moved


@dataclass(frozen=True, kw_only=True)
class Event:
    """`for_s`: how long it has been so; `pulse`: the look that settled it."""

    what: What
    pulse: Pulse
    for_s: float


class Judge:
    """Fed with each look in turn; what it returns is to be told once."""

    def __init__(self, terms: Watch) -> None:
        self._terms = terms
        self._epoch = 0
        self._last: float | None = None  # when the last look was
        self._begin()

    def _begin(self) -> None:
        self._since: dict[State, float] = {}  # of the state that holds just now
        self._unwell: float | None = None  # since when it is not well, short recoveries included
        self._well: float | None = None
        self._told: set[What] = set()  # since it was well last

    def feed(self, pulse: Pulse) -> Event | None:
        """At most one event a look: the worst that is new."""
        if pulse.epoch is not None and pulse.epoch.epoch != self._epoch:
            return self._another_epoch(pulse)
        self._forget_gaps(pulse)
        self._keep_times(pulse)
        if self._well is not None and self._told and pulse.at - self._well >= self._terms.calm_s:
            for_s = pulse.at - self._unwell if self._unwell is not None else 0.0
            self._told, self._unwell = set(), None
            return Event(what=What.OVER, pulse=pulse, for_s=for_s)
        if pulse.working:  # whoever works there sees what is so, and what they do looks like a loss from here
            self._since.pop(State.LOST, None)
            self._unwell = pulse.at if self._unwell is not None else None
            return None
        return self._worst(pulse)

    def _another_epoch(self, pulse: Pulse) -> Event | None:
        """The shop was moved, or this is the first look: whatever was seen of the region that was active is of no more weight."""
        assert pulse.epoch is not None
        told, since, first = self._told, self._unwell, self._epoch == 0
        self._begin()
        self._epoch, self._last = pulse.epoch.epoch, pulse.at
        self._keep_times(pulse)
        if first or not told:
            return None
        return Event(what=What.OVER, pulse=pulse, for_s=0.0 if since is None else pulse.at - since)

    def _forget_gaps(self, pulse: Pulse) -> None:
        """A watcher that stood still for a while has not seen what was so meanwhile."""
        gap = 0.0 if self._last is None else pulse.at - self._last
        if gap > 3 * self._terms.every_s + 10:
            self._since, self._well = {}, None
        self._last = pulse.at

    def _keep_times(self, pulse: Pulse) -> None:
        state = pulse.state
        self._since = {state: self._since.get(state, pulse.at)}
        if state is State.WELL:
            self._well = pulse.at if self._well is None else self._well
            if not self._told and self._unwell is not None and pulse.at - self._well >= self._terms.calm_s:
                self._unwell = None
        else:
            self._well = None
            self._unwell = pulse.at if self._unwell is None else self._unwell

    def _worst(self, pulse: Pulse) -> Event | None:
        lost = self._held(State.LOST, pulse)
        if lost >= self._terms.lost_after_s:
            return self._once(What.LOST, pulse, lost)
        unwell = 0.0 if self._unwell is None else pulse.at - self._unwell
        if unwell >= self._terms.part_after_s and pulse.state is not State.WELL:
            return self._once(What.BLIND if pulse.state is State.BLIND else What.PART, pulse, unwell)
        return None

    def _held(self, state: State, pulse: Pulse) -> float:
        since = self._since.get(state)
        return -1.0 if since is None else pulse.at - since

    def _once(self, what: What, pulse: Pulse, for_s: float) -> Event | None:
        if what in self._told:
            return None
        self._told.add(what)
        return Event(what=what, pulse=pulse, for_s=for_s)
