"""What watchers have seen and begun, and what people agreed to (`contract/watch.py`), in the witness bucket: objects that are each created once."""

from __future__ import annotations

import json
from typing import Any

from contract import fields
from contract.errors import Failed
from contract.watch import ALARMS, ATTEMPTS, CONFIRMED, Alarm, Attempt, Mode, Word, attempt_of
from scripts.clients.kept_bucket import KeptBucket

MOST_READ = 50
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

    def last_begun(self, mode: Mode) -> Attempt | None:
        """The attempt of the highest epoch that was begun in that mode; None when there was none. Raises Failed, also where too many others lie before it."""
        keys = sorted(self._keys(ATTEMPTS), reverse=True)
        for key in keys[:MOST_READ]:
            found = self._heard(Attempt, key, OTHERWISE)
            if found is not None and found.mode == mode:
                return found
        if len(keys) > MOST_READ:
            raise Failed(
                f"{ATTEMPTS} in {self._place}: none of the {MOST_READ} newest was {mode}, and {len(keys) - MOST_READ} lie before them, wanted to know the last "
                "one that was; nothing is done by it"
            )
        return None


def _bytes(it: Any) -> bytes:
    return json.dumps(fields.write(it), sort_keys=True).encode()
