"""The table of versions, and what is said to those that are not in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.checks import Unwanted
from contract.errors import Usage
from contract.services.postgres import KEEPS_SLOTS, NEWEST, OLDEST, TESTED, VERSION
from lab.pairs.postgres import Node
from scripts.host.frame.layout import Layout
from scripts.host.postgres.desired import Desired
from scripts.host.postgres.facts import other_version
from scripts.host.postgres.layout import MARK, PostgresLayout
from scripts.host.postgres.versions import VERSIONS

TLS = {"ca": "c", "cert": "c", "key": "k"}


def test_the_default_is_known_and_known_versions_are_not_refused() -> None:
    assert TESTED == 17 and sorted(VERSIONS) == [14, 15, 16, 17, 18]
    assert [VERSION(number) for number in VERSIONS] == list(range(OLDEST, NEWEST + 1))
    assert [number for number, it in VERSIONS.items() if it.failover_slots] == list(range(KEEPS_SLOTS, NEWEST + 1))
    assert all(version.number == number for number, version in VERSIONS.items())


@pytest.mark.parametrize(
    ("number", "why"),
    [(9, "recovery.conf"), (12, "pg_rewind"), (13, "paused replay"), (19, "newer than this software")],
)
def test_others_are_refused_with_the_reason(number: int, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unwanted, match=f"14 to 18.*PostgreSQL {number} is .*{why}"):
        VERSION(number)
    node = Node("a", tmp_path, TLS, {"a": 5432, "b": 5433})
    with pytest.raises(Usage, match="wanted 14 to 18"):
        Desired.read(node.document(1, "a", version=number))


def test_a_cluster_of_another_version_is_seen_when_this_software_made_it(tmp_path: Path) -> None:
    wanted = PostgresLayout(Layout(tmp_path), 17)
    for version in (15, 16, 17):
        data = PostgresLayout(Layout(tmp_path), version).data
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text(f"{version}\n")
    assert other_version(wanted) is None, "a package makes clusters, too"
    (PostgresLayout(Layout(tmp_path), 16).data / MARK).touch()
    assert other_version(wanted) == 16
    assert other_version(PostgresLayout(Layout(tmp_path), 16)) is None
