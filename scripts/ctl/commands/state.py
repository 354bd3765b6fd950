"""`drctl state backup`, `list`, `restore`: copies of the stacks' states at the witness, for a backend that is lost or a state that was spoiled."""

from __future__ import annotations

import argparse
import datetime
import os
import time
from functools import partial
from pathlib import Path

from components.render import documents
from contract.buckets import Bucket
from contract.errors import DrError, ExitCode, Failed, Partial
from contract.sites import SITES
from scripts.clients.state_copies import Copy, StateCopies
from scripts.clients.trail import Note
from scripts.ctl import output
from scripts.ctl.output import say
from scripts.ctl.stacks import state_copying as copying
from scripts.ctl.stacks import state_stored as stored
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.stacks.state_backend import opened
from scripts.ctl.stacks.state_copying import SHORT, Exported, Restore
from scripts.ctl.survey.checks.row import ago, size

ANSWER_S = 60.0  # for a state on its way
NOTED_S = 5.0


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    place = documents.witness(_stack(chosen, chosen.site or SITES[0]).settings())
    copies = StateCopies(place, answer_s=ANSWER_S)
    if chosen.what == "backup":
        return backup(copies, chosen)
    if chosen.what == "list":
        return show(copies, chosen)
    return restore(copies, chosen, place)


def backup(copies: StateCopies, chosen: argparse.Namespace) -> ExitCode:
    """Of both stacks, or of one; one that fails keeps nothing from the other. Raises Failed, or Partial where one was copied."""
    failed, done = list[str](), 0
    for site in _sites(chosen):
        try:
            now = copying.exported(_stack(chosen, site))
            made = copying.backup(copies, site, now, time.time())
        except DrError as error:
            failed.append(str(error))
            continue
        done += 1
        if made is None:
            print(f"region {site}: its state holds nothing, so there is nothing to copy")
        else:
            print(
                f"region {site}: {made.digest[:SHORT]}, {now.count} resources, {size(len(now.text))}, copied {_when(made)}"
            )
    if failed:
        raise (Partial if done else Failed)("; ".join(failed))
    return ExitCode.DONE


def show(copies: StateCopies, chosen: argparse.Namespace) -> ExitCode:
    """The newest last."""
    found = [it for site in _sites(chosen) for it in copies.copies(site)]
    if chosen.json:
        rows = [{"site": it.site, "at": _moment(it), "digest": it.digest} for it in found]
        output.write_json({"schema": 1, "copies": rows}, "the copies")
        return ExitCode.DONE
    for it in found:
        print(f"{it.site}  {it.digest[:SHORT]}  {_when(it)}")
    if not found:
        print("no state was ever copied; `drctl state backup` does")
    return ExitCode.DONE


def restore(copies: StateCopies, chosen: argparse.Namespace, place: Bucket) -> ExitCode:
    """Raises DrError."""
    stack = _stack(chosen, chosen.site)
    of = copying.chosen(copies.copies(chosen.site), chosen.digest)
    wanted, now = Exported.of(copies.copy(of), f"copy {of.digest[:SHORT]}"), copying.exported(stack)
    if now.digest == wanted.digest:
        print(f"stack {stack.name}: is as in this copy; nothing was changed")
        return ExitCode.DONE
    act = Restore(stack=stack, copies=copies, locks=partial(_locks, stack), say=say)
    act.refuse(of, wanted, now, chosen.over)
    print(
        f"stack {stack.name}: {now.count} resources ({now.digest[:SHORT]}) give way to the {wanted.count} of {of.digest[:SHORT]}, copied {_when(of)}"
    )
    if chosen.dry_run:
        return ExitCode.DONE
    if not chosen.yes:
        output.typed(of.site, "Type the region whose state it is", "agree with --yes")
    act.run(of, wanted, now)
    facts = {"restored": of.digest, "before": now.digest}
    if lost := Note(place, "state", of.site, why=chosen.reason, facts=facts).lost(NOTED_S):
        say(lost)
    print(
        f"stack {stack.name}: holds the copy; `{stack.command('preview', '--refresh')}` shows what of the platform it does not know"
    )
    return ExitCode.DONE


def _sites(chosen: argparse.Namespace) -> tuple[str, ...]:
    return (chosen.site,) if chosen.site else SITES


def _stack(chosen: argparse.Namespace, site: str) -> Stack:
    return Stack(name=chosen.stacks.replace("{site}", site), folder=chosen.folder, file=chosen.config_file)


def _locks(stack: Stack) -> tuple[stored.Lock, ...]:
    return stored.locks(opened(os.environ, Path.home()), stack.project, stack.name)


def _moment(it: Copy) -> str:
    return datetime.datetime.fromtimestamp(it.at, datetime.UTC).isoformat(timespec="seconds")


def _when(it: Copy) -> str:
    age_s = datetime.datetime.now(datetime.UTC).timestamp() - it.at
    return f"{_moment(it)} ({ago(max(age_s, 0.0))})"
