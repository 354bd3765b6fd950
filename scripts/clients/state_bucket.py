"""The bucket in which Pulumi keeps states, read as pulumi's S3 backend lays it out. Nothing is written here: that is pulumi's own."""

from __future__ import annotations

from http import HTTPStatus

from contract.buckets import Bucket
from contract.wire import s3
from contract.wire.sigv4 import Signer
from scripts.clients.witness_bucket import WitnessBucket, WitnessDown

MOST_STATE = 64 * 2**20  # bytes; a state holds each host's documents


class BackendDown(WitnessDown):
    """The backend of the state does not answer, or nothing that can be relied on."""


class StateBucket(WitnessBucket):
    """Asked as the witness is: signed, with an end to each answer and to each listing. It knows no epochs."""

    most = MOST_STATE

    def __init__(
        self, place: Bucket, *, session_token: str = "", answer_s: float | None = None, attempts: int = 1
    ) -> None:
        super().__init__(place, answer_s=answer_s, attempts=attempts)
        self._signer = Signer(place.access_key, place.secret_key, place.region, session_token)

    def names(self, prefix: str) -> list[str]:
        """Keys below it. Raises BackendDown."""
        return self._list("list what lies there", {"list-type": "2", "prefix": prefix}, s3.OBJECTS)

    def read(self, key: str) -> bytes | None:
        """None where there is none. Raises BackendDown."""
        found = self._read(key)
        return None if found is None else found.body

    def versioned(self) -> bool | None:
        """Whether what is stored over stays; None where the store does not say, or this key may not ask. Raises BackendDown."""
        what = "see whether it is versioned"
        found = self._ask(what, "GET", "", query={"versioning": ""})
        try:
            return s3.versioned(found.body) if found.status == HTTPStatus.OK else None
        except s3.NotS3:
            return None

    def _down(self, what: str, found: str, remedy: str = "") -> WitnessDown:
        return BackendDown(
            f"Pulumi's backend, {self._place}: cannot {what} ({found}); no `pulumi up` can run until it answers; see whether its region has an outage, and "
            "the keys in this environment"
        )
