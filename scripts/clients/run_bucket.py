"""Who works at a stack: `runs/<site>.json` at the witness, each word of it written over the one that was read."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from contract import fields
from contract.errors import Failed
from contract.runs import Run, name_of
from contract.wire import document
from scripts.clients.witness_bucket import TAKEN, WitnessBucket, age


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
        etag, run = (found.headers.get("ETag") or "").strip('"'), None
        with suppress(ValueError, Failed):  # nobody's word: whoever comes next writes over it
            run = fields.heard(
                Run, document.mapping(found.body), f"witness object {name_of(site)}", "it is written over"
            )
        return Word(run=run, etag=etag, age_s=age(found) or 0.0)

    def say(self, run: Run, over: str) -> str:
        """The etag of what stands there from now on; empty when it is neither over `over` nor over another word of this run. Raises WitnessDown."""
        etag = self._said(run, over)
        if etag:
            return etag
        found = self.word(run.site)  # the answer to an earlier attempt may have been lost
        if found.run is None or found.run.run != run.run:
            return ""
        return found.etag if found.run == run else self._said(run, found.etag)

    def _said(self, run: Run, over: str) -> str:
        key = name_of(run.site)
        body = json.dumps(fields.write(run), sort_keys=True).encode()
        headers = {"content-type": "application/json", **({"if-match": over} if over else {"if-none-match": "*"})}
        reply = self._ask(f"write {key}", "PUT", key, body=body, headers=headers)
        if reply.status in TAKEN or reply.status == HTTPStatus.NOT_FOUND:  # the latter where it has gone meanwhile
            return ""
        self._stored(f"write {key}", reply)
        return (reply.headers.get("ETag") or "").strip('"')
