"""Copies of journals, on a control host, as lines of text: by time over all hosts, each under the name of the host whose certificate it came with.

`drctl logs` runs it there. What a copy says of itself (its host's name, too) is what the host said that wrote it: shown as one line of what can be
seen, and believed for nothing.
"""

from __future__ import annotations

import argparse
import datetime
import heapq
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from contract import pipes
from contract.errors import ExitCode, Failed
from contract.plain import phrase
from contract.services.logs import COPIES, other_units

from ..journal import entry_of, journalctl, written

FIELDS = ("MESSAGE", "SYSLOG_IDENTIFIER", "_COMM", "_PID", "_SYSTEMD_UNIT")
MOST_TEXT = 4000
# An upload that is begun again sends what it had last sent once more, and all of what nobody had said was there: so many lines back it is seen.
MOST_KNOWN = 5000
MOST_NAMES = 2000  # of units
# A person reads it, with a pager that stands still as long as they look: an end all the same, for nobody may be there any more.
READ_S = 4 * 3600
Rows = Callable[[Sequence[str]], Iterator[str]]
T = TypeVar("T")


def _read(words: Sequence[str]) -> Iterator[str]:
    return journalctl(words, READ_S, "what is shown of it ends there")


def main(argv: Sequence[str], folder: Path = Path(COPIES), rows: Rows = _read) -> int:
    """Exit code 0, also when there is no line; 1 when a copy cannot be read, or there is none at all."""
    chosen = _parser().parse_args(argv)
    keys = [it for it in chosen.hosts if (folder / it).is_dir()]
    for key in sorted(set(chosen.hosts) - set(keys)):
        print(f"of {key} there is no copy here", file=sys.stderr)
    failed, shown = list[str](), 0
    for at, key, text in heapq.merge(*(_until_it_fails(lines(key, folder, chosen, rows), key, failed) for key in keys)):
        print(f"{_spelled(at)} {key} {text}")
        shown += 1
    for key in keys:
        for end in _until_it_fails(_end(key, folder, rows), key, failed):
            print(f"the copy of {key} {'has no line' if end is None else f'ends at {_spelled(end)}'}", file=sys.stderr)
    if keys and chosen.unit and not shown and not failed:
        named = (it for key in keys for it in _until_it_fails(_units(key, folder, rows), key, failed))
        print(other_units(chosen.unit, named), file=sys.stderr)
    return ExitCode.FAILED if failed or not keys else ExitCode.DONE


def _until_it_fails(told: Iterator[T], key: str, failed: list[str]) -> Iterator[T]:
    """A copy that cannot be read, or not to its end, holds back nothing of the others."""
    try:
        yield from told
    except Failed as error:
        failed.append(key)
        print(f"ERROR logs: copy of {key}: {error}", file=sys.stderr)


def lines(key: str, folder: Path, chosen: argparse.Namespace, rows: Rows) -> Iterator[tuple[int, str, str]]:
    """Time in microseconds, host and text of each line of a copy, in the order of the journal. Raises Failed."""
    since, until = ([f"--{name}={at}"] if (at := getattr(chosen, name)) else [] for name in ("since", "until"))
    units = [f"--unit={it}" for it in chosen.unit]
    words = ["--quiet", "--no-pager", "--output=json", f"--output-fields={','.join(FIELDS)}", _files(key, folder)]
    known, order = set[tuple[str, ...]](), deque[tuple[str, ...]]()
    for row in rows([*words, *since, *until, *units]):
        entry = entry_of(row)
        at, text = str(entry.get("__REALTIME_TIMESTAMP", "")), _text(entry)
        one = (at, str(entry.get("__MONOTONIC_TIMESTAMP")), str(entry.get("_BOOT_ID")), text)
        if not _is_time(at) or one in known:
            continue
        yield int(at), key, text
        known.add(one)
        order.append(one)
        if len(order) > MOST_KNOWN:
            known.discard(order.popleft())


def _end(key: str, folder: Path, rows: Rows) -> Iterator[int | None]:
    """When the last line of a copy was written. Raises Failed."""
    words = ["--quiet", "--no-pager", "--output=json", "--output-fields=_PID", "--lines=1", _files(key, folder)]
    at = str(entry_of(next(iter(rows(words)), "")).get("__REALTIME_TIMESTAMP", ""))
    yield int(at) if _is_time(at) else None


def _units(key: str, folder: Path, rows: Rows) -> Iterator[str]:
    """Of which there is any line. Raises Failed."""
    for _, name in zip(
        range(MOST_NAMES), rows(["--quiet", "--no-pager", "--field=_SYSTEMD_UNIT", _files(key, folder)]), strict=False
    ):
        yield name.strip()


def _files(key: str, folder: Path) -> str:
    return f"--directory={folder / key}"


def _text(entry: dict[str, Any]) -> str:
    who = phrase(written(entry.get("SYSLOG_IDENTIFIER")) or written(entry.get("_COMM")) or "unknown", 60)
    pid = written(entry.get("_PID"))
    return f"{who}{f'[{pid}]' if pid.isdigit() else ''}: {phrase(written(entry.get('MESSAGE')), MOST_TEXT)}"


def _is_time(at: str) -> bool:
    return at.isascii() and at.isdigit() and len(at) <= 17


def _spelled(microseconds: int) -> str:
    try:
        at = datetime.datetime.fromtimestamp(microseconds / 1e6, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return "(no time)"
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="logs")
    parser.add_argument("--since", default="")
    parser.add_argument("--until", default="")
    parser.add_argument("--unit", action="append", default=[])
    parser.add_argument("hosts", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(pipes.status(lambda: main(sys.argv[1:])))
