"""After a take-over: what the losing side has and the winning side has not, settled so that nothing vanishes.

The job's source is the losing side, its target the winning one, as in the pull that the take-over stopped; so is its manifest, which knows what had been
replicated. What was never replicated is brought over. What both changed stays as the winner (the epoch's active side) has it; the loser's object stays where
it is, becomes a version there when the next sync overwrites it, and is listed with its version id. What the winner deleted is not brought back.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any, TextIO

from contract.errors import Failed, Refused

from .compare import Verdict, from_headers
from .config import Job
from .epoch import Epoch
from .errors import Kind, StoreError
from .listing import Entry
from .metadata import origin, parse_time, same_content
from .plan import Counts, Step
from .state import Row
from .sync import Run
from .tally import show
from .transfer import Transfer
from .wire import Answer

ASKED = 50  # a side that has just come back may list nothing for a moment, or a part


class Drawn:
    """Some of many keys, drawn evenly. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._most, self._seen = most, 0
        self._draw, self._lock = random.Random(0), threading.Lock()
        self.keys: list[bytes] = []

    def add(self, key: bytes) -> None:
        with self._lock:
            self._seen += 1
            if len(self.keys) < self._most:
                self.keys.append(key)
            elif (place := self._draw.randrange(self._seen)) < self._most:
                self.keys[place] = key


class Reconcile(Run):
    """One pass. Every decision but "the same" goes to `listing`, one JSON object a line."""

    into_active = True
    dry_run = False
    listing: TextIO | None = None
    _writing = threading.Lock()

    def __init__(self, job: Job, now: Callable[[], Epoch] | None = None) -> None:
        """See `Run`."""
        super().__init__(job, now)
        self._unlisted = Drawn(ASKED)  # keys that the losing side does not list

    def check(self) -> None:
        """Raises Refused when a loser's object could not survive as a version."""
        for side in (self.source, self.target):
            if not side.versioned():
                raise Refused(
                    f"{side.endpoint.place}: is not versioned, wanted versioning, without which the next sync would destroy what lost; nothing was changed; "
                    "switch versioning on"
                )

    def _take(self, step: Step, counts: Counts) -> None:
        if step.verdict is None:
            self._unlisted.add((step.target or step.row).key)  # type: ignore[union-attr]
            if step.target is not None:
                self.tally.done(step.target, "winner_only")
        elif step.verdict is Verdict.RECORD:
            counts.same += 1
        else:
            self._pass_on(step)

    def _handle(self, transfer: Transfer, step: Step, entry: Entry) -> None:
        loser = self.source.head(entry.key)
        if loser is None:
            transfer.gone(entry)
            return
        winner = self.target.head(entry.key)
        entry = Entry(entry.key, int(loser.headers["content-length"]), loser.etag, entry.time)
        if winner is None:
            self._loser_only(transfer, entry, step.row)
        else:
            self._both(transfer, entry, step.row, loser, winner)

    def _loser_only(self, transfer: Transfer, entry: Entry, row: Row | None) -> None:
        history = self.target.versions(entry.key)
        if history and not history[0][2]:
            self.tally.owe(entry, "failed", "the winner has it and hides it when asked; see the store's status")
        elif row is None and not history:
            self._bring(transfer, entry, None, "never replicated")
        elif (row is not None and row.source_etag == entry.etag) or self._was_there(entry, history):
            self._settle(
                entry, "deleted_at_winner", "replicated, then deleted at the winner; the loser's object stays there"
            )
        else:
            self._settle(
                entry,
                "conflict",
                "changed at the loser, deleted at the winner; the loser's object stays there",
                loser=entry.etag,
            )

    def _both(self, transfer: Transfer, entry: Entry, row: Row | None, loser: Answer, winner: Answer) -> None:
        finding = from_headers(loser.headers, winner.headers, None, self.clocks())
        if finding.verdict is Verdict.RECORD or same_content(loser.headers, winner.headers):
            self.tally.done(entry, "same")
            return
        theirs, ours = origin(loser.headers), origin(winner.headers)
        known = row is not None and row.source_etag == entry.etag
        history = self.target.versions(entry.key)
        if (
            known
            or self._was_there(entry, history)
            or (theirs is not None and theirs.etag in {etag for _, etag, _ in history})
        ):
            self._settle(entry, "superseded", "the winner has a newer version of what both had")
        elif ours is not None and ours.time <= parse_time(loser.headers["last-modified"]):
            self._bring(transfer, entry, winner.etag, "changed at the loser, and the change was never replicated")
        else:
            self._settle(
                entry,
                "conflict",
                "changed on both sides: the winner's stays, the loser's becomes a version there",
                loser=loser.etag,
                loser_version=loser.headers.get("x-amz-version-id", ""),
                loser_changed=loser.headers["last-modified"],
                winner=winner.etag,
                winner_version=winner.headers.get("x-amz-version-id", ""),
                winner_changed=winner.headers["last-modified"],
            )

    def _was_there(self, entry: Entry, history: list[tuple[str, str, bool]]) -> bool:
        """Was this very object of the loser ever the winner's?"""
        for version, _, marker in history:
            if marker:
                continue
            try:
                note = origin(self.target.head_version(entry.key, version).headers)
            except StoreError as error:
                if error.kind is not Kind.ABSENT:
                    raise
                continue
            if note is not None and note.etag == entry.etag:
                return True
        return False

    def _bring(self, transfer: Transfer, entry: Entry, over: str | None, why: str) -> None:
        if self.dry_run or transfer.bring(entry, over):
            self._settle(entry, "restored", why)

    def _settle(self, entry: Entry, what: str, why: str, **more: Any) -> None:
        self.tally.done(entry, what)
        row = {"key": show(entry.key), "why": why, **more}
        rows = self.tally.lists.setdefault(what, [])
        with self._writing:
            if len(rows) < self.options.listed:
                rows.append(row)
            if self.listing is not None:
                self.listing.write(json.dumps({"what": what, **row}, sort_keys=True) + "\n")

    def _finish(self) -> None:
        """An empty losing side is no reason for anything here, and nothing is deleted. Raises Failed for one that does not list what it has."""
        for key in self._unlisted.keys:
            if self.source.head(key) is not None:
                raise Failed(
                    f"{self.source.endpoint.place}: does not list {show(key)} and hands it out when asked, wanted one of both; not settled, the next "
                    "run looks again; see the store's status"
                )
        if not self.dry_run and self.guard.epoch is not None and not self.tally.counts.get("failed"):
            self.state.set_fact("reconciled", str(self.guard.epoch))
