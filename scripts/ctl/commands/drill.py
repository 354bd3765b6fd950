"""`drctl drill`; and its `restore`: whether the backups can be restored, and how long that takes, tried on the standby's database host, with a record of it.

Exit codes: 0 it is whole; 1 it is not, or it could not be done; 3 refused, nothing was changed; 5 the way broke while it ran.
"""

from __future__ import annotations

import argparse
import datetime
import time
from dataclasses import replace

from components.render import documents
from components.render.links import ssh
from contract import fields
from contract.answers import Rehearsed
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import DrError, ExitCode, OutcomeUnknown, Refused
from contract.hosts import DATABASE, first
from contract.plain import phrase
from contract.report import Event, Figure
from contract.sites import other
from scripts.clients.hosts import Hosts, Unreachable
from scripts.clients.witness import Witness
from scripts.ctl.commands import drill_certificates, drill_standby, drill_switchover, rehearse
from scripts.ctl.output import say
from scripts.ctl.persons.reach import bastions
from scripts.ctl.reports import writing
from scripts.ctl.reports.recording import end_of, of_run
from scripts.ctl.stacks.stack import Stack

FOLDER = "/var/lib/postgresql/drill-{at}"
HOUR_S = 3600
METHOD = "until the restored database had answered, on the standby's host; a real one copies onto the shop's own"


@dataclass(frozen=True, kw_only=True)
class Drill:
    """`at`: when it was begun; `began`: by the clock of `time.monotonic`."""

    told: argparse.Namespace
    newest: Epoch
    at: datetime.datetime
    began: float

    def event(self, found: Rehearsed | None, code: ExitCode | None = ExitCode.DONE, error: str = "") -> Event:
        """`found`: None where it did not come to its end."""
        outcome = "done" if found else "unknown" if code is ExitCode.UNKNOWN else "failed"
        return replace(
            of_run("restore", self.told, self.at, self.began, code),
            outcome=outcome,
            source=self.newest.active,
            epoch_before=self.newest.epoch,
            epoch=self.newest.epoch,
            rto=Figure(
                measured_s=found.restore_s if found else None,
                method=METHOD if found else "not known: it did not come to its end",
            ),
            errors=(error,) if error else (),
            warnings=tuple(phrase(line, 400) for line in _told(found)) if found else (),
        )


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    drills = {
        "switchover": drill_switchover.run,
        "standby": drill_standby.run,
        "restore": restore,
        "certificates": drill_certificates.run,
        "lab": rehearse.run,
    }
    return drills[chosen.what](chosen)


def restore(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    settings = Stack.chosen(chosen).settings()
    newest = Witness(documents.witness(settings)).newest()
    if newest is None:
        raise Refused(
            "witness: found no epoch, wanted the one in force; nothing was changed; bring region a up first (README.md)"
        )
    it = Drill(told=chosen, newest=newest, at=datetime.datetime.now(datetime.UTC), began=time.monotonic())
    host, folder = f"{first(DATABASE)}.{other(newest.active)}", FOLDER.format(at=f"{it.at:%Y%m%dT%H%M%SZ}")
    say(
        f"{host}: the latest of both repositories is restored into {folder}, started alone, counted, held page by page against its checksums, removed"
    )
    if chosen.dry_run:
        return ExitCode.DONE
    try:
        with Hosts(ssh(settings, bastions(settings))) as hosts:
            found = _rehearsed(hosts, host, folder, chosen.hours * HOUR_S)
    except DrError as error:
        if error.code != ExitCode.REFUSED:
            writing.undertaking_ended(settings, "drill", it.event(None, *end_of(error)), say)
        raise
    for line in _told(found):
        print(phrase(line, 400))
    writing.undertaking_ended(settings, "drill", it.event(found), say)
    return ExitCode.DONE


def _rehearsed(hosts: Hosts, host: str, folder: str, limit_s: int) -> Rehearsed:
    """By the first way that leads there. Raises DrError, OutcomeUnknown where the way broke and nobody knows what runs there."""
    silent: Unreachable | None = None
    for way in reversed(hosts.routes(host)):
        try:
            hosts.must(host, way, "postgres status", {"schema": 1}, 20)  # nothing is begun by a way that leads nowhere
        except Unreachable as error:
            silent = silent or error
            continue
        try:
            answer = hosts.must(host, way, "archive rehearse", {"directory": folder}, limit_s)
        except Unreachable as error:
            raise OutcomeUnknown(
                f"{error}; the rehearsal may run on there, and leaves {folder} if it fails; see `drctl ssh {host} ls {folder}` and `drctl check` "
                "(backup.restore-age)"
            ) from None
        return fields.heard(
            Rehearsed, answer.facts, f"host {host}, answer of dr-host archive rehearse", "nothing is concluded from it"
        )
    raise silent or Refused(
        f"host {host}: no bastion is known that leads there; nothing was changed; see `drctl status`"
    )


def _told(found: Rehearsed) -> list[str]:
    rows = [
        f"  {name}: {_count(tree, 'tables')} tables, {_count(tree, 'rows')} rows"
        for name, tree in sorted(found.databases.items())
    ]
    return [
        f"restored {_until(found.restored.recovered_to)} in {found.restore_s:.0f} s, counted and checked in {found.all_s:.0f} s",
        *rows,
        f"  pages: {found.checksums.blocks if found.checksums.blocks is not None else '?'}, damaged: "
        f"{found.checksums.bad if found.checksums.bad is not None else '?'}",
        "compare the counts with those of the shop (`drctl psql` on the active region's db-1)",
    ]


def _until(at: str | None) -> str:
    return (
        f"up to the transaction of {at}" if at else "to the end of its WAL, in which no transaction says when that was"
    )


def _count(tree: object, name: str) -> str:
    found = tree.get(name) if isinstance(tree, dict) else None
    return str(found) if isinstance(found, int) else "?"
