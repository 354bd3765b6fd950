"""Something is wrong on a host: full disks, old disks, parameters, slots."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from contract.errors import DrError
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import DATA, evidence, loss_is_counted, take_over
from lab.rehearsal.drills.planned import move, nothing_lost
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import lab, wait_for


@drill("disk-full-standby")
def disk_full_on_the_standby(stage: Stage, record: Record) -> None:
    """The standby's disk is full: the shop sells on, and the standby streams again when there is room."""
    standby = stage.standby
    with stage.shopping(record) as shop:
        stage.fault("disk-full", "kill", f"{standby}-db-1")
        for _ in range(3):
            stage.sql(stage.active, "select pg_switch_wal()")
            shop.flow("orders flow with a standby that is full")
        stage.fault("disk-full", "return", f"{standby}-db-1")
    nothing_lost(record)


@drill("disk-full-primary")
def disk_full_on_the_primary(stage: Stage, record: Record) -> None:
    """The primary's disk is full: whatever it acknowledged is there when there is room again, and the pair is well."""
    active = stage.active
    with stage.shopping(record) as shop:
        stage.fault("disk-full", "kill", f"{active}-db-1")
        _until_it_hurts(stage, active)
        stage.fault("disk-full", "return", f"{active}-db-1")
        stage.settle()
        shop.flow("orders flow again", 90)
    nothing_lost(record)


def _until_it_hurts(stage: Stage, site: str) -> None:
    statement = "create table if not exists drill_fill (filler text); insert into drill_fill select repeat('x', 900) from generate_series(1, 40000)"

    def hurt() -> bool:
        try:
            stage.sql(site, statement)
        except RuntimeError:
            return True
        return False

    wait_for("the disk is full", hurt, 60, 0.1)


@drill("raised-parameter")
def raised_parameter(stage: Stage, record: Record) -> None:
    """A parameter that a standby must not have lower is raised, and lowered again: the stream goes on, and the shop moves afterwards."""
    world, standby, active = stage.world, stage.standby, stage.active
    before = {site: world.configure(site, "postgres", None) for site in "ab"}
    for value, order in (
        ("150", (standby, active)),
        ("100", (active, standby)),
    ):  # the standby is never the one with less
        for site in "ab":
            postgres = dict(before[site] or {})
            world.configure(
                site,
                "postgres",
                {**postgres, "parameters": {**(postgres.get("parameters") or {}), "max_connections": value}},
            )
        for site in order:
            stage.must(stage.pulumi.up(site), site)
        found = {site: stage.sql(site, "show max_connections") for site in "ab"}
        record.expect(
            found == {"a": value, "b": value}, f"max_connections: found {found}, wanted {value} on both sides"
        )
        record.expect(
            world.status(standby).get("streaming") is True, f"the standby does not stream with max_connections {value}"
        )
    for site in "ab":
        world.configure(site, "postgres", before[site])
    with stage.shopping(record) as shop:
        move(stage, record, shop)
    nothing_lost(record)


@drill("slot-lost")
def slot_lost(stage: Stage, record: Record) -> None:
    """The standby's slot was dropped while it was down: the primary's agent makes it anew, and it streams again by itself."""
    active, standby = stage.active, stage.standby
    with stage.shopping(record) as shop:
        stage.line(f"db-1.{standby}", "systemctl stop postgresql@17-main")
        slots = stage.sql(
            active,
            "select count(pg_drop_replication_slot(slot_name)) from pg_replication_slots where not active and slot_name like 'dr%'",
        )
        record.figures["slots_dropped"] = int(slots)
        for _ in range(3):
            stage.sql(active, "select pg_switch_wal()")
            stage.sql(active, "checkpoint")
        stage.line(f"db-1.{standby}", "systemctl start postgresql@17-main")
        wait_for("the standby streams", lambda: stage.world.status(standby).get("streaming") is True, 60, 0.5)
        shop.flow()
    nothing_lost(record)


@drill("snapshot-restored")
def snapshot_restored(stage: Stage, record: Record) -> None:
    """The disk of the old primary is put back to a snapshot from when it was the writer: it does not become one again, and a repair makes it follow."""
    old, server = stage.active, f"{stage.active}-db-1"
    before = evidence(stage, old)
    with stage.shopping(record) as shop:
        stage.fault("host", "kill", server)
        lab("snapshot", f"shop-{server}")
        take_over(stage, record, shop, rung=2)
        stage.settle()
        stage.fault("host", "kill", server)
        lab("rollback", f"shop-{server}")
        stage.fault("host", "return", server)
        wait_for("the old database host answers", lambda: bool(stage.world.status(old)), 120, 1.0)
        record.expect(old not in stage.world.writers(), "the database of the snapshot takes writes")
        stage.repair()  # pulumi knows of no change
    loss_is_counted(stage, record, old, before)


@contextlib.contextmanager
def interrupted(stage: Stage, record: Record, host: str, program: str) -> Iterator[None]:
    """While the block runs: `program`, and the software that runs it on `host`, are killed as soon as it is there. It must have been there."""
    hunt = f"sh -c 'n=0; until pkill -9 -x {program}; do n=$((n+1)); test $n -lt 2500 || exit 1; sleep 0.02; done; pkill -9 -f [d]r-host.pyz.postgres'"
    hits: list[bool] = []

    def hunter() -> None:
        try:
            stage.line(host, hunt)
        except (RuntimeError, DrError):
            return
        hits.append(True)

    hunting = threading.Thread(target=hunter)
    hunting.start()
    yield
    hunting.join()
    record.expect(bool(hits), f"{program} was never seen on {host}, so nothing was interrupted")


@drill("rewind-interrupted")
def rewind_interrupted(stage: Stage, record: Record) -> None:
    """The rewind of an old primary that has orders of its own is killed half-way: the next run finishes, and its orders are counted."""
    old, before = stage.active, evidence(stage, stage.active)
    with stage.shopping(record) as shop:
        stage.fault("link", "kill", "both")
        shop.flow("orders flow that the other region never sees")
        stage.fault("region-hosts", "kill", old)
        take_over(stage, record, shop, rung=2)
        stage.fault("return-all")
        wait_for("the old database host answers", lambda: bool(stage.world.status(old)), 120, 1.0)
        stage.world.request(old, stage.active)
        with interrupted(stage, record, f"db-1.{old}", "pg_rewind"):
            done = stage.pulumi.up(old)
        record.expect(not done.ok, "a run whose rewind was killed reported success")
        record.expect(old not in stage.world.writers(), "the half-rewound database takes writes")
        stage.settle()
    loss_is_counted(stage, record, old, before)


@drill("base-backup-interrupted")
def base_backup_interrupted(stage: Stage, record: Record) -> None:
    """The standby's data are gone, and the copy that replaces them is killed half-way: the next run makes a whole one."""
    standby = stage.standby
    with stage.shopping(record) as shop:
        stage.line(f"db-1.{standby}", f"sh -c 'systemctl stop postgresql@17-main && mv {DATA} {DATA}.taken'")
        with interrupted(stage, record, f"db-1.{standby}", "pg_basebackup"):
            done = stage.repair()
        record.expect(not done[standby].ok, "a run whose copy was killed reported success")
        stage.must(stage.pulumi.up(standby), standby)
        wait_for("the standby streams", lambda: stage.world.status(standby).get("streaming") is True, 60, 0.5)
        shop.flow("orders flow with a new standby")
    nothing_lost(record)
    stage.line(f"db-1.{standby}", f"rm -r {DATA}.taken")
