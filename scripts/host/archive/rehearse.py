"""A restore that is only looked at: into a scratch directory, started alone, counted, every page held against its checksum, and removed.

A backup that nobody has restored is a hope. Not on a primary's host: copying and counting would take its disk from the shop.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import Failed, Refused, say

from ..frame import rolefile
from ..frame.commands import run
from ..frame.files import write_atomically
from ..frame.log import Log
from ..frame.rolefile import PRIMARY
from .desired import Memory
from .layout import ArchiveLayout
from .order import Order
from .restore import COUNTING_ROLE, Restore

COUNT_S, VERIFY_S = 6 * 3600.0, 20 * 3600.0


class Rehearsal:
    """`keep`: leave what was restored, stopped, for a look."""

    def __init__(self, layout: ArchiveLayout, memory: Memory, order: Order, keep: bool, log: Log) -> None:
        self.layout, self.order, self.keep, self.log = layout, order, keep, log
        self.restore = Restore(layout, memory, order, log)

    def run(self) -> dict[str, Any]:
        """Facts, see docs/restore.md. Raises Refused, with nothing changed; Failed, with the directory left for a look."""
        self._refuse_primary()
        began = time.monotonic()
        restored = self.restore.run()
        took = round(time.monotonic() - began, 1)
        try:
            databases = self._count()
        finally:
            self.restore.stop()
        checksums = self._verify()
        fault = fault_of(restored, checksums)
        if fault is not None:
            raise Failed(self._left(*fault))
        self._note()
        if not self.keep:
            self._remove()
        return {
            "restored": restored,
            "databases": databases,
            "checksums": checksums,
            "restore_s": took,
            "all_s": round(time.monotonic() - began, 1),
            "kept": str(self.order.directory) if self.keep else None,
        }

    def _refuse_primary(self) -> None:
        role = rolefile.read(self.layout.postgres.base)
        if self.order.adopt or (role is not None and role.role == PRIMARY):
            raise Refused(
                say(
                    subject="rehearsal of a restore",
                    found="`adopt`" if self.order.adopt else f"role {PRIMARY} on this host",
                    wanted="a scratch directory" if self.order.adopt else "the host of a standby",
                    consequence="it would touch the running shop, nothing was restored",
                    remedy="`restore` adopts" if self.order.adopt else "run the same on the other site's database host",
                )
            )

    def _count(self) -> dict[str, Any]:
        """Rows of every table, by database: {"shop": {"tables", "rows", "by_table": {name: rows}}}.

        What the shop has put into its database is not read as a superuser: who counts may read all, and nothing else.
        """
        names = json.loads(self._ask(_DATABASES))
        self._ask(_COUNTER)
        found = {}
        for name in names:
            each = self._ask(_TABLES, name, COUNTING_ROLE)
            rows: dict[str, int] = json.loads(self._ask(_ROWS.format(each), name, COUNTING_ROLE)) if each else {}
            found[name] = {"tables": len(rows), "rows": sum(rows.values()), "by_table": rows}
        return found

    def _ask(self, query: str, database: str = "postgres", role: str = "postgres") -> str:
        return self.restore.sql(query, database, COUNT_S, role).strip()

    def _verify(self) -> dict[str, Any]:
        """{"blocks", "bad"} of every page of the stopped cluster; null for a cluster without checksums."""
        argv = [self.layout.postgres.program("pg_checksums"), "--check", "-D", str(self.order.directory)]
        done = run(argv, limit_s=VERIFY_S, user=self.layout.user, check=False)
        blocks, bad = (
            re.search(rf"^{word}:\s+(\d+)", done.out, re.MULTILINE) for word in ("Blocks scanned", "Bad checksums")
        )
        if blocks is None or bad is None:
            if "checksums are not enabled" in done.err:
                return {"blocks": None, "bad": None}
            raise Failed(self._left("pages of the restored cluster", done.reason, "every page looked at"))
        for line in done.err.splitlines():
            self.log.error(line)
        return {"blocks": int(blocks[1]), "bad": int(bad[1])}

    def _note(self) -> None:
        """For whoever asks how long ago a backup was proven."""
        with self.layout.postgres.acting():
            write_atomically(self.layout.rehearsed, (json.dumps({"at": time.time()}) + "\n").encode(), 0o644)

    def _left(self, subject: str, found: str, wanted: str) -> str:
        return say(
            subject=subject,
            found=found,
            wanted=wanted,
            consequence=f"this backup would not bring all back; what was restored is left in {self.order.directory}, stopped",
            remedy="see `dr-host archive status` and docs/restore.md, then make a full backup and rehearse again",
        )

    def _remove(self) -> None:
        folder = self.order.directory
        for path in (folder, self.restore.sockets, Path(f"{folder}.tablespaces")):
            if path.exists():
                shutil.rmtree(path)


def fault_of(restored: Mapping[str, Any], checksums: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """What is not whole, what was found of it, and what was wanted; None when all is. Pure."""
    if checksums["bad"]:
        told = f"{checksums['bad']} of {checksums['blocks']} that do not fit their checksums"
        return "pages of the restored cluster", told, "none"
    if restored["short"]:
        return "recovery", f"an end at {restored['lsn']}", f"the end of {restored['archived_to']}"
    return None


_DATABASES = "select json_agg(datname order by datname) from pg_database where datallowconn and not datistemplate"
_COUNTER = f"""select 'create role {COUNTING_ROLE}' where not exists (select from pg_roles where rolname = '{COUNTING_ROLE}') \\gexec
alter role {COUNTING_ROLE} with login nosuperuser bypassrls;
grant pg_read_all_data to {COUNTING_ROLE};
select format('grant connect on database %I to {COUNTING_ROLE}', datname) from pg_database where datallowconn and not datistemplate \\gexec
"""  # noqa: S608
_TABLES = """
select string_agg(format('select %L::text, count(*) from %I.%I', nspname || '.' || relname, nspname, relname), ' union all ')
from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where relkind = 'r' and relpersistence = 'p' and nspname !~ '^pg_' and nspname <> 'information_schema'"""
_ROWS = "select json_object_agg(name, number) from ({}) as counted (name, number)"
