"""A site whose clocks are off from everybody else's."""

from __future__ import annotations

import datetime
import time

from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import evidence, loss_is_counted, take_over
from lab.rehearsal.drills.planned import BULK, move, nothing_lost
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

OFF_MIN = 10  # S3 refuses what is signed by a clock that is off by 15 minutes or more
NEAR_S = 5.0
TICK_S = 2.0  # the witness tells its time in whole seconds, in both of the headers that an age is made of


@drill("clock-off-on-one-side")
def clock_off_on_one_side(stage: Stage, record: Record) -> None:
    """One site's clocks are 10 minutes ahead, then 10 minutes behind: it is moved to, it sells on, it is lost, and every age is a true one."""
    site, home = stage.standby, stage.active
    lease = stage.world.config["dr:lease"]
    with stage.shopping(record) as shop:
        stage.fault("clock", "kill", site, f"{OFF_MIN}")
        wait_for(
            "the standby streams with its new clock",
            lambda: stage.world.status(site).get("streaming") is True,
            120,
            0.5,
        )
        _is_off(stage, record, site, OFF_MIN)
        move(stage, record, shop)
        _ages_are_true(stage, record, site, OFF_MIN)
        began = time.time()
        stage.fault("clock", "return", site)
        stage.fault("clock", "kill", site, f"-{OFF_MIN}")
        patience = lease["lease_s"] + lease["stop_s"]
        wait_for("a lease and more have passed", lambda: time.time() - began > patience, patience + 10, 0.5)
        _ages_are_true(stage, record, site, -OFF_MIN)
        _archives(stage, site)
        shop.flow("orders flow")
        broken = [sample for sample in stage.samples(site, began) if not sample["writer"]]
        record.expect(not broken, f"the writer paused {len(broken)} times although only its clock was set")
    nothing_lost(record)
    record.figures = {"planned": record.figures}
    before = evidence(stage, site)
    stage.world.request(home, site)
    stage.must(stage.pulumi.up(home), home)
    with stage.shopping(record) as shop:
        stage.fault("slow-link", "kill", "256kbit")
        stage.sql(site, BULK.format(rows=3000))
        shop.flow()
        beaten = time.monotonic()
        wait_for(
            "two heartbeats have passed", lambda: time.monotonic() - beaten > 2 * lease["heartbeat_s"] + 1, 20, 0.2
        )
        stage.fault("region", "kill", site)
        take_over(stage, record, shop, rung=3)
        stage.settle()
    told, silence_s = stage.epoch().loss or {}, lease["lease_s"] + lease["stop_s"] + lease["margin_s"]
    lag, age = told.get("seconds"), told.get("heartbeat_age_s")
    record.expect(lag is not None and 0 < lag < silence_s, f"the lag at the loss is not a true one: {told}")
    record.expect(
        age is not None and silence_s <= age < 3 * silence_s, f"the age of the last heartbeat is not a true one: {told}"
    )
    loss_is_counted(stage, record, site, before)
    stage.sql(stage.active, "drop table if exists drill_bulk")


def _is_off(stage: Stage, record: Record, site: str, minutes: int) -> None:
    """Every database and cache host of the site tells that time, the other site's tell the lab's."""
    for each in "ab":
        for name in stage.leased:
            off = float(stage.line(f"{name}.{each}", "date +%s.%N")) - time.time()
            wanted = 60 * minutes if each == site else 0
            record.expect(abs(off - wanted) < NEAR_S, f"the clock of {name}.{each} is {off:.1f} s off, wanted {wanted}")


def _ages_are_true(stage: Stage, record: Record, site: str, minutes: int) -> None:
    """Heartbeats of both sites are young by the witness's clock, and no lease is near its end; the beats say themselves that the site's clock is off."""
    lease = stage.world.config["dr:lease"]
    ages = {}
    for each in "ab":
        for name in stage.leased:
            beat = stage.witness.heartbeat(each, name)
            assert beat is not None
            state = beat.document["lease"]
            ages[f"{name}.{each}"] = round(beat.age_s, 1)
            record.expect(
                -TICK_S <= beat.age_s < lease["lease_s"] / 2, f"{name}.{each}: the heartbeat is {beat.age_s:.1f} s old"
            )
            heard = beat.document["role"] != "primary" or (
                state["state"] == "held" and state["silent_s"] < lease["lease_s"] / 2
            )
            record.expect(heard, f"{name}.{each}: the lease is {state}")
            off = datetime.datetime.fromisoformat(beat.document["at"]).timestamp() - time.time()
            wanted = 60 * minutes if each == site else 0
            record.expect(
                abs(off - wanted) < lease["lease_s"],
                f"{name}.{each}: beats with a clock that is {off:.1f} s off, wanted {wanted}",
            )
    record.figures[f"heartbeat_ages_at_{minutes:+d}_min"] = ages


def _archives(stage: Stage, site: str) -> None:
    """WAL goes to the bucket, signed with a clock that is off."""
    count = "select archived_count from pg_stat_archiver"
    before = int(stage.sql(site, count))
    stage.sql(site, "select pg_switch_wal()")
    wait_for("the archive takes WAL", lambda: int(stage.sql(site, count)) > before, 60, 0.5)
