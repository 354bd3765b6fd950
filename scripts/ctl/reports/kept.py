"""Records that could not be written to the witness yet: they wait on this machine, for `drctl report push`. They are signed when they get their place."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from contract import fields
from contract.buckets import Bucket
from contract.errors import Failed
from contract.forms import is_id
from contract.plain import shown
from contract.report import Record
from scripts.ctl.persons import memory


def keep(witness: Bucket, made: Record) -> Path:
    """Returns where. Raises OSError, RuntimeError."""
    file = _folder(witness) / f"{made.token}.json"
    memory.write(file, fields.write(made))
    return file


def waiting(witness: Bucket) -> list[Path]:
    """The oldest first."""
    with suppress(OSError, RuntimeError):
        found = [it for it in _folder(witness).glob("*.json") if is_id(it.stem)]
        return sorted(found, key=lambda it: it.stat().st_mtime)
    return []


def read(file: Path) -> Record:
    """Raises Failed."""
    otherwise = "it is not written to the witness; look into it, and remove it if nobody knows what it is"
    try:
        return fields.heard(Record, memory.read(file), f"file {file}", otherwise)
    except OSError as error:
        raise Failed(f"file {file}: cannot be read ({error.strerror}), wanted a record; {otherwise}") from None
    except ValueError:
        raise Failed(f"file {shown(str(file))}: found no JSON object, wanted a record; {otherwise}") from None


def drop(file: Path) -> None:
    """It is at the witness."""
    file.unlink(missing_ok=True)


def _folder(witness: Bucket) -> Path:
    return memory.place_of("reports", witness)
