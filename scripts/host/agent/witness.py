"""The agent's side of the witness: the heartbeat put there, and the newest epoch read without listing the bucket at every beat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contract.wire import dates, document, s3

from ..frame.boots import boottime
from ..frame.witness import EPOCHS, Talk, Witness, epoch_of
from .lease import Newest
from .outside import Clock, Reading

LIST_EVERY_S = 60.0  # a full look, in case the object after the known one was never there


class WitnessChannel:
    """Use from one thread; `abort` may come from another."""

    def __init__(self, witness: Witness, limit_s: float) -> None:
        self.witness = witness
        self._talk = Talk(witness, limit_s)
        self._newest: Newest | None = None
        self._listed_at: float | None = None
        self._clock = Clock(coarse_s=1.0)  # a Date has whole seconds
        self.reading: Reading | None = None  # by the last heartbeat that it took

    def abort(self) -> None:
        """See `Channel.abort`."""
        self._talk.abort()

    def put(self, key: str, content: Mapping[str, Any]) -> float:
        """Store a JSON object; returns when the request was sent, by `boottime`. Raises Silent."""
        sent = boottime()
        answer = self._talk.put(key, json.dumps(content, sort_keys=True).encode())
        date = dates.seconds(answer.headers.get("date"))
        self.reading = None if date is None else self._clock.heard(date, sent, boottime())
        return sent

    def get(self, key: str) -> tuple[dict[str, Any], float] | None:
        """A JSON object and how many seconds ago it was stored, by the witness's own clock: this host's may have been set since.

        None when there is none, or nothing that can be read. Raises Silent.
        """
        answer = self._talk.ask("GET", key, {})
        if s3.absent(answer.status, answer.body):
            return None
        try:
            found = document.mapping(self._talk.must(answer, key).body)
        except ValueError:
            return None
        stored, now = (dates.seconds(answer.headers.get(name)) for name in ("last-modified", "date"))
        if stored is None or now is None:
            return None
        return found, max(now - stored, 0.0)

    def newest(self, *, sure: bool) -> Newest | None:
        """The newest epoch; None when there is none. `sure`: look at the whole list. Raises Silent."""
        asked = boottime()
        known = self._newest
        if sure or known is None or self._listed_at is None or asked - self._listed_at >= LIST_EVERY_S:
            found = self._by_list()
            self._listed_at = asked
        else:
            found = self._by_next(known)
        if found is None:
            self._newest = None
            return None
        since = known.since if known is not None and known.epoch == found["epoch"] else asked
        self._newest = Newest(found["epoch"], found["active"], found["planned"], asked, since)
        return self._newest

    def _by_next(self, known: Newest) -> dict[str, Any]:
        """Epochs have no gaps: as long as the next one is not there, the known one is the newest."""
        found: dict[str, Any] = {"epoch": known.epoch, "active": known.active, "planned": known.planned}
        while True:
            key = f"{EPOCHS}{found['epoch'] + 1:08d}.json"
            answer = self._talk.ask("GET", key, {})
            if s3.absent(answer.status, answer.body):
                return found
            found = epoch_of(self._talk.must(answer, key).body, key)

    def _by_list(self) -> dict[str, Any] | None:
        names = self._talk.epochs(EPOCHS)
        return epoch_of(self._talk.get(names[-1], {}), names[-1]) if names else None
