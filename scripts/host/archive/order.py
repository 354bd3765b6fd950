"""What a restore is asked for, and which repository and backup it comes from. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract import fields
from contract.dataclass import dataclass
from contract.errors import Refused, say
from contract.fields import key
from contract.forms import S3_KEY
from contract.services import archive

from ..frame.desired import Reader
from ..postgres.text import segment_name, segment_start
from .desired import Memory
from .tool import Backup, Info

LATEST = "latest"
SEGMENT = 16 << 20  # bytes of a WAL file; of a cluster that is gone nobody else says it


@dataclass(frozen=True, kw_only=True)
class Outside(archive.Repository):
    """A copy of a repository in another account: `from` in the order."""

    endpoint: str = key(archive.ENDPOINT, "its S3 server")
    access_key: str = key(S3_KEY, "id of a key that reads there", secret=True)
    secret_key: str = key(S3_KEY, "the key", secret=True)
    ca: str | None = key(archive.PEM, "PEM of its server's CA, where it is not a public one", default=None)


@dataclass(frozen=True)
class Order:
    """What the operator asks for. `target`: None for everything that the archive has. `timeline`: None for the newest. `repository_at`: read the
    repositories as they were then, whatever was removed or overwritten since; None: as they are. `outside`: a copy to take in place of them.
    """

    target: datetime.datetime | None
    timeline: int | None
    directory: Path
    port: int
    repository: str | None
    cluster: str | None
    adopt: bool
    repository_at: datetime.datetime | None = None
    outside: Outside | None = None

    @classmethod
    def read(cls, document: dict[str, Any], memory: Memory) -> Order:
        """Raises Usage that names every fault."""
        reader = Reader(document, "document")
        text, past = reader.text("target", LATEST), reader.optional_text("repository_at")
        target = None if text == LATEST else _time(reader, "target", text, '"latest" or ')
        repository_at = None if past is None else _time(reader, "repository_at", past)
        repository, timeline = reader.optional_text("repository"), reader.number("timeline", 0)
        if repository not in (None, *memory.repositories):
            reader.fault("repository", repr(repository), " or ".join(memory.repositories))
        directory, port = Path(reader.text("directory")), reader.number("port", 5433)
        if not directory.is_absolute() or len(directory.parts) < 3:
            reader.fault("directory", repr(str(directory)), "an absolute path of a directory that is not there yet")
        if not 1024 <= port <= 65535 or port == memory.port:
            reader.fault("port", str(port), f"a free port from 1024 on, other than {memory.port}")
        found = cls(
            target,
            timeline or None,
            directory,
            port,
            repository,
            reader.optional_text("cluster"),
            reader.flag("adopt", False),
            repository_at,
            _outside(document.get("from") if isinstance(document, dict) else None),
        )
        if found.outside is not None and repository is not None:
            reader.fault("repository", repr(repository), "none beside `from`, which stands for both")
        reader.done()
        return found

    @property
    def moment(self) -> float | None:
        return None if self.target is None else self.target.timestamp()


def _time(reader: Reader, key: str, text: str, other: str = "") -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        reader.fault(key, repr(text), f'{other}a time such as "2026-11-25T10:00:00+00:00"')
        return None
    if found.tzinfo is None:
        reader.fault(
            key,
            repr(text),
            'a time with its zone, such as "2026-11-25T10:00:00+00:00": two hosts may mean two hours by it',
        )
    return found


def _outside(found: object) -> Outside | None:
    """Raises Usage that names every fault."""
    return None if found is None else fields.read(Outside, found, "document.from")


@dataclass(frozen=True)
class Source:
    """Where a restore comes from. `end`: the last segment that follows the backup without a hole, None when that was not asked."""

    repository: str
    backup: Backup
    end: str | None = None


def choose(
    order: Order, infos: Mapping[str, Info | None], wal: Mapping[str, dict[str, int] | None]
) -> tuple[Source, str]:
    """The repository, its backup, and what the repositories hold, for a person to read. `infos`, `wal`: by repository, see `PgBackRest`; None:
    no answer. Pure; raises Refused with the range of each repository.

    A time: the first repository that holds it, and its last backup before it. The latest: the one that reaches further, by timeline, then by
    position; one that does not answer may be that one, so it has to be left out by name.
    """
    known = {name: None if info is None or wal.get(name) is None else info for name, info in infos.items()}
    said = {name: _said(order, info, wal[name] or {}) for name, info in known.items()}
    told = "; ".join(f"{name}: {text}" for name, text in said.items()) or "no repository"
    sources = [
        Source(name, backup, reach(set(wal[name] or {}), backup, order.timeline) if order.target is None else None)
        for name, info in known.items()
        if info is not None and (backup := _last(order, info, wal[name] or {})) is not None
    ]
    silent = [name for name, info in known.items() if info is None]
    if order.target is None and sources and silent:
        raise Refused(
            say(
                subject="restore of the latest",
                found=told,
                wanted="an answer of every repository, because the one that is silent may reach further",
                consequence="nothing was restored",
                remedy=f"bring {', '.join(silent)} within reach, or set `repository` to {sources[0].repository} to restore what is there",
            )
        )
    if sources:
        return max(sources, key=lambda it: _further(it.end)), told
    raise Refused(
        say(
            subject="restore target",
            found=f"{order.target.isoformat() if order.target else LATEST}",
            wanted=f"a time in the archive ({told})",
            consequence="nothing was restored",
            remedy="choose a time within; what the primary wrote in the last minute is archived by `select pg_switch_wal()` there; where backups were "
            "removed, name a time before as `repository_at` (docs/restore.md)",
        )
    )


def reach(names: set[str], backup: Backup, timeline: int | None = None) -> str | None:
    """The last segment up to which a restore of this backup gets: from its first on, without a hole, and never back to an older timeline.
    `timeline`: the newest that is followed. None when not even the first is there. Pure.
    """
    held: dict[str, int] = {}
    for name in names:
        if len(name) == 24 and (timeline is None or int(name[:8], 16) <= timeline):
            held[name[8:]] = max(held.get(name[8:], 0), int(name[:8], 16))
    at, on, end = lsn_of(backup.wal), int(backup.wal[:8], 16), None
    while held.get(place := segment_name(0, at, SEGMENT)[8:], 0) >= on:
        on = held[place]
        end, at = f"{on:08X}{place}", at + SEGMENT
    return end


def lsn_of(segment: str) -> int:
    """Where a segment begins."""
    return segment_start(segment[8:], SEGMENT)


def _further(end: str | None) -> tuple[int, int]:
    return (0, 0) if end is None else (int(end[:8], 16), lsn_of(end))


def _fitting(order: Order, info: Info) -> list[Backup]:
    return [it for it in info.backups if order.timeline is None or int(it.wal[:8], 16) <= order.timeline]


def _last(order: Order, info: Info, wal: dict[str, int]) -> Backup | None:
    """A backup is consistent from the end of its copying on."""
    backups, wanted = _fitting(order, info), order.moment
    newest = max(wal.values(), default=0)
    fitting = backups if wanted is None else [it for it in backups if it.stop < wanted <= newest + 1]
    return max(fitting, key=lambda it: it.stop, default=None)


def _said(order: Order, info: Info | None, wal: dict[str, int]) -> str:
    if info is None:
        return "no answer"
    backups = _fitting(order, info)
    if not backups:
        return "no backup" + (f" on timeline {order.timeline} or before" if order.timeline and info.backups else "")
    first, last = min(it.stop for it in backups), max(wal.values(), default=0)
    end = reach(set(wal), max(backups, key=lambda it: it.stop), order.timeline)
    return f"from {moment(first)} to {moment(last)}, without a hole up to segment {end}"


def moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def room(directory: Path, free: int, size: int) -> None:
    """Raises Refused where the copy would fill a disk that a running cluster may share. WAL comes on top, so this is the least."""
    if free <= size:
        raise Refused(
            say(
                subject=f"directory {directory}",
                found=f"{free} bytes free on its disk",
                wanted=f"more than the {size} of the backup, and room for WAL",
                consequence="nothing was restored",
                remedy="name a directory on a larger disk",
            )
        )
