"""Every drill by its name: `make drills` plays them. None is part of `make test` until all of them are green."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.rehearsal.drill import keep, tell
from lab.rehearsal.drills import DRILLS, run

RECORDS = Path(__file__).resolve().parents[2] / ".build" / "drills"

pytestmark = [pytest.mark.lab, pytest.mark.rest]


@pytest.mark.parametrize("name", DRILLS)
def test_drill(stage, name):
    record = run(DRILLS[name], stage)
    keep(record, RECORDS)
    print(tell(record))
    assert record.faults == []
