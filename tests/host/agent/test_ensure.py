"""Before a host leads: its agent and its dead-man are at work, or are brought to it, or it is said that they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import Failed
from contract.lease import Lease
from scripts.host.agent.config import Address, Config, config_file
from scripts.host.agent.ensure import at_work
from scripts.host.agent.files import DEADMAN, UNIT
from scripts.host.agent.lease import Memory
from scripts.host.agent.memory import Note
from scripts.host.frame.boots import boottime
from scripts.host.frame.files import make_folder
from scripts.host.frame.layout import Layout
from tests.host.agent.test_install import Units


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    own, other = Address("db-1.b", "10.0.0.1"), Address("db-1.a", "10.0.0.2")
    make_folder(made.etc)
    make_folder(made.run)
    config_file(made, Config("b", "a", "db-1", "postgres", own, other, Lease())).write()
    return made


def note(layout: Layout, age_s: float) -> None:
    beat = boottime() - age_s
    Note(Memory(), started=0.0, beat=beat, fingerprint="f").write(layout)


def test_what_is_at_work_is_left_alone(layout: Layout) -> None:
    units = Units(layout)
    units.up = {UNIT, DEADMAN}
    note(layout, 1.0)
    found = at_work(layout, units, 5.0)
    assert (found.facts["started"], found.changed, units.calls) == ([], False, [])


@pytest.mark.parametrize("up", [set(), {DEADMAN}, {UNIT}])
def test_what_is_dead_is_started_the_agent_before_the_dead_man(layout: Layout, up: set[str]) -> None:
    units = Units(layout)
    units.up = set(up)
    note(layout, 1.0 if UNIT in up else 10_000.0)
    found = at_work(layout, units, 5.0)
    assert found.facts["started"] == [unit for unit in (UNIT, DEADMAN) if unit not in up]
    assert units.up == {UNIT, DEADMAN} and found.changed


def test_one_that_runs_and_does_not_beat_is_none(layout: Layout) -> None:
    units = Units(layout)
    units.up = {UNIT, DEADMAN}
    note(layout, 10_000.0)
    with pytest.raises(Failed, match=r"found none that beats.*journalctl -u dr-agent"):
        at_work(layout, units, 0.0)


def test_one_that_ends_again_is_none(layout: Layout) -> None:
    units = Units(layout)
    units.starts = False
    with pytest.raises(Failed, match=r"dr-agent\S* and dr-deadman\S* at an end again"):
        at_work(layout, units, 5.0)


def test_one_that_was_never_installed_is_put_there_by_a_repair(layout: Layout) -> None:
    (layout.etc / "agent.json").unlink()
    with pytest.raises(Failed, match=r"none that is installed.*dr:repair"):
        at_work(layout, Units(layout), 5.0)
