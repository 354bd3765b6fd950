"""Commits that wait for the other region: what is lost with a region then, and what the shop does when there is nobody to wait for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import lose
from lab.rehearsal.drills.planned import move, nothing_lost
from lab.rehearsal.stage import Record, Shop, Stage
from lab.rehearsal.world import wait_for

ARMED_S, SILENT_S, DEGRADE_AFTER_S = 60, 15.0, 10
SLACK_S = 8.0  # from the time after which nobody is waited for to the first order: two beats, a write to the witness, customers who insist


@contextmanager
def in_mode(stage: Stage, mode: str) -> Iterator[None]:
    """While the block runs commits of both sites wait so; the standby is told first, for the active side's run arms."""
    before = {site: stage.world.configure(site, "postgres", None) for site in "ab"}
    _configured(
        stage, {site: {**(before[site] or {}), "mode": mode, "degrade_after_s": DEGRADE_AFTER_S} for site in "ab"}
    )
    try:
        _is(stage, "on")
        yield
        stage.settle()
    finally:
        _configured(stage, before)


def _configured(stage: Stage, postgres: dict[str, dict[str, object] | None]) -> None:
    for site in (stage.standby, stage.active):
        stage.world.configure(site, "postgres", postgres[site])
    for site in (stage.standby, stage.active):
        stage.must(stage.pulumi.up(site), site)


def _is(stage: Stage, sync: str, limit_s: float = ARMED_S) -> float:
    """Wait until the active database says so of its commits; returns the seconds that it took."""
    site = stage.active
    return wait_for(
        f"commits in region {site}: {sync}", lambda: stage.world.status(site).get("sync") == sync, limit_s, 0.3
    )


@drill("sync-region-killed")
def sync_region_killed(stage: Stage, record: Record) -> None:
    """Mode sync: the active region loses its power under load, and no acknowledged order is lost; commits wait again once the old region follows."""
    with in_mode(stage, "sync"):
        lose(stage, record, ("region-hosts", "kill", stage.active), rung=2)
        nothing_lost(record)
        record.figures["armed_after_s"] = round(_is(stage, "on"), 1)


@drill("sync-standby-gone")
def sync_standby_gone(stage: Stage, record: Record) -> None:
    """Mode sync: while the standby is gone no order is taken; it is back, and they are; the shop moves afterwards."""
    with in_mode(stage, "sync"), stage.shopping(record) as shop:
        began = time.monotonic()
        stage.fault("host", "kill", f"{stage.standby}-db-1")
        _nothing_is_taken(record, shop)
        stage.fault("host", "return", f"{stage.standby}-db-1")
        shop.flow("orders flow again", 90)
        record.figures["standby_gone_gap_s"] = shop.gap(began)
        _is(stage, "on")
        move(stage, record, shop)
    nothing_lost(record)


@drill("sync-link-cut")
def sync_link_cut(stage: Stage, record: Record) -> None:
    """Mode sync: a cut link alone does that too, and its end ends it."""
    with in_mode(stage, "sync"), stage.shopping(record) as shop:
        stage.fault("link", "kill", "both")
        _nothing_is_taken(record, shop)
        stage.fault("link", "return", "both")
        shop.flow("orders flow again", 120)
    nothing_lost(record)


def _nothing_is_taken(record: Record, shop: Shop) -> None:
    """Once what was under way is over. A commit that hangs is no acknowledged one."""
    settled = time.monotonic() + 3.0
    wait_for("what was under way is over", lambda: time.monotonic() > settled, 10)
    before = shop.client.acknowledged
    until = time.monotonic() + SILENT_S
    wait_for("a while without a standby", lambda: time.monotonic() > until, SILENT_S + 5)
    taken = shop.client.acknowledged - before
    record.expect(taken == 0, f"{taken} orders were acknowledged in mode sync although nobody else has them")


@drill("degrade-standby-gone")
def degrade_standby_gone(stage: Stage, record: Record) -> None:
    """Mode degrade: orders wait for a standby that is gone as long as configured, then flow; witness and status say so; with it back they wait again."""
    with in_mode(stage, "degrade"), stage.shopping(record) as shop:
        active, began = stage.active, time.monotonic()
        stage.fault("host", "kill", f"{stage.standby}-db-1")
        _is(stage, "degraded")
        shop.flow("orders flow without a standby")
        gap = record.figures["standby_gone_gap_s"] = shop.gap(began)
        lease = stage.world.config["dr:lease"]
        limit = DEGRADE_AFTER_S + 2 * lease["heartbeat_s"] + SLACK_S
        record.expect(
            gap >= DEGRADE_AFTER_S / 2, f"orders waited {gap} s, wanted about {DEGRADE_AFTER_S}: nothing was waited for"
        )
        record.expect(gap <= limit, f"orders waited {gap} s for a standby that was gone, wanted at most {limit:g}")
        beat = stage.witness.heartbeat(active, "db-1")
        told = beat.block("postgres").get("mode") if beat else None
        record.expect(told == "degraded", f"the heartbeat at the witness says mode {told}, wanted degraded")
        stage.fault("host", "return", f"{stage.standby}-db-1")
        record.figures["armed_after_s"] = round(_is(stage, "on", 120), 1)
        shop.flow("orders flow with a standby")
    nothing_lost(record)


@drill("degrade-region-killed")
def degrade_region_killed(stage: Stage, record: Record) -> None:
    """Mode degrade, and the standby is there: the loss of the region loses no acknowledged order either."""
    with in_mode(stage, "degrade"):
        lose(stage, record, ("region-hosts", "kill", stage.active), rung=2)
        nothing_lost(record)
