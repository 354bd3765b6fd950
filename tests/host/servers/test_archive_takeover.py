"""What only the archives hold when the primary is lost, with real servers: PostgreSQL, pgBackRest, S3 over TLS in two regions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from contract.errors import Failed
from contract.limits import DRAIN_S
from lab.pairs.archive import ArchivePair
from lab.pairs.loopback import free_port
from lab.pairs.postgres import Node, caught_up
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.frame.wait import until
from scripts.host.postgres.status import live_status
from tests.host.servers.test_archive_pair import archived, server_log
from tests.host.servers.test_pg_pair import tell
from tests.host.servers.test_pg_parity import session


@pytest.fixture
def pair() -> Iterator[ArchivePair]:
    """Epoch 1: a leads and archives to both regions, b follows; a table with one row."""
    made = ArchivePair()
    try:
        made.epoch(1, "a")
        for node in (made.a, made.b):
            made.prepare(node)
            node.converge(1, "a", archive=True)
        made.make_places(made.a)
        made.a.sql("create table orders (id int, what text); insert into orders values (1, '')", "shop")
        caught_up(made.a, made.b)
        archived(made, made.a)
        yield made
    finally:
        made.close()


def cut(pair: ArchivePair) -> None:
    """The link between the databases, and no other: a sells and archives on."""
    pair.a.sql(
        "alter role dr_replication nologin; select pg_terminate_backend(pid) from pg_stat_replication where application_name = 'dr_b'"
    )
    assert until(lambda: not live_status(pair.b.layout.base, pair.b.server)["streaming"], 60)


def sold(pair: ArchivePair, first: int, last: int, *sites: str) -> str:
    """Orders `first` to `last`, acknowledged and archived in these sites (both when none is named)."""
    pair.a.sql(f"insert into orders select n, repeat(md5(n::text), 40) from generate_series({first}, {last}) n", "shop")
    return archived(pair, pair.a, *sites)


def drained(pair: ArchivePair, limit_s: int = 240) -> dict[str, Any]:
    """The facts of `archive drain` on b."""
    done = pair.call(pair.b, "drain", {"limit_s": limit_s})
    assert done.code == 0, done.err
    facts: dict[str, Any] = json.loads(done.out)["facts"]
    return facts


def count(node: Node) -> int:
    return int(node.sql("select count(*) from orders", "shop"))


def test_acknowledged_rows_that_only_the_archives_have_survive_a_takeover(pair: ArchivePair) -> None:
    cut(pair)
    sold(pair, 2, 18001)
    only_a = sold(pair, 18002, 27001)
    pair.a.kill()
    pair.regions["b"].forget(only_a)
    assert count(pair.b) == 1, "none of it came by the stream"
    received = live_status(pair.b.layout.base, pair.b.server)["receive_lsn"]

    facts = drained(pair)
    assert (facts["complete"], facts["why"], facts["last"]) == (True, [], only_a), facts
    assert facts["fetched"]["b"]["segments"] > 0 and facts["fetched"]["a"]["last"] == only_a, "each from where it is"
    assert facts["replayed_bytes"] > 16 << 20 and facts["receive_lsn"] == received != facts["replay_lsn"]
    assert not ArchiveLayout(pair.b.layout).follow.exists() and pair.state(pair.b).drain is None
    again = drained(pair)
    assert (again["complete"], again["replayed_bytes"], again["replay_lsn"]) == (True, 0, facts["replay_lsn"])

    pair.epoch(2, "b")
    tell(pair.b, {"epoch": 2})
    assert count(pair.b) == 27001
    refused = pair.call(pair.b, "drain")
    assert refused.code == 3 and "open for writing" in refused.err


def test_a_region_that_is_gone_with_its_bucket_is_said_and_the_other_bucket_is_replayed(pair: ArchivePair) -> None:
    cut(pair)
    last = sold(pair, 2, 9001)
    pair.a.kill()
    pair.regions["a"].stop()
    facts = drained(pair, 80)
    assert (
        facts["complete"] is False
        and set(facts["unread"]) == {"a"}
        and "repository a could not be read" in facts["why"][0]
    )
    assert (facts["last"], facts["fetched"]["a"]["segments"]) == (last, 0) and count(pair.b) == 9001


def test_a_drain_leaves_a_stream_that_lives_alone(pair: ArchivePair) -> None:
    pid = pair.b.sql("select pid from pg_stat_wal_receiver")
    pair.a.sql("insert into orders values (2, '')", "shop")
    archived(pair, pair.a)
    caught_up(pair.a, pair.b)
    facts = drained(pair)
    assert (facts["complete"], facts["replayed_bytes"]) == (True, 0) and not any(
        it["segments"] for it in facts["fetched"].values()
    )
    assert pair.b.sql("select pid from pg_stat_wal_receiver") == pid and count(pair.b) == 2


def test_a_drain_that_is_killed_shuts_its_gate_at_its_limit_and_the_next_one_goes_on(pair: ArchivePair) -> None:
    cut(pair)
    sold(pair, 2, 9001)
    pair.a.kill()
    pair.b.sql("select pg_wal_replay_pause()")  # so that it has something to wait for: a drain ends a pause at once
    with_limit = json.dumps({"limit_s": 60})
    tool = ["/usr/bin/python3", str(pair.folder / "tool-b.py"), "archive", "drain"]
    with subprocess.Popen(tool, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as program:
        assert program.stdin is not None
        program.stdin.write(with_limit)
        program.stdin.close()
        assert until(lambda: pair.state(pair.b).drain is not None, 60, 0.01)
        os.kill(program.pid, signal.SIGKILL)
    assert pair.check(pair.b)["follows_archive"], "it is under way as far as anybody knows"
    facts = drained(pair)
    assert facts["complete"] and count(pair.b) == 9001 and not ArchiveLayout(pair.b.layout).follow.exists()


def test_a_repository_that_cannot_be_read_is_not_the_end_of_the_archive(pair: ArchivePair) -> None:
    cut(pair)
    name = sold(pair, 2, 3)
    where = {"to": "pg_wal/RECOVERYXLOG"}
    absent = pair.call(pair.b, "get", {"wal": f"{name[:16]}000000EE", **where}, pair.b.layout.user)
    assert absent.code == 1 and "not in repository b" in absent.err
    pair.regions["b"].stop()
    ArchiveLayout(pair.b.layout).follow.touch()
    silent = pair.call(pair.b, "get", {"wal": name, **where}, pair.b.layout.user)
    assert silent.code == 5 and "whether the archive ends here is not known" in silent.err, silent
    assert until(lambda: "archive ends here is not known" in server_log(pair.b), 90)
    pair.regions["b"].start()
    assert until(lambda: count(pair.b) == 3, 90), "it lives, and asked again"
    tell(pair.b, {"epoch": 2})
    assert count(pair.b) == 3


def test_a_region_that_took_over_and_is_lost_before_it_was_followed_has_left_its_writes_in_the_archive(
    pair: ArchivePair,
) -> None:
    """The other one cannot follow it, so it restores, and leads in an epoch that a person has written: docs/failover.md."""
    assert pair.call(pair.a, "backup", {"type": "full"}).code == 0
    pair.a.kill()
    pair.epoch(2, "b")
    tell(pair.b, {"epoch": 2})
    pair.b.converge(2, "b", archive=True)
    pair.check(pair.b)
    pair.b.sql("insert into orders values (2, '')", "shop")
    archived(pair, pair.b)
    pair.b.kill()
    with pytest.raises(Failed, match="wanted an answer over TLS"):
        pair.a.converge(2, "b", archive=True)

    back = {"directory": str(pair.a.layout.mount / "back"), "port": free_port(), "adopt": True}
    done = pair.call(pair.a, "restore", back)
    assert done.code == 0, done.err
    pair.epoch(3, "a")
    pair.a.converge(3, "a", archive=True)
    assert count(pair.a) == 2
    assert live_status(pair.a.layout.base, pair.a.server)["timeline"] == 3, "on a timeline that no other server had"
    pair.a.sql("insert into orders values (3, '')", "shop")
    pair.b.converge(3, "a", archive=True)
    caught_up(pair.a, pair.b)
    assert count(pair.b) == 3


def test_a_reader_on_the_standby_does_not_hold_up_what_only_the_archives_have(pair: ArchivePair) -> None:
    pair.a.sql("insert into orders select n, '' from generate_series(2, 9000) n", "shop")
    caught_up(pair.a, pair.b)
    reader = session(
        pair.b, "\\c shop\nbegin isolation level repeatable read; select count(*) from orders; select pg_sleep(600);"
    )
    assert until(lambda: "pg_sleep(600)" in pair.b.sql("select string_agg(query, ' ') from pg_stat_activity"), 20)
    cut(pair)
    pair.a.sql("delete from orders where id > 1", "shop")
    pair.a.sql("vacuum orders", "shop")  # what the reader still sees goes
    last = sold(pair, 9001, 9003)
    pair.a.kill()
    facts = drained(pair, DRAIN_S // 2)
    assert (facts["complete"], facts["last"], count(pair.b)) == (True, last, 4), facts
    assert "canceling statement due to conflict with recovery" in reader.communicate(timeout=30)[1]
