"""Several caches in a site, and one of them dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lab.rehearsal.drills import drill
from lab.rehearsal.drills.planned import move, nothing_lost
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

NAMES = ("cache-1", "cache-2", "cache-3")


@contextmanager
def grouped(stage: Stage, record: Record) -> Iterator[None]:
    """While the block runs both sites have three caches, heard to its end; afterwards one again. The active site goes first each time: it has the keys."""
    before = {site: stage.world.configure(site, "redis", None) for site in "ab"}
    for site in "ab":
        stage.world.configure(site, "redis", {**(before[site] or {}), "cache_replicas": 2})
    try:
        _up(stage)
        yield
        stage.heard(record)  # the drill's own look comes when two of the three are gone
    finally:  # the next drill has one cache a site, whatever became of this one
        for site in "ab":
            stage.world.configure(site, "redis", before[site])
    _up(stage)


def _up(stage: Stage) -> None:
    for site in (stage.active, stage.standby):
        stage.must(stage.pulumi.up(site), site)


def leaders(stage: Stage, site: str) -> list[str]:
    """Names of the caches of a site that say they lead."""
    return [name for name in NAMES if stage.world.status(site, "redis", name).get("role") == "master"]


@drill("cache-host-killed")
def cache_host_killed(stage: Stage, record: Record) -> None:
    """With three caches a site, the leader's host is killed: another leads, the shop sells on and moves; the dead one comes back as a follower."""
    with grouped(stage, record):
        old = stage.active
        record.expect(leaders(stage, old) == ["cache-1"], f"leaders of {old}: {leaders(stage, old)}")
        _until_sentinels_agree(stage, old)
        with stage.shopping(record) as shop:
            began = time.monotonic()
            stage.fault("host", "kill", f"{old}-cache-1")
            wait_for("another cache leads", lambda: leaders(stage, old) not in ([], ["cache-1"]), 60, 0.5)
            shop.flow("orders flow with another cache")
            record.figures |= {"cache_lost_gap_s": shop.gap(began), "cache_lost_failures": shop.failures(began)}
            stage.fault("host", "return", f"{old}-cache-1")
            wait_for(
                "the dead cache follows", lambda: stage.world.status(old, "redis").get("link_up") is True, 120, 0.5
            )
            record.expect(len(leaders(stage, old)) == 1, f"leaders of {old} after the return: {leaders(stage, old)}")
            move(stage, record, shop)
            record.expect(
                (leaders(stage, old), leaders(stage, stage.active)) == ([], ["cache-1"]),
                "after the move cache-1 of the new site leads alone",
            )
            stage.settle()
        nothing_lost(record)


def _until_sentinels_agree(stage: Stage, site: str) -> None:
    """They have met, and know the followers: that takes them a few seconds after their start."""

    def agreed() -> bool:
        return all(
            (stage.world.status(site, "redis", name).get("sentinel") or {}).get("others") == len(NAMES) - 1
            for name in NAMES
        )

    wait_for("Sentinels know each other", agreed, 60, 1.0)
