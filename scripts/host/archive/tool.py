"""pgBackRest, one repository at a time, as PostgreSQL's user; and its answers as plain facts."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.errors import Failed, Refused, say

from ..frame.commands import PATH, TIMED_OUT, Done, run
from ..frame.wait import until
from ..postgres.text import control_data
from .layout import ArchiveLayout

DIFFERENT_CONTENT = 45  # the archive has this segment with other bytes
LOCKED = 50  # another pgBackRest of this host is at this place
PARTLY_THERE = (40, 55)  # stanza-create: other files of the place are there, or lack the one beside them
NO_SUCH_WAL = 1  # archive-get: proven absent
GIVEN_UP = -1  # ended from here
QUICK_S = 60.0
READS_THE_PAST = (2, 54)
_NO_PLACE, _NO_BACKUP = (1, 3), 2  # states of a stanza in `info`
STANZA = re.compile(r"dr-\d+")


@dataclass(frozen=True)
class Backup:
    """`start` and `stop` in seconds since 1970; `wal` is the first segment that a restore needs; `size`: bytes of the restored files."""

    label: str
    kind: str
    start: int
    stop: int
    wal: str
    size: int = 0

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Backup:
        return cls(
            str(found["label"]),
            str(found["type"]),
            int(found["timestamp"]["start"]),
            int(found["timestamp"]["stop"]),
            str(found["archive"]["start"]),
            int(found.get("info", {}).get("size", 0)),
        )


@dataclass(frozen=True)
class Info:
    """What a repository holds of one cluster. `first`, `last`: WAL segments, None when there are none."""

    backups: tuple[Backup, ...] = ()  # without those that hold damaged pages
    first: str | None = None
    last: str | None = None
    archive: str | None = None  # folder of the present major version below archive/<stanza>
    exists: bool = True  # whether the cluster has a place there at all
    damaged: tuple[Backup, ...] = ()


@dataclass(frozen=True)
class PgBackRest:
    """`port`: of the cluster, for backups. `at`: read the repository as it was then; nothing is written with it."""

    layout: ArchiveLayout
    port: int = 5432
    data: str | None = None  # another data directory than the cluster's own
    at: datetime.datetime | None = None

    @property
    def past(self) -> list[str]:
        """What each command that reads is told for `at`. Its own form: whole seconds, with the zone."""
        if self.at is None:
            return []
        moment = self.at.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S+00")
        return ["--repo=1", f"--repo-target-time={moment}"]

    def refuse_old(self) -> None:
        """Raises Refused where `at` is set and the program here cannot read a repository's past."""
        if self.at is None:
            return
        found = run(["pgbackrest", "version"], limit_s=QUICK_S, user=self.layout.user, check=False).out.strip()
        number = re.fullmatch(r"pgBackRest (\d+)\.(\d+)\S*", found)
        if number is None or (int(number[1]), int(number[2])) < READS_THE_PAST:
            raise Refused(
                say(
                    subject="pgBackRest of this host",
                    found=found or "none that says its version",
                    wanted=f"{READS_THE_PAST[0]}.{READS_THE_PAST[1]} or newer, which reads a repository as of `repository_at`",
                    consequence="nothing was restored",
                    remedy="restore on a host with Debian 13",
                )
            )

    def call(self, repository: str, stanza: str, command: str, *arguments: str, limit_s: float = QUICK_S) -> Done:
        """Never raises for pgBackRest's own faults: the code says which."""
        return run(
            self._argv(repository, stanza, command, *arguments), limit_s=limit_s, user=self.layout.user, check=False
        )

    def call_while(
        self, keep: Callable[[], bool], repository: str, stanza: str, command: str, *arguments: str, limit_s: float
    ) -> Done:
        """The same, ended (GIVEN_UP) as soon as `keep` does not hold any more."""
        return run_while(
            keep, self._argv(repository, stanza, command, *arguments), limit_s=limit_s, user=self.layout.user
        )

    def _argv(self, repository: str, stanza: str, command: str, *arguments: str) -> list[str]:
        postgres = self.layout.postgres
        argv = ["pgbackrest", f"--config={self.layout.config(repository)}", f"--stanza={stanza}"]
        if command not in ("info", "repo-ls", "expire"):
            argv.append(f"--pg1-path={self.data or postgres.data}")
        if command in ("backup", "stanza-create", "check"):
            argv += [f"--pg1-port={self.port}", f"--pg1-socket-path={postgres.sockets}", "--pg1-user=postgres"]
        return [*argv, *self.past, command, *arguments]

    def info(self, repository: str, stanza: str) -> Info | None:
        """None when the repository does not answer, or says something that cannot be understood."""
        done = self.call(repository, stanza, "info", "--output=json", limit_s=QUICK_S)
        return None if done.code else read_info(done.out)

    def damaged_files(self, repository: str, stanza: str, label: str) -> list[str]:
        """Files below the data directory whose pages did not fit their checksums in this backup; empty when that cannot be learned."""
        done = self.call(repository, stanza, "info", "--output=json", f"--set={label}")
        try:
            found = json.loads(done.out)[0]["backup"][0].get("error-list", []) if done.code == 0 else []
            return [str(name) for name in found]
        except (ValueError, KeyError, IndexError, TypeError):
            return []

    def stanzas(self, repository: str) -> list[str] | None:
        """Every cluster that ever archived there; None when the repository does not answer."""
        argv = [
            "pgbackrest",
            f"--config={self.layout.config(repository)}",
            *self.past,
            "--output=json",
            "repo-ls",
            "archive",
        ]
        done = run(argv, limit_s=QUICK_S, user=self.layout.user, check=False)
        try:
            return sorted(name for name in json.loads(done.out) if STANZA.fullmatch(name)) if done.code == 0 else None
        except (ValueError, TypeError):
            return None

    def wal(self, repository: str, stanza: str, archive: str) -> dict[str, int] | None:
        """Every WAL file there and when it was stored (seconds since 1970)."""
        done = self.call(
            repository, stanza, "repo-ls", "--output=json", "--recurse", f"archive/{stanza}/{archive}", limit_s=600
        )
        try:
            return read_wal(done.out) if done.code == 0 else None
        except (ValueError, TypeError, KeyError):
            return None

    def held(self, repository: str, stanza: str, first: str, limit_s: float) -> set[str]:
        """Names of the WAL files there from segment `first` (without its timeline) on, on any timeline, and of every history: the few folders
        that matter, because weeks of WAL lie in the others. Raises Failed when the repository cannot be read.
        """
        over = time.monotonic() + limit_s

        def must(done: Done) -> Done:
            if done.code:
                raise Failed(f"repository {repository}: {explain(done)}")
            return done

        def left() -> float:
            return max(over - time.monotonic(), 0.1)

        info = read_info(must(self.call(repository, stanza, "info", "--output=json", limit_s=left())).out)
        if info is None:
            raise Failed(f"repository {repository}: gives no account of {stanza}")
        if info.archive is None:
            return set()
        top, found = f"archive/{stanza}/{info.archive}", set[str]()
        listing = ("repo-ls", "--output=json")
        entries = json.loads(must(self.call(repository, stanza, *listing, top, limit_s=left())).out)
        folders = [name for name in entries if _FOLDER.fullmatch(name) and name[8:] >= first[:8]]
        for folder in folders:
            inside = must(self.call(repository, stanza, *listing, f"{top}/{folder}", limit_s=left())).out
            found |= {name for name in read_wal(inside) if len(name) == 24 and name[8:] >= first}
        return found | {name for name in entries if _HISTORY.fullmatch(name)}


def run_while(keep: Callable[[], bool], argv: Sequence[str], *, limit_s: float, user: str) -> Done:
    """As `commands.run`, ended as soon as `keep` does not hold any more: the server's shutdown waits for its archiver's command."""
    become = user if os.geteuid() == 0 and user != "root" else None
    with tempfile.TemporaryFile("w+") as err:
        program = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            env={"PATH": PATH, "LC_ALL": "C", "HOME": "/"},
            cwd="/",
            user=become,
            group=become,
            extra_groups=[] if become else None,
        )
        over = until(lambda: program.poll() is not None or not keep(), limit_s)
        if program.poll() is None:
            program.kill()
            program.wait()
            return Done(
                GIVEN_UP if over else TIMED_OUT,
                "",
                "given up: this host is no longer the primary" if over else f"no end within {limit_s:g} s",
            )
        err.seek(0)
        return Done(program.returncode, "", err.read())


def read_info(text: str) -> Info | None:
    """From `info --output=json` of one stanza and one repository."""
    try:
        found = json.loads(text)[0]
        code = found["repo"][0]["status"]["code"]
        if code not in (0, *_NO_PLACE, _NO_BACKUP):
            return None
        # One folder for each major version; the last one is that of the cluster as it is.
        archive = [item for item in found.get("archive", []) if item.get("max")]
        last = archive[-1] if archive else {}
        good, damaged = (
            tuple(Backup.read(item) for item in found.get("backup", []) if bool(item.get("error")) is bad)
            for bad in (False, True)
        )
        return Info(good, last.get("min"), last.get("max"), last.get("id"), code not in _NO_PLACE, damaged)
    except (ValueError, KeyError, IndexError, TypeError):
        return None


_FOLDER, _HISTORY = re.compile(r"[0-9A-F]{16}"), re.compile(r"[0-9A-F]{8}\.history")
_WAL = re.compile(
    r"(?:.*/)?([0-9A-F]{24}(?:\.partial)?|[0-9A-F]{8}\.history)(?:-[0-9a-f]{40})?(?:\.(?:zst|gz|lz4|bz2))?"
)


def read_wal(text: str) -> dict[str, int]:
    """From `repo-ls --output=json --recurse`."""
    found: dict[str, int] = {}
    for name, item in json.loads(text).items():
        match = _WAL.fullmatch(name)
        if match and item["type"] == "file":
            found[match[1]] = int(item.get("time", 0))
    return found


def system_identifier(layout: ArchiveLayout, data: str | None = None) -> str:
    """Raises Refused when there is no cluster."""
    postgres = layout.postgres
    done = run([postgres.program("pg_controldata"), data or str(postgres.data)], limit_s=10, check=False)
    found = control_data(done.out) if done.code == 0 else None
    if found is None:
        raise Refused(
            say(
                subject=f"cluster {data or postgres.data}",
                found=f"no control data ({done.reason})",
                wanted="a cluster",
                consequence="there is nothing to archive, nothing was changed",
                remedy="run `pulumi up` for this site, or restore",
            )
        )
    return found.system_identifier


def stanza(layout: ArchiveLayout, data: str | None = None) -> str:
    """One place in a repository for each cluster: a new cluster never meets the WAL of another."""
    return f"dr-{system_identifier(layout, data)}"


def explain(done: Done) -> str:
    """The reason in one line, without pgBackRest's time, process and advice."""
    lines = done.err.splitlines()
    start = next((number for number, line in enumerate(lines) if re.search(r"\b(ERROR|ASSERT): ", line)), None)
    if start is None:
        return done.reason
    if "FileMissingError" in done.err and "archive.info" in done.err:
        return (
            "no place for this cluster in it yet; `dr-host archive check` makes it each minute once the bucket is there"
        )
    more = [line.strip() for line in lines[start + 1 :] if line.startswith(" ") and "HINT:" not in line][:3]
    return " ".join([re.sub(r"^.*?\b(ERROR|ASSERT): ", "", lines[start]).strip(), *more])[:400]


@dataclass
class Outcome:
    """Of one command on several repositories."""

    failed: dict[str, Done] = field(default_factory=dict)

    def text(self) -> str:
        return "; ".join(f"repository {name}: {explain(done)}" for name, done in sorted(self.failed.items()))

    def raise_failed(self, subject: str, consequence: str, remedy: str) -> None:
        if self.failed:
            raise Failed(
                say(
                    subject=subject,
                    found=self.text(),
                    wanted="success in both regions",
                    consequence=consequence,
                    remedy=remedy,
                )
            )


def names(values: Sequence[str]) -> str:
    return ", ".join(values) or "none"
