"""A drill that cannot fail proves nothing: each guard is switched off in a copy of the product, and the drill that watches it must turn red.

The copy is what `pulumi up` runs then, so hosts get the weakened software too; afterwards the product itself puts everything right.
"""

from __future__ import annotations

import pytest

from lab.rehearsal.builds import Change, build
from lab.rehearsal.drills import DRILLS
from lab.rehearsal.stage import Record
from lab.rehearsal.world import PROJECT
from tests.drills.guards import GUARDS

pytestmark = [pytest.mark.lab, pytest.mark.proof]


@pytest.fixture
def weakened(stage, tmp_path):
    """`weakened(file, old, new)`: from now on `pulumi up` runs a copy of the product with that change, on both sides."""

    def weaken(file, old, new):
        stage.pulumi.project = build(PROJECT, tmp_path / "project", [Change(file, old, new)])
        for site in (stage.active, stage.standby):
            stage.must(stage.pulumi.up(site), site)

    yield weaken
    stage.pulumi.project = PROJECT
    stage.settle()
    for site in (stage.active, stage.standby):
        stage.must(stage.pulumi.up(site), site)


@pytest.mark.parametrize("guard", GUARDS)
def test_without_its_guard_the_drill_turns_red(stage, weakened, guard):
    file, old, new, name, words = GUARDS[guard]
    weakened(file, old, new)
    record = Record(name)
    try:
        DRILLS[name].play(stage, record)
        stage.settle(record)
    except (RuntimeError, AssertionError) as error:
        record.faults.append(str(error))
    print(guard, record.faults)
    assert any(words in fault for fault in record.faults), (
        f"{name} does not say {words!r} although {guard}: {record.faults}"
    )
