"""Planned moves: both sites well, or well enough to try."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from lab.rehearsal.drills import drill
from lab.rehearsal.stage import Record, Shop, Stage
from lab.rehearsal.world import wait_for
from lab.rehearsal.writers import outage

# A database host that hears nothing of what its primary sends, and everything else.
DEAF = """table inet drill {
  chain input { type filter hook input priority -20; tcp sport 5432 drop; }
}
"""
# One that neither hears a bastion's ssh nor is heard there.
MUTE = """table inet drill {{
  chain input {{ type filter hook input priority -20; ip saddr {bastion} tcp dport 22 drop; }}
  chain output {{ type filter hook output priority -20; ip daddr {bastion} tcp sport 22 drop; }}
}}
"""
# Rules that a database's unit loads with its stop, until the host starts anew.
STOP_RULES, STOP_DROP_IN = "/run/drill.nft", "/run/systemd/system/postgresql@.service.d"
STOP_CONF = f"[Service]\nExecStopPost=+/usr/sbin/nft -f {STOP_RULES}\n"
BULK = "create table if not exists drill_bulk (id bigint, filler text); insert into drill_bulk select n, repeat('x', 900) from generate_series(1, {rows}) n"

# What a websocket is to a host of the active site: a connection from nginx's address for those, here to somebody who notes its end.
ENDED = "/run/drill-websocket"
HELD = (
    "import pathlib, socket; server = socket.create_server(('127.0.0.1', 0));"
    " line = socket.create_connection(server.getsockname(), source_address=('127.0.0.3', 0)); end = server.accept()[0]\n"
    "try: end.recv(1)\n"
    "except OSError: pass\n"
    f"pathlib.Path('{ENDED}').touch()"
)


def hold(stage: Stage, host: str) -> None:
    """What is as good as a websocket is open on this host."""
    stage.line(host, f"rm -f {ENDED}; systemd-run --quiet --collect python3 -c {shlex.quote(HELD)}")
    seen = "ss --tcp --numeric --no-header state established src 127.0.0.3"
    wait_for(f"a line on {host}", lambda: bool(stage.line(host, seen)), 20, 0.5)


def move(stage: Stage, record: Record, shop: Shop) -> None:
    """To the standby, with its figures."""
    target, began, wall, epoch = stage.standby, time.monotonic(), time.time(), stage.epoch().epoch
    done = stage.must(stage.take_over(target), target)
    shop.flow()
    silent = outage(sample for site in "ab" for sample in stage.samples(site, wall))
    newest = stage.epoch()
    record.expect(
        (newest.epoch, newest.active, newest.planned) == (epoch + 1, target, True), f"epoch after the move: {newest}"
    )
    record.figures |= {
        "up_s": round(done.seconds, 1),
        "database_gap_s": None if silent is None else round(silent, 2),
        "cache_held_ms": (stage.world.status(target, "redis").get("takeover") or {}).get("held_ms"),
        "longest_gap_s": shop.gap(began),
        "failed_requests": shop.failures(began),
        "fence_rung": newest.fence.get("rung"),
    }


def refused(stage: Stage, record: Record, *words: str) -> None:
    """Asking for the standby must fail with these words, and change nothing."""
    target, before, writers = stage.standby, stage.epoch(), stage.world.writers()
    done = stage.take_over(target)
    record.expect(not done.ok, f"pulumi up -s region-{target} was not refused")
    for word in words:
        record.expect(word in done.output, f"the refusal does not say {word!r}:\n{done.diagnostics}")
    record.expect(stage.epoch() == before, f"epoch {stage.epoch()} was claimed although the move was refused")
    record.expect(stage.world.writers() == writers, f"writers changed from {writers} to {stage.world.writers()}")


def nothing_lost(record: Record) -> None:
    lost = record.figures["orders"]["lost"]
    record.expect(lost == 0, f"{lost} acknowledged orders were lost, and nothing here may lose one")


@drill("planned-move")
def planned_move(stage: Stage, record: Record) -> None:
    """Both sites well: the shop moves, no order is lost, customers wait instead of failing, websockets end where the shop was."""
    left, taken = f"app-1.{stage.active}", f"app-1.{stage.standby}"
    for host in (left, taken):
        hold(stage, host)
    with stage.shopping(record) as shop:
        move(stage, record, shop)
    nothing_lost(record)
    ended = [host for host in (left, taken) if stage.line(host, f"ls {ENDED} 2>/dev/null || true")]
    record.expect(ended == [left], f"websockets ended on {ended}, and should on {left}, which the shop has left, alone")
    record.expect(record.figures["failed_requests"] == 0, f"{record.figures['failed_requests']} requests failed")
    stage.files_arrive(record)


@drill("planned-move-kept-connections")
def planned_move_with_kept_connections(stage: Stage, record: Record) -> None:
    """200 customers who keep their connections: nobody's is closed while they send on it, in the move and in the other side's run after it."""
    with stage.shopping(record, connections=200, rate=40.0) as shop:
        began = time.monotonic()
        move(stage, record, shop)
        record.figures["follow_s"] = round(stage.follow().seconds, 1)
        shop.flow()
        record.figures["failed_requests"] = shop.failures(began)
    nothing_lost(record)
    record.expect(record.figures["failed_requests"] == 0, f"{record.figures['failed_requests']} requests failed")


@drill("planned-move-open-transactions")
def planned_move_with_open_transactions(stage: Stage, record: Record) -> None:
    """Clients that hold transactions open do not hold up the move; what they had not committed is nowhere."""
    source = stage.active
    hold = "begin; create table drill_held (id int); select pg_sleep(600);"
    held = threading.Thread(target=_ignored, args=(stage, source, hold), daemon=True)
    with stage.shopping(record) as shop:
        held.start()
        _until_held(stage, source)
        move(stage, record, shop)
    nothing_lost(record)
    there = stage.sql(stage.active, "select to_regclass('drill_held') is not null")
    record.expect(there == "f", "a table of a transaction that was never committed is there after the move")


@drill("planned-move-lagging-standby")
def planned_move_with_lagging_standby(stage: Stage, record: Record) -> None:
    """A standby that is far behind: refused before anything is stopped, for the primary would wait until all of it has arrived."""
    source = stage.active
    with stage.shopping(record, rate=5.0) as shop:
        stage.fault("slow-link", "kill", "1mbit")
        stage.sql(source, BULK.format(rows=20000))
        refused(stage, record, "bytes of WAL behind")
        stage.fault("slow-link", "return")
        shop.flow("orders flow on")
    nothing_lost(record)
    stage.sql(source, "drop table drill_bulk")


@drill("planned-move-disconnected-standby")
def planned_move_with_disconnected_standby(stage: Stage, record: Record) -> None:
    """A standby that does not stream is not moved to, although both sites answer."""
    with stage.shopping(record) as shop:
        stage.fault("link", "kill", "both")
        target = stage.standby
        wait_for(
            "the standby has lost its stream", lambda: stage.world.status(target).get("streaming") is False, 60, 0.3
        )
        refused(stage, record, "is not streaming")
        shop.flow("orders flow on")
    nothing_lost(record)


@drill("planned-move-stream-cut-at-the-stop")
def planned_move_with_stream_cut_at_the_stop(stage: Stage, record: Record) -> None:
    """The stream breaks between the last look at the standby and the stop: its last records are not there, so it is not promoted, the old primary goes on."""
    source, target = stage.active, stage.standby
    with stage.shopping(record) as shop:
        # It has said how it is once it waits for the checkpoint; the old primary takes orders for a moment yet.
        cut = _cut_beside(stage, f"db-1.{target}", "postgres takeover", DEAF)
        _refused_after_the_stop(stage, record, shop, cut, "strictly past")
        if stage.active == source:  # else what is lost is counted at once
            wait_for("the standby streams again", lambda: stage.world.status(target).get("streaming") is True, 60, 0.3)
            move(stage, record, shop)
    nothing_lost(record)


@drill("planned-move-way-lost-at-the-stop")
def planned_move_with_way_lost_at_the_stop(stage: Stage, record: Record) -> None:
    """The way to the old primary dies with the stop, and its answer with it: the move fails, and the old primary is told by another way to go on."""
    with stage.shopping(record) as shop:
        cut = _cut_by_its_stop(
            stage, f"db-1.{stage.active}", MUTE.format(bastion=stage.world.vrack(f"control-1.{stage.standby}"))
        )
        _refused_after_the_stop(stage, record, shop, cut, "no epoch was claimed")
    nothing_lost(record)


@drill("planned-move-paused-replay")
def planned_move_with_paused_replay(stage: Stage, record: Record) -> None:
    """A standby whose replay somebody has paused is refused with the statement that resumes it."""
    target = stage.standby
    stage.sql(target, "select pg_wal_replay_pause()")
    wait_for("replay is paused", lambda: stage.world.status(target).get("paused") is True, 60, 0.3)
    refused(stage, record, "pg_wal_replay_resume")
    stage.sql(target, "select pg_wal_replay_resume()")


@drill("planned-move-failing-archive")
def planned_move_with_failing_archive(stage: Stage, record: Record) -> None:
    """A storage region that is down, so that WAL cannot be archived, does not hold up the move."""
    storage = {"a": "gra", "b": "sbg"}[stage.active]
    with stage.shopping(record) as shop:
        stage.fault("storage", "kill", storage)
        stage.sql(stage.active, "select pg_switch_wal()")
        move(stage, record, shop)
    nothing_lost(record)


@drill("there-and-back-twice")
def there_and_back_twice(stage: Stage, record: Record) -> None:
    """Four moves in a row: each follows the one before without a full copy."""
    before = {site: stage.sql(site, "select system_identifier from pg_control_system()") for site in "ab"}
    gaps = []
    with stage.shopping(record) as shop:
        for _ in range(4):
            move(stage, record, shop)
            gaps.append(record.figures["longest_gap_s"])
            stage.follow()
    record.figures["gaps_s"] = gaps
    nothing_lost(record)
    record.expect(
        before == {site: stage.sql(site, "select system_identifier from pg_control_system()") for site in "ab"},
        "a database was made anew",
    )


@contextlib.contextmanager
def _cut_beside(stage: Stage, host: str, verb: str, rules: str) -> Iterator[None]:
    """The host loads these rules of nft as soon as `dr-host <verb>` runs there."""
    waits = f'until pgrep -f "[p]yz {verb}" > /dev/null; do sleep 0.01; done'
    with _lifted(stage, host), ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(stage.line, host, f"timeout 120 sh -c '{waits}; exec nft -f -'", rules)
        yield
        loaded.result()


@contextlib.contextmanager
def _cut_by_its_stop(stage: Stage, host: str, rules: str) -> Iterator[None]:
    """The host loads these rules of nft as the last part of its database's stop: never before, and never after the stop is answered."""
    stage.line(host, f"tee {STOP_RULES}", rules)
    stage.line(
        host, f"sh -c 'mkdir -p {STOP_DROP_IN}; tee {STOP_DROP_IN}/drill.conf; systemctl daemon-reload'", STOP_CONF
    )
    with _lifted(stage, host):
        try:
            yield
        finally:
            stage.line(host, f"sh -c 'rm -r {STOP_DROP_IN}; systemctl daemon-reload'")


@contextlib.contextmanager
def _lifted(stage: Stage, host: str) -> Iterator[None]:
    try:
        yield
    finally:
        stage.line(host, "sh -c 'nft delete table inet drill || true'")


def _refused_after_the_stop(
    stage: Stage, record: Record, shop: Shop, cut: contextlib.AbstractContextManager[None], words: str
) -> None:
    """A move during which the cut happens is refused with these words; the old primary was stopped for it and takes orders again."""
    source, began, wall = stage.active, time.monotonic(), time.time()
    with cut:
        refused(stage, record, words)
    shop.flow("orders flow again from the old primary")
    record.figures["gap_of_the_refused_move_s"] = shop.gap(began)
    broken = [sample for sample in stage.samples(source, wall) if not sample["writer"]]
    record.expect(bool(broken), "the old primary was never stopped, so nothing was tried")


def _ignored(stage: Stage, site: str, statement: str) -> None:
    try:
        stage.sql(site, statement)
    except RuntimeError:
        return  # the move ends it: that is the drill


def _until_held(stage: Stage, site: str) -> None:
    query = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()"
    wait_for("the transaction is open", lambda: stage.sql(site, query) == "1", 60, 0.3)
