"""Figures of a job: where it writes them, and where they are read."""

from __future__ import annotations

import getpass
from pathlib import Path

from scripts.host.frame.figures import Figures
from scripts.host.frame.layout import Layout

OLD, NEW = "dr_assets_last_run_success 0\n", "dr_assets_last_run_success 1\n"


def figures(root: Path) -> Figures:
    return Figures(Layout(root), "dr_assets", getpass.getuser())


def test_a_job_writes_into_a_folder_of_its_own_and_is_read_where_the_collector_looks(tmp_path: Path) -> None:
    one = figures(tmp_path)
    assert not one.placed()
    one.place()
    assert one.placed() and one.link.read_text() == "", (
        "nothing was told yet, and a link to nothing is a fault to the collector"
    )
    one.path.write_text(NEW)
    assert one.link.read_text() == NEW
    assert [path.name for path in one.link.parent.iterdir()] == [one.link.name], "nothing half-made stays"


def test_what_an_older_version_has_told_is_read_until_the_next_run(tmp_path: Path) -> None:
    one = figures(tmp_path)
    one.link.parent.mkdir(parents=True)
    one.link.write_text(OLD)
    assert not one.placed()
    one.place()
    assert one.placed() and one.link.is_symlink() and one.link.read_text() == OLD
    one.path.write_text(NEW)
    one.place()
    assert one.link.read_text() == NEW, "what is newer is not put back"


def test_a_link_that_leads_elsewhere_is_put_right_and_what_it_leads_to_is_not_taken_along(tmp_path: Path) -> None:
    one, other = figures(tmp_path), tmp_path / "other"
    other.write_text("secret")
    one.link.parent.mkdir(parents=True)
    one.link.symlink_to(other)
    one.place()
    assert one.placed() and one.link.read_text() == "" and other.read_text() == "secret"
