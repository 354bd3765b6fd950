"""Records that could not be written to the witness yet: they wait on this machine, for `drctl report push`. They are signed when they get their place.

What was begun and has not ended is here as well, as the record that it would be if it were killed now: whoever comes next finds whether it was.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from contract import fields
from contract.buckets import Bucket
from contract.checks import integer, text
from contract.dataclass import dataclass
from contract.errors import Failed
from contract.fields import key, part
from contract.forms import is_id
from contract.plain import shown
from contract.report import Record
from scripts.clients import this_machine
from scripts.ctl.persons import memory


@dataclass(frozen=True, kw_only=True)
class Begun:
    """`machine`, `pid`, `begun`: of the process that is at it, as in `contract.runs.Run`."""

    machine: str = key(text(r"[0-9a-f]{32}", "32 hexadecimal digits"), "that runs it")
    pid: int = key(integer(1, 2**31), "of its process")
    begun: int = key(integer(0, 2**63 - 1), "when that was started, in clock ticks")
    record: Record = part(Record, "what it has come to")

    @property
    def lives(self) -> bool:
        return self.machine == this_machine.identity() and not this_machine.gone(self.pid, self.begun)


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
    """It is at the witness. Where this disk does not let go of it, the next one that looks finds it there already."""
    with suppress(OSError):
        file.unlink(missing_ok=True)


def begin(witness: Bucket, made: Record) -> None:
    """What it has come to by now. Raises OSError, RuntimeError."""
    now = Begun(machine=this_machine.identity(), pid=os.getpid(), begun=this_machine.begun(), record=made)
    memory.write(_place(witness, made.token), fields.write(now))


def end(witness: Bucket, token: str) -> None:
    """It has a record of its own, or needs none."""
    with suppress(OSError, RuntimeError):
        _place(witness, token).unlink(missing_ok=True)


def killed(witness: Bucket) -> list[Record]:
    """What was begun here by processes that are no more, the oldest first: each waits from now on as a record does."""
    found = list[Record]()
    with suppress(OSError, RuntimeError):
        for file in sorted(_place(witness, "x").parent.glob("*.json"), key=lambda it: it.stat().st_mtime):
            try:
                it = fields.heard(Begun, memory.read(file), f"file {file}", "it is passed over")
            except (OSError, ValueError, Failed):  # one that cannot be read hides none behind it
                continue
            if not it.lives:
                keep(witness, it.record)
                file.unlink(missing_ok=True)
                found.append(it.record)
    return found


def _place(witness: Bucket, token: str) -> Path:
    return memory.place_of("begun", witness) / f"{token}.json"


def _folder(witness: Bucket) -> Path:
    return memory.place_of("reports", witness)
