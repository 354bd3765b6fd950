"""What people do: kill a run, run two at once, forget a stack file, accept a loss."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from contract.accept import spelled
from contract.epoch import Epoch
from contract.errors import ExitCode
from lab.rehearsal.drills import drill
from lab.rehearsal.drills.lost import evidence, loss_is_counted, take_over
from lab.rehearsal.drills.planned import BULK, nothing_lost, refused
from lab.rehearsal.engine import Pulumi, Run
from lab.rehearsal.stacks import stack_name
from lab.rehearsal.stage import Record, Stage
from lab.rehearsal.world import wait_for

MARKED = "fence-claim, marked"
LINKS = ("fence-claim", MARKED, "postgres-converge", "redis-turn", "sync-converge", "app-turn", "verify", "dns")
# It runs on the operator's machine, and certainly so at that moment: at the first word of a link its process may not be there yet.
OUTLIVING = (MARKED,)


@drill("operator-killed")
def operator_killed(stage: Stage, record: Record) -> None:
    """`kill -9` of pulumi in each link of the chain, while the link goes on: the next `up` finishes the move, nothing is lost."""
    killed, outlived = [], []
    with stage.shopping(record) as shop:
        for link in LINKS:
            target, before = stage.standby, stage.epoch()
            stage.ask(target)
            run = stage.world.kill_up(target, f"{link} runs", _moment(stage, link, before))
            stage.must(stage.pulumi.up(target), target)
            if run is not None:
                killed.append(link)
                outlived += [link] if run.outlived else []
                left = stage.pulumi.links(run.process)
                record.expect(not left, f"the link of the run that was killed in {link} is still at work: {left}")
            record.expect(
                (stage.epoch().epoch, stage.epoch().active) == (before.epoch + 1, target),
                f"after a kill in {link}: {stage.epoch()}",
            )
            other = stage.standby
            stage.world.request(other, target)
            stage.must(stage.pulumi.up(other), other)
            shop.flow(f"orders flow after a kill in {link}")
    record.figures |= {"killed_in": killed, "outlived_in": outlived}
    record.expect(len(killed) >= len(LINKS) - 2, f"only {killed} were still running when the kill came")
    record.expect(
        set(OUTLIVING) <= {*outlived}, f"links outlived their engine in {outlived}, wanted them to in {OUTLIVING}"
    )
    nothing_lost(record)


def _moment(stage: Stage, link: str, before: Epoch) -> Callable[[], bool]:
    """When to kill: the link has begun; the marked one, when the witness knows that it is about to stop the old primary."""
    if link == MARKED:
        marks = stage.witness.unsettled(before)
        return lambda: stage.witness.unsettled(before) != marks
    return partial(_begun, stage, stage.pulumi.log.stat().st_size, link)


def _begun(stage: Stage, offset: int, link: str) -> bool:
    with stage.pulumi.log.open() as log:
        log.seek(offset)
        return any(f" {link}" in line and "updating" in line for line in log)


@drill("moved-by-drctl")
def moved_by_drctl(stage: Stage, record: Record) -> None:
    """An operator types nothing but `drctl`: there by switchover, from a dark region by failover, and home; nothing but that dark moment is lost."""
    home, away = stage.active, stage.standby
    with stage.shopping(record) as shop:
        began = time.monotonic()
        _typed(stage, record, "switchover", away, "--yes", "--reason", "a drill")
        record.figures |= {"switchover_gap_s": shop.gap(began), "switchover_failures": shop.failures(began)}
        shop.flow(f"orders flow from region {away}")
    nothing_lost(record)
    before = evidence(stage, stage.active)
    with stage.shopping(record) as shop:
        stage.fault("region-hosts", "kill", away)
        began = time.monotonic()
        _typed(stage, record, "failover", home, "--yes", "--reason", "a drill")
        shop.flow(f"orders flow from region {home}")
        record.figures["failover_first_order_s"] = shop.gap(began)
        stage.fault("region-hosts", "return", away)
        wait_for(f"region {away} answers", lambda: bool(stage.world.status(away)), 120, 1.0)
        _typed(stage, record, "rejoin", away)
    loss_is_counted(stage, record, away, before)
    record.expect(stage.active == home, f"region {stage.active} is active, wanted {home}")
    took = []
    for _ in range(3):
        began = time.monotonic()
        told = stage.pulumi.typed("status", "--stack", stack_name("a"), "--config-file", str(stage.pulumi.files["a"]))
        took.append(round(time.monotonic() - began, 1))
    record.figures["status_s"] = took
    record.expect(f"region {home} is active" in told.stdout, f"status says: {told.stdout[:300]}{told.stderr[:300]}")


@drill("failover-without-backend")
def failover_without_backend(stage: Stage, record: Record) -> None:
    """The bucket of Pulumi's states is gone with the active region: the other one takes over with a copy from the witness, which the backend has afterwards."""
    lost, target = stage.active, stage.standby
    state, away = stage.pulumi.state, stage.pulumi.state.with_name("pulumi-state-away")
    of = ("--site", target, "--config-file", str(stage.pulumi.files[target]))
    copied = _told(stage, record, "state", "backup", *of)
    digest = copied.partition(f"region {target}: ")[2][:12]
    with stage.shopping(record) as shop:
        before = evidence(stage, lost)
        stage.fault("region-hosts", "kill", lost)
        state.rename(away)
        folder = ("--config-dir", str(stage.pulumi.files["a"].parent))
        planned = stage.pulumi.typed("failover", target, "--dry-run", *folder)
        record.expect("--state-copy" in planned.stderr, f"a plan without the backend says: {planned.stderr[-600:]}")
        began = time.monotonic()
        done = stage.pulumi.typed("failover", target, "--yes", "--state-copy", digest, *folder)
        record.expect(
            done.returncode == 0, f"it ended with {done.returncode}: {done.stdout[-600:]}{done.stderr[-1500:]}"
        )
        shop.flow(f"orders flow from region {target}")
        record.figures["first_order_s"] = shop.gap(began)
        record.expect(not state.exists(), "something was written where the backend had been")
        away.rename(state)
        refused_now = stage.pulumi.typed("failover", lost, "--yes", "--state-copy", digest, *folder)
        record.expect(
            refused_now.returncode == ExitCode.REFUSED and "answers" in refused_now.stderr,
            f"with the backend there it ended with {refused_now.returncode}: {refused_now.stderr[-600:]}",
        )
        kept = done.stderr.partition("`drctl state restore ")[2][:12]
        record.expect(kept not in ("", digest), f"after the move its state is told as {kept!r}")
        _told(stage, record, "state", "restore", kept, "--yes", *of)
        stage.fault("region-hosts", "return", lost)
        wait_for(f"region {lost} answers", lambda: bool(stage.world.status(lost)), 120, 1.0)
        _typed(stage, record, "rejoin", lost)
    loss_is_counted(stage, record, lost, before)
    changes = stage.pulumi.preview_changes(target)
    record.expect(not changes, f"a preview of region {target} finds changes: {changes}")


def _told(stage: Stage, record: Record, *words: str) -> str:
    done = stage.pulumi.typed(*words)
    record.expect(
        done.returncode == 0, f"drctl {' '.join(words[:2])} ended with {done.returncode}: {done.stderr[-1500:]}"
    )
    return done.stdout


def _typed(stage: Stage, record: Record, *words: str) -> None:
    done = stage.pulumi.typed(*words, "--config-dir", str(stage.pulumi.files["a"].parent))
    record.expect(
        done.returncode == 0,
        f"drctl {' '.join(words[:2])} ended with {done.returncode}: {done.stdout[-600:]}{done.stderr[-1500:]}",
    )
    record.expect("Traceback" not in done.stderr, f"drctl {words[0]}: {done.stderr[-800:]}")


@drill("app-hosts-reboot-as-they-turn")
def app_hosts_reboot_as_they_turn(stage: Stage, record: Record) -> None:
    """Every app host of the target loses its power while it is told its role, and boots: the run waits for them, and ends well."""
    target, before = stage.standby, stage.epoch()
    hosts = [f"{target}-app-1", f"{target}-app-2"]
    begun = partial(_begun, stage, stage.pulumi.log.stat().st_size, "app-turn")
    cut: list[str] = []

    def reboot() -> None:
        wait_for("the app hosts turn", begun, 60, 0.02)
        for action in ("kill", "return"):
            for host in hosts:
                stage.fault("host", action, host)
                cut.append(host)

    with stage.shopping(record) as shop:
        stage.ask(target)
        power = threading.Thread(target=reboot)
        power.start()
        done = stage.must(stage.pulumi.up(target), target)
        power.join()
        record.expect(cut == hosts * 2, f"power was cut and given to {cut}, wanted to {hosts}")
        record.expect("WARNING turn: " not in done.output, "a host that came back was given up")
        newest = stage.epoch()
        record.expect(
            (newest.epoch, newest.active, newest.planned) == (before.epoch + 1, target, True), f"after it: {newest}"
        )
        shop.flow("orders flow once they are back", 60)
        stage.world.request(stage.standby, target)
        stage.must(stage.pulumi.up(stage.standby), stage.standby)
    nothing_lost(record)


@drill("two-operators")
def two_operators(stage: Stage, record: Record) -> None:
    """Two operators with a state of their own ask for the same at once: one epoch, one owner, and the other is told."""
    target, epoch = stage.standby, stage.epoch().epoch
    stage.ask(target)
    second = Pulumi.of_another(stage.pulumi, stage.world.places.run / "second-operator")
    shutil.copytree(stage.pulumi.state, second.state, dirs_exist_ok=True)
    with stage.shopping(record) as shop:
        with ThreadPoolExecutor(2) as pool:
            asked = {name: pool.submit(who.up, target) for name, who in (("first", stage.pulumi), ("second", second))}
            done: dict[str, Run] = {name: future.result() for name, future in asked.items()}
        record.figures["outcomes"] = {name: run.code for name, run in done.items()}
        record.expect(
            any(run.ok for run in done.values()),
            "neither operator got through:\n" + "\n".join(run.diagnostics for run in done.values()),
        )
        for name, run in done.items():
            record.expect(
                run.ok or "Traceback" not in run.output,
                f"the {name} operator was told by a traceback:\n{run.diagnostics}",
            )
        newest = stage.epoch()
        record.expect(
            (newest.epoch, newest.active) == (epoch + 1, target),
            f"after both: {newest}, wanted epoch {epoch + 1} of {target}",
        )
        stage.must(stage.pulumi.up(target), target)
        shop.flow()
    nothing_lost(record)
    shutil.rmtree(second.state)


@drill("stale-stack-file")
def stale_stack_file(stage: Stage, record: Record) -> None:
    """The stack file of a region that was left still asks for it: refused until it has followed."""
    old = stage.active
    with stage.shopping(record):
        stage.fault("region-hosts", "kill", old)
        stage.must(stage.take_over(stage.standby), old)
        stage.fault("region-hosts", "return", old)
        wait_for("the old database host answers", lambda: bool(stage.world.status(old)), 120, 1.0)
        refused(stage, record, "the config is stale, follow first")
        active = stage.active
        stage.world.request(active, old)
        done = stage.pulumi.up(active)
        told = not done.ok and f"region {old} has not taken over" in done.output
        record.expect(told, f"the active stack was not refused to ask for {old}:\n{done.diagnostics}")
        stage.world.request(active, active)


@drill("loss-over-budget")
def loss_over_budget(stage: Stage, record: Record) -> None:
    """The standby is far behind when the region dies: refused with the figures, then done by the operator's word, and every loss is counted."""
    old, target, before = stage.active, stage.standby, evidence(stage, stage.active)
    stage.world.configure(target, "loss_budget", {"max_lag_bytes": 65536, "max_lag_s": 30})
    with stage.shopping(record, rate=10.0) as shop:
        stage.fault("slow-link", "kill", "256kbit")
        stage.sql(old, BULK.format(rows=20000))
        shop.flow()
        beaten = time.monotonic()
        wait_for("two heartbeats have passed", lambda: time.monotonic() - beaten > 5, 10, 0.2)
        stage.fault("region-hosts", "kill", old)
        refused(stage, record, "loss of an unplanned move", "bytes of WAL are not here", "accept.data_loss")
        stage.world.configure(
            target,
            "accept",
            {
                "data_loss": {
                    "epoch": stage.epoch().epoch,
                    "at": spelled(),
                    "reason": "the region burned, the mail server knows the orders",
                }
            },
        )
        take_over(stage, record, shop, rung=2)
        stage.world.configure(target, "accept", None)
        stage.settle()
    lost = record.figures["orders"]["lost"]
    record.expect(lost > 0, "no order was lost, so nothing was tried")
    record.expect(
        (stage.epoch().loss or {}).get("bytes", 0) > 65536,
        f"the epoch does not say what was lost: {stage.epoch().loss}",
    )
    loss_is_counted(stage, record, old, before)
    stage.world.configure(target, "loss_budget", stage.world.config["dr:loss_budget"])
    stage.must(stage.pulumi.up(target), target)  # what the fence is told has changed back
    stage.sql(stage.active, "drop table if exists drill_bulk")


@drill("logins-rotated")
def logins_rotated(stage: Stage, record: Record) -> None:
    """The shop's logins at the database are renewed while customers order: nothing is lost, and the old ones open nothing afterwards."""
    before = stage.world.secrets["postgres"]["app"]
    with stage.shopping(record) as shop:
        began = time.monotonic()
        _typed(stage, record, "rotate", "database", "--yes", "--reason", "a drill")
        record.figures |= {
            "rotation_s": round(time.monotonic() - began, 1),
            "failed_requests": shop.failures(began),
            "longest_gap_s": shop.gap(began),
        }
        shop.flow("orders flow by the new logins")
    nothing_lost(record)
    roles = stage.sql(
        stage.active, "select rolname from pg_roles where rolcanlogin and rolname ~ '^shop' order by 1"
    ).split()
    record.expect(roles == ["shop_2", "shop_worker_2"], f"roles that may log in after it: {roles}")
    told = stage.pulumi.typed("rotate", "database", "--dry-run", "--config-dir", str(stage.pulumi.files["a"].parent))
    record.expect(before not in told.stdout + told.stderr, "the old password is shown")
    # Whoever configures a stack after this one goes by the set that is in use.
    stage.world.secrets = json.loads(stage.pulumi.config_get("a", "secrets"))
