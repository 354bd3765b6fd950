"""Checks of the archive and the backups, as the active region's last look at the repositories has found them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from contract.hosts import DATABASE
from contract.sites import SITES
from contract.survey import Archive, Repository
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, ago, judged, unknown

BLOCKS, WARNS = Severity.BLOCKS, Severity.WARNS
CHECKED_S = 180.0  # of the archive's check, which runs each minute
BACKUP_S = 26 * 3600.0  # one a day, and time to make it
PROVEN_S = 35 * 86_400.0  # once a month, and some days to find the time
WAITING = 16  # segments that are on their way to the archive in the normal course


def _archive(at: Sight, holds: Any, words: Any) -> Iterator[Verdict]:
    archive, _ = at.pair(lambda it: it.archive)
    yield judged("archive", archive, holds, words)


def _proven(at: Sight) -> Iterator[Verdict]:
    """By either region's host: a rehearsal runs on the standby's, and stays known where it becomes the active one's."""
    known = [name for name, _, word in at.heads(DATABASE) if word.value is not None and word.value.archive is not None]
    times = [word.part(lambda it: it.archive and it.archive.rehearsed) for _, _, word in at.heads(DATABASE)]
    newest = max((it for it in times if it), default=None)
    if newest is not None:
        age_s = max(at.now - newest, 0.0)
        yield Verdict(subject="restore", holds=age_s <= PROVEN_S, found=ago(age_s))
    elif len(known) < len(SITES):
        yield unknown("restore")
    else:
        yield Verdict(subject="restore", holds=False, found="never")


def _checked(at: Sight) -> Iterator[Verdict]:
    age, _ = at.pair(lambda it: it.archive and it.archive.age_s)
    yield judged("archive", age, lambda it: it <= CHECKED_S, ago)


def _repositories(of: Any, holds: Any, words: Any) -> Any:
    """A judge of each repository, as the active side's last check has seen it."""

    def judge(at: Sight) -> Iterator[Verdict]:
        archive: Archive | None = at.pair(lambda it: it.archive)[0]
        for site in SITES:
            repository: Repository | None = getattr(archive, site, None)
            value = None if repository is None else of(repository)
            yield judged(f"repository {site}", value, lambda it: holds(at, it), lambda it: words(at, it))

    return judge


ROWS = (
    Row(
        id="archive.checked",
        severity=WARNS,
        about="somebody looks after the archive",
        judge=_checked,
        wanted="within three minutes",
        next="systemctl status dr-archive-check on db-1 of the active region",
    ),
    Row(
        id="archive.alarm",
        severity=BLOCKS,
        about="one writer in the archive",
        judge=lambda at: _archive(
            at,
            lambda it: it.alarm is False,
            lambda it: "no second" if it.alarm is False else "TWO WRITERS" if it.alarm else "nobody knows",
        ),
        wanted="no second writer",
        next="docs/restore.md, split brain",
    ),
    Row(
        id="archive.repository",
        severity=WARNS,
        about="both repositories answer",
        judge=_repositories(lambda it: it.reachable, lambda at, it: it, lambda at, it: "answers" if it else "silent"),
        wanted="an answer",
        next="dr-host archive status",
    ),
    Row(
        id="archive.waiting",
        severity=WARNS,
        about="WAL leaves the database for the archive",
        judge=lambda at: _archive(
            at, lambda it: it.waiting is not None and it.waiting <= WAITING, lambda it: f"{it.waiting} segments wait"
        ),
        wanted=f"{WAITING} segments at most",
        next="dr-host archive status on db-1 of the active region",
    ),
    Row(
        id="archive.age",
        severity=WARNS,
        about="how old the newest archived WAL is",
        judge=lambda at: _archive(
            at,
            lambda it: it.archived_s is not None and it.archived_s <= 3600,
            lambda it: "nothing archived" if it.archived_s is None else ago(it.archived_s),
        ),
        wanted="within an hour",
        next="dr-host archive status on db-1 of the active region",
    ),
    Row(
        id="archive.gap",
        severity=WARNS,
        about="no repository lacks WAL",
        judge=_repositories(
            lambda it: None if it.gap is None else it.gap or bool(it.left_out),
            lambda at, it: not it,
            lambda at, it: "lacks WAL" if it else "whole",
        ),
        wanted="whole",
        next="it is filled in by itself each minute; dr-host archive status says what is owed",
    ),
    Row(
        id="archive.dropped",
        severity=WARNS,
        about="no WAL was given up",
        judge=lambda at: _archive(
            at, lambda it: it.dropped is False, lambda it: "none" if it.dropped is False else "some that nobody has"
        ),
        wanted="none",
        next="a full backup: systemctl start dr-archive-full",
    ),
    Row(
        id="backup.age",
        severity=WARNS,
        about="how old the newest backup is",
        judge=_repositories(
            lambda it: it.newest_backup or (0 if it.backups == 0 else None),
            lambda at, it: at.now - it <= BACKUP_S,
            lambda at, it: ago(at.now - it) if it else "none",
        ),
        wanted="within 26 h, in each repository",
        next="systemctl start dr-archive-full on db-1 of the active region",
    ),
    Row(
        id="backup.damage",
        severity=WARNS,
        about="backups are whole",
        judge=_repositories(
            lambda it: None if it.failed_backup is None else (it.damaged_backups or 0) + it.failed_backup,
            lambda at, it: it == 0,
            lambda at, it: "whole" if it == 0 else "the last one failed, or pages are damaged",
        ),
        wanted="whole",
        next="dr-host archive status; docs/restore.md, damaged pages",
    ),
    Row(
        id="backup.restore-age",
        severity=WARNS,
        about="when a backup was last restored, counted and looked at page by page",
        judge=_proven,
        wanted="within 35 days",
        next="drctl drill restore",
        deep=True,
    ),
)
