"""The audit trail in the witness bucket: `audit/%08d.json`, each created once, and locked where the bucket locks."""

from __future__ import annotations

import time
from http import HTTPStatus

from contract.audit import AUDIT, name_of
from contract.wire import s3
from contract.witness import LOCKED_DAYS
from scripts.clients.witness import TAKEN, Witness, WitnessDown


class TrailBucket(Witness):
    """The witness, and what is written there of who has done what."""

    def audited(self) -> list[str]:
        """Keys of all that lies in the audit trail."""
        return self._keys(AUDIT)

    def audit(self, number: int) -> bytes | None:
        """An entry of the trail as it is stored; None when there is none."""
        found = self._read(name_of(number))
        return None if found is None else found.body

    def record(self, number: int, body: bytes) -> bool:
        """Create an entry. Returns whether it is this one that stands there: a number is never given twice."""
        return self._keep(name_of(number), body, "application/json")

    def _keep(self, key: str, body: bytes, kind: str) -> bool:
        """Create an object, locked where the bucket locks. Returns whether it is this one that stands there. A lost answer is resolved by reading it back."""
        what = f"write {key}"
        headers = {"content-type": kind, "if-none-match": "*"}
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
