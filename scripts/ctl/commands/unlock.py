"""`drctl unlock SITE`: what a run that was killed has left locked is free again; one that lives is not disturbed.

`pulumi cancel` takes every lock, also that of a run at work. Here the run's lease at the witness is asked first.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from components.render import documents
from contract.errors import ExitCode, Refused, Usage
from contract.runs import SILENT_S
from scripts.clients.run_bucket import RunBucket
from scripts.clients.run_lease import LOOK_S, over, told
from scripts.ctl.stacks.stack import Stack


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError; nothing was changed then."""
    stack = Stack.chosen(chosen)
    settings = stack.settings()
    if settings.site != chosen.site:
        raise Usage(
            f"stack {stack.name}: is of site {settings.site}, wanted {chosen.site}; nothing was changed; name that site's stack"
        )
    bucket = RunBucket(documents.witness(settings))
    word = first = bucket.word(chosen.site)
    while not over(word) and not word.dated and word.etag == first.etag:  # until it was looked at for long enough
        time.sleep(LOOK_S)
        word = bucket.word(chosen.site)
    if not over(word):
        raise Refused(
            f"stack {stack.name}: {told(word)} is at work there, wanted its end; two runs would tell the same hosts different things, so nothing was "
            f"changed; wait for it, or stop it there; {SILENT_S:.0f} s after its last word the same again goes through"
        )
    if chosen.dry_run:
        whose = told(word) if word.run else "no run of ours has said that it is at work there"
        print(f"stack {stack.name}: {whose}; it would be free, and nothing was changed")
        return ExitCode.DONE
    if word.run is not None and not word.run.ended:
        etag = bucket.say(replace(word.run, word=word.run.word + 1, ended=True), word.etag)
        if not etag:
            raise Refused(
                f"stack {stack.name}: a run has begun meanwhile, wanted none at work; nothing was changed; see `drctl status`"
            )
        print(f"stack {stack.name}: {told(word)} has ended without a word; its lease is given back")
    stack.cancel()
    print(f"stack {stack.name}: is not locked; `{stack.command('up')}` finishes what was begun")
    return ExitCode.DONE
