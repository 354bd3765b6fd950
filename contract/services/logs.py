"""Logs: what is configured of the copies of hosts' journals (`dr:logs`) and what `logs converge` is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..checks import boolean, integer
from ..fields import key, part
from ..hosts import CONTROL
from ..plain import phrase

MOST_UNITS = 30  # that are named
COPIES = "/var/log/dr-logs"  # on a control host: a folder for each host of the other region, by its key


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How much a control host keeps of each host of the other region."""

    days: int = key(
        integer(1, 365),
        "how long lines of the other region's hosts are kept",
        default=14,
        unit="days",
        why="copies would fill the disk",
    )
    host_mb: int = key(
        integer(32, 65_536),
        "how much of the control host's disk the journal of one host of the other region may take; whichever is reached first",
        default=256,
        unit="MiB",
        why="copies would fill the disk",
    )


@dataclass(frozen=True, kw_only=True)
class Keys(Kept):
    """`dr:logs`. Absent: each host's journal is on that host alone, and is lost with it (docs/logs.md)."""

    enabled: bool = key(
        boolean,
        "false: what was put on hosts is stopped and taken away by the next run; then leave the section out",
        default=True,
        why="it is not clear whether journals are copied",
    )


@dataclass(frozen=True, kw_only=True)
class Block:
    """`logs converge`: of every host."""

    enabled: bool = key(boolean, "false: what is there is taken away", default=True)
    kept: Kept | None = part(
        Kept, "of a control host: what it keeps of the other region; null on the others", optional=True
    )


def packages(kind: str) -> tuple[str, ...]:
    """Of one kind of host; installed by `logs converge`. HAProxy looks at certificates: Debian's systemd-journal-remote cannot."""
    return ("systemd-journal-remote", *(("haproxy",) if kind == CONTROL else ()))


def other_units(asked: Sequence[str], known: Iterable[str]) -> str:
    """What is said where units that were asked for have no line. `known`: those that have any, those that are alike first."""
    words = [it.partition("@")[0].removesuffix(".service").lower() for it in asked]
    names = {phrase(it, 80) for it in known if it.strip()}
    alike = sorted(names, key=lambda name: (not any(word in name.lower() for word in words), name))
    more = f" and {len(alike) - MOST_UNITS} more" if len(alike) > MOST_UNITS else ""
    return f"no line of {', '.join(asked)} there; units that have any: {', '.join(alike[:MOST_UNITS]) or 'none'}{more}"
