"""What an old primary wrote after the point where its successor went on: kept as WAL files with a list, before anything undoes it.

`/var/lib/postgresql/evidence/<epoch>/`: `wal/` (segments and timeline histories, readable by `pg_waldump`), `pg_controldata.txt`, and
`evidence.json`, which is written last. A second find in the same epoch gets `<epoch>.2`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import Failed, say

from ..frame.commands import lines, run
from ..frame.files import make_folder, sync_folder, write_atomically
from .layout import PostgresLayout
from .text import ControlData, lsn, position, segment_name, segment_start

LIST = "evidence.json"
DUMP_S = 3600.0
_ROOM = 64 << 20  # bytes that stay free

_RECORD = re.compile(
    r"rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), prev \S+ desc: (\S+)(.*)"
)
_RELATION = re.compile(r"blkref #0: rel (\d+)/(\d+)/(\d+)")
_TUPLES = re.compile(r"ntuples: (\d+)|(\d+) tuples")
_PAGE = struct.Struct("=HHIQ")  # of a WAL page's head: magic, flags, timeline, position
_KINDS = {"INSERT": "insert", "MULTI_INSERT": "insert", "UPDATE": "update", "HOT_UPDATE": "update", "DELETE": "delete"}


@dataclass
class Summary:
    """What a stretch of WAL holds. `relations`: committed rows by tablespace/database/file, then by insert, update and delete.

    `first` and `end`: positions of its first record and behind its last one, None when there is none. `gaps`: (from, to), what is gone in
    between; with any of them all counts are lower bounds.
    """

    commits: int = 0
    first_commit: str | None = None
    last_commit: str | None = None
    first: str | None = None
    end: int | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)
    managers: Counter[str] = field(default_factory=Counter)
    relations: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _pending: dict[str, list[tuple[str, str, int]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, dump: Iterable[str]) -> None:
        """Take in what `pg_waldump` prints."""
        for line in dump:
            found = _RECORD.match(line)
            if found is None:
                continue
            manager, total, transaction, at, kind, rest = found.groups()
            self.first = self.first or at
            self.end = lsn(at) + -(-int(total) // 8) * 8
            self.managers[manager] += 1
            if manager.startswith("Heap"):
                self._row(transaction, kind, rest)
            elif manager == "Transaction" and kind == "COMMIT":
                self._commit(transaction, rest)

    def _row(self, transaction: str, kind: str, rest: str) -> None:
        change, relation = _KINDS.get(kind.split("+", maxsplit=1)[0]), _RELATION.search(rest)
        if change and relation:
            tuples = _TUPLES.search(rest) if kind.startswith("MULTI") else None
            number = int(tuples[1] or tuples[2]) if tuples else 1
            self._pending[transaction].append(("/".join(relation.groups()), change, number))

    def _commit(self, transaction: str, rest: str) -> None:
        self.commits += 1
        at = rest.strip().split(";")[0]
        self.first_commit, self.last_commit = self.first_commit or at, at
        parts = re.search(r"subxacts: ([\d ]+)", rest)
        for one in (transaction, *(parts[1].split() if parts else ())):
            for relation, change, number in self._pending.pop(one, ()):
                self.relations[relation][change] += number

    @property
    def rows(self) -> int:
        """Committed rows of tables that are not PostgreSQL's own."""
        return sum(
            sum(changes.values()) for name, changes in self.relations.items() if int(name.rsplit("/", 1)[1]) >= 16384
        )


@dataclass(frozen=True)
class Range:
    """What to keep: timelines from `fork` (timeline, position) on to the cluster's own, each with the position where it begins."""

    epoch: int
    fork: tuple[int, str]
    timelines: tuple[tuple[int, str], ...]


def summarise(layout: PostgresLayout, wanted: Range, control: ControlData) -> Summary:
    """Reads the WAL of the cluster, which must not be running."""
    summary = Summary()
    for timeline, begin in wanted.timelines:
        _read_over_gaps(layout, summary, timeline, lsn(begin), control.segment)
    end = max(lsn(control.checkpoint) + 1, lsn(control.minimum_recovery))
    reached = summary.end or lsn(wanted.fork[1])
    if reached < end:  # the cluster itself has been further
        summary.gaps.append((reached, end))
    return summary


def _read_over_gaps(layout: PostgresLayout, summary: Summary, timeline: int, begin: int, size: int) -> None:
    """`pg_waldump` ends at the first record that it cannot read, which is what the end of the WAL looks like, too. Files that hold WAL beyond it
    tell the two apart: it is read on from the next of them that has a record.
    """
    _dump(layout, summary, timeline, begin)
    reached = max(summary.end or 0, begin)
    for start in _written(layout, timeline, size):
        if start < reached:
            continue
        if _dump(layout, summary, timeline, start):
            summary.gaps.append((reached, start))
            reached = max(summary.end or 0, start)


def _dump(layout: PostgresLayout, summary: Summary, timeline: int, begin: int) -> bool:
    """Whether there was a record."""
    before = summary.managers.total()
    wal = str(layout.data / "pg_wal")
    argv = [layout.program("pg_waldump"), "-p", wal, "-t", str(timeline), "-s", position(begin)]
    summary.add(lines(argv, limit_s=DUMP_S, user=layout.user))
    return summary.managers.total() > before


def _written(layout: PostgresLayout, timeline: int, size: int) -> list[int]:
    """Where the timeline's files begin that were written under their name: a recycled one has its old position in its first page."""
    starts = []
    for path in (layout.data / "pg_wal").glob(f"{timeline:08X}????????????????"):
        start = segment_start(path.name[8:], size)
        with path.open("rb") as stream:
            head = stream.read(_PAGE.size)
        if len(head) == _PAGE.size and _PAGE.unpack(head)[3] == start:
            starts.append(start)
    return sorted(starts)


def keep(layout: PostgresLayout, wanted: Range, control: ControlData) -> tuple[Path, dict[str, Any]]:
    """Make the evidence, or find it made. Returns its folder and its list. Raises Failed."""
    make_folder(layout.evidence, 0o700, layout.user)
    with layout.acting():
        return _keep(layout, wanted, control)


def _keep(layout: PostgresLayout, wanted: Range, control: ControlData) -> tuple[Path, dict[str, Any]]:
    summary = summarise(layout, wanted, control)
    for folder in existing(layout, wanted.epoch):
        kept = read(folder)
        if kept is not None and _covers(kept, wanted, control, summary):
            return folder, kept
    segments = _segments(layout, wanted, control, summary)
    _room(layout, segments)
    target, number = layout.evidence / str(wanted.epoch), 1
    while target.exists():
        number += 1
        target = layout.evidence / f"{wanted.epoch}.{number}"
    partial = layout.evidence / f".{target.name}.partial"
    if partial.exists():
        shutil.rmtree(partial)  # copies of files that are still where they came from
    (partial / "wal").mkdir(parents=True)
    for path in segments:
        _copy(path, partial / "wal" / path.name)
    (partial / "pg_controldata.txt").write_text(
        run([layout.program("pg_controldata"), str(layout.data)], limit_s=15).out
    )
    found = _list(wanted, control, summary, segments)
    write_atomically(partial / LIST, (json.dumps(found, indent=1, sort_keys=True) + "\n").encode())
    for folder in (partial / "wal", partial):
        sync_folder(folder)
    partial.rename(target)
    sync_folder(target.parent)
    return target, found


def existing(layout: PostgresLayout, epoch: int | None = None) -> list[Path]:
    """Finished folders, oldest epoch first; of one epoch when it is given."""
    names = (path for path in layout.evidence.glob("*") if re.fullmatch(r"\d+(\.\d+)?", path.name))
    found = [path for path in names if epoch is None or path.name.split(".")[0] == str(epoch)]
    return sorted(found, key=lambda path: [int(part) for part in path.name.split(".")])


def read(folder: Path) -> dict[str, Any] | None:
    """The list of one folder; None when it cannot be read."""
    try:
        found = json.loads((folder / LIST).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def name_relations(folder: Path, ask: Callable[[str, str], Any]) -> None:
    """Add database and name to each relation that the running cluster still knows. `ask` (database, query): one JSON value or None."""
    found = read(folder)
    if found is None or all("name" in relation for relation in found["relations"]):
        return
    databases = ask("postgres", "select json_object_agg(oid, datname) from pg_database where datallowconn") or {}
    for relation in found["relations"]:
        space, database, node = relation["file"].split("/")
        relation["database"] = databases.get(database)
        query = f"select to_json(pg_filenode_relation({int(space)}, {int(node)})::regclass::text)"
        relation["name"] = ask(relation["database"], query) if relation["database"] else None
    write_atomically(folder / LIST, (json.dumps(found, indent=1, sort_keys=True) + "\n").encode())


def _covers(kept: dict[str, Any], wanted: Range, control: ControlData, summary: Summary) -> bool:
    """Recovery adds records of its own, so the commits decide, not the end."""
    same = kept.get("system_identifier") == control.system_identifier and kept.get("fork") == _point(*wanted.fork)
    return same and kept.get("commits") == summary.commits and kept.get("last_commit") == summary.last_commit


def _segments(layout: PostgresLayout, wanted: Range, control: ControlData, summary: Summary) -> list[Path]:
    """Files of `pg_wal` from the fork to the last record; those beyond are recycled ones with old contents."""
    names = {segment_name(timeline, lsn(begin), control.segment) for timeline, begin in wanted.timelines}
    last = (summary.end or lsn(wanted.fork[1])) - 1
    first = lsn(wanted.fork[1]) // control.segment
    for number in range(first, last // control.segment + 1):
        names |= {segment_name(timeline, number * control.segment, control.segment) for timeline, _ in wanted.timelines}
    folder = layout.data / "pg_wal"
    return sorted(
        path for path in folder.iterdir() if path.is_file() and (path.name in names or path.suffix == ".history")
    )


def _room(layout: PostgresLayout, segments: list[Path]) -> None:
    needed, free = sum(path.stat().st_size for path in segments) + _ROOM, shutil.disk_usage(layout.mount).free
    if free < needed:
        raise Failed(
            say(
                subject=f"evidence of diverged data, {layout.evidence}",
                found=f"{free >> 20} MiB free",
                wanted=f"{needed >> 20} MiB",
                consequence="the data of this host were left as they are, it does not follow yet",
                remedy="enlarge the data volume (`db_volume_gb`) or move older folders of evidence elsewhere, run the same again",
            )
        )


def _list(wanted: Range, control: ControlData, summary: Summary, segments: list[Path]) -> dict[str, Any]:
    begin = lsn(wanted.fork[1])
    end = max(summary.end or begin, begin)
    needed = segment_name(wanted.fork[0], begin, control.segment)
    return {
        "schema": 1,
        "epoch": wanted.epoch,
        "system_identifier": control.system_identifier,
        "timeline": wanted.timelines[-1][0],
        "fork": _point(*wanted.fork),
        "end_lsn": position(end),
        "bytes": end - begin,
        "segments": [path.name for path in segments if path.suffix != ".history"],
        # Else the segment of the fork is gone, which the server had removed before, or one behind it.
        "complete": any(path.name == needed for path in segments) and not summary.gaps,
        "gaps": [[position(first), position(last)] for first, last in summary.gaps],
        "commits": summary.commits,
        "first_commit": summary.first_commit,
        "last_commit": summary.last_commit,
        "rows": summary.rows,
        "managers": dict(summary.managers),
        "relations": [{"file": name, **changes} for name, changes in sorted(summary.relations.items())],
    }


def _point(timeline: int, position: str) -> dict[str, Any]:
    return {"timeline": timeline, "lsn": position}


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
