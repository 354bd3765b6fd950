"""`drctl confirm ALARM`: somebody agrees to the plan of a watcher that waits for it (`dr:watch.mode: assist`), which looks once more and carries it out.

Exit codes: 0 it was left at the witness, or shown by `--dry-run`; 3 refused, nothing was changed.
"""

from __future__ import annotations

import argparse
import datetime
import os

from components.render import documents
from contract.checks import Unwanted
from contract.errors import ExitCode, Refused, Usage
from contract.plain import shown
from contract.sites import other
from contract.watch import ALARM_ID, Alarm, Watch, Word, age_s
from scripts.clients import trail
from scripts.clients.trail import Note
from scripts.clients.watch_bucket import WatchBucket
from scripts.clients.witness import Witness
from scripts.ctl.output import say, typed
from scripts.ctl.stacks.stack import Stack

NOTED_S = 3.0


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError; nothing was changed then."""
    try:
        ident = ALARM_ID(chosen.alarm)
    except Unwanted:
        raise Usage(
            f"alarm {shown(chosen.alarm)}: is no id of one, wanted twelve hexadecimal digits as the page has them; nothing was changed"
        ) from None
    settings = Stack.chosen(chosen).settings()
    place = documents.witness(settings)
    bucket, terms = WatchBucket(place), settings.watch or Watch()
    alarm = _open(bucket, Witness(place), ident, terms.confirm_within_s)
    print(f"alarm {alarm.id}: region {alarm.site} is lost since {alarm.at}, seen by {alarm.who} at {alarm.place}")
    for line in alarm.seen:
        print(f"  {line}")
    print(f"  would be lost: {alarm.loss or 'not known'}")
    target = other(alarm.site)
    if chosen.dry_run:
        print(f"plan {alarm.plan} would move the shop to region {target}; nobody has agreed to it by this")
        return ExitCode.DONE
    if not chosen.yes:
        typed(
            target, f"plan {alarm.plan} moves the shop to region {target}; type that region's letter", "`--yes` agrees"
        )
    word = Word(
        id=alarm.id,
        plan=alarm.plan,
        who=trail.who(os.environ),
        place=trail.place(os.environ),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    if not bucket.put_word(word):
        raise Refused(
            f"alarm {alarm.id}: somebody else has confirmed it before; nothing was changed; see `drctl status`"
        )
    note = Note(
        place, "watch", alarm.site, epoch=alarm.epoch, why=chosen.reason, facts={"step": "confirmed", "alarm": alarm.id}
    )
    if lost := note.lost(NOTED_S):
        say(f"warning: {lost}")
    print(
        f"the watcher at {alarm.place} moves the shop to region {target} if region {alarm.site} is still lost; it tells how that ends"
    )
    return ExitCode.DONE


def _open(bucket: WatchBucket, witness: Witness, ident: str, within_s: int) -> Alarm:
    """The alarm, if its plan waits. Raises Refused with the reason."""
    alarm, nothing = bucket.alarm(ident), "nothing was changed"
    if alarm is None:
        raise Refused(f"alarm {ident}: found none of this id at the witness; {nothing}; see the page that names it")
    by_hand = f"by hand: `drctl failover {other(alarm.site)}`"
    if not alarm.plan:
        raise Refused(f"alarm {ident}: its watcher tells, and waits for nobody (dr:watch.mode); {nothing}; {by_hand}")
    newest = witness.newest()
    if newest is None or newest.epoch != alarm.epoch:
        raise Refused(
            f"alarm {ident}: is of epoch {alarm.epoch}, and the one in force is {newest.epoch if newest else 'none'}; {nothing}; see `drctl status`"
        )
    if age_s(alarm.at, datetime.datetime.now(datetime.UTC)) > within_s:
        raise Refused(
            f"alarm {ident}: is of {alarm.at}, wanted one of the last {within_s // 60} min; its plan is void, and {nothing}; {by_hand}"
        )
    return alarm
