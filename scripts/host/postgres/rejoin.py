"""How data that went on past the point where their successor took over become a standby again: evidence, recovery, pg_rewind.

The state is in the names of folders, so that a kill at any point leaves one that says what it is:

    main                 as it was, or crash recovery done: all can be done again
    main.rewinding       pg_rewind is, or was, at work: half way it is scrap and is never started; only where a lost connection ended it,
                         and `main.rejoin.json` says so, it is rewound once more
    main.rewinding with `dr.complete`     rewound and ready to be a standby: takes its place
    main.new             a copy in the making (`copy`)

`main.rejoin.json` says in words what is under way, and that a rewind was found impossible in this epoch. Scrap is kept until a copy
streams, and renamed then. Nothing is removed.
"""

from __future__ import annotations

from collections.abc import Callable

from contract.errors import Failed, say

from ..frame.commands import Done, run
from ..frame.log import Log
from ..frame.wait import until
from . import evidence as pg_evidence
from . import overrides
from .config import REWIND as CALLER
from .config import settings, upstream
from .copy import COMPLETE, drop, leave, move, signal_standby
from .desired import Desired
from .diverged import fault_of, timelines
from .evidence import Range
from .facts import read_cluster, read_history
from .layout import PostgresLayout
from .mark import COPY, CUT, EVIDENCE, EXPIRED, RECOVERY, REWIND, Mark, clear_mark, read_mark
from .peer import Peer
from .server import Server
from .text import SHUT_DOWN, conninfo
from .versions import VERSIONS

RECOVER_S, REWIND_S, CHECKPOINT_S = 3600.0, 4 * 3600.0, 90.0
ATTEMPTS = 3
_KEEP_ALL = "1000GB"


class Rejoin:
    """The steps for one host in one epoch. A rewind that turns out impossible is recorded, and the next plan copies."""

    def __init__(self, desired: Desired, layout: PostgresLayout, server: Server, log: Log) -> None:
        self.desired, self.layout, self.server, self.log = desired, layout, server, log
        self.epoch = desired.envelope.role().epoch

    def mark(self, stage: str, why: str = "") -> None:
        Mark(self.epoch, stage, why).write(self.layout)

    def impossible(self, why: str) -> None:
        self.log.warning(f"no rewind: {why}; the data directory is kept and a fresh copy is made beside it")
        self.mark(COPY, why)

    def keep_evidence(self, peer: Peer) -> None:
        """Before anything undoes it. WAL that is gone already makes a rewind impossible: then the whole directory is the evidence."""
        cluster, control = read_cluster(self.layout, self.server), self.server.control_data()
        fault = None if cluster is None else fault_of(self.desired.peer.name, cluster, peer)
        if cluster is None or control is None or fault is None or fault.fork is None:
            return
        if not self.stuck():
            self.mark(EVIDENCE)
        folder, found = pg_evidence.keep(
            self.layout, Range(self.epoch, fault.fork, timelines(cluster, fault.fork)), control
        )
        self.log.warning(
            f"evidence in {folder}: {'' if found['complete'] else 'at least '}{found['commits']} commits with {found['rows']} rows, "
            f"{found['bytes']} bytes from {fault.fork[1]} on timeline {fault.fork[0]} to {found['end_lsn']}, last commit {found['last_commit']}"
        )
        if not found["complete"]:
            gaps = ", ".join(f"{first} to {last}" for first, last in found["gaps"])
            self.impossible(
                f"WAL behind the fork at {fault.fork[1]} is gone from this host ({gaps or 'its first segment'}), so what is counted may be less than "
                "what was lost"
            )

    def stuck(self) -> bool:
        """Whether a rewind was found impossible in this epoch."""
        found = read_mark(self.layout)
        return found is not None and (found.epoch, found.stage) == (self.epoch, COPY)

    def expired(self, why: str) -> None:
        """Nothing was lost and nothing can be mended: only a copy helps."""
        self.log.warning(f"{why}; a fresh copy is made beside the data of this host")
        self.mark(EXPIRED, why)

    def recover(self) -> None:
        """Crash recovery without serving anybody: no connection, no network, no archiving, and no WAL removed that pg_rewind will want."""
        if self.stuck():
            return
        self.mark(RECOVERY)
        overrides.drop(self.layout)  # of all that may keep a server from starting
        for signal in ("standby.signal", "recovery.signal"):
            drop(self.layout, self.layout.data / signal)  # a single-user server refuses to be a standby
        own = {
            "config_file": str(self.layout.conf / "postgresql.conf"),
            "wal_keep_size": _KEEP_ALL,
            "max_slot_wal_keep_size": "-1",
            "archive_mode": "off",
            "synchronous_standby_names": "",
        }
        options = [part for name, value in own.items() for part in ("-c", f"{name}={value}")]
        argv = [self.layout.program("postgres"), "--single", "-D", str(self.layout.data), *options, "template1"]
        done = run(argv, limit_s=RECOVER_S, user=self.layout.user, check=False)
        found = self.server.control_data()
        if done.code != 0 or found is None or found.state != SHUT_DOWN:
            self.impossible(
                f"crash recovery ended with {done.reason!r}, control file {found.state if found else 'unreadable'!r}"
            )

    def rewind(self, checkpointed: Callable[[], bool]) -> None:
        """Tried first without a write, then done under a name that nothing starts. `checkpointed`: the source's control file is up to date."""
        if self.stuck():
            return
        if self.layout.rewinding.exists():
            self._finish()
            return
        if not VERSIONS[self.desired.version].rewind_reads_history and not until(checkpointed, CHECKPOINT_S, 0.5):
            raise Failed(
                say(
                    subject=f"checkpoint of {self.desired.peer.name}",
                    found=f"none on its timeline within {CHECKPOINT_S:g} s",
                    wanted="one since its promotion",
                    consequence="pg_rewind would take both sides for equal, nothing was changed",
                    remedy="run the same again in a minute",
                )
            )
        overrides.drop(self.layout)  # pg_rewind asks this cluster's own configuration for its `restore_command`
        tried = self._run(str(self.layout.data), "--dry-run")
        if tried.code != 0 and _unreachable(tried):
            raise self._cut(tried, "the data of this host were left as they are")
        if tried.code != 0 or _idle(tried):
            self.impossible(tried.reason if tried.code else "pg_rewind sees no difference although there is one")
            return
        self.mark(REWIND)
        move(self.layout, self.layout.data, self.layout.rewinding)
        self._finish()

    def _finish(self) -> None:
        """The rewind itself. What a lost connection has ended is begun anew: pg_rewind writes the control file last, so it sees the same work
        again, or says that it cannot do it any more.
        """
        for _ in range(ATTEMPTS):
            done = self._run(str(self.layout.rewinding))
            if done.code == 0 or not _unreachable(done):
                break
            self.log.warning(f"the rewind lost its connection ({done.reason}); it is begun anew")
        else:
            self.mark(CUT, done.reason)
            raise self._cut(done, "the rewind goes on with the next run, nothing starts these data until then")
        if done.code != 0 or _idle(done):
            self.impossible(f"pg_rewind stopped half way ({done.reason})")
            return
        signal_standby(self.layout, self.layout.rewinding)
        drop(self.layout, self.layout.rewinding / "recovery.signal")
        leave(self.layout, self.layout.rewinding / COMPLETE, {"epoch": self.epoch})

    def _cut(self, done: Done, consequence: str) -> Failed:
        return Failed(
            say(
                subject=f"rewind from {self.desired.peer.name}",
                found=done.reason,
                wanted="a connection",
                consequence=consequence,
                remedy="see whether that host is up, run the same again",
            )
        )

    def _run(self, data: str, *more: str) -> Done:
        source = upstream(self.desired, caller=CALLER, papers=self.layout.papers, database="postgres")
        argv = [
            self.layout.program("pg_rewind"),
            "--target-pgdata",
            data,
            "--source-server",
            conninfo(source),
            "--no-ensure-shutdown",
            *more,
        ]
        if VERSIONS[self.desired.version].rewind_config_file:
            argv += ["--config-file", str(self.layout.conf / "postgresql.conf")]
            if settings(self.desired, self.layout).get("restore_command"):
                argv.append("--restore-target-wal")  # what the server removed may still be in the archive
        return run(argv, limit_s=REWIND_S, user=self.layout.user, check=False)

    def prove(self, peer: Peer) -> None:
        """That the streaming standby is the primary's own: one cluster, one history. pg_rewind's exit code proves neither. Raises Failed."""
        control, history = self.server.control_data(), read_history(self.layout.data, peer.timeline)
        if control is None or control.system_identifier != peer.system_identifier or history != peer.history:
            raise Failed(
                say(
                    subject="standby that streams",
                    found=f"system identifier {control.system_identifier if control else 'unreadable'}, history {history}",
                    wanted=f"{peer.system_identifier} and {peer.history} as on {self.desired.peer.name}",
                    consequence="it may hold other rows than the primary, so it must not take over",
                    remedy=f"stop it, move {self.layout.data} away by hand and run the same again: a copy is made",
                )
            )

    def settle(self) -> None:
        """It streams: scrap gets its last name, and nothing is under way any more."""
        if self.layout.rewinding.exists():
            target, number = self.layout.data.with_name(f"{self.layout.data.name}.diverged-{self.epoch}"), 1
            while target.exists():
                number += 1
                target = self.layout.data.with_name(f"{self.layout.data.name}.diverged-{self.epoch}.{number}")
            move(self.layout, self.layout.rewinding, target)
            self.log.warning(
                f"{target}: what an interrupted rewind left behind; never start it; the evidence has what was lost"
            )
        for folder in pg_evidence.existing(self.layout, self.epoch):
            pg_evidence.name_relations(folder, lambda database, query: self.server.ask(query, database=database))
        clear_mark(self.layout)


def _unreachable(done: Done) -> bool:
    return any(
        mark in done.err
        for mark in (
            "connection to server",
            "could not connect",
            "could not translate host name",
            "could not receive data from server",
            "SSL connection has been closed",
            "SSL SYSCALL error",
            "server closed the connection",
            "terminating connection",
        )
    )


def _idle(done: Done) -> bool:
    return "no rewind required" in done.err + done.out
