"""What the journal says of people who come in, from where it was read last. Read only, and bounded however much there is."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from contract.authlog import MOST_LINES, MOST_TEXT, Line
from contract.dataclass import dataclass
from contract.errors import Failed, say
from contract.plain import phrase

from ..frame.commands import PATH, TIMED_OUT

READ_S, KILLED = 20, 137  # the latter: what timeout says of one that it had to kill
MOST_READ = 20_000  # entries of the journal in one go, of which few may be of use
# Lines of one object that are not root's: whoever has a service's user may write as many as it likes.
MOST_OF_OTHERS = 50
FAILED_UNITS = (
    "be02cf6855d2428ba40df7e9d022f03d",
    "d9b373ed55a64feb8242e02dbe79a49c",
)  # systemd's ids of such messages
# Facilities auth and authpriv, and sshd whatever facility it takes; a user may claim one of these, but no program and no user id.
MATCHES = (
    *("SYSLOG_FACILITY=4", "SYSLOG_FACILITY=10"),
    *("+", "_COMM=sshd", "_COMM=sshd-session", "_COMM=sshd-auth"),
    *("+", "_SYSTEMD_UNIT=systemd-logind.service"),
    *("+", "_PID=1", *(f"MESSAGE_ID={it}" for it in FAILED_UNITS)),
)
FIELDS = ("MESSAGE", "_COMM", "_UID", "_PID", "_SYSTEMD_UNIT", "UNIT", "MESSAGE_ID")
OURS = ("dr-", "postgresql@", "redis", "ssh", "shop", "puma", "nginx")  # units whose failures are told
_CURSOR = re.compile(r"[0-9A-Za-z=;_-]{1,400}")

Rows = Callable[[Sequence[str]], Iterator[str]]


@dataclass(frozen=True, kw_only=True)
class Read:
    """`cursor`: of the last entry that was read. `gone`: the entry where the last reading ended is not there any more, and `lost` as in `Head`."""

    lines: tuple[Line, ...]
    cursor: str
    gone: bool = False
    lost: int | None = None
    more: bool = False  # it was left off for its size


def read(cursor: str, rows: Rows) -> Read:
    """From behind `cursor`, from the journal's begin where it is empty. `rows`: of journalctl with these arguments. Raises Failed.

    The entry at the cursor is asked for once more: when it does not come first it is there no more, and with it whatever came between.
    """
    start = [f"--cursor={cursor}"] if _CURSOR.fullmatch(cursor) else []
    words = ["--quiet", "--no-pager", "--output=json", f"--output-fields={','.join(FIELDS)}", *start, *MATCHES]
    lines, last, gone, lost, first = _Lines(), cursor, False, None, True
    try:
        for number, row in enumerate(rows(words), 1):
            entry = entry_of(row)
            here = str(entry.get("__CURSOR", ""))
            if first and start:
                first = False
                if _place(here) == _place(cursor):
                    continue
                gone, lost = True, _between(cursor, here)
            first, last = False, here if _CURSOR.fullmatch(here) else last
            line = _line(entry)
            if line:
                lines.take(line)
            if lines.full or number >= MOST_READ:
                return Read(lines=lines.all(), cursor=last, gone=gone, lost=lost, more=True)
    except Slow:
        if last == cursor:
            raise
    if first and start:  # not even that one: the journal was emptied
        return Read(lines=(), cursor="", gone=True)
    return Read(lines=lines.all(), cursor=last, gone=gone, lost=lost)


class _Lines:
    """Of one object. What others than root say leaves room for what root says, and is not kept for more than it is worth."""

    def __init__(self) -> None:
        self._lines, self._others = list[Line](), 0
        self._left: tuple[int, Line] | None = None  # how many were left out, and the last of them

    @property
    def full(self) -> bool:
        return len(self._lines) + (self._left is not None) >= MOST_LINES

    def take(self, line: Line) -> None:
        if line.uid and self._others >= MOST_OF_OTHERS:
            self._left = (self._left[0] if self._left else 0) + 1, line
            return
        self._others += bool(line.uid)
        self._lines.append(line)

    def all(self) -> tuple[Line, ...]:
        if self._left is None:
            return tuple(self._lines)
        number, last = self._left
        said = f"{number} more entries of users other than root were left out, the last of them of user {last.uid}"
        return (*self._lines, Line(at=last.at, comm="dr-host", text=said))


class Slow(Failed):
    """It was not through within the limit. What it has told so far stands."""


_TOLD_LATER = "who has signed in since the last time is told when it is read again, if the journal has it then"


def journalctl(words: Sequence[str], limit_s: int | None = None, otherwise: str = _TOLD_LATER) -> Iterator[str]:
    """Its lines. `limit_s`: for all of them, with what the reader takes; READ_S where it is not said. `otherwise`: what comes of it where there are more.
    Raises Failed where it ended in another way than by having told all.
    """
    argv = ["timeout", "-k", "5", str(limit_s or READ_S), "journalctl", *words]
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={"PATH": PATH, "LC_ALL": "C"},
    ) as program:
        assert program.stdout is not None
        yield from program.stdout
        if code := program.wait():
            raise (Slow if code in (TIMED_OUT, KILLED) else Failed)(
                say(
                    subject="journal",
                    found=f"journalctl ended with code {code}",
                    wanted="all of its entries",
                    consequence=otherwise,
                    remedy="run `journalctl -n 1` there, see the disk",
                )
            )


def entry_of(row: str) -> dict[str, Any]:
    """Of a line of journalctl's JSON; empty for what is none."""
    with suppress(ValueError, RecursionError):
        found = json.loads(row)
        if isinstance(found, dict):
            return found
    return {}


def _line(entry: dict[str, Any]) -> Line | None:
    """None for what is of no use: cron's sessions, which come and go by the clock, and the end of units that are not of this software."""
    comm, unit = written(entry.get("_COMM")), written(entry.get("UNIT")) or written(entry.get("_SYSTEMD_UNIT"))
    if comm in ("cron", "crond") or (entry.get("MESSAGE_ID") in FAILED_UNITS and not unit.startswith(OURS)):
        return None
    at, pid, uid = (_number(entry.get(name)) for name in ("__REALTIME_TIMESTAMP", "_PID", "_UID"))
    said = phrase(written(entry.get("MESSAGE")), MOST_TEXT)
    return Line(at=at or 0, comm=phrase(comm, 40), uid=uid, pid=pid or 0, unit=phrase(unit, 80), text=said)


def written(value: object) -> str:
    """What stands in a field. A list of numbers is how journalctl writes what is no UTF-8, null
    what is very long, and a list of texts what was said several times."""
    if isinstance(value, list):
        if all(isinstance(it, int) and 0 <= it < 256 for it in value):
            return bytes(value).decode(errors="replace")
        return " ".join(it for it in value if isinstance(it, str))
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    text = written(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _place(cursor: str) -> tuple[str, str]:
    """Which journal, and the number of the entry in it."""
    parts = dict(part.partition("=")[::2] for part in cursor.split(";"))
    return parts.get("s", ""), parts.get("i", "")


def _between(before: str, after: str) -> int | None:
    (one, first), (other, second) = _place(before), _place(after)
    try:
        return max(int(second, 16) - int(first, 16) - 1, 0) if one and one == other else None
    except ValueError:
        return None
