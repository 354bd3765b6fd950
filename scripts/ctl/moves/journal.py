"""What a move does, a line before and after each link, on this machine's disk as it happens: the next command knows what one that was killed had come to.

It is no proof of anything: who leads is the witness's word. What cannot be written is told once, and is no reason to end a move.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

from contract import fields
from contract.buckets import Bucket
from contract.checks import integer, one_of, optional, text
from contract.dataclass import dataclass
from contract.errors import ExitCode, Failed
from contract.fields import key
from contract.forms import EPOCH, MOST_BYTES, PHRASE, SECONDS
from contract.sites import A_SITE
from contract.wire import document
from scripts.clients import this_machine
from scripts.ctl.moves.engine import Step
from scripts.ctl.moves.plan import Kind, Plan
from scripts.ctl.persons import memory

T = TypeVar("T")
KEPT = 50  # of the newest
_OTHERWISE = "it is passed over"
_GOES_ON = (ExitCode.FAILED, ExitCode.PARTIAL, ExitCode.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The first line. `machine`, `pid`, `begun`: of the process that writes, as in `contract.runs.Run`."""

    kind: str = key(one_of(*Kind), "of the move")
    source: str = key(A_SITE, "which was active")
    target: str = key(A_SITE, "which shall be")
    epoch: int = key(EPOCH, "in force then")
    plan: str = key(text(r"[0-9a-f]{12}", "12 hexadecimal digits"), "its digest")
    at: str = key(PHRASE, "when, RFC 3339")
    machine: str = key(text(r"[0-9a-f]{32}", "32 hexadecimal digits"), "that runs it")
    pid: int = key(integer(1, 2**31), "of its process")
    begun: int = key(integer(0, 2**63 - 1), "when that was started, in clock ticks")


@dataclass(frozen=True, kw_only=True)
class Line:
    """Every other one."""

    what: str = key(
        one_of("run", "link", "end"),
        "`run`: a pulumi up is let begin; `link`: one begins or ends; `end`: of the command",
    )
    at_s: float = key(SECONDS, "since the first line")
    site: str | None = key(optional(A_SITE), "whose stack, of a run", default=None)
    link: str = key(PHRASE, "its name", default="")
    state: str = key(PHRASE, "begun, done or failed", default="")
    code: int | None = key(optional(integer(0, 255)), "how the command ended", default=None)


@dataclass(frozen=True, kw_only=True)
class Left:
    """A move that has not come to its end."""

    begun: Begun
    lines: tuple[Line, ...]

    def told(self) -> str:
        """As a phrase."""
        it, links = self.begun, [line for line in self.lines if line.what == "link"]
        came = f"{links[-1].link}: {links[-1].state}" if links else "nothing yet"
        how = "was killed" if self.code is None else f"ended with exit code {self.code}"
        return f"{it.kind} to region {it.target}, begun {it.at}, {how}; it had come to {came}"

    @property
    def code(self) -> int | None:
        return next((line.code for line in self.lines if line.what == "end"), None)


class Journal:
    """Of one command. Nothing is written before `begin`."""

    def __init__(self, witness: Bucket, tell: Callable[[str], None]) -> None:
        self._witness, self._tell, self._began = witness, tell, 0.0
        self._file: TextIO | None = None

    def begin(self, found: Plan) -> None:
        """The plan was agreed to."""
        self._began = time.monotonic()
        at = datetime.now(UTC)
        told = Begun(
            kind=found.kind,
            source=found.source,
            target=found.target,
            epoch=found.epoch,
            plan=found.digest,
            at=at.isoformat(timespec="seconds"),
            machine=this_machine.identity(),
            pid=os.getpid(),
            begun=this_machine.begun(),
        )
        try:
            folder = _folder(self._witness)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in _files(folder)[: -KEPT + 1]:
                old.unlink(missing_ok=True)
            file = folder / f"{at:%Y%m%dT%H%M%S}.{at.microsecond:06d}.jsonl"
            self._file = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
        except (OSError, RuntimeError) as error:
            self._lost(error)
            return
        self._write(fields.write(told))

    def run(self, site: str) -> None:
        """Before it."""
        self._line(what="run", site=site)

    def link(self, step: Step) -> None:
        """Before it, and after it."""
        self._line(what="link", link=step.link, state=step.state)

    def end(self, code: ExitCode | None) -> None:
        """None: somebody has ended it."""
        self._line(what="end", code=int(ExitCode.PARTIAL if code is None else code))
        if self._file is not None:
            self._file.close()
            self._file = None

    def _line(self, **more: Any) -> None:
        if self._file is not None:
            self._write(fields.write(Line(at_s=round(time.monotonic() - self._began, 2), **more)))

    def _write(self, told: Any) -> None:
        assert self._file is not None
        try:
            self._file.write(json.dumps(told, sort_keys=True) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.close()
            self._file = None
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        why = getattr(error, "strerror", None) or type(error).__name__
        self._tell(
            f"warning: the journal of this move cannot be written ({why}); the move goes on, and --resume will not know of it"
        )


def left(witness: Bucket) -> Left | None:
    """The newest move of this machine, where it has not come to its end and nobody works at it; None else."""
    with suppress(OSError, RuntimeError):
        files = _files(_folder(witness))
        found = _read(files[-1]) if files else None
        if found is None or (found.code is not None and found.code not in _GOES_ON):
            return None
        it = found.begun
        alive = it.machine == this_machine.identity() and not this_machine.gone(it.pid, it.begun)
        return None if alive and found.code is None else found
    return None


def _read(file: Path) -> Left | None:
    with file.open("rb") as stream:
        rows = stream.read(MOST_BYTES).split(b"\n")
    begun = _heard(Begun, rows[0])
    lines = [line for row in rows[1:] if (line := _heard(Line, row)) is not None]  # the last one may be cut
    return None if begun is None else Left(begun=begun, lines=tuple(lines))


def _heard(cls: type[T], row: bytes) -> T | None:
    try:
        return fields.heard(cls, document.mapping(row), "journal", _OTHERWISE)
    except (ValueError, Failed):
        return None


def _files(folder: Path) -> list[Path]:
    """The newest last."""
    return sorted(folder.glob("*.jsonl"))


def _folder(witness: Bucket) -> Path:
    return memory.place_of("journal", witness)
