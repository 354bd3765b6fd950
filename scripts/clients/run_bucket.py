"""Who works at a stack: `runs/<site>.json` at the witness, each word of it written over the one that was read."""

from __future__ import annotations

from contextlib import suppress

from contract import fields
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.runs import Run, name_of
from contract.wire import document
from scripts.clients.witness_bucket import WitnessBucket, age, etag


@dataclass(frozen=True, kw_only=True)
class Word:
    """What lies there. `run` is None where there is nothing, or nothing of ours."""

    run: Run | None = None
    etag: str = ""  # bare; empty where there is nothing
    age_s: float = 0.0


class RunBucket(WitnessBucket):
    """The witness, and who works at a stack."""

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
        return Word(run=run, etag=etag(found), age_s=age(found) or 0.0)

    def say(self, run: Run, over: str) -> str:
        """The etag of what stands there from now on; empty when it is neither over `over` nor over another word of this run. Raises WitnessDown."""
        if made := self._put_over(name_of(run.site), fields.write(run), over):
            return made
        found = self.word(run.site)  # the answer to an earlier attempt may have been lost
        if found.run is None or found.run.run != run.run:
            return ""
        return found.etag if found.run == run else self._put_over(name_of(run.site), fields.write(run), found.etag)
