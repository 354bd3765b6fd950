"""The minute's check: places in the repositories."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from scripts.host.archive.check import Check
from scripts.host.archive.desired import Memory
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.archive.tool import LOCKED, PgBackRest
from scripts.host.frame.commands import Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.postgres.layout import PostgresLayout


class Played(PgBackRest):
    """Answers with each of `codes` in turn, and with the last one from then on."""

    codes: tuple[int, ...] = ()

    def call(self, repository: str, stanza: str, command: str, *arguments: str, limit_s: float = 0) -> Done:
        code, self.codes = self.codes[0], self.codes[1:] or self.codes
        return Done(code, "", f"ERROR: [{code:03}]: told" if code else "")


def placed(folder: Path, *codes: int) -> str:
    """What a check says of the place that it makes, where pgBackRest ends with these codes one after the other."""
    it, log = ArchiveLayout(PostgresLayout(Layout(folder), user="root")), io.StringIO()
    server: Any = None  # not asked
    check = Check(it, Memory("a", "b", 17, 5432, 1000), server, Log(log, "archive check"))
    check.tool = Played(it)
    check.tool.codes = codes
    check._make_place("b", "dr-1")
    return log.getvalue()


def test_a_place_is_made_as_soon_as_the_archivers_own_try_lets_go_of_the_lock(tmp_path: Path) -> None:
    assert placed(tmp_path, LOCKED, LOCKED, 0) == "INFO archive check: repository b: place for dr-1 made\n"


def test_a_place_that_cannot_be_made_is_said_at_once_with_its_reason(tmp_path: Path) -> None:
    told = placed(tmp_path, 39, 0)
    assert told == "WARNING archive check: repository b: no place for dr-1 could be made: [039]: told\n"
