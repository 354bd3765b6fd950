"""A cache's files: whether it has its data, and whether it once had, which tells a first start from a loss; what is put aside."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from contract.errors import Failed, say

from ..frame.files import sync_folder
from ..frame.layout import Layout
from .engine import Engine, find_engine

MOST_BROKEN = 3  # copies that are kept of files from which no server starts
# What a server says of its files before it gives up, and what is no fault of theirs.
_FILES = re.compile(r"append.only|\bAOF\b|\bRDB\b", re.IGNORECASE)
_PLACE = re.compile(r"No space left|Permission denied|Read-only file system|Input/output error|Cannot allocate memory")
_AUX, _EMPTY, _HEAD = 0xFA, 0xFF, 65536  # of a saved file: a note about it, its end; as much as its notes may take


def folder(layout: Layout, engine: Engine) -> Path:
    """The append-only files."""
    return layout.at(engine.data) / "dr-aof"


def free(layout: Layout, engine: Engine) -> int | None:
    """Bytes that are free where the data is; None where nobody can tell."""
    try:
        disk = os.statvfs(layout.at(engine.data))
        return disk.f_bavail * disk.f_frsize
    except OSError:
        return None


def present(layout: Layout, engine: Engine) -> bool:
    """Whether a server started on this host would find files: it reads the append-only files, and never the saved one beside them."""
    return any(folder(layout, engine).glob("*.manifest"))


def hold_keys(layout: Layout, engine: Engine) -> bool:
    """Whether the append-only files may hold keys. No, for certain, where nothing was appended to an empty base."""
    try:
        lines = [line.split() for path in folder(layout, engine).glob("*.manifest") for line in _lines(path)]
        used = [folder(layout, engine) / words[1] for words in lines if words[5:6] in (["b"], ["i"])]
        return any(path.stat().st_size > 0 and not _is_empty_base(path) for path in used)
    except (OSError, IndexError):
        return False  # nothing that a server could start from


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _is_empty_base(path: Path) -> bool:
    """Whether it is a saved file that ends after its notes."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    at = 9  # behind the name and the number of the format
    if not head.startswith((b"REDIS", b"VALKEY")):
        return False
    try:
        while head[at] == _AUX:
            at = _behind(head, _behind(head, at + 1))
        return head[at] == _EMPTY
    except (IndexError, ValueError):
        return False


def _behind(head: bytes, at: int) -> int:
    """Where the string that begins at `at` ends. Raises ValueError for a packed one."""
    kind, low = head[at] >> 6, head[at] & 0x3F
    if kind == 0:
        return at + 1 + low
    if kind == 1:
        return at + 2 + (low << 8 | head[at + 1])
    if kind == 2:
        return at + 5 + int.from_bytes(head[at + 1 : at + 5], "big")
    if low > 2:
        raise ValueError("packed")
    return at + 1 + (1 << low)


def marker(layout: Layout) -> Path:
    """Exists once the cache of this host ran with files of its own."""
    return layout.var / "redis-had-data"


def gone(layout: Layout) -> str | None:
    """Why a master would start empty here although it had data, for the guard; None when it would not."""
    engine = find_engine(layout)
    if not marker(layout).exists() or present(layout, engine):
        return None
    return f"whose data is gone from {layout.at(engine.data)}"


def complaint(said: Sequence[str]) -> str | None:
    """Why a server did not start from its files, in its own last words; None when they were no reason. `said`: its lines, the newest last."""
    begun = max((number for number, line in enumerate(said) if "just started" in line), default=0)
    warned = [line.partition(" # ")[2].strip() for line in said[begun:] if " # " in line]
    found = [words for words in warned if _FILES.search(words)]
    return found[-1] if found and not any(_PLACE.search(words) for words in warned) else None


def put_aside(layout: Layout, engine: Engine) -> Path:
    """Rename the append-only files, so that a server starts without them; returns where they are kept. Raises Failed when enough are kept already."""
    place = folder(layout, engine)
    kept = [place.with_name(f"{place.name}.broken-{number}") for number in range(1, MOST_BROKEN + 1)]
    free = next((path for path in kept if not path.exists()), None)
    if free is None:
        raise Failed(
            say(
                subject=f"broken append-only files of this cache in {place.parent}",
                found=f"{MOST_BROKEN} kept already",
                wanted=f"fewer than {MOST_BROKEN}",
                consequence="those of now stay where they are, and the cache is down",
                remedy=f"remove what nobody needs of {place.name}.broken-1 to -{MOST_BROKEN}, and see why they break; then run the same again",
            )
        )
    place.rename(free)
    sync_folder(place.parent)
    return free
