"""`dr-assets replication`: how far the platform's own replication is, by the status that each object of the source carries.

The platform tells no lag and no count. Headers of the newest objects, where what is pending lies, and of some of all the others say both, within
a bounded number of requests. What it does not carry shows too: an object older than the rule has no status, one that came from here is a replica.
"""

from __future__ import annotations

import heapq
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from contract.errors import DrError

from .config import Job
from .epoch import Epoch, Guard
from .errors import FATAL, StoreError
from .listing import Entry
from .metadata import parse_time
from .output import metrics, read_status, write_file
from .store import Bucket

NEWEST, OTHERS, STREAMS = 200, 100, 8
HEADER = "x-amz-replication-status"
NONE = "none"
UNKNOWN = "unknown"  # the store refused to tell of this object
OWED = ("pending", "failed", NONE, UNKNOWN)
# Some stores say the one, some the other.
NAMES = {
    "completed": "completed",
    "complete": "completed",
    "pending": "pending",
    "failed": "failed",
    "replica": "replica",
}


@dataclass(frozen=True)
class Seen:
    """One object of the sample; `written` in seconds since 1970 by the source's clock."""

    entry: Entry
    status: str
    written: float


class Sample:
    """The newest objects of a listing, and others drawn evenly, in bounded memory."""

    def __init__(self, newest: int = NEWEST, others: int = OTHERS, seed: int = 0) -> None:
        self._newest, self._others, self._draw = newest, others, random.Random(seed)
        self._heap: list[tuple[float, bytes, Entry]] = []
        self._drawn: list[Entry] = []
        self._rest = 0
        self.objects, self.bytes = 0, 0

    def add(self, entry: Entry) -> None:
        """One entry of the listing."""
        self.objects, self.bytes = self.objects + 1, self.bytes + entry.size
        item = (parse_time(entry.time), entry.key, entry)
        if len(self._heap) < self._newest:
            heapq.heappush(self._heap, item)
            return
        older = heapq.heappushpop(self._heap, item)[2]
        self._rest += 1
        if len(self._drawn) < self._others:
            self._drawn.append(older)
        elif (place := self._draw.randrange(self._rest)) < self._others:
            self._drawn[place] = older

    def entries(self) -> list[Entry]:
        return [entry for _, _, entry in self._heap] + self._drawn


def run(job: Job, now: Callable[[], Epoch] | None, *, alone: bool) -> tuple[dict[str, Any] | None, DrError | None]:
    """Look, and put what was seen into the status file. `alone`: no copier runs beside, so these figures are also those of the loss budget.

    Raises Refused when the epoch says that the source is not the active side.
    """
    epoch = Guard(job, now).epoch
    started, source = time.time(), Bucket(job.source, job.options, threading.Event())
    error: StoreError | None = None
    document: dict[str, Any] | None = None
    try:
        document = _look(source, started)
    except StoreError as found:
        error = found
    finally:
        source.close()
    if job.status_file:
        known = _status(read_status(job.status_file), document, error, started=started, alone=alone, epoch=epoch)
        write_file(job.status_file, json.dumps(known, sort_keys=True) + "\n")
        if job.metrics_file:
            write_file(job.metrics_file, metrics(known))
    return document, error


def _look(source: Bucket, started: float) -> dict[str, Any]:
    sample = Sample()
    for entry in source.entries():
        sample.add(entry)
    refused: list[StoreError] = []

    def see(entry: Entry) -> Seen | None:
        try:
            return _seen(source, entry)
        except StoreError as error:
            if error.kind in FATAL:
                raise
            refused.append(error)
            return Seen(entry, UNKNOWN, parse_time(entry.time))

    with ThreadPoolExecutor(STREAMS) as pool:
        seen = [item for item in pool.map(see, sample.entries()) if item is not None]
    if refused and len(refused) == len(seen):
        raise refused[0]
    begun = started + (source.wire.skew or 0.0)
    return figures(seen, begun) | {"objects": sample.objects, "bytes": sample.bytes}


def _seen(source: Bucket, entry: Entry) -> Seen | None:
    """None when it is gone meanwhile."""
    answer = source.head(entry.key)
    if answer is None:
        return None
    said = answer.headers.get(HEADER, "").lower()
    return Seen(entry, NAMES.get(said, NONE), parse_time(entry.time))


def figures(seen: list[Seen], begun: float) -> dict[str, Any]:
    """Counts by status; `lag_s`: age of the oldest object that is on its way; what is in one region only. Pure."""
    names = ("completed", "pending", "failed", "replica", NONE)
    counts = {name: sum(item.status == name for item in seen) for name in names}
    if unknown := sum(item.status == UNKNOWN for item in seen):
        counts[UNKNOWN] = unknown
    owed = [item for item in seen if item.status in OWED]
    waiting = [item.written for item in seen if item.status == "pending"]
    oldest = min((item.written for item in owed), default=None)
    return {
        "schema": 1,
        "op": "replication",
        "sampled": len(seen),
        "status": counts,
        "lag_s": round(max(0.0, begun - min(waiting)), 3) if waiting else 0.0,
        "unreplicated": {"count": len(owed), "bytes": sum(item.entry.size for item in owed), "oldest": oldest},
        "replicated_until": begun if oldest is None else min(begun, oldest),
        # By the platform's own words: these never come over, whatever the status of objects says.
        "not_carried": ["delete markers", "removed versions", "replicas"],
    }


def _status(
    before: dict[str, Any],
    document: dict[str, Any] | None,
    error: StoreError | None,
    *,
    started: float,
    alone: bool,
    epoch: int | None,
) -> dict[str, Any]:
    known: dict[str, Any] = dict(before) if before.get("schema") == 1 else {"schema": 1}
    seen = {name: value for name, value in (document or {}).items() if name not in ("schema", "op")}
    known["replication"] = {
        **(seen or known.get("replication") or {}),
        "at": started,
        "error": str(error) if error else None,
    }
    if not alone:
        return known
    known |= {
        "started": started,
        "finished": time.time(),
        "ok": error is None,
        "error": str(error) if error else None,
        "epoch": epoch,
        "done": {},
    }
    if document:
        known |= {name: document[name] for name in ("unreplicated", "replicated_until")}
        known |= {"source": {"objects": document["objects"], "bytes": document["bytes"]}, "complete_at": started}
    return known
