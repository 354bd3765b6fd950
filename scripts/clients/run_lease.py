"""The lease of a run: taken before a stack is worked at, renewed while the run lives, and over with it.

A run that was killed here is known by its process, which is gone; one of another machine by its silence. A witness that is silent holds up no run: the
role chain asks it by itself, and pulumi's own lock stands beside this one.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from contract.buckets import Bucket
from contract.errors import DrError, Failed, Partial, Refused
from contract.runs import PAIR, RENEWED_S, SILENT_S, Run, What
from scripts.clients import this_machine, trail
from scripts.clients.run_bucket import RunBucket, Word
from scripts.clients.witness_bucket import WitnessDown

ANSWER_S = 3.0  # of the witness, for each request
LOOK_S = 1.0  # between two looks at whether another run lives
TRIES = 5  # at an object that others write meanwhile


def over(word: Word) -> bool:
    """Whether nobody works by it: it says so, was silent for too long, or its process was of this machine and has gone."""
    run = word.run
    if run is None or run.ended or word.age_s > SILENT_S:
        return True
    return run.machine == this_machine.identity() and this_machine.gone(run.pid, run.begun)


def told(word: Word) -> str:
    """Who it is, as a phrase."""
    run = word.run
    assert run is not None
    return f"{run.who} at {run.place} ({run.what} since {run.at}, process {run.pid}, last heard {word.age_s:.0f} s ago)"


class RunLease:
    """Of one run of one stack, or of what goes over runs of both (`site`: PAIR)."""

    def __init__(
        self, place: Bucket, site: str, what: What, environment: Mapping[str, str], *, tell: Callable[[str], None]
    ) -> None:
        """`tell`: is told what the operator should know and nothing ends by; from a thread of its own too."""
        self._place, self._bucket, self._tell = place, _bucket(place), tell
        self._process = this_machine.engine()
        self._run = Run(
            run=str(uuid.uuid4()),
            site=site,
            what=what,
            who=trail.who(environment),
            place=trail.place(environment),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=this_machine.identity(),
            pid=self._process[0],
            begun=self._process[1],
        )
        self._subject = "both regions" if site == PAIR else f"stack region-{site}"
        self._etag, self._end, self._lock = "", threading.Event(), threading.Lock()
        self._other = ""  # whose it is by now, as a sentence; empty while it is this run's, or nobody could be asked

    def take(self) -> None:
        """Raises Refused, nothing written, while another run of this stack lives. Until the process ends it is renewed; then it is given back."""
        try:
            self._etag = self._taken()
        except WitnessDown as error:
            self._tell(
                f"lease of this run, {self._subject}: {error}; whether another run is at work there is not known, and this one goes on"
            )
            return
        atexit.register(self.release)
        threading.Thread(target=self._renew, name="run-lease", daemon=True).start()

    def __enter__(self) -> RunLease:
        """As of `take`; given back at the end of the block, however that comes."""
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """It is over. What cannot be said is known by the process, or by silence."""
        self._end.set()
        with self._lock:
            if self._etag:
                self._said(ended=True)
                self._etag = ""

    def still(self, place: Bucket) -> None:
        """Before each thing that is done by it: whoever was suspended for long enough has lost it, and may be the last to know. `place`: the witness by
        the keys of now. Raises Partial where it is another's; one that the witness says nothing of counts as this run's.
        """
        with self._lock:
            if place != self._place:
                self._place, self._bucket = place, _bucket(place)
            if self._etag:
                self._said()
        if self._other:
            raise Partial(self._other)

    def _taken(self) -> str:
        first, began = self._bucket.word(self._run.site), time.monotonic()
        word = first
        for _ in range(TRIES):
            word = self._free(word, first, began)
            if etag := self._bucket.say(self._run, word.etag):
                return etag
            word = self._bucket.word(self._run.site)
        raise Refused(
            f"{self._subject}: its lease was taken by others {TRIES} times while this run asked for it, wanted it free; nothing was changed; "
            "see who works there (`drctl status`) and run the same again"
        )

    def _free(self, word: Word, first: Word, began: float) -> Word:
        """Once nobody works by it. One that is heard again while this run looks is at work: there is nothing to wait for."""
        waited = False
        while not over(word):
            if word.etag != first.etag or time.monotonic() - began > SILENT_S + RENEWED_S:
                raise Refused(
                    f"{self._subject}: {told(word)} is at work there, wanted one run at a time; two would tell the same hosts different "
                    "things, so nothing was changed; wait for its end and run the same again, or stop it there"
                )
            if not waited:
                self._tell(
                    f"{self._subject}: {told(word)} may be at work there; looking for up to {SILENT_S:.0f} s whether it lives"
                )
                waited = True
            time.sleep(LOOK_S)
            word = self._bucket.word(self._run.site)
        return word

    def _renew(self) -> None:
        while not self._end.wait(RENEWED_S):
            if this_machine.gone(*self._process):  # pulumi was killed, and this process was left behind
                self.release()
                return
            with self._lock:
                if self._etag and not self._said():
                    return

    def _said(self, *, ended: bool = False) -> bool:
        """Whether the lease is still this run's."""
        self._run = replace(self._run, word=self._run.word + 1, ended=ended)
        try:
            etag = self._bucket.say(self._run, self._etag)
        except DrError:  # heard too late is heard as silence; the next word may come through
            return True
        if not etag:
            self._etag, self._other = "", self._lost()
            self._tell(self._other)
            return False
        self._etag = etag
        return True

    def _lost(self) -> str:
        try:
            word = self._bucket.word(self._run.site)
            other = told(word) if word.run else "nobody that can be read"
        except Failed as error:
            other = f"somebody ({error})"
        return (
            f"{self._subject}: this run was silent for too long (process {os.getpid()}), and its lease belongs to {other} by now; two runs "
            "are at work; let one of them end, and then run "
            + ("the same" if self._run.site == PAIR else "`pulumi up`")
            + " once more"
        )


def _bucket(place: Bucket) -> RunBucket:
    return RunBucket(place, answer_s=ANSWER_S, attempts=2)
