"""The dangerous half: what is gone at the source goes at the target too, late, in small numbers, and as markers that can be taken back."""

from __future__ import annotations

import threading
from functools import partial

from contract.errors import Failed

from .config import Options
from .epoch import Guard
from .errors import Kind, StoreError
from .listing import Entry
from .metadata import origin
from .plan import Step
from .series import Series
from .state import Row, State
from .store import Bucket
from .tally import Tally, show

NEAR_S = 5.0  # clocks that differ by less are the same: answers take their time, and are dated in whole seconds
HANDFUL = 5  # the share of so few says nothing
FOREIGN = ""  # in place of a source's etag: the target has it, and no copier put it there


class Deletes:
    """Collects while the listings are read; acts only when they were read to their end."""

    def __init__(
        self, source: Bucket, target: Bucket, state: State, *, guard: Guard, options: Options, tally: Tally
    ) -> None:
        self._source, self._target, self._state, self._guard, self._options, self._tally = (
            source,
            target,
            state,
            guard,
            options,
            tally,
        )
        self._lock = threading.Lock()
        self._missing: list[tuple[Row, Entry]] = []
        self._unknown: list[Entry] = []
        self._gone: list[bytes] = []
        self._more = 0
        self._looked = 0  # that could not be looked at
        self._series = Series(tally, "delete_failed")

    def see(self, step: Step) -> None:
        """A key that the source does not list. Memory is bounded: beyond `max_deletes` they are only counted, and then none is deleted."""
        room = self._options.max_deletes + 1
        with self._lock:
            if step.target is None:
                if step.row is not None and len(self._gone) < room:
                    self._gone.append(step.row.key)
            elif step.row is None:
                if len(self._unknown) < room:
                    self._unknown.append(step.target)
            elif step.row.source_etag == FOREIGN:
                if step.row.target_etag != step.target.etag and len(self._unknown) < room:
                    self._unknown.append(step.target)
                else:
                    self._tally.done(step.target, "extra")
            elif len(self._missing) < room:
                self._missing.append((step.row, step.target))
            else:
                self._more += 1

    def run(self, started: float, by_source: float) -> str:
        """After complete listings. Why not all that was due is gone; empty when it is. When the run began, by our clock and by the source's: one
        that jumps must not end the grace time.
        """
        since = now = started
        if abs(by_source - started) > NEAR_S:
            since, now = max(started, by_source), min(started, by_source)
        for key in self._gone:
            self._state.forget(key)
        self._learn()
        if not self._options.deletes:
            return ""
        due = []
        for row, entry in self._missing:
            if row.missing_since is not None and now - row.missing_since >= self._options.grace_s:
                due.append((row, entry))
            else:
                self._state.missing(row.key, since)
                self._tally.done(entry, "delete_waits")
        reason = self._refusal(len(due)) if due else ""
        if reason:
            for row, _ in due:
                self._tally.note("delete_held", key=show(row.key))
            return reason
        for row, entry in due:
            self._series.run(row.key, partial(self._delete, row, entry))
        return self._series.told(len(due) + self._looked, "could not be deleted")

    def _refusal(self, due: int) -> str:
        reasons = self._too_many(due)
        if reasons:
            return (
                f"{'; '.join(reasons)}; none was deleted; see whether the source is whole, then let them go in one run"
            )
        if self._guard.moving:
            return f"{due} are due while a move is under way; none was deleted, the next run after it sees to them"
        if not self._target.versioned():
            return f"{due} are due, the {self._target.endpoint.place} is not versioned, so they could not be taken back; none was deleted; switch versioning on"
        return ""

    def _too_many(self, due: int) -> list[str]:
        """By number what is due, by share all that is gone: a source that has lost most of its keys is none to delete by, however slowly they went."""
        most, percent, all_ = (
            self._options.max_deletes,
            self._options.max_deletes_percent,
            len(self._missing) + self._more,
        )
        reasons = []
        if due > most:
            reasons.append(
                f"at least {due + self._more} objects are gone at the source, wanted at most {most} (`--set max_deletes={due + self._more}`)"
            )
        known = self._state.copied()
        if all_ * 100 > known * percent and (all_ > HANDFUL or not percent):
            reasons.append(
                f"{all_} of {known} known objects ({all_ * 100 / known:.1f} %) are gone at the source, wanted at most {percent} % "
                f"(`--set max_deletes_percent={-(-all_ * 100 // known)}`)"
            )
        return reasons

    def _delete(self, row: Row, entry: Entry) -> None:
        if self._source.head(row.key) is not None:
            # No refusal of one key: the listing that all deletes stand on is wrong.
            raise Failed(
                f"{self._source.endpoint.place}: does not list {show(row.key)} in two listings and hands it out when asked, wanted one of both; "
                "nothing more was deleted; see the store's status",
            )
        head = self._target.head(row.key)
        if head is None:
            self._state.forget(row.key)
            return
        note = origin(head.headers)
        later = note is not None and note.epoch > (self._guard.epoch or note.epoch)
        if head.etag != row.target_etag or entry.etag != row.target_etag or later:
            self._tally.note(
                "kept", key=show(row.key), why="gone at the source, changed at the target since it was copied"
            )
            return
        self._guard.check()
        if self._guard.moving:
            raise Failed(
                "deletes: a move began, wanted none under way; nothing more was deleted, the next run after it sees to them"
            )
        try:
            self._target.delete(row.key, head.etag)
        except StoreError as error:
            if error.kind is Kind.ABSENT:
                self._state.forget(row.key)
                return
            if error.kind is not Kind.CONDITION:
                raise
            self._tally.note("kept", key=show(row.key), why="changed at the target just now")
            return
        self._state.forget(row.key)
        self._tally.note("deleted", key=show(row.key), version=head.headers.get("x-amz-version-id", ""))

    def _learn(self) -> None:
        """Target-only objects that the manifest does not know: a copier's note makes one a pair again, anything else is not ours to delete."""
        for entry in self._unknown:
            self._series.run(entry.key, partial(self._ask, entry))
        self._looked = self._series.refused
        self._state.flush()

    def _ask(self, entry: Entry) -> None:
        head = self._target.head(entry.key)
        if head is None:
            return
        note = origin(head.headers)
        was = Entry(entry.key, entry.size, note.etag if note else FOREIGN, "")
        self._state.record(was, entry, head.etag, "")
        self._tally.done(entry, "delete_waits" if note else "extra")
