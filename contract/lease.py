"""The lease: how long a primary that nobody hears goes on, and every limit that follows from it. Seconds, whole ones in the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from .checks import integer
from .dataclass import dataclass
from .fields import Contradiction, key
from .limits import SILENCE_S

_MOST_S = 3600
_SECONDS = integer(1, _MOST_S)
_WHY = "the agents of the hosts do not know when to stop"


class LeaseState(StrEnum):
    """What a heartbeat says of its host's lease."""

    HELD = "held"
    STOPPED = "stopped"  # the agent has stopped the service, because nobody heard it
    OFF = "off"  # the last word of an agent that was taken away: its silence proves nothing


@dataclass(frozen=True, kw_only=True)
class Lease:
    """`dr:lease`: how a region that is cut off stops by itself; or the word off: no agents, no heartbeats, no loss figures, no third rung."""

    lease_s: int = key(
        _SECONDS, "a primary that neither the witness nor its counterpart on the other site has heard for so long stops",
        default=30, unit="s", why=_WHY,
    )  # fmt: skip
    stop_s: int = key(
        _SECONDS,
        "for the stop; what is left of the service after four fifths of it is killed",
        default=5,
        unit="s",
        why=_WHY,
    )
    margin_s: int = key(
        _SECONDS,
        "what others wait for on top of `lease_s + stop_s`: scheduling, a restarting agent, a clock that ticks slower",
        default=5, unit="s", why=_WHY,
    )  # fmt: skip
    heartbeat_s: int = key(_SECONDS, "between two heartbeats", default=2, unit="s", why=_WHY)

    @property
    def unseen_s(self) -> int:
        """How long a primary can have written after its last heartbeat."""
        return self.lease_s + self.stop_s

    @property
    def silence_s(self) -> int:
        """How long its hosts must have been silent before another site may rely on it (rung 3 of the fence)."""
        return self.unseen_s + self.margin_s

    @property
    def question_s(self) -> float:
        """How long one question of an agent to the outside may take."""
        return max(1.0, min(10.0, self.lease_s / 4))

    @property
    def watchdog_s(self) -> float:
        """An agent that says nothing to systemd for so long is killed and started again, before the margin of those who wait is used up."""
        return max(3.0, self.margin_s - 2)

    def told(self, state: str, silent_s: float | None) -> dict[str, Any]:
        """The block `lease` of a heartbeat: how it stands, and the terms of the host that keeps it, which may not be those of whoever reads it."""
        return {"state": state, "silent_s": silent_s, **asdict(self)}

    @classmethod
    def heard(cls, block: Any) -> Lease | None:
        """The terms in a heartbeat's block `lease`; None when it holds none, or none that a lease can have."""
        try:
            values = {name: int(block[name]) for name in cls.__dataclass_fields__}
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return cls(**values) if all(1 <= value <= _MOST_S for value in values.values()) else None

    def contradictions(self) -> Iterator[Contradiction]:
        """Times that are fine alone and wrong together."""
        if self.stop_s + self.margin_s >= self.lease_s:
            yield Contradiction(
                "lease_s",
                str(self.lease_s),
                f"more than dr:lease.stop_s + dr:lease.margin_s ({self.stop_s} + {self.margin_s})",
                "a short hiccup would stop the shop, and what is waited for on top of the lease would be the larger part",
                "keep 30, 5 and 5, or raise lease_s",
            )
        if self.silence_s > SILENCE_S:
            yield Contradiction(
                "lease_s",
                str(self.lease_s),
                f"dr:lease.lease_s + stop_s + margin_s of {SILENCE_S} or less (now {self.silence_s})",
                "a take-over that has to wait for it would be ended before it could claim",
                "keep 30, 5 and 5, or lower lease_s",
            )
        if 3 * self.heartbeat_s > self.lease_s:
            yield Contradiction(
                "heartbeat_s",
                str(self.heartbeat_s),
                f"a third of dr:lease.lease_s ({self.lease_s}) or less",
                "two heartbeats that get lost would stop the shop",
                "keep 2, or raise lease_s",
            )
