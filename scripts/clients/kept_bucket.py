"""Objects of the witness bucket that are each created once, and locked against everybody, their writer among them, where the bucket locks."""

from __future__ import annotations

import time
from http import HTTPStatus

from contract.wire import s3
from contract.witness import LOCKED_DAYS
from scripts.clients.witness_bucket import TAKEN, WitnessBucket, WitnessDown


class KeptBucket(WitnessBucket):
    """The witness, and what is kept there."""

    def create(self, key: str, body: bytes, kind: str) -> bool:
        """Create an object. Returns whether it is this one that stands there. A lost answer is resolved by reading it back. `kind`: its content type."""
        what, headers = f"write {key}", {"content-type": kind, "if-none-match": "*"}
        try:
            kept = headers | self._retention()
            reply = self._ask(what, "PUT", key, body=body, headers=kept)
            if kept != headers and reply.status == HTTPStatus.FORBIDDEN:  # this key may write, and lock nothing
                reply = self._ask(what, "PUT", key, body=body, headers=headers)
            if reply.status not in TAKEN:
                self._stored(what, reply)
                return True
        except WitnessDown:
            held = self._read(key)
            if held is None:
                raise
            return held.body == body
        held = self._read(key)
        return held is not None and held.body == body

    def _retention(self) -> dict[str, str]:
        """Headers that keep an object from everybody, its writer among them, where the bucket has object lock."""
        said = self._ask("read whether objects are locked", "GET", "", query={"object-lock": ""})
        if said.status != HTTPStatus.OK or b"<ObjectLockEnabled>Enabled</ObjectLockEnabled>" not in said.body:
            return {}
        return s3.retention(time.time() + self._ahead + LOCKED_DAYS * 86_400)
