"""What PostgreSQL is told of the archive: the commands with which it sends its WAL there and asks for it back. Pure.

The archive's own room (`archive`) knows PostgreSQL; PostgreSQL knows of it these commands and where two of its files lie.
"""

from __future__ import annotations

from pathlib import Path

from .layout import PostgresLayout

ARCHIVE_TIMEOUT = "60s"  # what a restore-only recovery may lose when nothing else does


def folder(layout: PostgresLayout) -> Path:
    """The archive's state, queues and locks."""
    return layout.base.var / "archive"


def follow(layout: PostgresLayout) -> Path:
    """While it is there, a standby's server fetches WAL from the archive."""
    return folder(layout) / "follow"


def postgres_settings(layout: PostgresLayout) -> dict[str, str]:
    """What `postgresql.conf` gets, the same in both roles: archiving begins with a promotion, without a restart."""
    return {
        "archive_mode": "on",
        "archive_timeout": ARCHIVE_TIMEOUT,
        "archive_command": archive_command(layout, layout.tool),
        "restore_command": restore_command(layout, layout.tool),
    }


def archive_command(layout: PostgresLayout, tool: str) -> str:
    """A refusal (3) ends the archiver (255): trying again would not mend it, and a shutdown would wait for that. A shutdown for a hand-over,
    where writers wait for every hundredth of a second, starts no Python: there the role says enough.

    pgBackRest looks for its own name in this text before it makes a backup.
    """
    role = f"""grep -q '"role": "primary"' {layout.base.var}/role.json || {{ echo "not the primary: nothing is archived" >&2; exit 255; }}"""
    return f"""{role}; echo '{{"wal": "%p"}}' | {tool} archive push >/dev/null || {{ rc=$?; test $rc = 3 && exit 255; exit $rc; }} # pgbackrest"""


def restore_command(layout: PostgresLayout, tool: str) -> str:
    """Nothing is fetched while a standby streams: a promotion would wait for it. A server that does not run (pg_rewind) may fetch.

    A repository that could not be read is not the end of the archive: 255 ends whatever is not a standby, which asks again (`archive get`).
    """
    running = layout.data / "postmaster.pid"
    gate = f"test -e {follow(layout)} || test ! -e {running} || exit 1"
    judge = f"rc=$?; test $rc = 1 || test -e {layout.data}/standby.signal || exit 255; exit $rc"
    return f"""{gate}; echo '{{"wal": "%f", "to": "%p"}}' | {tool} archive get >/dev/null || {{ {judge}; }}"""
