"""Who is active, by the witness bucket: for a guard that must answer quickly at boot, whatever the witness does.

`/etc/dr/witness.json` is `{"endpoint", "region", "bucket", "access_key", "secret_key"}`.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import field
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.sites import SITES
from contract.wire import dates, document, s3
from contract.wire.channel import Answer, Channel, NoAnswer
from contract.wire.sigv4 import Signer, encode_key, encode_query

from .layout import Layout

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

WAIT_S = 4.0  # for an address, and for each piece of an answer
QUESTION_S = 10.0  # all that a question may hold up a boot; the unit gives the guard 30 s
EPOCHS = "epochs/"
_UNLOCKED = (400, 403, 404, 501)  # how stores say that a bucket locks nothing, or this key nothing there
_NAME = re.compile(r"epochs/[0-9]{8}\.json")


@dataclass(frozen=True)
class Active:
    """The newest epoch and who is active in it."""

    epoch: int
    site: str


@dataclass(frozen=True)
class Glance:
    """`bodies`: by name, of objects that are there; `ahead`: seconds by which the witness's clock is ahead of this host's, zero when they are close."""

    active: Active | None
    bodies: Mapping[str, bytes]
    ahead: float


class Silent(Failed):
    """The witness gives no answer that can be relied on."""


@dataclass(frozen=True)
class Witness:
    """The bucket and the keys to it."""

    endpoint: str
    region: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @classmethod
    def of_host(cls, layout: Layout) -> Witness:
        """Raises Silent when this host does not know it."""
        return cls.of_file(layout.etc / "witness.json")

    @classmethod
    def of_file(cls, path: Path) -> Witness:
        """The same from a copy of that file."""
        try:
            found = json.loads(path.read_bytes())
            return cls(*(str(found[key]) for key in ("endpoint", "region", "bucket", "access_key", "secret_key")))
        except (OSError, ValueError, KeyError, TypeError):
            raise Silent(
                f"file {path}: found none that can be read, wanted the witness's address; run `pulumi up` for this site"
            ) from None

    def newest(self, known: int) -> Active | None:
        """The newest epoch from `known` on; None when there is none. Raises Silent, within `QUESTION_S`."""
        after = f"{EPOCHS}{max(known - 1, 0):08d}.json"
        with self._talk() as talk:
            names = talk.epochs(after)
            if not names:
                return None
            found = epoch_of(talk.get(max(names), {}), max(names))
        return Active(found["epoch"], found["active"])

    def glance(self, known: int, keys: Sequence[str]) -> Glance:
        """The newest epoch from `known` on, and what is under these names. Raises Silent, within `QUESTION_S`."""
        after = f"{EPOCHS}{max(known - 1, 0):08d}.json"
        with self._talk() as talk:
            names = talk.epochs(after)
            found = epoch_of(talk.get(max(names), {}), max(names)) if names else None
            bodies = {key: body for key in keys if (body := talk.find(key)) is not None}
            return Glance(Active(found["epoch"], found["active"]) if found else None, bodies, talk.ahead)

    def has(self, key: str) -> bool:
        """Whether there is an object of this name. Raises Silent, within `QUESTION_S`."""
        with self._talk() as talk:
            return key in listed(talk.get("", {"list-type": "2", "prefix": key}))

    def names(self, prefix: str) -> tuple[str, ...]:
        """Objects below a prefix, at most a page of them. Raises Silent, within `QUESTION_S`."""
        with self._talk() as talk:
            return tuple(listed(talk.get("", {"list-type": "2", "prefix": prefix})))

    def planned(self, epoch: int) -> bool:
        """Whether that epoch was begun by a planned move. Raises Silent, within `QUESTION_S`, also where there is no such epoch."""
        key = f"{EPOCHS}{epoch:08d}.json"
        with self._talk() as talk:
            return bool(epoch_of(talk.get(key, {}), key)["planned"])

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        """Store a JSON object. Raises Silent, within `QUESTION_S`."""
        with self._talk() as talk:
            talk.put(key, json.dumps(document, sort_keys=True).encode())

    def store(self, key: str, body: bytes) -> None:
        """Store a JSON object that is bytes already. Raises Silent, within `QUESTION_S`."""
        with self._talk() as talk:
            talk.put(key, body)

    def create(self, key: str, body: bytes, keep_s: float) -> None:
        """See `Talk.create`. Raises Silent, within `QUESTION_S`."""
        with self._talk() as talk:
            talk.create(key, body, keep_s)

    def _talk(self) -> Talk:
        return Talk(self, WAIT_S, time.monotonic() + QUESTION_S)


class Talk:
    """Signed requests to the witness over a kept connection. Use from one thread; `abort` may come from another.

    Signed by the witness's clock where this host's, which may have been set wrong since it last spoke to anybody, is far from it.
    `limit_s`, `until`: see `Channel`. `called`: what the bucket is, for messages. As a context manager it hangs up at its end. Raises Silent when the
    endpoint is none.
    """

    def __init__(self, witness: Witness, limit_s: float, until: float | None = None, called: str = "witness") -> None:
        self._where = f"{called} {witness.bucket} at {witness.endpoint}"
        try:
            base = urllib.parse.urlsplit(witness.endpoint)
            name, port = base.hostname, base.port
        except ValueError:
            name, port = None, None
        if not name or base.scheme not in ("http", "https"):
            raise Silent(f"{self._where}: found no URL of a server, wanted one; correct it and run `pulumi up`")
        secure = base.scheme == "https"
        tls = public_tls() if secure else None
        self._channel = Channel(name, name, port or (443 if secure else 80), tls, limit_s)
        self._host, self._path = base.netloc.rpartition("@")[2], f"{base.path.rstrip('/')}/{witness.bucket}"
        self._signer = Signer(witness.access_key, witness.secret_key, witness.region)
        self._until = until
        self._ahead = 0.0  # the witness's clock against this host's, when they are far apart

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._channel.close()

    def abort(self) -> None:
        """See `Channel.abort`."""
        self._channel.abort()

    def ask(
        self, method: str, key: str, query: dict[str, str], body: bytes = b"", more: Mapping[str, str] | None = None
    ) -> Answer:
        """Whatever the witness answers; `must` judges. `more`: headers, their names in lower case. Raises Silent."""
        path, text = encode_key((f"{self._path}/{key}" if key else self._path).encode()), encode_query(query)
        headers = {"host": self._host, **({"content-type": "application/json"} if body else {}), **(more or {})}
        if body:
            headers |= {"content-length": str(len(body)), "content-md5": s3.content_md5(body)}
        payload = sha256(body).hexdigest()
        self._signer.sign(method, path, text, headers, payload=payload, now=time.time() + self._ahead)
        target = f"{path}?{text}" if text else path
        try:
            answer = self._channel.request(method, target, headers, body or None, self._until)
        except NoAnswer as error:
            raise Silent(f"{self._where}: found no answer ({error}), wanted one; see the third region") from None
        ahead = dates.clock_ahead(answer.headers.get("date"))
        self._ahead = self._ahead if ahead is None else ahead
        return answer

    def get(self, key: str, query: dict[str, str]) -> bytes:
        """The body of an object, or of a listing where there is no key. Raises Silent."""
        before = self._ahead
        answer = self.ask("GET", key, query)
        if answer.status == 403 and self._ahead and not before:
            answer = self.ask("GET", key, query)
        return self.must(answer, key or query["prefix"]).body

    def find(self, key: str) -> bytes | None:
        """The body of an object; None where there is none of this name. Raises Silent."""
        answer = self.ask("GET", key, {})
        return None if s3.absent(answer.status, answer.body) else self.must(answer, key).body

    @property
    def ahead(self) -> float:
        """See `Glance`, by the last answer."""
        return self._ahead

    def epochs(self, after: str) -> list[str]:
        """All keys of epochs behind `after`, in order: page by page until one is empty. Raises Silent."""
        names = list[str]()
        while True:
            query = {"list-type": "2", "prefix": EPOCHS, "start-after": names[-1] if names else after}
            page = listed(self.get("", query))
            if not page:
                return names
            if page[0] <= query["start-after"] or not page[-1].startswith(EPOCHS):
                raise Silent(
                    f"{self._where}: found {page[0]!r} behind {query['start-after']!r}, wanted a listing in order"
                )
            names += page

    def must(self, answer: Answer, key: str) -> Answer:
        """The answer, if it says yes. Raises Silent."""
        if answer.status not in (200, 204):
            raise Silent(
                f"{self._where}: found HTTP {answer.status} for {key}, wanted 200; see the third region and the keys"
            )
        return answer

    def put(self, key: str, body: bytes) -> Answer:
        """Raises Silent."""
        return self.stored(self.ask("PUT", key, {}, body), key)

    def create(self, key: str, body: bytes, keep_s: float) -> None:
        """Store it, for `keep_s` against everybody where the bucket has object lock. What is there under this name already stays. Raises Silent."""
        alone = {"if-none-match": "*"}
        answer = self.ask("PUT", key, {}, body, alone | self._lock(keep_s))
        if answer.status == 403 and self._ahead:  # signed by the right clock now
            answer = self.ask("PUT", key, {}, body, alone | self._lock(keep_s))
        if answer.status in _UNLOCKED:  # some stores have it then all the same
            answer = self.ask("PUT", key, {}, body, alone)
        if answer.status != 412:
            self.stored(answer, key)

    def _lock(self, keep_s: float) -> dict[str, str]:
        return s3.retention(time.time() + self._ahead + keep_s)

    def stored(self, answer: Answer, key: str) -> Answer:
        """The answer to a put, if it says yes. Raises Silent, also where whoever said yes has no ETag for it: a login page says yes to everything."""
        self.must(answer, key)
        if not answer.headers.get("etag"):
            raise Silent(
                f"{self._where}: found a yes to {key} without an ETag, wanted S3's; see what stands at the endpoint"
            )
        return answer


def public_tls() -> ssl.SSLContext:
    """Public authorities, looked up one by one: the whole bundle costs megabytes in a process that asks one server."""
    import ssl  # noqa: PLC0415 - who asks nobody does not wait for it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    folder = ssl.get_default_verify_paths().capath
    if folder is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(capath=folder)
    return context


def listed(page: bytes) -> list[str]:
    """Keys of a ListObjectsV2 answer. Raises Silent for anything else, which would look like an empty list."""
    try:
        return sorted(key for key in s3.listing(page).keys if key)
    except s3.NotS3 as error:
        raise Silent(f"witness: found {error}, wanted a listing; see whether the endpoint is an S3 server") from None


def epoch_of(content: bytes, key: str) -> dict[str, Any]:
    """The epoch that an object below `epochs/` holds, with at least "epoch", "active" and "planned". Raises Silent."""
    if not _NAME.fullmatch(key):
        raise Silent(
            f"witness object {key}: its name is none of an epoch, wanted epochs/<eight digits>.json; nobody can tell which region is active while it is "
            "there; remove it, and write it anew under its name if it was meant as an epoch"
        )
    try:
        found = document.mapping(content)
        number = document.whole(found["epoch"], 1)
        if f"{EPOCHS}{number:08d}.json" != key or found["active"] not in SITES:
            raise ValueError
    except (ValueError, KeyError):
        raise Silent(
            f"witness object {key}: found no epoch in it, wanted one; restore the object's first version"
        ) from None
    return found | {"planned": found.get("planned") is True}
