"""Texts of PostgreSQL, read and written: control data, timeline histories, positions, connection strings, password files, verifiers.

Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field

from contract.dataclass import dataclass

SHUT_DOWN = "shut down"
SHUT_DOWN_IN_RECOVERY = "shut down in recovery"

# A standby with less of one of these than its primary stops its replay. Parameter: its line in the control data.
LIMITS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}


History = Sequence[tuple[int, str]]
_NEVER = "FFFFFFFF/FFFFFFFF"


def lsn(text: str) -> int:
    """A WAL position such as "0/3000E48" as a number. Raises ValueError."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def position(number: int) -> str:
    """The opposite of `lsn`."""
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


@dataclass(frozen=True)
class ControlData:
    """What `pg_controldata` says; positions as PostgreSQL writes them. `minimum_recovery` is "0/0" when there is none.

    `rewindable`: changed blocks can be told (checksums, or hints in the WAL). `limits`: the parameters, by name, that a standby may not
    be below. `segment`: bytes of a WAL file.
    """

    system_identifier: str
    state: str
    checkpoint: str
    timeline: int
    minimum_recovery: str
    minimum_recovery_timeline: int
    rewindable: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    segment: int = 16 << 20


def control_data(text: str) -> ControlData | None:
    """From the output of `pg_controldata` (LC_ALL=C); None when a line is missing."""
    lines = dict(re.findall(r"^([^:\n]+):[ \t]*(.*?)[ \t]*$", text, re.MULTILINE))
    try:
        return ControlData(
            lines["Database system identifier"],
            lines["Database cluster state"],
            lines["Latest checkpoint location"],
            int(lines["Latest checkpoint's TimeLineID"]),
            lines["Minimum recovery ending location"],
            int(lines["Min recovery ending loc's timeline"]),
            lines.get("wal_log_hints setting") == "on" or lines.get("Data page checksum version", "0") != "0",
            {name: int(lines[line]) for name, line in LIMITS.items() if line in lines},
            int(lines.get("Bytes per WAL segment", 16 << 20)),
        )
    except (KeyError, ValueError):
        return None


def history(text: str) -> list[tuple[int, str]]:
    """A timeline history file: (timeline, position at which it was left), oldest first."""
    found = re.findall(r"^[ \t]*(\d+)[ \t]+([0-9A-F]+/[0-9A-F]+)", text, re.MULTILINE)
    return [(int(timeline), position) for timeline, position in found]


def fork(own: History, timeline: int, other: History, other_timeline: int) -> tuple[int, str] | None:
    """Where two histories part: the last timeline that both know, and the position up to which they share it. None: nowhere in common.

    `own` and `other`: the timelines left behind so far; `timeline` and `other_timeline` are the ones they are on.
    """
    common: tuple[int, str] | None = None
    for (here, left), (there, gone) in zip(
        [*own, (timeline, _NEVER)], [*other, (other_timeline, _NEVER)], strict=False
    ):
        if here != there:
            break
        common = here, min(left, gone, key=lsn)
        if left != gone:
            break
    return None if common is None or common[1] == _NEVER else common


def segment_name(timeline: int, position: int, size: int) -> str:
    """Name of the WAL file of `size` bytes that holds `position`."""
    each = (1 << 32) // size
    number = position // size
    return f"{timeline:08X}{number // each:08X}{number % each:08X}"


def segment_start(name: str, size: int) -> int:
    """Where the WAL file `name` of `size` bytes begins. `name` without its timeline."""
    return (int(name[:8], 16) << 32) + int(name[8:16], 16) * size


def conninfo(values: Mapping[str, str]) -> str:
    """A libpq connection string: every value quoted, whatever is in it."""
    quoted = (f"{key}='{_backslashed(value)}'" for key, value in values.items())
    return " ".join(quoted)


def _backslashed(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def setting(value: str) -> str:
    """A value for postgresql.conf in single quotes. Raises ValueError for a text of several lines."""
    if "\n" in value or "\0" in value:
        raise ValueError("a setting of several lines")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def hba_word(value: str) -> str:
    """A name for pg_hba.conf in double quotes, so that `all` or `replication` as a name is a name."""
    return '"' + value.replace('"', '""') + '"'


def passfile_line(host: str, port: int, user: str, password: str) -> str:
    """One line of a libpq password file for any database; `replication` is one of them. Colons and backslashes are escaped."""
    escaped = (part.replace("\\", "\\\\").replace(":", "\\:") for part in (host, str(port)))
    secret = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"{':'.join(escaped)}:*:{user}:{secret}\n"
