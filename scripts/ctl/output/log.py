"""The log of a run that changes something: what it was told, all that it and its pulumi said, how it ended, on this machine's disk for its user alone.

Everything passes one filter (`hiding`). A log that cannot be written is told once, and is no reason to end a run.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, cast

from contract.errors import ExitCode
from contract.plain import printable
from contract.version import VERSION
from scripts.ctl import output
from scripts.ctl.output.hiding import Stream, Words, of

KEPT = 50  # of the newest
MOST_BYTES = 4 * 1024 * 1024  # of one
PASSPHRASE_FILE, MOST_PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE_FILE", 4096
_SECRET = ("PASS", "SECRET", "TOKEN", "_KEY", "KEY_", "CREDENTIAL", "AUTH")
_FAILED = (ExitCode.FAILED, ExitCode.PARTIAL, ExitCode.UNKNOWN)
_open: list[Log] = []


class Log:
    """Of one run."""

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
        """`name`: of the command; `words`: as they were typed."""
        self._words = Words(_of_environment(environment))
        self._streams = {kind: Stream(self._words) for kind in ("run", "out", "err", "pulumi")}
        self._left, self._began = MOST_BYTES, time.monotonic()
        self._file: TextIO | None = None
        self.path: Path | None = None
        self.code: int | None = None  # with which it ends
        try:
            self.path = _place(name)
            self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
        except (OSError, RuntimeError) as error:
            self._lost(error)
        self.say("run", f"drctl {VERSION}: {shlex.join(words)}\n")

    def know(self, secrets: Any) -> None:
        """Hide these from now on: the secrets of a configuration."""
        self._words.know(of(secrets))

    def say(self, kind: str, text: str) -> None:
        """A piece of `out`, `err`, `pulumi`, or a whole line of this module's own (`run`)."""
        if self._file is not None:
            self._write(kind, self._streams[kind].take(text))

    def end(self, how: str) -> None:
        """What waits is written, and it is over."""
        for kind, stream in self._streams.items():
            if rest := stream.end():
                self._write(kind, rest)
        self._write("run", how)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _write(self, kind: str, text: str) -> None:
        if self._file is None or not text:
            return
        at = f"{datetime.now(UTC):%H:%M:%S} {time.monotonic() - self._began:7.2f} s"
        told = "".join(f"{at}  {kind:<6}  {printable(line, stay='')}\n" for line in text.splitlines() if line.strip())
        size = len(told.encode("utf-8", "backslashreplace"))
        if size > self._left:
            told = f"the rest is left out: a log has at most {MOST_BYTES} bytes\n" if self._left else ""
            self._left = 0
        self._left = max(self._left - size, 0)
        try:
            self._file.write(told)
            self._file.flush()
        except (OSError, UnicodeError) as error:
            with suppress(OSError):
                self._file.close()
            self._file = None
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        why = getattr(error, "strerror", None) or type(error).__name__
        output.say(f"warning: the log of this run cannot be written ({why}); the run goes on without one")


@contextmanager
def kept(name: str, words: Sequence[str]) -> Iterator[None]:
    """What is said on both streams is in the log as well. On the way out its place is told where the run has failed."""
    log, before = Log(name, words), (sys.stdout, sys.stderr)
    heard = (stream and _Heard(stream, log, kind) for stream, kind in zip(before, ("out", "err"), strict=True))
    sys.stdout, sys.stderr = cast(tuple[TextIO, TextIO], tuple(heard))
    _open.append(log)
    how = ""
    try:
        yield
    except BaseException as error:
        how = f"ended by {type(error).__name__}"
        raise
    finally:
        _open.remove(log)
        sys.stdout, sys.stderr = before
        log.end(how or f"ended with exit code {log.code}")
        if log.path is not None and (log.code is None or log.code in _FAILED):
            output.say(f"log of this run: {log.path}")


def ended(code: int) -> int:
    """The run ends with this exit code."""
    for log in _open:
        log.code = code
    return code


def know(secrets: Any) -> None:
    """Secrets that this process has opened: they are in no log of it from now on."""
    for log in _open:
        log.know(secrets)


def note(text: str) -> None:
    """A line for the logs alone."""
    for log in _open:
        log.say("run", f"{text}\n")


def pulumi(text: str) -> None:
    """A piece of what it has said on its streams."""
    for log in _open:
        log.say("pulumi", text)


class _Heard:
    """A stream of this process, with a log that hears it; all else is the stream's own."""

    def __init__(self, stream: TextIO, log: Log, kind: str) -> None:
        self._stream, self._log, self._kind = stream, log, kind

    def write(self, text: str) -> int:
        self._log.say(self._kind, text)
        return self._stream.write(text)

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _place(name: str) -> Path:
    """A fresh one; the oldest ones go. Raises OSError, RuntimeError: a user may have no home."""
    home = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    folder, at = Path(home) / "drctl" / "log", datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.log"))[: -KEPT + 1]:
        old.unlink(missing_ok=True)
    return folder / f"{at:%Y%m%dT%H%M%S}.{at.microsecond:06d}-{name.replace(' ', '-')}.log"


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    """What stands in variables whose names say that it is a secret."""
    for name, value in environment.items():
        if any(part in name.upper() for part in _SECRET) and not name.endswith(("_FILE", "_SOCK")):
            yield value
    if file := environment.get(PASSPHRASE_FILE):
        with suppress(OSError, UnicodeDecodeError), Path(file).open(encoding="utf-8") as stream:
            yield stream.read(MOST_PASSPHRASE)
