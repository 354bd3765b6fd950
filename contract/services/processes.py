"""The shop's processes: what its release names in `Procfile`, and what is configured of each (`dr:app.processes`). Pure.

The Procfile lies in the release, so it goes with the code that it starts; the host reads it there, and the operator's side reads the same text
before anything is uploaded.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from ..checks import Unwanted, boolean, integer, line, mapping, optional
from ..dataclass import dataclass
from ..errors import Fault
from ..fields import Contradiction, key
from ..plain import shown
from .schedule import SCHEDULE

PROCFILE = "Procfile"
WEB, RELEASE = "web", "release"
NAME = r"[A-Za-z][A-Za-z0-9_-]{0,30}"
MOST_BYTES = 64 * 1024  # of a Procfile
# A host's stop is a part of a fence, and a move's first step is the word to all workers: neither waits longer.
MOST_STOP_S = 20
WEB_STOP_S = 5  # requests that are held because the writer is gone must not hold it up
ENVIRONMENT = mapping(r"[A-Za-z_][A-Za-z0-9_]{0,63}", line)
_LINE = re.compile(rf"({NAME})\s*:\s*(\S.*)")
_SEPARATORS = frozenset(";&|")
_ASSIGNMENT = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*=[^\s'\"\\$`]*\s+)*")


@dataclass(frozen=True, kw_only=True)
class Process:
    """`dr:app.processes.<name>`: a process of the release's Procfile, or one that has a command here."""

    command: str | None = key(
        optional(line), "what is run, of a process that the release's Procfile does not name", default=None
    )
    count: int = key(
        integer(0, 32), "how many of it run on each app host; 0: none. `web` and `release` are one", default=1
    )
    active_only: bool | None = key(
        optional(boolean),
        "whether it works in the active region alone, by that region's own login; null: all but `web` do",
        default=None,
    )
    schedule: str | None = key(
        optional(SCHEDULE),
        "it does not run all the time but at these times, UTC: five fields of a crontab, or a calendar expression of systemd; on `app-1` of the active region",
        default=None,
    )
    memory_mb: int | None = key(
        optional(integer(64, 1_000_000)),
        "the most memory that one of it may take: the kernel ends what takes more; null: no limit",
        default=None,
        unit="MB",
    )
    stop_s: int | None = key(
        optional(integer(1, MOST_STOP_S)),
        f"how long it may take to end when it is told to, after that it is killed; null: {WEB_STOP_S} of `web`, {MOST_STOP_S} of others",
        default=None,
        unit="s",
    )
    limit_s: int = key(
        integer(1, 86_400), "how long a scheduled one may run, after that it is killed", default=3600, unit="s"
    )
    notify: bool = key(
        boolean,
        "whether it tells systemd when it is ready (sd_notify): a run waits for that, where it else takes a process that was started for one that works",
        default=False,
    )
    env: Mapping[str, str] = key(ENVIRONMENT, "variables of its environment alone, as in `dr:app.env`", default={})

    def contradictions(self) -> Iterator[Contradiction]:
        """A scheduled process works in the active region, and once."""
        if self.schedule is None:
            return
        if self.active_only is False:
            yield Contradiction(
                "active_only",
                "false",
                "true, or no such key, for a process with a schedule",
                "both regions would do the same work twice",
                "remove the key",
            )
        if self.count > 1:
            yield Contradiction(
                "count",
                str(self.count),
                "0 or 1 for a process with a schedule",
                "the same work would be done as often",
                "remove the key",
            )


@dataclass(frozen=True, kw_only=True)
class Found:
    """A process as hosts run it."""

    name: str
    command: str  # of a shell that replaces itself by it
    keys: Process = field(default_factory=Process)

    @property
    def active_only(self) -> bool:
        """Whether it works in the active region alone."""
        if self.name in (WEB, RELEASE):
            return False
        return self.keys.active_only is not False

    @property
    def scheduled(self) -> bool:
        return self.keys.schedule is not None

    @property
    def stop_s(self) -> int:
        return self.keys.stop_s or (WEB_STOP_S if self.name == WEB else MOST_STOP_S)


def contradictions(configured: Mapping[str, Process]) -> Iterator[Contradiction]:
    """What cannot be configured of these names whatever the release holds."""
    for name, it in configured.items():
        if not re.fullmatch(NAME, name):
            yield Contradiction(
                f"processes.{name}",
                shown(name),
                "a name of at most 31 letters, digits, - and _ that begins with a letter",
                "its unit cannot be named",
                "call it otherwise, in the Procfile too",
            )
        if name not in (WEB, RELEASE):
            continue
        for word, value in (("schedule", it.schedule), ("active_only", it.active_only)):
            if value is not None:
                yield Contradiction(
                    f"processes.{name}.{word}",
                    str(value).lower(),
                    f"no such key of `{name}`",
                    "requests are taken in both regions"
                    if name == WEB
                    else "migrations run once, before what needs them",
                    "remove the key",
                )
        if it.count != 1:
            yield Contradiction(
                f"processes.{name}.count",
                str(it.count),
                f"1, or no such key, of `{name}`",
                "nothing would take requests, or two would want one port" if name == WEB else "migrations run once",
                "remove the key; dr:app.workers says how many processes take requests",
            )


def procfile(release: Path) -> str | None:
    """Text of the Procfile at the top of a release's folder; None where there is none that can be read."""
    try:
        with (release / PROCFILE).open("rb") as stream:
            return stream.read(MOST_BYTES).decode(errors="replace")
    except OSError:
        return None


def processes(text: str | None, configured: Mapping[str, Process]) -> tuple[list[Found], list[Fault]]:
    """The processes of a release by name, `web` first, and what is wrong with them. `text`: of its Procfile, None where it has none.

    A fault says what nobody can run: no `web`, a line that is none, a command that a shell would end after its first part, a name with two commands
    or with none.
    """
    faults: list[Fault] = []
    commands = dict(_lines(text or "", faults))
    for name, it in configured.items():
        subject = f"dr:app.processes.{name}"
        if it.command is not None and name in commands:
            faults.append(
                Fault(
                    subject=f"{subject}.command",
                    found="a command, beside the one of the release's Procfile",
                    wanted="one of the two",
                    consequence="nobody could tell which runs",
                    remedy=f"remove it from the configuration, or {name} from the Procfile",
                )
            )
        elif it.command is not None:
            _check(f"{subject}.command", it.command, faults)
            commands[name] = it.command
        elif name not in commands:
            known = f"known there: {', '.join(sorted(commands))}" if commands else "it has none"
            faults.append(
                Fault(
                    subject=subject,
                    found="no process of the release",
                    wanted=f"a name of its Procfile ({known}), or a command of its own",
                    consequence="it would never run",
                    remedy=f"correct the name, add a line `{name}: ...` to the Procfile, or set {subject}.command",
                )
            )
    if WEB not in commands:
        faults.append(
            Fault(
                subject="release of the shop",
                found="a Procfile without web" if text is not None else "no Procfile",
                wanted=f"a line `{WEB}: ...` in the Procfile at its top, or dr:app.processes.{WEB}.command: what listens on $PORT",
                consequence="the hosts would get no shop to run",
                remedy=f"add one, like `{WEB}: bundle exec puma -b tcp://127.0.0.1:$PORT` (docs/your-shop.md)",
            )
        )
    found = [Found(name=name, command=text, keys=configured.get(name, Process())) for name, text in commands.items()]
    return sorted(found, key=lambda it: (it.name != WEB, it.name)), faults


def shell(command: str) -> str:
    """What `/bin/sh -c` is given: the command in the shell's own place, so that a signal reaches it and nothing stays behind.

    Assignments before the command go before `exec`, which knows none.
    """
    ahead = _ASSIGNMENT.match(command)
    assert ahead is not None
    return f"{ahead[0]}exec {command[ahead.end() :]}"


def _lines(text: str, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for number, written in enumerate(text.splitlines(), 1):
        if not written.strip() or written.lstrip().startswith("#"):
            continue
        subject, match = f"{PROCFILE} of the release, line {number}", _LINE.fullmatch(written.strip())
        if match is None:
            faults.append(
                Fault(
                    subject=subject,
                    found=shown(written),
                    wanted="`name: command`",
                    consequence="nobody could tell what it starts",
                    remedy="correct the line, or make it a comment by a # at its begin",
                )
            )
            continue
        name, command = match[1], match[2]
        if name in seen:
            faults.append(
                Fault(
                    subject=subject,
                    found=f"{name} a second time",
                    wanted="each name once",
                    consequence="one of the two would never run",
                    remedy="remove one",
                )
            )
        seen.add(name)
        _check(subject, command, faults)
        yield name, command


def _check(subject: str, command: str, faults: list[Fault]) -> None:
    """One command, and nothing behind it that `exec` would never come to."""
    found = None
    try:
        line(command)
        lexer = shlex.shlex(command, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        lexer.commenters = ""
        ends = next((word for word in lexer if word and set(word) <= _SEPARATORS), None)
        found = f"{shown(ends)} in it" if ends else None
    except (ValueError, Unwanted):
        found = "a quote that does not end, or what is no text of one line"
    if found:
        faults.append(
            Fault(
                subject=subject,
                found=found,
                wanted="one command, which the shell that starts it replaces itself by",
                consequence="what stands behind it would never run",
                remedy="put the commands into a file of the release, like bin/start, and name that",
            )
        )
