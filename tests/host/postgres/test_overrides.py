"""What is taken out of `postgresql.auto.conf`, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import Usage
from lab.pairs.postgres import Node
from scripts.host.frame.layout import Layout
from scripts.host.postgres import overrides
from scripts.host.postgres.desired import Desired
from scripts.host.postgres.layout import PostgresLayout


@pytest.fixture
def layout(tmp_path: Path) -> PostgresLayout:
    made = PostgresLayout(Layout(tmp_path))
    made.data.mkdir(parents=True)
    (made.conf / "conf.d").mkdir(parents=True)
    (made.conf / "conf.d" / "dr.conf").write_text("# ours\nwork_mem = '4MB'\n")
    return made


def test_whatever_decides_where_a_standby_ends_goes_however_it_is_written(layout: PostgresLayout) -> None:
    lines = (
        "# left by alter system",
        "recovery_target = 'immediate'",
        "  RECOVERY_TARGET_TIME '2001-01-01 00:00:00+00'",
        "recovery_target_of_a_newer_server='x'",
        "primary_conninfo = 'host=''nowhere'' port=1'",
        "restore_command = 'true'",
        "promote_trigger_file = '/tmp/go'",
        "include_if_exists 'elsewhere.conf'",
        "Work_Mem = '1GB'",
        "maintenance_work_mem = '1GB'",
        "recovery_prefetch = off",
        "auto_explain.log_min_duration = '\xff'",
    )
    file = layout.data / overrides.FILE
    file.write_bytes("\n".join(lines).encode("latin-1") + b"\n")
    file.chmod(0o640)
    gone = overrides.found(layout)
    assert overrides.drop(layout) == gone and len(gone) == 8
    kept = file.read_bytes().decode("latin-1").splitlines()
    assert kept == [lines[0], *lines[-3:]]
    assert overrides.found(layout) == overrides.drop(layout) == ()


def test_a_file_without_any_is_not_written(layout: PostgresLayout) -> None:
    assert overrides.drop(layout) == () and not (layout.data / overrides.FILE).exists()
    (layout.data / overrides.FILE).write_text("maintenance_work_mem = '1GB'\n")
    before = (layout.data / overrides.FILE).stat().st_ino
    assert overrides.drop(layout) == () and (layout.data / overrides.FILE).stat().st_ino == before


@pytest.mark.parametrize(
    "name", ["recovery_target", "recovery_target_of_a_newer_server", "promote_trigger_file", "primary_conninfo"]
)
def test_the_document_may_not_set_it_either(tmp_path: Path, name: str) -> None:
    node = Node("a", tmp_path, {"ca": "c", "cert": "c", "key": "k"}, {"a": 1, "b": 2})
    with pytest.raises(Usage, match=f"parameters.{name}: found 'immediate', wanted no entry"):
        Desired.read(node.document(1, "a", parameters={name: "immediate"}))


def test_what_does_not_decide_it_stays_free(tmp_path: Path) -> None:
    node = Node("a", tmp_path, {"ca": "c", "cert": "c", "key": "k"}, {"a": 1, "b": 2})
    free = {"recovery_prefetch": "off", "recovery_init_sync_method": "syncfs"}
    assert Desired.read(node.document(1, "a", parameters=free)).parameters == free
