"""A drill that cannot fail proves nothing: each guard is switched off in a copy of the product, and the drill that watches it must turn red.

The copy is what `pulumi up` runs then, so hosts get the weakened software too; afterwards the product itself puts everything right.
"""

from __future__ import annotations

import shutil

import pytest

from lab.rehearsal.drills import DRILLS
from lab.rehearsal.stage import Record
from lab.rehearsal.world import PROJECT
from tests.drills.guards import GUARDS

pytestmark = [pytest.mark.lab, pytest.mark.proof]


@pytest.fixture
def weakened(stage, tmp_path):
    """`weakened(file, old, new)`: from now on `pulumi up` runs a copy of the product with that change, on both sides."""
    copy = tmp_path / "project"

    def weaken(file, old, new):
        for folder in ("components", "contract", "examples", "scripts"):
            shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(PROJECT / name, copy / name)
        (copy / ".venv").symlink_to((PROJECT / ".venv").resolve())
        text = (copy / file).read_text()
        assert text.count(old) == 1, f"{file} has changed: found {text.count(old)} places like {old!r}, wanted one"
        (copy / file).write_text(text.replace(old, new))
        stage.pulumi.project = copy
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
