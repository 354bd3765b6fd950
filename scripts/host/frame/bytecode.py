"""Bytecode for this host's Python in the archive that the software runs from: without it each call compiles anew what it imports, half of its time.

Appended as unchecked hash-based files (PEP 552), which an archive's importer takes before the source and leaves aside when they are another
version's. What a process knows of the archive stays true: entries that were there keep their places, and the file is replaced whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import shutil
import warnings
import zipfile
from pathlib import Path

from .files import write_atomically
from .layout import RECORD


def wanted(archive: Path) -> bool:
    """Whether modules of the archive have no bytecode of this version. An archive that is none, or not there, wants nothing."""
    try:
        with zipfile.ZipFile(archive) as packed:
            names = set(packed.namelist())
            return any(f"{name}c" not in names or _stale(packed, f"{name}c") for name in names if name.endswith(".py"))
    except (OSError, zipfile.BadZipFile):
        return False


def add(archive: Path) -> None:
    """Raises OSError; the archive is then as it was."""
    made = archive.with_name(f"{archive.name}.new")
    try:
        shutil.copy2(archive, made)
        with zipfile.ZipFile(made, "a", zipfile.ZIP_STORED) as packed, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # another version's stay in it; the last of one name counts
            for name in sorted(set(packed.namelist())):
                if name.endswith(".py"):
                    packed.writestr(zipfile.ZipInfo(f"{name}c"), _compiled(packed.read(name), f"{archive}/{name}"))
        with made.open("rb+") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        _record(archive, digest)
        made.replace(archive)
    finally:
        made.unlink(missing_ok=True)


def _record(archive: Path, digest: str) -> None:
    """What the archive is about to be, in the record of what it may be; a host that has none was set up by a version that made none."""
    record = archive.with_name(f"{archive.name}{RECORD}")
    if record.exists():
        words = record.read_text().split()
        write_atomically(record, " ".join([*words, *({digest} - {*words[1:]})]).encode() + b"\n", 0o644)


def _stale(packed: zipfile.ZipFile, name: str) -> bool:
    with packed.open(name) as file:
        return file.read(4) != importlib.util.MAGIC_NUMBER


def _compiled(source: bytes, name: str) -> bytes:
    code = compile(source, name, "exec", dont_inherit=True)
    unchecked = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + marshal.dumps(code)
