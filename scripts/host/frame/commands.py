"""Programs: without a shell, with a limit, with `LC_ALL=C`, secrets on stdin only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from contract.dataclass import dataclass
from contract.errors import Failed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMED_OUT = 124  # as timeout(1) says it
NOT_THERE = 127  # as a shell says it


@dataclass(frozen=True)
class Done:
    """How a program ended. `code` is TIMED_OUT when it was killed at its limit, NOT_THERE when it could not be started."""

    code: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """Last line that the program wrote to stderr, or its code."""
        return (self.err.strip().splitlines() or [f"exit code {self.code}"])[-1].strip()


class CommandFailed(Failed):
    """A program ended with another code than 0. `done` says how."""

    def __init__(self, argv: Sequence[str], done: Done) -> None:
        super().__init__(f"program {argv[0]}: {done.reason} (exit code {done.code}, wanted 0)")
        self.done = done


def run(
    argv: Sequence[str],
    *,
    limit_s: float,
    stdin: str | None = None,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> Done:
    """Run `argv` and wait at most `limit_s` seconds. `user`: run as that user (when root; else as oneself).

    `check`: raise `CommandFailed` unless it ends with 0. Never put a secret in `argv` or `environment`.
    """
    environ = {"PATH": PATH, "LC_ALL": "C", "HOME": "/", **(environment or {})}
    become = user if user and os.geteuid() == 0 and user != "root" else None
    try:
        done = subprocess.run(
            list(argv),
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            env=environ,
            cwd="/",
            user=become,
            group=become,
            extra_groups=[] if become else None,
        )
        answer = Done(done.returncode, done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        answer = Done(TIMED_OUT, "", f"no end within {limit_s:g} s")
    except (FileNotFoundError, PermissionError) as error:
        answer = Done(NOT_THERE, "", f"cannot be started: {error.strerror}")
    if check and answer.code != 0:
        raise CommandFailed(argv, answer)
    return answer


def lines(argv: Sequence[str], *, limit_s: float, user: str | None = None) -> Iterator[str]:
    """Lines of a program's output while it writes them, however long that is. Its end is not judged: `timeout` bounds it."""
    become = user if user and os.geteuid() == 0 and user != "root" else None
    with subprocess.Popen(
        ["timeout", "-k", "5", f"{limit_s:g}", *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={"PATH": PATH, "LC_ALL": "C", "HOME": "/"},
        cwd="/",
        user=become,
        group=become,
        extra_groups=[] if become else None,
    ) as program:
        if program.stdout is not None:
            yield from program.stdout
