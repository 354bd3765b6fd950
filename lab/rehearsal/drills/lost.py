"""A region that dies, wholly or in part, and comes back when it likes."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from lab.client.ledger import compare
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.planned import nothing_lost, refused
from lab.rehearsal.stage import Record, Shop, Stage
from lab.rehearsal.world import wait_for
from lab.rehearsal.writers import silence

ARCHIVED_S = 180
DATA = "/var/lib/postgresql/17/main"


def take_over(stage: Stage, record: Record, shop: Shop, *, rung: int) -> None:
    """By the standby, with its figures; customers must be served again."""
    target, began, epoch = stage.standby, time.monotonic(), stage.epoch().epoch
    done = stage.must(stage.take_over(target), target)
    shop.flow()
    newest = stage.epoch()
    record.expect(
        (newest.epoch, newest.active, newest.planned) == (epoch + 1, target, False),
        f"epoch after the take-over: {newest}",
    )
    record.expect(newest.fence.get("rung") == rung, f"the fence was rung {newest.fence.get('rung')}, wanted {rung}")
    record.figures |= {
        "up_s": round(done.seconds, 1),
        "first_order_s": shop.first_after(began),
        "longest_gap_s": shop.gap(began),
        "fence_rung": newest.fence.get("rung"),
        "loss_told": newest.loss,
    }


def evidence(stage: Stage, site: str) -> dict[str, Any] | None:
    """The newest list of what the old primary of `site` had written and lost; None when it had nothing of the kind."""
    found = stage.line(
        f"db-1.{site}",
        "sh -c 'ls -1t /var/lib/postgresql/evidence/*/evidence.json 2>/dev/null | head -n 1 | xargs -r cat'",
    )
    return dict(json.loads(found)) if found.strip() else None


def loss_is_counted(stage: Stage, record: Record, old: str, before: dict[str, Any] | None) -> None:
    """Every acknowledged order that is gone is among the commits that the old primary's evidence counts."""
    found, lost = evidence(stage, old), record.figures["orders"]["lost"]
    commits = 0 if found is None or found == before else int(found["commits"])
    record.figures["commits_in_evidence"] = commits
    record.expect(
        lost <= commits, f"{lost} acknowledged orders are gone, the old primary's evidence counts {commits} commits"
    )


def stopped_in_time(stage: Stage, record: Record, site: str, cut: float) -> float | None:
    """Seconds from the cut (wall clock) to the last sample in which the isolated writer of `site` still wrote; its lease bounds them."""
    stopped, lease = silence(stage.samples(site, cut), cut), stage.world.config["dr:lease"]
    limit = lease["lease_s"] + lease["stop_s"]
    record.figures["isolated_stopped_after_s"] = None if stopped is None else round(stopped, 1)
    record.expect(
        stopped is not None and stopped <= limit, f"the isolated writer wrote for {stopped} s, wanted at most {limit}"
    )
    return stopped


def lose(stage: Stage, record: Record, fault: tuple[str, ...], *, rung: int) -> None:
    """The fault, the take-over, the return, the count."""
    old, before = stage.active, evidence(stage, stage.active)
    with stage.shopping(record) as shop:
        stage.fault(*fault)
        take_over(stage, record, shop, rung=rung)
        stage.settle()
        shop.flow("orders flow while the old region follows")
    loss_is_counted(stage, record, old, before)


def isolate(stage: Stage, record: Record, *faults: tuple[str, ...]) -> None:
    """The active region is cut off and lives, with these faults of its API: taken over by its lease, and it has stopped by itself before that."""
    record.isolates = True
    old, before = stage.active, evidence(stage, stage.active)
    with stage.shopping(record) as shop:
        cut = time.time()
        stage.fault("uplink", "kill", old)
        stage.fault("link", "kill", "both")
        for fault in faults:
            stage.fault(*fault)
        take_over(stage, record, shop, rung=3)
        claimed = time.time()
        stage.settle()
    stopped = stopped_in_time(stage, record, old, cut)
    record.expect(
        stopped is not None and cut + stopped < claimed, "the isolated primary still wrote when the other was promoted"
    )
    loss_is_counted(stage, record, old, before)


@drill("host-killed")
def host_killed(stage: Stage, record: Record) -> None:
    """The active database's host loses its power, its neighbours run on: they are fenced with it."""
    lose(stage, record, ("host", "kill", f"{stage.active}-db-1"), rung=2)


@drill("region-killed")
def region_killed(stage: Stage, record: Record) -> None:
    """All hosts of the active region lose their power, its API answers."""
    lose(stage, record, ("region-hosts", "kill", stage.active), rung=2)


@drill("region-killed-with-apis")
def region_killed_with_apis(stage: Stage, record: Record) -> None:
    """Nothing of the region answers: its lease is what proves that it has stopped."""
    lose(stage, record, ("region", "kill", stage.active), rung=3)


@drill("region-returns-mid-promotion")
def region_returns_mid_promotion(stage: Stage, record: Record) -> None:
    """A region that comes back by itself in the middle of the take-over accepts no write."""
    old, before = stage.active, evidence(stage, stage.active)
    epoch = stage.epoch().epoch
    with stage.shopping(record) as shop:
        stage.fault("region-hosts", "kill", old)
        taking = threading.Thread(target=lambda: take_over(stage, record, shop, rung=2))
        taking.start()
        wait_for("the epoch is claimed", lambda: stage.epoch().epoch > epoch, 60, 0.05)
        returned = time.time()
        stage.fault("region-hosts", "return", old)
        taking.join()
        wait_for("the old database host answers", lambda: bool(stage.world.status(old)), 120, 1.0)
        stage.settle()
    wrote = silence(stage.samples(old, returned), returned)
    record.expect(wrote is None, f"the region that came back took writes until {wrote} s after its return")
    loss_is_counted(stage, record, old, before)


@drill("region-returns-without-agent")
def region_returns_without_agent(stage: Stage, record: Record) -> None:
    """A region that comes back without its lease agent: the guard alone keeps its database down, and a repair puts the agent back."""
    old, before = stage.active, evidence(stage, stage.active)
    host = f"db-1.{old}"
    with stage.shopping(record) as shop:
        stage.line(host, "systemctl disable -q dr-agent")
        stage.fault("region-hosts", "kill", old)
        take_over(stage, record, shop, rung=2)
        returned = time.time()
        stage.fault("region-hosts", "return", old)
        wait_for("the old database host answers", lambda: bool(stage.world.status(old)), 120, 1.0)
        refusals = (
            "sh -c 'journalctl -b -u postgresql@17-main -o cat --no-pager | grep -c \"it was not started\" || true'"
        )
        wait_for("the guard has refused", lambda: stage.line(host, refusals).strip() != "0", 60, 1.0)
        stage.repair()
        stage.settle()
    record.expect(stage.line(host, "systemctl is-active dr-agent").strip() == "active", "the agent is not back")
    wrote = silence(stage.samples(old, returned), returned)
    record.expect(wrote is None, f"the region that came back took writes until {wrote} s after its return")
    loss_is_counted(stage, record, old, before)


@drill("isolated-region")
def isolated_region(stage: Stage, record: Record) -> None:
    """The active region lives and is cut off from everything: no promotion before its lease has run out, and it stops by itself."""
    isolate(stage, record, *(("api", "kill", f"{api}@{stage.active}", "503") for api in ("compute", "network")))


@drill("link-cut")
def link_cut(stage: Stage, record: Record) -> None:
    """The link alone is cut: the active region sells on, and the other cannot become active by a planned move."""
    _link_cut(stage, record, "both")


@drill("link-cut-one-way")
def link_cut_one_way(stage: Stage, record: Record) -> None:
    """Only what the active region sends is lost on the link: the same."""
    _link_cut(stage, record, f"{stage.active}->{stage.standby}")


def _link_cut(stage: Stage, record: Record, direction: str) -> None:
    target, writers = stage.standby, stage.world.writers()
    with stage.shopping(record) as shop:
        stage.fault("link", "kill", direction)
        wait_for(
            "the standby has lost its stream", lambda: stage.world.status(target).get("streaming") is False, 90, 0.5
        )
        refused(stage, record, "is not streaming")
        shop.flow("orders flow on")
    record.expect(stage.world.writers() == writers, f"writers changed from {writers} to {stage.world.writers()}")
    nothing_lost(record)


@drill("witness-dead")
def witness_dead(stage: Stage, record: Record) -> None:
    """The witness alone is dead, for longer than a lease: nothing stops, and a run without a change goes through."""
    active, lease = stage.active, stage.world.config["dr:lease"]
    with stage.shopping(record) as shop:
        began = time.time()
        stage.fault("storage", "kill", "de")
        patience = lease["lease_s"] + lease["stop_s"] + lease["margin_s"]
        wait_for("a lease and more have passed", lambda: time.time() - began > patience, patience + 10, 0.5)
        shop.flow("orders flow without a witness")
        broken = [sample for sample in stage.samples(active, began) if not sample["writer"]]
        record.expect(not broken, f"the writer paused {len(broken)} times although only the witness was dead")
        stage.fault("storage", "return", "de")
    nothing_lost(record)


@drill("witness-and-link-dead")
def witness_and_link_dead(stage: Stage, record: Record) -> None:
    """Neither witness nor peer is heard: the writer stops when its lease ends, and starts again by itself when it hears."""
    record.isolates = True
    active, lease = stage.active, stage.world.config["dr:lease"]
    with stage.shopping(record) as shop:
        cut = time.time()
        stage.fault("storage", "kill", "de")
        stage.fault("link", "kill", "both")
        limit = lease["lease_s"] + lease["stop_s"]
        wait_for("the writer has stopped", lambda: stage.world.status(active).get("running") is False, limit + 20, 0.5)
        stopped_in_time(stage, record, active, cut)
        heard = time.monotonic()
        stage.fault("storage", "return", "de")
        shop.flow("orders flow again by themselves", 90)
        record.figures["writes_again_after_s"] = shop.first_after(heard)
        stage.fault("link", "return", "both")
    nothing_lost(record)


@drill("api-throttled")
def api_throttled(stage: Stage, record: Record) -> None:
    """The lost region's compute API answers 429 to everything: the lease decides."""
    old, before = stage.active, evidence(stage, stage.active)
    with stage.shopping(record) as shop:
        stage.fault("region-hosts", "kill", old)
        stage.fault("api", "kill", f"compute@{old}", "429")
        take_over(stage, record, shop, rung=3)
        stage.settle()
    loss_is_counted(stage, record, old, before)


@drill("both-databases-lost")
def both_databases_lost(stage: Stage, record: Record) -> None:
    """The data of both databases are gone: nothing empty takes their place, and the shop comes back from the archive as of its last segment."""
    active, standby = stage.active, stage.standby
    before = stage.sql(active, "select system_identifier from pg_control_system()")
    wait_for(
        "there is a backup",
        lambda: any(found["backups"] for found in archive(stage, active)["repositories"].values()),
        120,
        1.0,
    )
    with stage.shopping(record) as shop:
        stored = time.monotonic()  # what was acknowledged up to here will be in the archive
        all_archived(stage, active)
        shop.flow("orders flow that are not archived yet")
        began = time.monotonic()
        for site in (active, standby):
            stage.line(f"db-1.{site}", f"sh -c 'mv {DATA} {DATA}.taken; systemctl kill -s KILL postgresql@17-main'")
        done = stage.repair()[active]
        record.expect(
            not done.ok and "an empty database in its place would look healthy" in done.output,
            f"lost data were not refused:\n{done.diagnostics}",
        )
        record.expect(not stage.world.writers(), "an empty database takes writes")
        stage.line(
            f"db-1.{active}",
            "python3 /opt/dr/dr-host.pyz archive restore",
            '{"directory": "/var/lib/postgresql/back", "adopt": true}',
        )
        for site in (active, standby):
            stage.must(stage.pulumi.up(site), site)
        shop.flow("orders flow again", 90)
        record.figures["longest_gap_s"] = shop.gap(began)
    lost = compare(shop.events(), stage.world.rows(active)).lost
    archived = [order["key"] for order in lost if order["mono"] <= stored]
    record.expect(not archived, f"{len(archived)} orders are gone although they were archived")
    record.expect(
        before == stage.sql(standby, "select system_identifier from pg_control_system()"),
        "it is another cluster than the one that was lost",
    )
    for site in (active, standby):
        stage.line(f"db-1.{site}", f"rm -r {DATA}.taken")


def archiver(stage: Stage, site: str) -> dict[str, Any]:
    """What a site's primary says of its archiver: `last` is the newest segment that is stored."""
    return dict(archive(stage, site)["archiver"])


def all_archived(stage: Stage, site: str) -> str:
    """Wait until the repositories have all that was committed up to now. The last segment's name.

    Something is written first: a segment in which nothing was written does not end, however often its end is asked for.
    """
    mark = "select pg_logical_emit_message(true, 'drill', 'x')"
    segment = stage.sql(site, f"{mark} is null; select pg_walfile_name(pg_switch_wal())").splitlines()[-1]
    wait_for(f"segment {segment} is archived", lambda: str(archiver(stage, site)["last"]) >= segment, ARCHIVED_S, 0.3)
    return segment


def archive(stage: Stage, site: str) -> dict[str, Any]:
    """`dr-host archive status` of a site's database host."""
    said = stage.line(f"db-1.{site}", "python3 /opt/dr/dr-host.pyz archive status", "{}")
    return dict(json.loads(said)["facts"])
