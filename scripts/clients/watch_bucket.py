"""What watchers have seen and begun, and what people agreed to (`contract/watch.py`), in the witness bucket: objects that are each created once."""

from __future__ import annotations

import json
from typing import Any

from contract import fields
from contract.watch import ALARMS, CONFIRMED, Alarm, Attempt, Word, attempt_of
from scripts.clients.kept_bucket import KeptBucket

OTHERWISE = "nothing is done by it; see who writes there (`drctl audit verify`)"


class WatchBucket(KeptBucket):
    """The witness, and what watchers leave there."""

    def put_alarm(self, alarm: Alarm) -> bool:
        """Returns whether it is this one that stands there. Raises Failed."""
        return self.create(f"{ALARMS}{alarm.id}.json", _bytes(alarm), "application/json")

    def alarm(self, ident: str) -> Alarm | None:
        """None when there is none. Raises Failed."""
        return self._heard(Alarm, f"{ALARMS}{ident}.json", OTHERWISE)

    def put_word(self, word: Word) -> bool:
        """As of `put_alarm`."""
        return self.create(f"{CONFIRMED}{word.id}.json", _bytes(word), "application/json")

    def word(self, ident: str) -> Word | None:
        """Of an alarm; None when nobody has agreed. Raises Failed."""
        return self._heard(Word, f"{CONFIRMED}{ident}.json", OTHERWISE)

    def begin(self, attempt: Attempt) -> bool:
        """Whether this attempt is the one of its epoch. Raises Failed."""
        return self.create(attempt_of(attempt.epoch), _bytes(attempt), "application/json")

    def attempt(self, epoch: int) -> Attempt | None:
        """The one of an epoch; None when there was none. Raises Failed."""
        return self._heard(Attempt, attempt_of(epoch), OTHERWISE)


def _bytes(it: Any) -> bytes:
    return json.dumps(fields.write(it), sort_keys=True).encode()
