"""What `alter system` left in `postgresql.auto.conf`, here or on the server of which this one is a copy.

That file lies in the data directory, so a base backup and a rewind bring it along, and it is read last, so it wins over every file of
ours: a recovery target in it ends a standby's recovery and makes it a second primary. Before each start it loses every name that is
ours; by the file itself, because a server may refuse `alter system` (`allow_alter_system`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..frame.files import read_own, write_atomically
from .layout import PostgresLayout

FILE = "postgresql.auto.conf"
_NAME = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_.$]*)")


def found(layout: PostgresLayout) -> tuple[str, ...]:
    """Names in the data directory's file that override what this software decides. Never fails."""
    text, ours = _read(layout.data), _managed(layout)
    return tuple(sorted({name for line in text.splitlines() if (name := _named(line)) and _wins(name, ours)}))


def drop(layout: PostgresLayout, data: Path | None = None) -> tuple[str, ...]:
    """Take them out of the file of `data`, by default the data directory; returns their names. Raises OSError."""
    folder = data or layout.data
    text, ours = _read(folder), _managed(layout)
    kept, gone = list[str](), set[str]()
    for line in text.splitlines(keepends=True):
        name = _named(line)
        if name is not None and _wins(name, ours):
            gone.add(name)
        else:
            kept.append(line)
    if gone:
        status = folder.stat()
        ids = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
        write_atomically(folder / FILE, "".join(kept).encode(errors="surrogateescape"), 0o600, ids)
    return tuple(sorted(gone))


def _wins(name: str, ours: frozenset[str]) -> bool:
    from contract.services.postgres import reserved  # noqa: PLC0415 - only where there are settings of somebody's

    return name in ours or reserved(name)


def _managed(layout: PostgresLayout) -> frozenset[str]:
    """As our own files have them on this disk, so that a boot, which gets no document, knows them too."""
    texts = (_read_file(path) for path in (layout.conf / "conf.d").glob("*.conf"))
    return frozenset(name for text in texts for line in text.splitlines() if (name := _named(line)))


def _named(line: str) -> str | None:
    """The parameter that a line sets, as the server knows it: case does not count there."""
    match = _NAME.match(line)
    return match[1].lower() if match else None


def _read(folder: Path) -> str:
    return _read_file(folder / FILE)


def _read_file(path: Path) -> str:
    try:
        return read_own(path).decode(errors="surrogateescape")
    except OSError:
        return ""
