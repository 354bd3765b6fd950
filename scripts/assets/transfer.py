"""One object from the source to the target: whole through memory, or streamed, or in parts; checked by digest, and never over something unexpected."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from .compare import Clocks, Verdict, from_headers
from .conditions import Changed, Conditions
from .config import Options
from .epoch import Guard
from .errors import EpochMoved, Kind, StoreError
from .listing import Entry
from .metadata import STORAGE_CLASS, carried, is_md5, iso_time, notes
from .parts import Parts
from .state import State
from .store import Bucket, only_over
from .tally import Tally, show
from .wire import Answer, Headers

AGAIN = 4  # times that an object may change under our hands before the next run has to see to it
OPTIONAL = (STORAGE_CLASS, "x-amz-acl")


@dataclass
class Transfer:
    """Copies objects; one for a run, used from several threads."""

    source: Bucket
    target: Bucket
    state: State
    guard: Guard
    options: Options
    tally: Tally
    parts: Parts
    acls: bool

    def __post_init__(self) -> None:
        # More large bodies at once bring no speed and cost both stores memory.
        self._streams = threading.Semaphore(self.options.part_streams)
        self.conditions = Conditions(self.target, self.state)
        self._versioned: bool | None = None
        for bucket in (self.source, self.target):
            bucket.etag_is_md5 = self.state.fact(f"{bucket.endpoint.name} etags") != "opaque"

    def clocks(self) -> Clocks:
        return Clocks(self.source.wire.skew or 0.0, self.target.wire.skew or 0.0)

    def bring(self, entry: Entry, over: str | None, look: bool = False, known: str | None = None) -> bool:
        """Make the target have what the source has, and count it; false when it does not after all.

        `over`: the target's etag as listed, None for nothing; `look`: compare the headers first; `known`: see `compare.untouched`.
        """
        for _ in range(AGAIN):
            try:
                if look:
                    decided = self._look(entry, known)
                    if decided is None:
                        return False
                    entry, over = decided
                self._copy(entry, over)
            except Changed:
                look = True
            except StoreError as error:
                # Absent: the object of either side, or an upload that the store has thrown away.
                if error.kind not in (Kind.CONDITION, Kind.ABSENT):
                    raise
                look = True
            else:
                self.tally.done(entry, "copied", entry.size)
                return True
        self.tally.owe(entry, "failed", f"changed {AGAIN} times while it was copied; the next run sees to it")
        return False

    def _look(self, entry: Entry, known: str | None) -> tuple[Entry, str | None] | None:
        """What to copy and what over; None when there is nothing to do (and it is counted)."""
        source, target = self.source.head(entry.key), self.target.head(entry.key)
        if source is None:
            if b"\xef\xbf\xbd" in entry.key:
                self.tally.owe(
                    entry, "failed", "the source lists it under a name that is not its own (U+FFFD); rename it there"
                )
            else:
                self.gone(entry)
            return None
        now = entry
        if source.etag != entry.etag:
            now = Entry(
                entry.key, int(source.headers["content-length"]), source.etag, iso_time(source.headers["last-modified"])
            )
        finding = from_headers(
            source.headers, target.headers if target else None, self.guard.epoch, self.clocks(), known
        )
        if finding.verdict is Verdict.STALE:
            raise EpochMoved(
                f"epoch: {show(entry.key)} at the target is {finding.reason}, this run is of epoch {self.guard.epoch}; it stopped writing, "
                "converge the host with the new epoch"
            )
        if finding.verdict is Verdict.RECORD:
            if now.etag == entry.etag:
                self.state.record(entry, None, finding.over or "", "")
            self.tally.done(entry, "same")
            return None
        if finding.verdict is Verdict.HOLD:
            self.tally.owe(entry, "held", f"{finding.reason}; run `dr-assets reconcile` to decide")
            return None
        if finding.back and now.etag != entry.etag:
            self.tally.owe(
                entry,
                "held",
                f"the source lists another version than it hands out ({entry.etag}, {now.etag}), and this one is older than the copy; wanted one of "
                "both; the next run sees to it",
            )
            return None
        if finding.reason:
            if not self._keeps_versions():
                self.tally.owe(
                    entry,
                    "held",
                    f"{finding.reason}, and the target is not versioned, so it would be lost; switch versioning on",
                )
                return None
            self.tally.note(
                "replaced",
                key=show(entry.key),
                why=finding.reason,
                version=target.headers.get("x-amz-version-id", "") if target else "",
            )
        return now, finding.over

    def gone(self, entry: Entry) -> None:
        """The source has it no more. A store that lists it all the same has lost it, or hides it, and then it is owed."""
        if self.source.lists(entry.key):
            self.tally.owe(entry, "failed", "the source lists it and does not hand it out; see the store's status")
        else:
            self.tally.done(entry, "vanished")

    def _keeps_versions(self) -> bool:
        if self._versioned is None:
            self._versioned = self.target.versioned()
        return self._versioned

    def _copy(self, entry: Entry, over: str | None) -> None:
        plain = is_md5(entry.etag) and self.source.etag_is_md5
        if entry.size <= self.options.memory_limit:
            self._whole(entry, over)
        elif not (plain and entry.size <= self.options.multipart_above and self._stream(entry, over)):
            self._in_parts(entry, over)

    def _whole(self, entry: Entry, over: str | None) -> None:
        answer = self.source.get(entry.key, entry.etag)
        md5 = self._checked(entry, answer)
        sha = hashlib.sha256(answer.body).hexdigest()
        headers = self.headers(entry, answer, f"sha256:{sha}")
        put = self._put(headers, over, lambda all_: self.target.put(entry.key, answer.body, all_, sha), entry.key)
        if over is None:
            self.conditions.learn(lambda: self.target.put(entry.key, answer.body, {**headers, **only_over(None)}, sha))
        if is_md5(put.etag) and put.etag != md5 and self.target.etag_is_md5:
            self._read_back(entry.key, put, "sha256", sha)
        self.state.record(entry, None, put.etag, f"sha256:{sha}")

    def _checked(self, entry: Entry, answer: Answer) -> str:
        """The MD5 of the body, which must be the one that the source promised."""
        if len(answer.body) != entry.size:
            raise StoreError(
                Kind.LYING,
                f"{self.source.endpoint.place}: {show(entry.key)}: sent {len(answer.body)} bytes, listed {entry.size}; not copied",
            )
        md5 = hashlib.md5(answer.body, usedforsecurity=False).hexdigest()
        if is_md5(entry.etag) and md5 != entry.etag and self.source.etag_is_md5:
            if self.source.get(entry.key, entry.etag).body != answer.body:
                raise StoreError(
                    Kind.LYING,
                    f"{self.source.endpoint.place}: {show(entry.key)}: sends other bytes each time, wanted MD5 {entry.etag}; not copied",
                )
            self._opaque(self.source)
        return md5

    def _read_back(self, key: bytes, put: Answer, algorithm: str, wanted: str) -> None:
        """The target's etag is not the MD5 of what was sent: a store of another kind, or damage."""
        found = hashlib.new(algorithm, usedforsecurity=False)
        with self.target.open(key, put.etag) as (_, body):
            for piece in body.pieces():
                found.update(piece)
        if found.hexdigest() != wanted:
            self._damaged(key, put)
        self._opaque(self.target)

    def _opaque(self, bucket: Bucket) -> None:
        """The bytes were right and the etag was not their MD5: this store's etags are something else (server-side encryption does that)."""
        bucket.etag_is_md5 = False
        self.state.set_fact(f"{bucket.endpoint.name} etags", "opaque")

    def _damaged(self, key: bytes, put: Answer) -> None:
        version = put.headers.get("x-amz-version-id")
        if version:
            self.target.delete(key, version=version)
        raise StoreError(
            Kind.LYING,
            f"{self.target.endpoint.place}: {show(key)}: holds other bytes than were sent; "
            + ("that version was removed" if version else "the bucket is not versioned, so it stays there")
            + ", and it does not count as copied; check the store",
        )

    def _stream(self, entry: Entry, over: str | None) -> bool:
        """One PUT whose MD5 is known before: the source's etag. False when that does not hold, and the parts have to prove it."""

        def once() -> Answer:
            with self.source.open(entry.key, entry.etag) as (answer, body):
                check = {"content-md5": base64.b64encode(bytes.fromhex(entry.etag)).decode()}
                headers = self.headers(entry, answer, f"md5:{entry.etag}") | check
                return self._put(
                    headers,
                    over,
                    lambda all_: self.target.put_stream(entry.key, body.pieces(), entry.size, all_),
                    entry.key,
                )

        try:
            with self._streams:
                put = self.target.patience.run(once, self.target.throttle)
        except StoreError as error:
            if error.kind is Kind.LYING:
                return False
            raise
        if is_md5(put.etag) and put.etag != entry.etag and self.target.etag_is_md5:
            self._read_back(entry.key, put, "md5", entry.etag)
        self.state.record(entry, None, put.etag, f"md5:{entry.etag}")
        return True

    def _in_parts(self, entry: Entry, over: str | None) -> None:
        head = self.source.head(entry.key)
        if head is None or head.etag != entry.etag:
            raise Changed
        digest = f"md5:{entry.etag}" if is_md5(entry.etag) and self.source.etag_is_md5 else ""
        headers = self.headers(entry, head, digest)
        self.conditions.check(entry.key, over)
        etag = self.parts.copy(entry, headers, only_over(over))
        self.state.record(entry, None, etag, digest)

    def headers(self, entry: Entry, answer: Answer, digest: str) -> dict[str, str]:
        """Everything that goes with the object."""
        version = answer.headers.get("x-amz-version-id", "")
        kept = carried(answer.headers) | notes(
            self.guard.epoch, entry.etag, answer.headers["last-modified"], version, digest
        )
        if answer.headers.get("x-amz-tagging-count", "0") != "0":
            kept["x-amz-tagging"] = self.source.tags(entry.key)
        acl = self.source.canned_acl(entry.key) if self.acls else None
        return kept | ({"x-amz-acl": acl} if acl else {})

    def _put(self, headers: Headers, over: str | None, put: Callable[[Headers], Answer], key: bytes) -> Answer:
        """Conditional; what the target cannot hold is left out and counted."""
        self.guard.check()
        self.conditions.check(key, over)
        try:
            return put({**headers, **only_over(over)})
        except StoreError as error:
            if error.kind is not Kind.UNSUPPORTED or not set(OPTIONAL) & set(headers):
                raise
            left_out = [name for name in OPTIONAL if name in headers]
            self.tally.note("not_carried", key=show(key), why=f"the target does not take {', '.join(left_out)}")
            return put({**{name: value for name, value in headers.items() if name not in OPTIONAL}, **only_over(over)})
