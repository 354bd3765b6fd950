"""The bucket in which a region keeps releases: `releases/<digest>.tar.gz`, and its card beside it. What is put there is read back."""

from __future__ import annotations

import re
from hashlib import sha256

from contract import release
from contract.buckets import Bucket
from contract.errors import Failed
from contract.release import CARD_SUFFIX, FOLDER, SUFFIX, Card
from contract.wire import s3
from scripts.clients.witness_bucket import WitnessBucket, WitnessDown

ANSWER_S, WAIT_S = (
    600.0,
    20.0,
)  # for an artefact, and for each piece of it: who says nothing at all is not waited for so long
_NAME = re.compile(rf"{FOLDER}([0-9a-f]{{64}}){re.escape(SUFFIX)}")


class ReleasesDown(WitnessDown):
    """The bucket does not answer, or nothing that can be relied on."""


class ReleaseBucket(WitnessBucket):
    """Asked as the witness is: signed, with an end to each answer and to each listing. It knows no epochs. `most_mb`: of an artefact."""

    wait_s = WAIT_S

    def __init__(self, place: Bucket, most_mb: int, *, answer_s: float = ANSWER_S, attempts: int = 2) -> None:
        super().__init__(place, answer_s=answer_s, attempts=attempts)
        self.most = most_mb * 2**20 + 2**16

    def digests(self) -> list[str]:
        """Of all releases that lie here. Raises ReleasesDown."""
        names = self._list("list releases", {"list-type": "2", "prefix": FOLDER}, s3.OBJECTS)
        return [it[1] for name in names if (it := _NAME.fullmatch(name))]

    def card(self, digest: str) -> Card | None:
        """None where there is none that is of this release. Raises ReleasesDown."""
        found = self._read(release.object_of(digest, CARD_SUFFIX))
        try:
            told = None if found is None else release.card(found.body, f"card of {digest[:12]}")
        except Failed:
            return None
        return told if told is not None and told.digest == digest else None

    def artefact(self, digest: str) -> bytes | None:
        """None where there is none; what is no longer what its name says raises Failed. Raises ReleasesDown."""
        found = self._read(release.object_of(digest))
        if found is not None and sha256(found.body).hexdigest() != digest:
            raise Failed(
                f"release {digest[:12]} in {self._place}: found a file with SHA-256 {sha256(found.body).hexdigest()[:12]}, wanted the one of its name; hosts "
                "take none but that, from the other region; run `drctl releases verify --repair`"
            )
        return None if found is None else found.body

    def put(self, card: Card, body: bytes) -> None:
        """Both, the card last: what has one has arrived whole, for it was read back. Raises ReleasesDown, Failed."""
        for name, content, kind in (
            (release.object_of(card.digest), body, "application/gzip"),
            (release.object_of(card.digest, CARD_SUFFIX), release.card_text(card), "application/json"),
        ):
            what = f"write {name}"
            self._stored(what, self._ask(what, "PUT", name, body=content, headers={"content-type": kind}))
            if name.endswith(SUFFIX) and self.artefact(card.digest) is None:
                raise self._down(what, "it said yes, and then there was no such object")

    def _down(self, what: str, found: str, remedy: str = "") -> WitnessDown:
        hint = "see whether its region has an outage, and whether `pulumi up` has made bucket and keys"
        return ReleasesDown(f"releases, {self._place}: cannot {what} ({found}); nothing else was changed there; {hint}")
