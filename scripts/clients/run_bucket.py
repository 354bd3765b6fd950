"""Who works at a stack: `runs/<site>.json` at the witness, each word of it written over the one that was read."""

from __future__ import annotations

import time
from contextlib import suppress

from contract import fields
from contract.buckets import Bucket
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.runs import Run, name_of
from contract.wire import document
from scripts.clients.witness_bucket import ATTEMPTS, WitnessBucket, age, etag


@dataclass(frozen=True, kw_only=True)
class Word:
    """What lies there. `run` is None where there is nothing, or nothing of ours. `dated`: the store says how old it is; else it is as old as it was looked
    at without a change.
    """

    run: Run | None = None
    etag: str = ""  # bare; empty where there is nothing
    age_s: float = 0.0
    dated: bool = True


class RunBucket(WitnessBucket):
    """The witness, and who works at a stack."""

    def __init__(self, place: Bucket, *, answer_s: float | None = None, attempts: int = ATTEMPTS) -> None:
        super().__init__(place, answer_s=answer_s, attempts=attempts)
        self._since: dict[str, tuple[str, float]] = {}  # by site: its etag, and when that was seen first

    def word(self, site: str) -> Word:
        """The newest. Raises WitnessDown."""
        found = self._read(name_of(site))
        if found is None:
            return Word()
        run = None
        with suppress(ValueError, Failed):  # nobody's word: whoever comes next writes over it
            run = fields.heard(
                Run, document.mapping(found.body), f"witness object {name_of(site)}", "it is written over"
            )
        mark, told = etag(found), age(found)
        before, since = self._since.get(site, ("", 0.0))
        if not mark or mark != before:
            since = time.monotonic()
            self._since[site] = mark, since
        # A store that tells no time, or one that is ahead, would keep a run alive that nobody hears.
        return Word(run=run, etag=mark, age_s=max(told or 0.0, time.monotonic() - since), dated=told is not None)

    def say(self, run: Run, over: str) -> str:
        """The etag of what stands there from now on; empty when it is neither over `over` nor over another word of this run. Raises WitnessDown."""
        if made := self._put_over(name_of(run.site), fields.write(run), over):
            return made
        found = self.word(run.site)  # the answer to an earlier attempt may have been lost
        if found.run is None or found.run.run != run.run:
            return ""
        return found.etag if found.run == run else self._put_over(name_of(run.site), fields.write(run), found.etag)
