"""What `drctl init` asks of a bucket at its S3 server, because the platform's API knows none of it: rules of its lifecycle, and conditions on a write."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from contract.dataclass import dataclass
from contract.errors import Refused
from contract.wire import s3
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import TAKEN

UNSUPPORTED = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED)
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(frozen=True, kw_only=True)
class Forgetting:
    """Versions below `prefix` that are not current any more go after `days`, and a marker that hides nothing with them."""

    name: str
    prefix: str
    days: int


def lifecycle(rules: tuple[Forgetting, ...]) -> str:
    """The document. What no rule names stays for ever."""
    rows = "".join(
        f"<Rule><ID>dr-{rule.name}</ID><Filter><Prefix>{rule.prefix}</Prefix></Filter><Status>Enabled</Status>"
        f"<NoncurrentVersionExpiration><NoncurrentDays>{rule.days}</NoncurrentDays></NoncurrentVersionExpiration>"
        "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>"
        for rule in rules
    )
    return f'<LifecycleConfiguration xmlns="{_SPACE}">{rows}</LifecycleConfiguration>'


class RuledBucket(Witness):
    """A bucket of the third region, by a key that may what is asked."""

    def forget(self, rules: tuple[Forgetting, ...]) -> bool:
        """Put the rules in the place of those that are there. Returns False where the store knows no lifecycle. Raises WitnessDown."""
        what = "put the rules of its lifecycle"
        reply = self._ask(what, "PUT", "", query={"lifecycle": ""}, body=lifecycle(rules).encode())
        if reply.status in UNSUPPORTED:
            return False
        self._must(what, reply)
        return True

    def probe_match(self) -> None:
        """Prove that the store writes over nothing but what the writer has seen (`If-Match`). Raises Refused when it does, or refuses what it should take."""
        key, what = f"probe/{uuid.uuid4()}", "probe the conditional overwrite"
        first = self._ask(what, "PUT", key, body=b"1")
        self._stored(what, first)
        seen = first.headers["ETag"].strip('"')
        try:
            stale = self._ask(what, "PUT", key, body=b"2", headers={"if-match": "0" * len(seen)})
            if stale.status not in TAKEN:
                self._stored(what, stale)
                raise Refused(
                    f"bucket {self.bucket} at {self.endpoint}: took an overwrite with an `If-Match` that does not fit, wanted 412; two operators could hold "
                    "one lease, so nothing was configured; use a bucket of a store that honours conditional writes"
                )
            fresh = self._ask(
                what, "PUT", key, body=b"3", headers={"if-match": seen}
            )  # as OVHcloud wants it: without quotes
            if fresh.status in TAKEN:
                fresh = self._ask(what, "PUT", key, body=b"3", headers={"if-match": f'"{seen}"'})
            self._stored(what, fresh)
        finally:
            self._must(what, self._ask(what, "DELETE", key))

    def reachable(self) -> bool:
        """Whether the store knows the key by now: a fresh one takes its time. Raises WitnessDown."""
        reply = self._ask("see whether the key is known", "GET", "", query={"list-type": "2", "max-keys": "1"})
        return reply.ok or s3.refusal(reply.body) not in ("InvalidAccessKeyId", "AccessDenied", "SignatureDoesNotMatch")
