"""The kernel's limit of inotify instances is raised for the guests, and never lowered. Not this machine's: a file that stands for it."""

from __future__ import annotations

import pytest

from lab.machines.limits import WANTED, raise_instances


@pytest.mark.parametrize(
    ("found", "raised", "then"),
    [("128\n", True, WANTED), (f"{WANTED}\n", False, WANTED), ("1000000\n", False, 1000000)],
)
def test_the_limit_is_raised_and_never_lowered(tmp_path, found, raised, then):
    file = tmp_path / "max_user_instances"
    file.write_text(found)
    assert raise_instances(file) is raised
    assert int(file.read_text()) == then


def test_a_machine_that_does_not_let_it_be_set_has_its_lab_all_the_same(tmp_path, caplog):
    assert raise_instances(tmp_path / "no" / "such") is False
    assert "cannot be set to 4096" in caplog.text


def test_one_lab_needs_less_than_what_is_wanted_by_far():
    hosts, each = 26, 10  # two sites at full size
    assert hosts * each * 10 <= WANTED
