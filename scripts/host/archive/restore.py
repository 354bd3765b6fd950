"""A restore into a new cluster beside the running one: choose the repository and the backup, refuse a target that the archive does not hold,
recover with a server that archives nothing, say to where.

The new cluster has its configuration in its own directory and listens on a socket only. It follows no one and nobody follows it. `adopt`
puts it in the place of the host's own data when those are lost.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract.errors import Failed, Refused, say

from ..frame.commands import CommandFailed, run
from ..frame.files import make_folder, rename, sync_folder, write_atomically
from ..frame.locks import hold
from ..frame.log import Log
from ..frame.wait import until
from ..postgres.server import Server, psql
from ..postgres.text import control_data, lsn, setting
from .desired import Memory
from .elsewhere import reaching
from .holes import SEGMENT, hole
from .layout import OUTSIDE, ArchiveLayout
from .order import LATEST, Order, Source, choose, lsn_of, room
from .tool import Info, PgBackRest, explain, names, system_identifier

COPY_S, START_S, RECOVER_S = 20 * 3600.0, 30.0, 20 * 3600.0
BUSY_S = 600.0  # for a run that is at work with the database when the restore is done
_SOCKETS = "sockets"
COUNTING_ROLE = "dr_counting"  # of a restored cluster alone: see `rehearse`


class Restore:
    """One restore. Nothing of the running cluster is touched before everything is recovered."""

    def __init__(self, layout: ArchiveLayout, memory: Memory, order: Order, log: Log) -> None:
        self.layout, self.memory, self.order, self.log = layout, memory, order, log
        self.tool = PgBackRest(layout, order.port, str(order.directory), order.repository_at)

    def run(self) -> dict[str, Any]:
        """Facts of the new cluster. Raises Refused, with nothing changed, or Failed, with the directory left for a look."""
        with reaching(self.order.outside, self.memory, self.layout):
            return self._run()

    def _run(self) -> dict[str, Any]:
        self._free()
        self.tool.refuse_old()
        place = self.order.cluster or self._cluster()
        source = self._source(place)
        room(self.order.directory, shutil.disk_usage(self.order.directory.parent).free, source.backup.size)
        self._copy(place, source)
        found = self._recover()
        came = {"repository": source.repository, "backup": source.backup.label, "cluster": place}
        facts = {**came, "archived_to": source.end, "short": self._short(source, found["lsn"] or "0/0"), **found}
        if self.order.adopt:
            facts["directory"] = self._adopt()
        return facts

    # --- before anything is written

    def _free(self) -> None:
        order, own = self.order, self.layout.postgres.data
        taken = order.directory.exists() and (not order.directory.is_dir() or any(order.directory.iterdir()))
        if taken or order.directory == own or own in order.directory.parents:
            raise Refused(
                say(
                    subject=f"directory {order.directory}",
                    found="data in it" if taken else "a place in the running cluster",
                    wanted="an empty or new one",
                    consequence="nothing was restored",
                    remedy="name another directory on a disk with room for the database",
                )
            )
        if not order.directory.parent.is_dir():
            raise Refused(
                f"directory {order.directory}: found no {order.directory.parent}, wanted it to exist; nothing was restored; make it or mount it"
            )
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", order.port))
            except OSError:
                raise Refused(
                    f"port {order.port}: found it taken, wanted a free one; nothing was restored; name another `port`"
                ) from None
        if order.adopt and self._running():
            raise Refused(
                say(
                    subject=f"cluster {own}",
                    found="a running server",
                    wanted="none",
                    consequence="nothing was restored",
                    remedy="`adopt` is for data that are lost; stop the server by `dr-host postgres stop` first if they are",
                )
            )

    def _running(self) -> bool:
        return Server(self.layout.postgres, self.memory.port, _NoControl()).pid() is not None

    def _repositories(self) -> Sequence[str]:
        if self.order.outside is not None:
            return [OUTSIDE]
        return [self.order.repository] if self.order.repository else self.memory.repositories

    def _cluster(self) -> str:
        """This host's own, else the only one that was ever archived. Raises Refused with the choice."""
        try:
            own = f"dr-{system_identifier(self.layout)}"
        except Refused:
            own = None
        known = {it for name in self._repositories() for it in self.tool.stanzas(name) or ()}
        if own in known and not self.order.adopt:
            return str(own)
        others = sorted(known - {own}) if self.order.adopt and len(known) > 1 else sorted(known)
        if len(others) == 1:
            return others[0]
        raise Refused(
            say(
                subject="cluster to restore",
                found=names(sorted(known)),
                wanted="one",
                consequence="nothing was restored",
                remedy="name it as `cluster`"
                if known
                else "see whether the repositories answer (`dr-host archive status`)",
            )
        )

    def _source(self, place: str) -> Source:
        infos = {name: self.tool.info(name, place) for name in self._repositories()}
        wal = {name: self._wal(name, place, info) for name, info in infos.items()}
        source, told = choose(self.order, infos, wal)
        self.log.info(f"restore of {place} from repository {source.repository}, backup {source.backup.label} ({told})")
        held = set(wal[source.repository] or ())
        lacks = hole(held, {int(name[:8], 16) for name in held}, source.backup.wal, SEGMENT)
        if lacks is not None:
            self.log.warning(
                f"repository {source.repository}: WAL from {lacks['from']} to {lacks['to']} is missing there although later WAL is not: no restore from "
                "this backup goes past it; a newer backup does"
            )
        return source

    def _wal(self, name: str, place: str, info: Info | None) -> dict[str, int] | None:
        if info is None or info.archive is None:
            return {} if info is not None else None
        return self.tool.wal(name, place, info.archive)

    def _short(self, source: Source, position: str) -> bool:
        """Recovery ended before what the repository was seen to hold. Said, because nobody would look for what is missing."""
        if source.end is None or lsn(position) >= lsn_of(source.end):
            return False
        self.log.error(
            f"restore: ended at {position}, and repository {source.repository} was seen to hold segment {source.end}: read {self._log()}, and "
            "try the other `repository` into another directory before this one is used"
        )
        return True

    # --- copy and recover

    def _copy(self, place: str, source: Source) -> None:
        order = self.order
        make_folder(order.directory, 0o700, self.layout.user)
        with self.layout.postgres.acting():
            order.directory.chmod(0o700)
        options = [
            f"--set={source.backup.label}",
            "--archive-mode=off",
            f"--tablespace-map-all={order.directory}.tablespaces",
            f"--target-timeline={order.timeline or LATEST}",
            f"--recovery-option=restore_command={self._fetch(place, source)}",
        ]
        if order.target is not None:
            exact = order.target.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
            options += ["--type=time", f"--target={exact}", "--target-action=promote"]
        done = self.tool.call(source.repository, place, "restore", *options, limit_s=COPY_S)
        if done.code:
            raise Failed(
                say(
                    subject=f"restore from repository {source.repository}",
                    found=explain(done),
                    wanted="a copy",
                    consequence=f"what lies in {order.directory} is no cluster; the running one was not touched",
                    remedy=self._elsewhere(source),
                )
            )
        self.layout.leave(order.directory / "standby.signal")
        self._configure()

    def _elsewhere(self, source: Source) -> str:
        if self.order.outside is not None:
            return "name an earlier moment of the copy as `repository_at`, or another copy, and another directory"
        others = " or ".join(it for it in self.memory.repositories if it != source.repository)
        return f"try `repository` {others}, into another directory"

    def _fetch(self, place: str, source: Source) -> str:
        """A fault of the repository stops the server (255): taken for the archive's end it would lose rows without a word."""
        # In double quotes: pgBackRest writes the whole into single ones.
        config, past = self.layout.config(source.repository), " ".join(f'"{word}"' for word in self.tool.past)
        get = f'pgbackrest --config={config} --stanza={place} --pg1-path={self.order.directory} {past} archive-get --no-archive-async %f "%p"'
        return f"{get}; rc=$?; test $rc -le 1 && exit $rc; exit 255"

    def _configure(self) -> None:
        """Debian's configuration is outside the data directory, so the copy brings none."""
        postgres, folder = self.layout.postgres, self.order.directory
        done = run([postgres.program("pg_controldata"), str(folder)], limit_s=10)
        control = control_data(done.out)
        limits = {name: str(value) for name, value in control.limits.items()} if control else {}
        values = {
            "data_directory": str(folder),
            "hba_file": str(folder / "pg_hba.conf"),
            "ident_file": str(folder / "pg_ident.conf"),
            "port": str(self.order.port),
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "cluster_name": "dr_restore",
            "hot_standby": "on",
            "primary_conninfo": "",
            "primary_slot_name": "",
            "synchronous_standby_names": "",
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
            **limits,
        }
        own = "postgres" if self.layout.user == "postgres" else self.layout.user
        texts = {
            "postgresql.conf": "".join(f"{name} = {setting(value)}\n" for name, value in values.items()),
            "pg_hba.conf": f"local all postgres,{COUNTING_ROLE} peer map=dr\n",
            "pg_ident.conf": f"dr {own} postgres\ndr {own} {COUNTING_ROLE}\n",
        }
        ids = _ids(folder)
        for name, text in texts.items():
            write_atomically(folder / name, text.encode(), 0o600, ids)
        make_folder(self.sockets, 0o700, self.layout.user)

    @property
    def sockets(self) -> Path:
        return self.order.directory.with_name(f"{self.order.directory.name}.{_SOCKETS}")

    def _log(self) -> Path:
        return self.order.directory / "restore.log"

    def _recover(self) -> dict[str, Any]:
        postgres, folder = self.layout.postgres, self.order.directory
        run(
            [postgres.program("pg_ctl"), "start", "-s", "-W", "-D", str(folder), "-l", str(self._log())],
            limit_s=60,
            user=self.layout.user,
        )
        until(lambda: (folder / "postmaster.pid").exists() or "FATAL" in self._text(), START_S)
        seen: dict[str, Any] = {}

        def recovered() -> bool:
            seen["alive"] = (folder / "postmaster.pid").exists()
            seen["open"] = self._ask("select pg_is_in_recovery()") == "f"
            return seen["open"] or not seen["alive"]

        until(recovered, RECOVER_S, 0.2)
        if not seen["open"]:
            raise self._stopped(seen["alive"])
        line = self._ask(_REACHED)
        timeline, position, last = (line or "||").split("|")
        return {
            "directory": str(folder),
            "port": self.order.port,
            "sockets": str(self.sockets),
            "timeline": int(timeline or 0),
            "lsn": position,
            "recovered_to": last or self._last() or None,
        }

    def _text(self) -> str:
        try:
            return self._log().read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _ask(self, query: str) -> str | None:
        try:
            return self.sql(query, "postgres", 10).strip()
        except CommandFailed:
            return None

    def sql(self, query: str, database: str, limit_s: float, role: str = "postgres") -> str:
        """Asked of the restored cluster. Raises CommandFailed."""
        target = {
            "host": str(self.sockets),
            "port": str(self.order.port),
            "user": role,
            "dbname": database,
            "connect_timeout": "3",
        }
        return psql(self.layout.postgres, target, query, limit_s=limit_s, user=self.layout.user)

    def stop(self) -> None:
        """The restored cluster, cleanly. Raises CommandFailed."""
        argv = [self.layout.postgres.program("pg_ctl"), "stop", "-s", "-m", "fast", "-D", str(self.order.directory)]
        run(argv, limit_s=300, user=self.layout.user)

    def _last(self) -> str | None:
        """Commit time of the last transaction that was recovered, from the server's log."""
        found = re.findall(r"last completed transaction was at log time (.*)$", self._text(), re.MULTILINE)
        return found[-1].strip() if found else None

    def _stopped(self, alive: bool) -> Failed | Refused:
        text = self._text()
        fatal = re.findall(r"FATAL:\s+(.*)$", text, re.MULTILINE)
        left = f"what lies in {self.order.directory} is left for a look, the running cluster was not touched"
        if "recovery ended before configured recovery target was reached" in text:
            return Refused(
                say(
                    subject="restore target",
                    found=f"{self.order.target.isoformat() if self.order.target else LATEST}, after the archive's last commit",
                    wanted=f"a time up to {self._last() or 'the end of the backup'}",
                    consequence=left,
                    remedy='choose a time within, or "latest"; another `timeline` or `repository` may hold more',
                )
            )
        return Failed(
            say(
                subject="recovery",
                found="no end in time" if alive else (fatal or ["a server that stopped"])[-1],
                wanted="a server that is open",
                consequence=left,
                remedy=f"read {self._log()}",
            )
        )

    # --- in place of lost data

    def _adopt(self) -> str:
        """In the place of the host's own data, unless they serve by now: a restore takes hours. Raises Refused; what was restored stays where it is then."""
        with hold(self.layout.postgres.base, "postgres", BUSY_S):
            if self._running():
                raise Refused(
                    say(
                        subject=f"cluster {self.layout.postgres.data}",
                        found="a server that was started meanwhile",
                        wanted="none",
                        consequence=f"what it writes would be left behind, so it was not touched, and what was restored stays in {self.order.directory}",
                        remedy="see which one is wanted; to adopt after all, stop it (`dr-host postgres stop`) and restore into another directory",
                    )
                )
            return self._moved()

    def _moved(self) -> str:
        """Stop it, take the recovery's settings out, and move it to the data directory; what was there is kept beside it."""
        postgres, folder = self.layout.postgres, self.order.directory
        for name in (
            "restore_command",
            "archive_mode",
            "recovery_target_time",
            "recovery_target_action",
            "recovery_target_timeline",
        ):
            self._ask(f"alter system reset {name}")
        self.stop()
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            self.layout.leave(folder / name)
        shutil.rmtree(self.sockets)
        target = postgres.data
        if target.exists():
            kept = next(
                path
                for path in (target.with_name(f"{target.name}.before-restore-{number}") for number in range(1, 1000))
                if not path.exists()
            )
            rename(target, kept)
            self.log.warning(f"{kept}: what was in the place of the restored cluster; never start it")
        make_folder(target.parent, owner=self.layout.user)
        rename(folder, target)
        sync_folder(target.parent)
        return str(target)


class _NoControl:
    """A server that is only asked."""

    def start(self, limit_s: float = 0) -> None:
        raise AssertionError("a restore starts no service")

    def settle(self) -> None:
        return None


def _ids(folder: Path) -> tuple[int, int] | None:
    status = folder.stat()
    return (status.st_uid, status.st_gid) if os.geteuid() == 0 else None


_REACHED = """
select (pg_control_checkpoint()).timeline_id, pg_current_wal_lsn(), coalesce(to_char(pg_last_xact_replay_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF'), '')"""
