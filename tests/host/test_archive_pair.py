"""The archive with real servers: PostgreSQL, pgBackRest, S3 over TLS in two regions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.host.pg_server import psql
from scripts.host.wait import until

from .archive_pair import KEYS, PASSPHRASE, ArchivePair
from .pg_pair import Node, free_port
from .test_pg_pair import caught_up, hand_over


@pytest.fixture
def pair() -> Iterator[ArchivePair]:
    """Epoch 1: a leads and archives, b follows; a table with one row."""
    made = ArchivePair()
    try:
        made.epoch(1, "a")
        for node in (made.a, made.b):
            made.prepare(node)
            node.converge(1, "a", archive=True)
        made.check(made.a)
        made.a.sql("create table orders (id int); insert into orders values (1)", "shop")
        yield made
    finally:
        made.close()


def archived(pair: ArchivePair, node: Node, *sites: str) -> str:
    """Everything written so far is in the archive of these sites (both when none is named); returns the last segment's name."""
    name = node.sql("select pg_walfile_name(pg_switch_wal())")
    for site in sites or "ab":
        assert until(lambda site=site: name in pair.regions[site].wal(), 60, 0.2), f"{name} is not in {site}: {server_log(node)}"  # type: ignore[misc]
    return name


def server_log(node: Node) -> str:
    return (node.layout.sockets / "server.log").read_text()[-2000:]


def now(node: Node) -> str:
    return node.sql("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00')")


def restored(pair: ArchivePair, node: Node, name: str, **order: Any) -> dict[str, Any]:
    """The facts of a restore that has to work."""
    pair.restored.append(pair.folder / name)
    done = pair.call(node, "restore", {"directory": str(pair.folder / name), "port": free_port(), **order})
    assert done.code == 0, done.err
    facts: dict[str, Any] = json.loads(done.out)["facts"]
    return facts


def orders(node: Node, facts: dict[str, Any]) -> list[str]:
    """Ids in the restored cluster, by its socket."""
    target = {"host": facts["sockets"], "port": str(facts["port"]), "user": "postgres", "dbname": "shop"}
    return psql(node.layout, target, "select id from orders order by id", limit_s=10, user=node.layout.user).split()


def test_times_before_and_after_a_promotion_come_back(pair: ArchivePair) -> None:
    done = pair.call(pair.a, "backup", {"type": "full"})
    assert done.code == 0, done.err
    pair.a.sql("insert into orders values (2)", "shop")
    before = now(pair.a)
    pair.a.sql("insert into orders values (3)", "shop")
    archived(pair, pair.a)
    caught_up(pair.a, pair.b)
    facts = hand_over(pair.a, pair.b, 2)
    pair.epoch(2, "b")
    pair.b.converge(2, "b", archive=True, **facts)
    pair.a.converge(2, "b", archive=True, **facts)
    pair.check(pair.b)
    pair.b.sql("insert into orders values (4)", "shop")
    after = now(pair.b)
    pair.b.sql("insert into orders values (5)", "shop")
    archived(pair, pair.b)

    first = restored(pair, pair.b, "r1", target=before)
    assert orders(pair.b, first) == ["1", "2"]
    second = restored(pair, pair.b, "r2", target=after, repository="a")
    assert orders(pair.b, second) == ["1", "2", "3", "4"]
    everything = restored(pair, pair.a, "r3")
    assert orders(pair.a, everything) == ["1", "2", "3", "4", "5"]
    assert first["timeline"] > 1 and second["timeline"] > 2, "each restore ends on a timeline of its own"

    outside = pair.call(pair.b, "restore", {"directory": str(pair.folder / "r4"), "target": "2020-01-01T00:00:00+00:00", "port": free_port()})
    assert outside.code == 3 and "a: from 20" in outside.err and "b: from 20" in outside.err and not (pair.folder / "r4").exists()
    assert pair.b.sql("select count(*) from orders", "shop") == "5", "the running cluster goes on"
    assert KEYS["secret_key"] not in outside.err and PASSPHRASE not in outside.err
