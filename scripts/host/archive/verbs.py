"""The `archive` service: WAL and backups of PostgreSQL in a bucket of each region, by pgBackRest; restores beside the running cluster.

`prepare` writes what does not depend on the role, before any role is given; `converge` comes after a promotion and is in nobody's way.

The jobs of timers, `check` and `backup`, are PostgreSQL's user's: whoever calls them as root becomes that user before anything is written. Root's
alone are what writes configuration and units (`prepare`, `converge`) and what makes directories where root says (`restore`, `rehearse`: the operator
names them, on a disk of its own for instance, and adopted data are moved into the cluster's place while its server is held); they have pgBackRest and
the server run by PostgreSQL's user too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed, Refused, Usage, say

from ..frame import plan, rolefile
from ..frame.call import Call, Verb
from ..frame.commands import run
from ..frame.desired import Reader
from ..frame.due import Due
from ..frame.files import make_folder, write_atomically
from ..frame.locks import hold_file
from ..frame.log import Log
from ..frame.plan import Step
from ..frame.result import Result
from ..frame.rolefile import PRIMARY, Role
from ..frame.systemd import Systemd, Units
from ..frame.users import become
from ..postgres.layout import PostgresLayout
from ..postgres.server import Server, UnitControl, alive
from . import state as archive_state
from . import word
from .backup import KINDS, Backups, wanted
from .check import Check, data_of
from .config import CHECK, DUE, FULL, INCREMENTAL, folders, managed_files
from .desired import Desired, Memory
from .drain import LIMIT_S, LONGEST_S, Drain
from .fetch import Fetch
from .layout import ArchiveLayout
from .order import Order
from .push import Push, may_write, refuse_unknown
from .rehearse import Rehearsal
from .restore import Restore
from .tool import stanza
from .word import Word, hear

CHECK_S = 30.0
BACKUPS = (f"{DUE}.path", f"{FULL}.timer", f"{INCREMENTAL}.timer")


@dataclass(frozen=True)
class Facts:
    """`files`: what differs on disk; `on`: timers that run, and what looks whether a backup is due; `clusters`: major versions that have data here,
    and whether their server runs.
    """

    files: tuple[str, ...]
    on: tuple[str, ...]
    clusters: Mapping[int, bool] = field(default_factory=dict)


class Archive:
    """`plan.Service`. Without an epoch (`prepare`) only files."""

    def __init__(self, desired: Desired, layout: ArchiveLayout, units: Units, log: Log) -> None:
        self.desired, self.layout, self.units, self.log = desired, layout, units, log
        self._due = Due(layout.postgres.base, "archive")  # files of which systemd has not heard yet

    def facts(self) -> Facts:
        absent = [str(folder) for folder in folders(self.desired, self.layout) if not folder.is_dir()]
        timers = (f"{CHECK}.timer", *BACKUPS)
        on = (
            ()
            if self.desired.envelope.epoch is None
            else tuple(it for it in timers if self.units.enabled(it) and self.units.active(it))
        )
        figures = [] if self.layout.figures.placed() else [str(self.layout.figures.link)]
        return Facts(
            (*absent, *self._due.stale(managed_files(self.desired, self.layout)), *figures), on, clusters(self.layout)
        )

    def plan(self, facts: Facts) -> Sequence[Step]:
        refuse_other(self.desired.version, facts.clusters)
        steps = [Step("files", ", ".join(facts.files))] if facts.files else []
        wanted = self.timers()
        steps += [Step("timer-on", name) for name in wanted if name not in facts.on or facts.files]
        return steps + [Step("timer-off", name) for name in facts.on if name not in wanted]

    def timers(self) -> tuple[str, ...]:
        """Those that run in this role: backups in the active site only."""
        if self.desired.envelope.epoch is None:
            return ()
        return (f"{CHECK}.timer", *(BACKUPS if self.desired.envelope.active else ()))

    def apply(self, step: Step) -> None:
        if step.name == "files":
            self._write()
        elif step.name == "timer-on":
            self.units.enable(step.detail)
            self.units.restart(step.detail, 30)
        else:
            self.units.disable(step.detail)
            self.units.stop(step.detail, 30)

    def _write(self) -> None:
        make_folder(self.layout.conf)
        for folder in folders(self.desired, self.layout):
            make_folder(folder, 0o750, self.layout.user)
        if self.layout.figures.former():
            self.units.stop(f"{CHECK}.service", CHECK_S)
        self.layout.figures.place()
        self._due.put(managed_files(self.desired, self.layout))
        self.units.daemon_reload()
        self._due.done(self._due.names())

    def verify(self, facts: Facts) -> dict[str, Any]:
        if facts.files or set(facts.on) != set(self.timers()):
            raise Failed(
                say(
                    subject="archive of this host",
                    found=f"files {', '.join(facts.files) or 'as wanted'}, timers {', '.join(facts.on) or 'off'}",
                    wanted=f"timers {', '.join(self.timers()) or 'off'}",
                    consequence="backups do not run as configured",
                    remedy="run the same again",
                )
            )
        return {"repositories": sorted(self.desired.repositories), "timers": sorted(facts.on)}


def clusters(layout: ArchiveLayout) -> dict[int, bool]:
    """See `Facts`."""
    postgres = layout.postgres
    found = {}
    for path in postgres.mount.glob(f"*/{postgres.data.name}/PG_VERSION"):
        version = path.parents[1].name
        if version.isdecimal():
            found[int(version)] = alive(replace(postgres, version=int(version))) is not None
    return found


def refuse_other(version: int, found: Mapping[int, bool]) -> None:
    """Raises Refused while the cluster here is of another major version than the document's: its WAL would be looked for in a data directory that
    is not its own, archiving would stop, and the disk would fill. Pure.
    """
    others = sorted(it for it in found if it != version)
    running = [it for it in others if found[it]]
    if running or (others and version not in found):
        raise Refused(
            say(
                subject="postgres.version",
                found=f"{version}, while the cluster of this host is of version {(running or others)[0]}",
                wanted=f"{(running or others)[0]}",
                consequence="the archive stays with the cluster that there is, nothing was changed",
                remedy="put the version back; a configuration makes no major upgrade: ask for it once the data here are of the new version, or, on a "
                "standby, once the old server is stopped and its data directory moved away",
            )
        )


def prepare(call: Call) -> Result:
    """Configuration only, the same in both roles. Safe before there is a cluster."""
    desired = Desired.read(call.document, with_epoch=False)
    return plan.converge(Archive(desired, _layout(call, desired.version), Systemd(), call.log), call)


def converge(call: Call) -> Result:
    """Timers by role. A check is started and not waited for (the cluster's place in each repository, a first backup): a dead region's storage
    must not hold up the run that moves the shop.
    """
    desired = Desired.read(call.document)
    result = plan.converge(Archive(desired, _layout(call, desired.version), Systemd(), call.log), call)
    if not call.check:
        _start(call, CHECK)
    return result


def _start(call: Call, unit: str) -> None:
    run(["systemctl", "start", "--no-block", f"{unit}.service"], limit_s=15, check=False)
    call.log.info(f"{unit} was started; it is not waited for")


def _ask_for_backup(call: Call, layout: ArchiveLayout, found: dict[str, Any]) -> None:
    """On the primary, what no timer should wait for. It starts nothing itself: that would be root's."""
    role, now = rolefile.read(call.layout), time.time()
    if (
        role is not None
        and role.role == PRIMARY
        and any(it["reachable"] and wanted(it, found["timeline"], now) for it in found["repositories"].values())
    ):
        write_atomically(layout.due, f"{archive_state.now()}\n".encode(), 0o640)
        call.log.info(f"a backup is due; {DUE} makes it")


def status(call: Call) -> Result:
    """Live facts; null for what cannot be learned. Never fails."""
    layout, memory = _known(call)
    if memory is None:
        return Result({"prepared": False})
    return Result({"prepared": True, **_check(call, layout, memory).status()})


def check(call: Call) -> Result:
    """What the minute's timer does. Exit 1 while the alarm is raised."""
    layout, memory = _known(call)
    known, role = refuse_unknown(memory), rolefile.read(call.layout)
    heard = hear(call.layout, role.epoch) if role is not None and role.role == PRIMARY else None
    become(layout.user)
    with hold_file(layout.check_lock, "archive-check"):
        found = _check(call, layout, known, heard).run()
        _ask_for_backup(call, layout, found)
    if found["alarm"] is not None:
        alarm = found["alarm"]
        raise Failed(
            say(
                subject=f"WAL segment {alarm['segment']}",
                found=f"another content in repository {alarm['repository']} ({alarm['message']})",
                wanted="one writer",
                consequence="SPLIT BRAIN: what this host writes is not archived from there on",
                remedy="find the other writer and stop it; docs/restore.md, then `dr-host archive clear`",
            )
        )
    return Result(found)


def ask(call: Call) -> Result:
    """For `word.hear`: the witness's word on stdout. By `dr-archive-epoch.service`, with the key that systemd hands to it."""
    return Result(word.ask(call.layout, os.environ.get("CREDENTIALS_DIRECTORY")))


def push(call: Call) -> Result:
    """One WAL segment, `{"wal": "%p"}`: called by PostgreSQL, as its user."""
    layout, memory = _known(call)
    reader = Reader(call.document, "document")
    wal = reader.text("wal")
    reader.done()
    Push(layout, refuse_unknown(memory), call.log).segment(wal)
    return Result({"stored": Path(wal).name})


def get(call: Call) -> Result:
    """One WAL file, `{"wal": "%f", "to": "%p"}`, see `fetch`. Exit 1 when it is proven absent where it was looked for, 5 when a repository could
    not be read, after tries for `fetch.ASK_S`.

    PostgreSQL takes any code up to 125 for "not there", and one above for the end of the server. On a standby the server must live: it asks
    again a second later, without end, and is promoted only after `drain` has said whether something was left. So there 5 stays 5. Everywhere
    else (pg_rewind, a recovery that ends where the archive does) the restore_command makes 255 of it: taken for the end it would lose rows
    without a word. A restore takes pgBackRest itself, with the same rule.
    """
    layout, memory = _known(call)
    reader = Reader(call.document, "document")
    wal, to = reader.text("wal"), reader.text("to")
    reader.done()
    known = refuse_unknown(memory)
    data = data_of(to) or str(layout.postgres.data)
    target = to if to.startswith("/") else f"{data}/{to}"
    return Result({"fetched": wal, "repository": Fetch(layout, known, data).file(wal, target)})


def drain(call: Call) -> Result:
    """Before a promotion: replay what the archives of both regions hold beyond the stream, `{"limit_s": 60}`. See `drain.Drain` and
    docs/interfaces.md. Exit 3 on a host without a standby. Where nothing is archived there is nothing to fetch: `{"prepared": false, "complete": true}`.
    """
    layout, memory = _known(call)
    reader = Reader(call.document, "document")
    limit = reader.number("limit_s", LIMIT_S)
    reader.done()
    if not 1 <= limit <= LONGEST_S:
        raise Usage(
            f"document.limit_s: found {limit}, wanted seconds from 1 to {LONGEST_S}; nothing was changed; correct the document"
        )
    if memory is None:
        return Result({"prepared": False, "complete": True, "why": []})
    facts = Drain(layout, memory, _server(layout, memory), call.log).run(limit)
    return Result(facts, facts["replayed_bytes"] > 0)


def backup(call: Call) -> Result:
    """`{"type": "due|full|diff|incr"}` (see `backup.due`) into both repositories, the own region's first; one that fails keeps nothing from the
    other. Exit 3 on a host that is not the primary by the witness's word, 1 when one fails or holds damaged pages.
    """
    reader = Reader(call.document, "document")
    kind = reader.text("type", "incr")
    reader.done()
    if kind not in KINDS:
        raise Usage(
            f"document.type: found {kind!r}, wanted one of {', '.join(KINDS)}; nothing was changed; correct the document"
        )
    layout, memory = _known(call)
    known = refuse_unknown(memory)
    role = may_write(rolefile.read(call.layout), archive_state.load(layout))
    heard = hear(call.layout, role.epoch)
    become(layout.user)
    _prove_active(role, heard)
    found = _check(call, layout, known, heard).run()  # what was left out may answer again
    made = Backups(layout, known, call.log).run(stanza(layout), kind, found)
    return Result({"made": made}, bool(made))


def restore(call: Call) -> Result:
    """Into a new directory and port; see `order.Order` for the document. Exit 3 when the archive does not hold the target."""
    layout, memory = _known(call)
    known = refuse_unknown(memory)
    return Result(Restore(layout, known, Order.read(call.document, known), call.log).run(), True)


def rehearse(call: Call) -> Result:
    """A restore into a new directory that is counted, checked and removed: `restore`'s document with `keep` (bool) instead of `adopt`. Exit 3 on a
    primary's host, 1 when what was restored is not whole.
    """
    layout, memory = _known(call)
    known = refuse_unknown(memory)
    keep = call.document.get("keep", False)
    if not isinstance(keep, bool):
        raise Usage("document.keep: found no true or false, wanted one; nothing was changed; correct the document")
    order = Order.read({name: value for name, value in call.document.items() if name != "keep"}, known)
    return Result(Rehearsal(layout, known, order, keep, call.log).run(), keep)


def clear(call: Call) -> Result:
    """End the split-brain alarm, naming its segment: `{"segment": "..."}`. Whether two wrote is then settled by a person."""
    layout, memory = _known(call)
    refuse_unknown(memory)
    reader = Reader(call.document, "document")
    segment = reader.text("segment")
    reader.done()
    alarm = archive_state.load(layout).alarm
    if alarm is None or alarm["segment"] != segment:
        raise Refused(
            say(
                subject="alarm of this host",
                found=f"segment {alarm['segment']}" if alarm else "none",
                wanted=f"segment {segment}",
                consequence="nothing was changed",
                remedy="see `dr-host archive status`",
            )
        )
    with archive_state.change(layout) as state:
        state.alarm = None
    return Result({"cleared": segment}, True)


def _prove_active(role: Role, heard: Word) -> None:
    """Raises Refused unless role file and witness agree that this host is the primary. A backup can wait; one of a second writer poisons."""
    newest = heard()
    if newest is None or (newest.epoch, newest.site) != (role.epoch, role.site):
        found = "no epoch" if newest is None else f"epoch {newest.epoch}, active {newest.site}"
        raise Refused(
            say(
                subject="witness",
                found=found,
                wanted=f"epoch {role.epoch}, active {role.site}",
                consequence="no backup was made: this host is not, or no longer, the primary",
                remedy="run `pulumi up` for this site",
            )
        )


def _layout(call: Call, version: int) -> ArchiveLayout:
    return ArchiveLayout(PostgresLayout(call.layout, version))


def _known(call: Call) -> tuple[ArchiveLayout, Memory | None]:
    layout = _layout(call, 17)
    memory = Memory.read(layout)
    return (layout, None) if memory is None else (_layout(call, memory.version), memory)


def _check(call: Call, layout: ArchiveLayout, memory: Memory, heard: Word | None = None) -> Check:
    return Check(layout, memory, _server(layout, memory), call.log, heard)


def _server(layout: ArchiveLayout, memory: Memory) -> Server:
    return Server(layout.postgres, memory.port, UnitControl(Systemd(), layout.postgres.unit))


VERBS = {
    "prepare": Verb(prepare),
    "converge": Verb(converge),
    "status": Verb(status, locked=False, reads=False),
    "ask": Verb(ask, locked=False, reads=False),
    "check": Verb(check, locked=False),  # its lock lies with the user whose job it is
    "push": Verb(push, locked=False),
    "get": Verb(get, locked=False),
    "drain": Verb(drain, apart=True),
    "backup": Verb(backup, locked=False),
    "restore": Verb(restore, locked=False),
    "rehearse": Verb(rehearse, locked=False),
    "clear": Verb(clear),
}
