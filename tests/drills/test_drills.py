"""Every drill by its name. Those that show that no second writer and no uncounted loss is possible are part of every run; `make drills` plays the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.rehearsal.drill import keep, tell
from lab.rehearsal.drills import DRILLS, run

RECORDS = Path(__file__).resolve().parents[2] / ".build" / "drills"

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    "name", [pytest.param(each.name, marks=[] if each.guards else [pytest.mark.rest], id=each.name) for each in DRILLS.values()]
)
def test_drill(stage, name):
    record = run(DRILLS[name], stage)
    keep(record, RECORDS)
    print(tell(record))
    assert record.faults == []
