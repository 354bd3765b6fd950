"""One pair of regions for all drills: it is settled after each, and the lab is gone at the end."""

from __future__ import annotations

import pytest

from lab.namespace import entered, places
from lab.rehearsal.drill import CHANGES
from lab.rehearsal.stage import Stage
from lab.rehearsal.world import World, lab


@pytest.fixture(scope="package")
def standing():
    """(places, stage), both regions up. Not from inside: a fixture of this scope would keep later tests in the lab's namespace."""
    where = places()
    lab("up")
    try:
        with entered(where.netns):
            stage = Stage(World(where, CHANGES))
            stage.bring_up()
        yield where, stage
    finally:
        lab("down")


@pytest.fixture
def stage(standing):
    where, stage = standing
    with entered(where.netns):
        yield stage
