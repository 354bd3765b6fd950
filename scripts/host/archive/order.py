"""What a restore is asked for, and which repository and backup it comes from. Pure."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import Refused, say

from ..frame.desired import Reader
from .desired import Memory
from .tool import Backup, Info

LATEST = "latest"


@dataclass(frozen=True)
class Order:
    """What the operator asks for. `target`: seconds since 1970, None for everything that the archive has. `timeline`: None for the newest."""

    target: datetime.datetime | None
    timeline: int | None
    directory: Path
    port: int
    repository: str | None
    cluster: str | None
    adopt: bool

    @classmethod
    def read(cls, document: dict[str, Any], memory: Memory) -> Order:
        """Raises Usage that names every fault."""
        reader = Reader(document, "document")
        text = reader.text("target", LATEST)
        target = None
        try:
            target = None if text == LATEST else datetime.datetime.fromisoformat(text)
        except ValueError:
            reader.fault("target", repr(text), '"latest" or a time such as "2026-11-25T10:00:00+00:00"')
        if target is not None and target.tzinfo is None:
            reader.fault(
                "target",
                repr(text),
                'a time with its zone, such as "2026-11-25T10:00:00+00:00": two hosts may mean two hours by it',
            )
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
        )
        reader.done()
        return found

    @property
    def moment(self) -> float | None:
        return None if self.target is None else self.target.timestamp()


@dataclass(frozen=True)
class Source:
    """Where a restore comes from."""

    repository: str
    backup: Backup


def choose(order: Order, infos: dict[str, Info | None], newest: dict[str, int]) -> Source:
    """The first repository that holds the target, and its last backup before it. `newest`: when WAL was last stored there. Pure; raises
    Refused with the range of each repository.
    """
    said: list[str] = []
    for repository, info in infos.items():
        if info is None:
            said.append(f"{repository}: no answer")
            continue
        backups = [it for it in info.backups if order.timeline is None or int(it.wal[:8], 16) <= order.timeline]
        if not backups:
            said.append(
                f"{repository}: no backup"
                + (f" on timeline {order.timeline} or before" if order.timeline and info.backups else "")
            )
            continue
        first, last = min(it.stop for it in backups), newest.get(repository, 0)
        said.append(f"{repository}: from {moment(first)} to {moment(last)}")
        wanted = order.moment
        # A backup is consistent from the end of its copying on.
        fitting = backups if wanted is None else [it for it in backups if it.stop < wanted <= last + 1]
        if fitting:
            return Source(repository, max(fitting, key=lambda it: it.stop))
    raise Refused(
        say(
            subject="restore target",
            found=f"{order.target.isoformat() if order.target else LATEST}",
            wanted=f"a time in the archive ({'; '.join(said) or 'no repository'})",
            consequence="nothing was restored",
            remedy="choose a time within; what the primary wrote in the last minute is archived by `select pg_switch_wal()` there",
        )
    )


def moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
