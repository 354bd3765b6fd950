"""What a fence sees of a region is not what the region is: nothing may be taken for stopped that is not seen to be."""

from __future__ import annotations

import time

from lab.client.ledger import compare
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import all_archived, evidence, isolate, loss_is_counted, take_over
from lab.rehearsal.drills.planned import nothing_lost, refused
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import lab, wait_for

RESUMES_S = 120.0
SSH = ("ssh.socket", "ssh.service")


@drill("writers-paused")
def writers_paused(stage: Stage, record: Record) -> None:
    """The active writers' hosts stand still for longer than their lease: they are silent and go on where they were, so nobody takes over."""
    record.isolates = True
    hosts = [f"{stage.active}-{name}" for name in stage.leased]
    with stage.shopping(record) as shop:
        for host in hosts:
            stage.fault("server-state", "kill", host, "PAUSED")
        refused(stage, record, "db-1 is PAUSED", "silence proves nothing")
        for host in hosts:
            stage.fault("server-state", "return", host)
        shop.flow("orders flow again by themselves", RESUMES_S)
    nothing_lost(record)


@drill("half-dead-region")
def half_dead_region(stage: Stage, record: Record) -> None:
    """The active region is cut off and lives, and its API answers without its database's host, whose cell is down: only the lease proves an end."""
    isolate(stage, record, ("cell-down", "kill", f"{stage.active}-db-1"))


@drill("living-region-without-ssh")
def living_region_without_ssh(stage: Stage, record: Record) -> None:
    """The active region is well, and no ssh leads to its database's host: it is not taken for a lost one, and nothing is stopped."""
    host = f"db-1.{stage.active}"
    with stage.shopping(record) as shop:
        lab("ssh", host, "--", "systemctl", "stop", *SSH)
        try:
            refused(stage, record, "it sells, and a forced move would lose what it sells", "nothing was changed")
        finally:
            lab("ssh", host, "--", "systemctl", "start", *SSH)
        shop.flow("orders flow on")
    nothing_lost(record)


@drill("archive-ahead-of-the-stream")
def archive_ahead_of_the_stream(stage: Stage, record: Record) -> None:
    """The stream was cut, the way to the buckets was not, and then the region dies: what is archived is replayed before the loss is counted."""
    old, before = stage.active, evidence(stage, stage.active)
    with stage.shopping(record) as shop:
        stage.fault("link", "kill", "both")
        wait_for(
            "the standby has lost its stream",
            lambda: stage.world.status(stage.standby).get("streaming") is False,
            90,
            0.5,
        )
        shop.flow("orders flow that are not streamed")
        stored = time.monotonic()  # what was acknowledged up to here will be in the archive
        all_archived(stage, old)
        stage.fault("region-hosts", "kill", old)
        take_over(stage, record, shop, rung=2)
        stage.settle()
    lost = [order for order in compare(shop.events(), stage.world.rows(stage.active)).lost if order["mono"] <= stored]
    record.expect(not lost, f"{len(lost)} orders are gone although they were archived")
    loss_is_counted(stage, record, old, before)
