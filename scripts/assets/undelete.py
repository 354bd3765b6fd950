"""`dr-assets undelete`: what was removed from the target bucket since a time is put back from its versions, on top of what is there.

For a bucket that was emptied by a key that may write: such a key puts markers and new versions, and what they hide is still there. Nothing is
removed; every write is conditional, so what the shop writes meanwhile stays the newest.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NamedTuple

from contract.errors import DrError, Failed, Refused

from .cold import Version
from .config import Job
from .errors import FATAL, Kind, StoreError
from .metadata import DIGEST_NOTE, SOURCE_NOTE, carried
from .store import Bucket, only_over
from .tally import Tally, show
from .wire import Answer, Headers

LEARN_FROM = 1000  # steps, of which the smallest is the first
RESTORED, REPLACED, AGAIN = "restored", "replaced", "written meanwhile"


class Step(NamedTuple):
    """`version` becomes the newest again, over the object with the etag `over`, None: over a marker."""

    key: bytes
    version: Version
    over: str | None

    @property
    def what(self) -> str:
        return RESTORED if self.over is None else REPLACED


def decide(key: bytes, history: list[Version], since: float, *, overwritten: bool) -> Step | None:
    """What to do about one key; None: nothing. `history`: newest first; `since`: seconds since 1970. Pure.

    What a marker hides since then: the newest version from before, or, of an object that is younger, the newest that there is. What lies under
    a marker from before was removed by the shop. With `overwritten` also what has another content than it had then.
    """
    newest = history[0]
    if newest.time < since:
        return None
    before = next((it for it in history if it.time < since), None)
    known = before if before is not None and not before.marker else None
    if newest.marker:
        wanted = known or next((it for it in history if not it.marker), None)
        return None if wanted is None else Step(key, wanted, None)
    if overwritten and known is not None and known.etag != newest.etag:
        return Step(key, known, newest.etag)
    return None


@dataclass
class Undelete:
    """One pass over the target bucket."""

    job: Job
    since: float
    overwritten: bool = False
    dry_run: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.job.target, self.job.options, self.stop)
        self.tally = Tally(self.job.options.listed)
        self._room = threading.Semaphore(self.job.options.concurrency * 2)
        self._fatal: DrError | None = None
        self._keys = 0
        self._marker_is_one = False  # this store refuses to create an object where a marker is

    def close(self) -> None:
        self.stop.set()
        self.bucket.close()

    def run(self) -> tuple[dict[str, Any], DrError | None]:
        """The result, and the error that ended it or that its failures amount to. Raises Refused before anything is written."""
        if not self.bucket.versioned():
            raise Refused(
                f"{self.job.target.place}: is not versioned, wanted a bucket with versions; what was removed from it is gone, nothing was changed; copy it "
                "back from the other site's bucket or from outside (docs/assets.md)"
            )
        error: DrError | None = None
        try:
            steps = self._steps()
            first = sorted(islice(steps, LEARN_FROM), key=lambda step: (step.over is not None, step.version.size))
            with ThreadPoolExecutor(self.job.options.concurrency, thread_name_prefix="undelete") as pool:
                # Alone, and a small one: a refusal in the middle of a large one is no answer.
                for step in first[:1]:
                    self._room.acquire()
                    self._do(step)
                for step in chain(first[1:], steps):
                    if self._fatal is not None:
                        break
                    self._room.acquire()
                    pool.submit(self._do, step)
        except DrError as found:
            error = found
        error = error or self._fatal
        failed = self.tally.counts.get("failed", 0)
        if error is None and failed:
            error = Failed(
                f"undelete: {failed} objects could not be put back, wanted none; they are listed, the others are; run the same again"
            )
        names = (RESTORED, REPLACED, AGAIN, "failed")
        return {
            "schema": 1,
            "op": "undelete",
            "bucket": self.job.target.bucket,
            "dry_run": self.dry_run,
            "keys": self._keys,
            "bytes": self.tally.copied_bytes,
            "found": {name: self.tally.counts.get(name, 0) for name in names},
            "lists": {name: self.tally.lists[name] for name in sorted(self.tally.lists)},
            "ok": error is None,
            "error": str(error) if error else None,
        }, error

    def _steps(self) -> Iterator[Step]:
        for key, history in self.bucket.histories():
            self._keys += 1
            step = decide(key, history, self.since, overwritten=self.overwritten)
            if step is not None:
                yield step

    def _do(self, step: Step) -> None:
        try:
            if not self.dry_run:
                self._back(step)
            self.tally.note(step.what, key=show(step.key), version=step.version.identity)
        except StoreError as error:
            if error.kind is Kind.CONDITION:
                self.tally.note(AGAIN, key=show(step.key))
                return
            self.tally.note("failed", key=show(step.key), why=str(error))
            if error.kind in FATAL:
                self._fatal = error
        except DrError as error:
            self._fatal = error
        finally:
            self._room.release()

    def _back(self, step: Step) -> None:
        """Raises StoreError (CONDITION) where somebody wrote meanwhile. A marker is no object, but not every store counts so: there it is asked before
        the write, and a small window remains.
        """
        try:
            if not self._marker_is_one or step.over is not None:
                self._put(step, only_over(step.over))
                return
        except StoreError as error:
            if error.kind is not Kind.CONDITION or step.over is not None:
                raise
        if self.bucket.head(step.key) is not None:
            raise StoreError(Kind.CONDITION, f"{self.job.target.place}: {show(step.key)}: is there again")
        self._put(step, {})
        self._marker_is_one = True

    def _put(self, step: Step, condition: Headers) -> None:
        self.bucket.patience.run(lambda: self._attempt(step, condition), self.bucket.throttle)

    def _attempt(self, step: Step, condition: Headers) -> None:
        """The version's bytes, with all that goes with them."""
        version = step.version
        with self.bucket.open_version(step.key, version.identity) as (answer, body):
            headers = self._headers(step, answer)
            seen = hashlib.md5(usedforsecurity=False)

            def pieces() -> Iterator[bytes]:
                for piece in body.pieces():
                    seen.update(piece)
                    yield piece

            put = self.bucket.put_stream(step.key, pieces(), version.size, {**headers, **condition})
        # Where this store's etag of that version is the MD5 of its bytes, that of the new one has to be, too.
        if seen.hexdigest() == version.etag != put.etag:
            raise StoreError(
                Kind.LYING,
                f"{self.job.target.place}: {show(step.key)}: holds other bytes than were sent; the version is still there, run the same again",
            )
        self.tally.moved(version.size)

    def _headers(self, step: Step, answer: Answer) -> dict[str, str]:
        kept = carried(answer.headers)
        # The copier's own notes too: else it would copy all of it again, in its next run.
        kept |= {name: answer.headers[name] for name in (SOURCE_NOTE, DIGEST_NOTE) if name in answer.headers}
        if answer.headers.get("x-amz-tagging-count", "0") != "0":
            kept["x-amz-tagging"] = self.bucket.tags(step.key, step.version.identity)
        return kept
