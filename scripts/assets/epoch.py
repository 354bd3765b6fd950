"""Which epoch is in force, asked again while a run writes: a copier of a past epoch must not write at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract.errors import Refused

from .config import Job
from .errors import EpochMoved


@dataclass(frozen=True)
class Epoch:
    """What is in force now. `active`: the active site, None when nobody says; `moving`: between the decision and its end."""

    number: int
    active: str | None = None
    moving: bool = False


class UnknownEpoch(Exception):
    """Nobody can say which epoch is in force. Holds why."""


def from_file(path: Path) -> Callable[[], Epoch]:
    """Reads {"epoch": n, "active": "a", "moving": false} afresh at every call; the last two may be missing."""

    def read() -> Epoch:
        try:
            document = json.loads(path.read_text())
            number = document["epoch"]
            active, moving = document.get("active"), document.get("moving", False)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnknownEpoch(f"{path} cannot be read ({type(error).__name__})") from None
        if not isinstance(number, int) or not isinstance(moving, bool):
            raise UnknownEpoch(f"{path} holds epoch {number!r} and moving {moving!r}")
        return Epoch(number, active, moving)

    return read


class Guard:
    """Asked before every write. Without an epoch in the job there is nothing to guard: two buckets copied by hand."""

    def __init__(self, job: Job, now: Callable[[], Epoch] | None, *, into_active: bool = False) -> None:
        """`now` may raise UnknownEpoch, which stops the writes; `into_active`: the run writes to the active side, as reconcile does.

        Raises Refused when this run must not begin.
        """
        self._wanted, self._interval = job.epoch, job.options.epoch_check_s
        self._now = now or (from_file(job.epoch_file) if job.epoch_file else None)
        self._seen, self._lock = time.monotonic(), threading.Lock()
        self.moving = False
        if self._now is None:
            return
        try:
            epoch = self._now()
        except UnknownEpoch as error:
            raise Refused(
                f"epoch: {error}, wanted epoch {self._wanted}; nothing was changed, a copier that may be of the past does not write"
            ) from None
        if self._wanted is None:
            self._wanted = epoch.number
        if epoch.number != self._wanted:
            raise Refused(
                f"epoch: {epoch.number} is in force, wanted this configuration's {self._wanted}; nothing was changed, converge the host first"
            )
        wanted = job.target_site if into_active else job.source_site
        if epoch.active and wanted and epoch.active != wanted:
            raise Refused(
                f"direction: the configuration copies from site {job.source_site} to {job.target_site}, which wants {wanted} to be active; "
                f"in epoch {epoch.number} it is {epoch.active}; nothing was changed: it would put old objects over new ones; converge the host first"
            )
        self.moving = epoch.moving

    @property
    def epoch(self) -> int | None:
        """That of this run."""
        return self._wanted

    def check(self) -> None:
        """Raises EpochMoved when another epoch is in force, or nobody can say. Asks once a second at most."""
        if self._now is None or time.monotonic() - self._seen < self._interval:
            return
        with self._lock:
            if time.monotonic() - self._seen < self._interval:
                return
            try:
                epoch = self._now()
            except UnknownEpoch as error:
                raise EpochMoved(
                    f"epoch: {error}, wanted {self._wanted}; this run stopped writing, what it copied stays"
                ) from None
            if epoch.number != self._wanted:
                raise EpochMoved(
                    f"epoch: {epoch.number} is in force, wanted {self._wanted}, in which this run began; it stopped writing, what it copied stays; "
                    "converge the host with the new epoch"
                )
            self.moving = self.moving or epoch.moving
            self._seen = time.monotonic()
