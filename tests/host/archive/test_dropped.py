"""WAL that nobody has: told until no repository has to be restored past it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from contract.errors import Failed
from scripts.host.archive.backup import Backups
from scripts.host.archive.desired import Memory
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.archive.state import change, load
from scripts.host.archive.tool import Backup, Info, PgBackRest
from scripts.host.frame.commands import Done
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.postgres.layout import PostgresLayout

DROPPED = {"from": "000000010000000000000002", "to": "000000010000000000000003"}


class Played(PgBackRest):
    """Repositories, of which some are dead."""

    dead: frozenset[str] = frozenset()

    def call(self, repository: str, stanza: str, command: str, *arguments: str, limit_s: float = 0) -> Done:
        return Done(1, "", "no answer") if repository in Played.dead else Done(0, "", "")

    def info(self, repository: str, stanza: str) -> Info | None:
        return Info((Backup("1F", "full", 1, 2, "000000010000000000000004"),))


def test_wal_that_was_dropped_is_told_until_each_repository_has_a_backup_behind_it(tmp_path: Path) -> None:
    it = ArchiveLayout(PostgresLayout(Layout(tmp_path), user="root"))
    it.folder.mkdir(parents=True)
    with change(it) as state:
        state.dropped = dict(DROPPED)
    found: dict[str, Any] = {"timeline": 1, "repositories": {"a": {}, "b": {}}}
    made = Backups(it, Memory("a", "b", 17, 5432, 1000), Log(io.StringIO(), "archive backup"))
    made.tool = Played(it)
    for dead in ("b", "a"):
        Played.dead = frozenset(dead)
        try:
            made.run("dr-1", "full", found)
        except Failed as error:
            assert "no answer" in str(error)
        assert (load(it).dropped is None) is (dead == "a"), "b's own backups are all older, until it has one"
