"""A restore takes hours, and what was down when it began may serve by its end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from contract.errors import Refused
from scripts.host.archive.desired import Memory
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.archive.order import Order
from scripts.host.archive.restore import Restore
from scripts.host.frame.layout import Layout
from scripts.host.frame.locks import hold
from scripts.host.frame.log import Log
from scripts.host.postgres.layout import PostgresLayout


@pytest.fixture
def restore(tmp_path: Path) -> Restore:
    """Recovered, and about to take the place of the host's own data."""
    made = object.__new__(Restore)  # without a repository
    made.layout = ArchiveLayout(PostgresLayout(Layout(tmp_path)))
    made.log = Log(io.StringIO(), "archive restore")
    made.order = Order(None, None, tmp_path / "data/back", 5433, None, None, adopt=True)
    made.memory = object.__new__(Memory)
    for folder in (made.order.directory, made.layout.postgres.data):
        folder.mkdir(parents=True)
        (folder / "PG_VERSION").touch()
    return made


def untouched(restore: Restore) -> bool:
    data = restore.layout.postgres.data
    return (data / "PG_VERSION").exists() and [path.name for path in data.parent.iterdir()] == [data.name]


def test_data_that_serve_by_now_are_not_moved_away_under_their_server(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Restore, "_running", lambda _: True)
    with pytest.raises(Refused, match=r"a server that was started meanwhile.*stays in .*back"):
        restore._adopt()
    assert untouched(restore)


def test_a_run_that_is_at_work_with_the_database_is_waited_for_and_told_of(
    restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.host.archive.restore.BUSY_S", 0.01)
    with (
        hold(restore.layout.postgres.base, "postgres"),
        pytest.raises(Refused, match=r"lock of postgres"),
    ):
        restore._adopt()
    assert untouched(restore)
