"""One pair of regions for the whole table: a active, b following, as the product brings them up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.namespace import entered, places
from lab.rehearsal.drill import CHANGES
from lab.rehearsal.stage import Stage
from lab.rehearsal.world import World, lab, wait_for
from tests.refused.ground import Ground


@pytest.fixture(scope="package")
def ground() -> Iterator[Ground]:
    """Not from inside the lab's namespace: each call enters where it comes from."""
    where = places()
    lab("up")
    try:
        with entered(where.netns):
            stage = Stage(World(where, CHANGES))
            for site in "ab":
                stage.must(stage.pulumi.up(site), site)
            wait_for("region b streams", lambda: stage.world.status("b").get("streaming") is True, 60, 0.5)
        yield Ground(where, stage)
    finally:
        lab("down")
