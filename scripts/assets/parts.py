"""Large objects: parts side by side, each read under the condition that the source is still the same, resumed where a killed run stopped."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from .cold import Part
from .config import Options
from .epoch import Guard
from .errors import RETRYABLE, EpochMoved, Kind, StoreError
from .listing import Entry
from .metadata import is_md5
from .retry import Stopped
from .state import State, Upload
from .store import Bucket
from .tally import show
from .wire import Body, Headers

MOST_PARTS = 9_000  # stores stop at 10,000
# After these the upload can be gone on with: nothing is wrong with it.
KEPT = RETRYABLE | {Kind.FULL, Kind.DENIED, Kind.EXPIRED, Kind.SKEW, Kind.DOUBTED}


def part_size(size: int, least: int) -> int:
    """Bytes of each part but the last."""
    return max(least, -(-size // MOST_PARTS))


def span(entry: Entry, upload: Upload, number: int) -> tuple[int, int]:
    """First and last byte of a part; parts count from 1."""
    first = (number - 1) * upload.part_size
    return first, min(first + upload.part_size, entry.size) - 1


class Parts:
    """Copies objects in parts, `part_streams` at once over all objects. Nothing is held in memory but what is on its
    way, and parts that have to say their MD5 before."""

    def __init__(self, source: Bucket, target: Bucket, state: State, guard: Guard, options: Options) -> None:
        self._source, self._target, self._state, self._guard, self._options = source, target, state, guard, options
        self._pool = ThreadPoolExecutor(options.part_streams, thread_name_prefix="part")

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def copy(self, entry: Entry, headers: Headers, condition: Headers) -> str:
        """The etag of the finished copy. Raises StoreError; CONDITION when either side is not what it was. What can be resumed stays."""
        self._guard.check()
        upload, held = self._begin(entry, headers)
        try:
            parts = self._send(entry, upload, held)
            self._guard.check()
            etag = self._target.finish_upload(entry.key, upload.upload, parts, condition)
        except (Stopped, EpochMoved):
            raise
        except StoreError as error:
            if error.kind not in KEPT:
                self.drop(upload)
            raise
        self._state.end_upload(entry.key)
        return etag

    def drop(self, upload: Upload) -> None:
        """End an upload that nobody will finish, also one whose begin was the last that a killed run did."""
        if upload.upload:
            self._target.abort_upload(upload.key, upload.upload)
        else:
            since = upload.started + (self._target.wire.skew or 0.0) - 60
            for identity, begun in self._target.unfinished(upload.key):
                if begun >= since:
                    self._target.abort_upload(upload.key, identity)
        self._state.end_upload(upload.key)

    def _begin(self, entry: Entry, headers: Headers) -> tuple[Upload, dict[int, Part]]:
        size = part_size(entry.size, self._options.part_size)
        left = self._state.upload(entry.key)
        if left is not None:
            if left.upload and (left.source_etag, left.part_size) == (entry.etag, size):
                try:
                    return left, {part.number: part for part in self._target.parts(entry.key, left.upload)}
                except StoreError as error:
                    if error.kind is not Kind.ABSENT:
                        raise
                    self._state.end_upload(entry.key)
            else:
                self.drop(left)
        intention = Upload(entry.key, entry.etag, size, "", time.time())
        self._state.begin_upload(intention)
        upload = intention._replace(upload=self._target.begin_upload(entry.key, headers))
        self._state.begin_upload(upload)
        return upload, {}

    def _send(self, entry: Entry, upload: Upload, held: dict[int, Part]) -> list[Part]:
        broken = threading.Event()
        futures: list[Future[Part]] = []
        parts: dict[int, Part] = {}
        for number in range(1, -(-entry.size // upload.part_size) + 1):
            first, last = span(entry, upload, number)
            if number in held and held[number].size == last - first + 1:
                parts[number] = held[number]
            else:
                futures.append(self._pool.submit(self._part, entry, upload, number, broken))
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future.done() and not future.cancelled() and future.exception()]
            for future in failed:
                future.result()
        finally:
            broken.set()
            for future in futures:
                future.cancel()
            wait(futures)
        parts |= {part.number: part for part in (future.result() for future in futures)}
        return [parts[number] for number in sorted(parts)]

    def _part(self, entry: Entry, upload: Upload, number: int, broken: threading.Event) -> Part:
        first, last = span(entry, upload, number)
        size = last - first + 1

        def once() -> Part:
            if broken.is_set():
                raise Stopped(f"{show(entry.key)}: another part of it failed")
            self._guard.check()
            with self._source.open(entry.key, entry.etag, first, last) as (answer, body):
                asked, sent_range = f"bytes {first}-{last}", answer.headers.get("content-range", "")
                if sent_range and sent_range.partition("/")[0] != asked:
                    raise StoreError(
                        Kind.LYING,
                        f"{self._source.endpoint.place}: {show(entry.key)}: asked for {asked}, answers with {sent_range}; not copied",
                    )
                if answer.status != 206 or body.length != size:
                    raise StoreError(
                        Kind.LYING,
                        f"{self._source.endpoint.place}: {show(entry.key)}: asked for {size} bytes, answers {answer.status} with {body.length}; not copied",
                    )
                md5 = hashlib.md5(usedforsecurity=False)
                pieces: Iterable[bytes] = tee(body, md5)
                told: Headers = {}
                if self._options.part_md5:
                    pieces = [b"".join(pieces)]
                    told = {"content-md5": base64.b64encode(md5.digest()).decode()}
                sent = self._target.put_part(entry.key, (upload.upload, number), pieces, size, told)
            if is_md5(sent.etag) and sent.etag != md5.hexdigest() and self._target.etag_is_md5:
                raise StoreError(
                    Kind.LYING,
                    f"{self._target.endpoint.place}: {show(entry.key)}: part {number} has etag {sent.etag}, wanted {md5.hexdigest()}; not counted as copied",
                )
            return Part(number, sent.etag, size)

        return self._target.patience.run(once, self._target.throttle)


def tee(body: Body, digest: hashlib._Hash) -> Iterator[bytes]:
    """The pieces, hashed on their way."""
    for piece in body.pieces():
        digest.update(piece)
        yield piece
