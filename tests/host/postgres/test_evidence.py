"""What `pg_waldump` prints, of PostgreSQL 15 and 17, counted: committed rows by relation, transactions, the end."""

from __future__ import annotations

from pathlib import Path

from scripts.host.postgres.evidence import Summary

DUMP = Path(__file__).parents[2] / "fixtures" / "postgres" / "waldump.txt"


def test_committed_rows_are_counted_by_relation() -> None:
    summary = Summary()
    summary.add(DUMP.read_text().splitlines(keepends=True))
    assert summary.relations == {
        "1663/16386/16387": {"insert": 3},
        "1663/16386/16399": {"insert": 7},
        "1663/16386/1259": {"update": 1},
    }
    assert summary.rows == 10, "catalogs are not the shop's rows, and what never committed is not lost"
    assert (summary.commits, summary.first_commit, summary.last_commit) == (
        2,
        "2026-11-25 09:53:56.418436 UTC",
        "2026-11-25 09:53:57.000000 UTC",
    )
    assert (summary.first, summary.end) == ("0/03022868", 0x3022B90)
    assert summary.managers == {"Heap": 4, "Heap2": 2, "Btree": 1, "Transaction": 3}
