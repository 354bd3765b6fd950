"""Backups into both repositories, the judgement of each, and what of the older ones may go.

A damaged page makes pgBackRest mark the backup, which still counts for its own retention: three of those, and the last good one is gone. So
nothing expires but after a good backup, and good ones alone are counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from contract.errors import Failed, say

from ..frame.commands import Done
from ..frame.log import Log
from . import state as archive_state
from .desired import Memory
from .layout import ArchiveLayout
from .tool import Info, Outcome, PgBackRest, explain

BACKUP_S, EXPIRE_S = 20 * 3600.0, 3600.0
KINDS = ("due", "full", "diff", "incr")
RETRY_S, LONGEST_S = (
    60.0,
    6 * 3600.0,
)  # after a first failure, doubled with each; after many, and after a damaged page, which does not mend itself
_PAGES = re.compile(r"invalid page checksums? found in file (\S+) at pages? ([\d, -]+)")


def due(repository: Mapping[str, Any], timeline: int | None) -> str | None:
    """The kind of backup that a repository needs at once: a first full one, or one on the timeline of a promotion, from which a restore
    needs no older WAL. Pure.
    """
    if not repository["backups"]:
        return "full"
    return "incr" if repository["backup_timeline"] < (timeline or 0) else None


def held_back(failed: Mapping[str, Any] | None, now: float) -> bool:
    """Whether a backup that no timer asks for has to wait, because the last one failed. `now`: seconds since 1970. Pure."""
    if failed is None:
        return False
    wait = LONGEST_S if failed["damage"] else min(RETRY_S * 2 ** (min(failed["tries"], 20) - 1), LONGEST_S)
    return bool(0 <= now - failed["at"] < wait)


def wanted(repository: Mapping[str, Any], timeline: int | None, now: float) -> str | None:
    """`due`, but for what has just failed. `repository`: its part of the status. Pure."""
    return None if held_back(repository["failed_backup"], now) else due(repository, timeline)


def keep(info: Info, retention: int) -> int | None:
    """How many of the newest full backups to keep, so that `retention` good ones are among them; None while there are not so many. Pure."""
    good = {it.label for it in info.backups}
    fulls = sorted(
        (it for it in (*info.backups, *info.damaged) if it.kind == "full"), key=lambda it: it.stop, reverse=True
    )
    counted = 0
    for number, backup in enumerate(fulls, 1):
        counted += backup.label in good
        if counted == retention:
            return number
    return None


class Backups:
    """`run` once for each call; one repository after the other, and what fails in one keeps nothing from the other."""

    def __init__(self, layout: ArchiveLayout, memory: Memory, log: Log) -> None:
        self.layout, self.memory, self.log = layout, memory, log
        self.tool = PgBackRest(layout, memory.port)

    def run(self, place: str, kind: str, found: Mapping[str, Any]) -> list[str]:
        """Names of the repositories that have a good one more. `kind`: of `KINDS`; `found`: the archive's status. Raises Failed."""
        outcome, made, damage = Outcome(), list[str](), list[str]()
        for repository in self.memory.repositories:
            now = found["repositories"][repository]
            what = wanted(now, found["timeline"], time.time()) if kind == "due" else kind
            if what is None:
                continue
            done = self.tool.call(repository, place, "backup", f"--type={what}", limit_s=BACKUP_S)
            info = self.tool.info(repository, place) if done.code == 0 else None
            newest = max((*info.backups, *info.damaged), key=lambda it: it.stop, default=None) if info else None
            if done.code or info is None or newest is None:
                outcome.failed[repository] = (
                    done if done.code else Done(1, "", "it was made, and then the repository did not list it")
                )
                self._failed(repository, what, explain(outcome.failed[repository]), [])
            elif newest in info.damaged:
                pages = self._damage(repository, place, newest.label, done)
                damage.append(self._failed(repository, what, f"backup {newest.label} has damaged pages", pages))
            else:
                self._good(repository, place, what, info)
                made.append(repository)
        if damage:
            raise Failed(self._say(damage[0]))
        outcome.raise_failed(
            f"backup ({kind})",
            f"made in: {', '.join(made) or 'no region'}; no older one was removed where it failed",
            "see `dr-host archive status`, then `systemctl start dr-archive-full`",
        )
        return made

    def _good(self, repository: str, place: str, kind: str, info: Info) -> None:
        with archive_state.change(self.layout) as state:
            if (
                state.dropped is not None
            ):  # restores from this backup on need none of it, those from the other repository do
                state.passed = sorted({*state.passed, repository})
                if set(self.memory.repositories) <= set(state.passed):
                    state.dropped, state.passed = None, []
            state.backups.pop(repository, None)
        self.log.info(f"repository {repository}: backup ({kind}) made")
        number = keep(info, self.memory.retention_full)
        if number is None:
            return
        done = self.tool.call(repository, place, "expire", f"--repo1-retention-full={number}", limit_s=EXPIRE_S)
        if done.code:
            self.log.warning(f"repository {repository}: older backups stay, because expiry failed: {explain(done)}")

    def _damage(self, repository: str, place: str, label: str, done: Done) -> list[dict[str, str]]:
        """Files and pages, as far as they are told."""
        pages = damaged_pages(done.err, str(self.layout.postgres.data))
        files = self.tool.damaged_files(repository, place, label)
        return [{"file": name, "pages": pages.get(name, "unknown")} for name in sorted({*files, *pages})]

    def _failed(self, repository: str, kind: str, why: str, damage: list[dict[str, str]]) -> str:
        """Remember it, and log it; damage that was told is not told again. Returns the damage as a text."""
        told = ", ".join(f"{it['file']} pages {it['pages']}" for it in damage)
        with archive_state.change(self.layout) as state:
            last = state.backups.get(repository)
            state.backups[repository] = {
                "at": int(time.time()),
                "kind": kind,
                "tries": (last["tries"] if last else 0) + 1,
                "why": why,
                "damage": damage,
            }
        if last is None or not damage or last["damage"] != damage:
            self.log.error(f"repository {repository}: {why}{': ' if told else ''}{told}")
        return told

    def _say(self, told: str) -> str:
        return say(
            subject=f"cluster {self.layout.postgres.data}",
            found=f"damaged pages ({told})",
            wanted="pages that fit their checksums",
            consequence="the backup holds them as they are and does not count as a good one; no older one is removed, and the next is made by its timer",
            remedy="docs/restore.md, a damaged page",
        )


def damaged_pages(text: str, data: str) -> dict[str, str]:
    """Pages by file below the data directory, from what pgBackRest says while it makes a backup. Pure."""
    return {file.removeprefix(f"{data}/"): pages.strip(" ,") for file, pages in _PAGES.findall(text)}
