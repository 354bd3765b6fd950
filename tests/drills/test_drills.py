"""Every drill by its name. `make test` plays those in which data could be lost or written twice, `make drills` the rest but those with a pair of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.rehearsal.drill import keep, tell
from lab.rehearsal.drills import DRILLS, run

RECORDS = Path(__file__).resolve().parents[2] / ".build" / "drills"
# Planned moves, refusals and a killed take-over are the life cycle's (tests/lab/test_life_cycle.py), which `make test` plays too.
GUARD_DATA = (
    "region-killed",
    "region-killed-with-apis",
    "region-returns-without-agent",
    "isolated-region",
    "rewind-interrupted",
    "loss-over-budget",
    "story-fence-killed-half-way",
    "story-target-with-a-full-disk",
    "fault-point-stopped-stays",
    "fault-point-claimed",
    "fault-point-lost-claimed",
)

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in GUARD_DATA else pytest.mark.rest)
        for name, it in DRILLS.items()
        if not it.configured
    ],
)
def test_drill(stage, name):
    record = run(DRILLS[name], stage)
    keep(record, RECORDS)
    print(tell(record))
    assert record.faults == []


def test_the_drills_that_guard_data_are_known():
    assert set(GUARD_DATA) <= set(DRILLS)
