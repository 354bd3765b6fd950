"""Whether a parameter is in force, from what a server says of it."""

from __future__ import annotations

import pytest

from scripts.host.postgres.restart import due, same


@pytest.mark.parametrize(
    ("asked", "running", "expected"),
    [
        ("16MB", ("2048", "8kB", "integer"), True),
        ("2048", ("2048", "8kB", "integer"), True),
        ("900GB", ("2048", "8kB", "integer"), False),
        ("1GB", ("1048576", "kB", "integer"), True),
        ("0.5GB", ("65536", "8kB", "integer"), True),
        ("-1", ("-1", "8kB", "integer"), True),
        ("1min", ("60000", "ms", "integer"), True),
        ("90s", ("1", "min", "integer"), False),
        ("10", ("10", None, "integer"), True),
        ("11", ("10", None, "integer"), False),
        ("much", ("10", None, "integer"), False),
        ("yes", ("on", None, "bool"), True),
        ("perhaps", ("on", None, "bool"), False),
        ("TRY", ("try", None, "enum"), True),
        ("on", ("try", None, "enum"), False),
        ("a,b", ("a,b", None, "string"), True),
    ],
)
def test_a_value_is_the_one_that_runs(asked: str, running: tuple[str, str | None, str], expected: bool) -> None:
    assert same(asked, running) is expected


def test_only_what_waits_for_a_restart_and_has_no_rule_of_its_own_is_due() -> None:
    starts = {
        "shared_buffers": ("2048", "8kB", "integer"),
        "huge_pages": ("try", None, "enum"),
        "max_connections": ("100", None, "integer"),
    }
    asked = {"shared_buffers": "24MB", "huge_pages": "try", "max_connections": "50", "work_mem": "5MB"}
    assert due(asked, starts) == {"shared_buffers": "24MB"}
