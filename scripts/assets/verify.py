"""Read both sides and compare what they hand out: bytes by digest, metadata, tags and ACL. It changes nothing."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from contract.errors import DrError, Failed, Refused

from .config import Job
from .errors import Kind, StoreError
from .listing import Entry
from .metadata import DIGEST_NOTE, parse_time, same_metadata
from .retry import Patience
from .store import Bucket
from .tally import Tally, show
from .wire import Answer

FAULTS = ("missing", "different", "metadata", "unreadable")


@dataclass
class Verify:
    """One pass. `share`: of the objects whose bytes are read, 1.0 for all. `settled`: objects changed after it (by the source's clock) are not owed yet."""

    job: Job
    share: float
    settled: float | None = None
    seed: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        options = self.job.options
        self.source, self.target = (
            Bucket(self.job.source, options, self.stop),
            Bucket(self.job.target, options, self.stop),
        )
        self.tally = Tally(options.listed)
        self._room = threading.Semaphore(options.concurrency * 2)
        self._acls = False

    def close(self) -> None:
        self.stop.set()
        self.source.close()
        self.target.close()

    def run(self) -> tuple[dict[str, Any], DrError | None]:
        """The result and the error that the faults amount to, if any."""
        started, seen = time.time(), {"source": 0, "target": 0}
        error: DrError | None = None
        try:
            self._acls = self.job.options.carry_acl != "never" and self.source.acls_in_use()
            with ThreadPoolExecutor(self.job.options.concurrency, thread_name_prefix="verify") as pool:
                self._walk(pool, seen)
        except DrError as found:
            error = found
        if error is None and seen["source"] == 0 and seen["target"]:
            error = Refused(
                f"{self.job.source.place}: lists no object, the target {seen['target']}; wanted at least one; see the store's status"
            )
        faults = {name: self.tally.counts[name] for name in FAULTS if name in self.tally.counts}
        if error is None and faults:
            text = ", ".join(f"{count} {name}" for name, count in faults.items())
            error = Failed(
                f"verify: {text}, wanted none; run `dr-assets sync`, and if it stays so look at the lists in the result"
            )
        document = {
            "schema": 1,
            "op": "verify",
            "ok": error is None,
            "error": str(error) if error else None,
            "share": self.share,
            "source": {"objects": seen["source"]},
            "target": {"objects": seen["target"]},
            "checked": self.tally.counts.get("checked", 0),
            "bytes": self.tally.copied_bytes,
            "found": {name: self.tally.counts.get(name, 0) for name in (*FAULTS, "extra", "pending")},
            "lists": {name: self.tally.lists[name] for name in sorted(self.tally.lists)},
            "seconds": round(time.time() - started, 3),
            "requests": {"source": self.source.requests, "target": self.target.requests},
        }
        return document, error

    def _walk(self, pool: ThreadPoolExecutor, seen: dict[str, int]) -> None:
        futures: set[Future[None]] = set()
        with self.source.ahead() as here, self.target.ahead() as there:
            other = next(there, None)
            for entry in here:
                seen["source"] += 1
                while other is not None and other.key < entry.key:
                    seen["target"] += 1
                    self.tally.note("extra", key=show(other.key))
                    other = next(there, None)
                match = other if other is not None and other.key == entry.key else None
                if match is not None:
                    seen["target"] += 1
                    other = next(there, None)
                if match is None:
                    self._fault("missing", entry, "the target does not list it")
                elif chosen(entry.key, self.share, self.seed):
                    self._room.acquire()
                    futures = {future for future in futures if not _done(future)}
                    futures.add(pool.submit(self._guarded, self._check, entry))
            while other is not None:
                seen["target"] += 1
                self.tally.note("extra", key=show(other.key))
                other = next(there, None)
        for future in futures:
            future.result()

    def _guarded(self, check: Callable[[Entry], None], entry: Entry) -> None:
        try:
            check(entry)
        except StoreError as error:
            self.tally.note("unreadable", key=show(entry.key), why=str(error))
        finally:
            self._room.release()

    def _fault(self, what: str, entry: Entry, why: str) -> None:
        late = self.settled is not None and parse_time(entry.time) > self.settled
        self.tally.note("pending" if late else what, key=show(entry.key), why=why)

    def _check(self, entry: Entry) -> None:
        try:
            mine, first = self._digest(self.source, entry.key)
            theirs, second = self._digest(self.target, entry.key)
        except StoreError as error:
            if error.kind not in (Kind.ABSENT, Kind.CONDITION):
                raise
            if self.source.head(entry.key) is not None:
                if self.target.head(entry.key) is None:
                    self._fault("missing", entry, "the target lists it and does not hand it out")
            elif self.source.lists(entry.key):
                self.tally.note("unreadable", key=show(entry.key), why="the source lists it and does not hand it out")
            return
        self.tally.done(entry, "checked", entry.size)
        if first.etag != entry.etag:
            # Replaced since it was listed: the next sync has not been there yet.
            self.tally.note("pending", key=show(entry.key), why="changed while it was verified")
        elif mine != theirs:
            self._fault("different", entry, f"source sha256 {mine}, target sha256 {theirs}")
        elif (
            second.headers.get(DIGEST_NOTE, "").startswith("sha256:")
            and second.headers[DIGEST_NOTE] != f"sha256:{theirs}"
        ):
            self._fault(
                "different",
                entry,
                f"both sides hold sha256 {theirs}, the copier had noted {second.headers[DIGEST_NOTE]}",
            )
        else:
            differing = same_metadata(first.headers, second.headers) + self._extras(entry.key, first, second)
            if differing:
                self._fault("metadata", entry, ", ".join(dict.fromkeys(differing)))

    def _extras(self, key: bytes, first: Answer, second: Answer) -> list[str]:
        """What no header tells: tags by value, and the ACL."""
        found = []
        tagged = any(answer.headers.get("x-amz-tagging-count", "0") != "0" for answer in (first, second))
        if tagged and _tags(self.source, key) != _tags(self.target, key):
            found.append("tags")
        if self._acls and self.source.canned_acl(key) != self.target.canned_acl(key):
            found.append("acl")
        return found

    def _digest(self, bucket: Bucket, key: bytes) -> tuple[str, Answer]:
        def once() -> tuple[str, Answer]:
            sha = hashlib.sha256()
            with bucket.throttle.slot(), bucket.wire.receive("get", key, {}, {}) as (answer, body):
                for piece in body.pieces():
                    sha.update(piece)
            return sha.hexdigest(), answer

        patience: Patience = bucket.patience
        return patience.run(once, bucket.throttle)


def chosen(key: bytes, share: float, seed: str) -> bool:
    """The same keys for the same seed, spread evenly."""
    return share >= 1 or int.from_bytes(hashlib.sha256(seed.encode() + b"\0" + key).digest()[:8]) < share * 2**64


def _tags(bucket: Bucket, key: bytes) -> set[str]:
    return set(bucket.tags(key).split("&"))


def _done(future: Future[None]) -> bool:
    if future.done():
        future.result()
        return True
    return False
