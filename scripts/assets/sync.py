"""One run: plan and copy side by side, then, only after complete listings, the deletes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from contract.errors import DrError, Failed, Refused

from .compare import Clocks, Verdict, untouched
from .config import Job
from .deletes import Deletes
from .epoch import Epoch, Guard
from .errors import FATAL, StoreError
from .listing import Entry
from .parts import Parts
from .plan import Counts, Range, Step, merge, shards
from .retry import Stopped
from .series import Series
from .state import State
from .store import Bucket
from .tally import Tally
from .transfer import Transfer

AHEAD = 4  # planned steps for each worker
GIVE_UP = 20  # failed objects in a row: then it is the store, not the objects


@dataclass
class Report:
    """What a run ends with; `error` is the one that ended it early."""

    started: float
    counts: Counts = field(default_factory=Counts)
    complete: bool = False  # both listings were read to their end
    planned: dict[str, int] = field(default_factory=dict)
    error: DrError | None = None
    left: list[str] = field(default_factory=list)  # what was due beside the copies and did not happen


class Run:
    """One pass over a pair of buckets. `now` says which epoch is in force (see `epoch.Guard`)."""

    into_active = False  # sync writes to the side that is not active

    def __init__(self, job: Job, now: Callable[[], Epoch] | None = None) -> None:
        """Raises Refused or Failed, with nothing changed."""
        self.job, self.options = job, job.options
        self.guard = Guard(job, now, into_active=self.into_active)
        self.stop = threading.Event()
        self.source, self.target = (
            Bucket(job.source, self.options, self.stop),
            Bucket(job.target, self.options, self.stop),
        )
        self.state = State(job.state_dir, pair_name(job))
        self.tally = Tally(self.options.listed)
        self.parts = Parts(self.source, self.target, self.state, self.guard, self.options)
        self.report = Report(time.time())
        self._steps: queue.Queue[Step | None] = queue.Queue(AHEAD * self.options.concurrency)
        self._in_a_row = 0
        self._bug: Exception | None = None
        self._deletes = Deletes(
            self.source, self.target, self.state, guard=self.guard, options=self.options, tally=self.tally
        )
        self._lock = threading.Lock()

    def close(self) -> None:
        """Write down the rest and let go of everything."""
        self.stop.set()
        self.parts.close()
        self.source.close()
        self.target.close()
        self.state.close()

    # --- plan only

    def plan(self, see: Callable[[str, Step], None]) -> Report:
        """Compare and change nothing. `see` gets every key that would be copied, looked at or considered for deletion."""
        try:
            for part in shards(self.state, self.options.shards):
                for step in merge(
                    self.source, self.target, self.state, part, counts=self.report.counts, clocks=self.clocks
                ):
                    name = step.verdict.name.lower() if step.verdict else "target_only" if step.target else "gone"
                    self.report.planned[name] = self.report.planned.get(name, 0) + 1
                    see(name, step)
            self._refuse_empty()
            self.report.complete = True
        except DrError as error:
            self.report.error = error
        return self.report

    def clocks(self) -> Clocks:
        return Clocks(self.source.wire.skew or 0.0, self.target.wire.skew or 0.0)

    # --- the whole

    def sync(self, watch: Callable[[Run], None]) -> Report:
        """Copy what differs. `watch` is called twice a second, and at the end. The report holds the error, if any; nothing is raised."""
        try:
            ranges = shards(self.state, self.options.shards)
            transfer = Transfer(
                self.source,
                self.target,
                self.state,
                self.guard,
                self.options,
                self.tally,
                self.parts,
                self._carry_acls(),
            )
        except DrError as error:
            self.report.error = error
            return self.report
        counts = [Counts() for _ in ranges]
        planners = [
            threading.Thread(target=self._planner, args=pair, name="plan") for pair in zip(ranges, counts, strict=True)
        ]
        workers = [
            threading.Thread(target=self._worker, args=(transfer,), name="copy")
            for _ in range(self.options.concurrency)
        ]
        for thread in planners + workers:
            thread.start()
        self._attend(planners, watch)
        for _ in workers:
            self._steps.put(None)
        self._attend(workers, watch)
        if self._bug:
            raise self._bug
        for part in counts:
            self.report.counts += part
        self._end()
        watch(self)
        return self.report

    def _carry_acls(self) -> bool:
        if self.options.carry_acl != "auto":
            return self.options.carry_acl == "always"
        known = self.state.fact("acls")
        if known is None:
            known = "yes" if self.source.acls_in_use() else "no"
            self.state.set_fact("acls", known)
        return known == "yes"

    def _attend(self, threads: list[threading.Thread], watch: Callable[[Run], None]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)
                watch(self)

    def _planner(self, part: Range, counts: Counts) -> None:
        try:
            for step in merge(self.source, self.target, self.state, part, counts=counts, clocks=self.clocks):
                if self.stop.is_set():
                    return
                self._take(step, counts)
        except DrError as error:
            self._end_with(error)
        except Exception as error:
            self._break_off(error)

    def _take(self, step: Step, counts: Counts) -> None:
        """Settle a step at once, or leave it to the workers."""
        if step.verdict is None:
            self._deletes.see(step)
        elif step.verdict is Verdict.RECORD and step.source and step.target:
            counts.same += 1
            self.state.record(step.source, step.target, step.target.etag, step.row.digest if step.row else "")
        elif step.source:
            self._pass_on(step)

    def _pass_on(self, step: Step) -> None:
        if step.source:
            self.tally.begin(step.source)
            self._steps.put(step)

    def _worker(self, transfer: Transfer) -> None:
        while (step := self._steps.get()) is not None:
            entry = step.source
            if self.stop.is_set() or entry is None:
                continue
            try:
                self._handle(transfer, step, entry)
                self._in_a_row = 0
            except StoreError as error:
                self.tally.owe(entry, "failed", str(error))
                if error.kind in FATAL or self._one_more() >= GIVE_UP:
                    self._end_with(error)
            except DrError as error:
                self._end_with(error)
            except Exception as error:
                self._break_off(error)

    def _break_off(self, error: Exception) -> None:
        with self._lock:
            self._bug = self._bug or error
        self.stop.set()

    def _handle(self, transfer: Transfer, step: Step, entry: Entry) -> None:
        """One step, in a worker."""
        over, known = step.target.etag if step.target else None, untouched(step.target, step.row)
        transfer.bring(entry, over, look=step.verdict is Verdict.LOOK, known=known)

    def _one_more(self) -> int:
        with self._lock:
            self._in_a_row += 1
            return self._in_a_row

    def _end_with(self, error: DrError) -> None:
        """The first error is the one to tell; what follows is its consequence."""
        with self._lock:
            if self.report.error is None or isinstance(self.report.error, Stopped):
                self.report.error = error
        self.stop.set()

    def _refuse_empty(self) -> None:
        counts = self.report.counts
        if counts.source == 0 and (counts.target or self.state.known()):
            raise Refused(
                f"{self.job.source.place}: lists no object, the target holds {counts.target}; wanted at least one; nothing was changed, "
                "a store that lost its listing looks like this; if the bucket is meant to be empty, empty the other one by hand"
            )

    def _end(self) -> None:
        report = self.report
        try:
            self.state.flush()
            if report.error is None and self.stop.is_set():
                report.error = Stopped("run: asked to stop; the same command again goes on from here")
            if report.error is None:
                self._finish()
                report.complete = True
        except DrError as error:
            report.error = report.error or error
        failed = self.tally.counts.get("failed", 0)
        if report.error is None and failed:
            first = self.tally.lists["failed"][0]
            report.error = Failed(
                f"run: {failed} objects could not be copied, wanted none; the others are there; first: {first['key']}: {first['why']}; run the same again"
            )
        if report.error is None and report.left:
            report.error = Failed("; ".join(report.left))

    def _finish(self) -> None:
        """What only complete listings allow."""
        self._refuse_empty()
        started = self.report.started
        deletes = self._deletes.run(started, started + (self.source.wire.skew or 0.0))
        left_over = [upload for upload in self.state.uploads() if upload.started < self.report.started]
        drops = Series(self.tally, "upload_failed")
        for upload in left_over:
            drops.run(upload.key, partial(self.parts.drop, upload))
        uploads = drops.told(len(left_over), "unfinished uploads could not be ended")
        told = (("deletes", deletes), ("uploads", uploads))
        self.report.left = [f"{what}: {text}" for what, text in told if text]


def pair_name(job: Job) -> str:
    """Both buckets, as the state file knows them."""
    ends = (f"{end.endpoint}/{end.bucket}/{end.prefix}" for end in (job.source, job.target))
    return " -> ".join(ends)
