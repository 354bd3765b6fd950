"""Real servers whose owner limits sessions: what this software does there is done all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.pairs.postgres import Node, Pair, caught_up
from scripts.host.agent.postgres import PostgresFacts
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from scripts.host.postgres import session
from scripts.host.postgres.text import conninfo
from scripts.host.postgres.verbs import stop_server

LIMITS = {
    "shared_buffers": "16MB",
    "max_connections": "20",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "idle_session_timeout": "200",
    "default_transaction_read_only": "on",
    "search_path": "evil, pg_catalog",
}
LYING = """create schema evil;
create function evil.pg_is_in_recovery() returns boolean language sql as 'select null::boolean';
create function evil.pg_reload_conf() returns boolean language sql as 'select false';
grant usage on schema evil to public"""


@pytest.fixture
def limited() -> Iterator[Pair]:
    with Pair() as pair:
        parameters = {**LIMITS, **({"transaction_timeout": "2s"} if pair.a.version >= 17 else {})}
        pair.up()
        for database in ("postgres", "shop"):
            pair.a.sql(LYING, database)
        pair.a.sql("create table orders (id int primary key); insert into orders values (1)", "shop")
        for role in ("postgres", "dr_replication"):
            pair.a.sql(
                f"alter role {role} set search_path to evil, pg_catalog; alter role {role} set statement_timeout to 1"
            )
        caught_up(pair.a, pair.b)
        for node in (pair.b, pair.a):
            assert node.converge(1, "a", parameters=parameters).changed
        pair.parameters = parameters  # type: ignore[attr-defined]
        yield pair


@contextmanager
def filled(node: Node, hold: list[str], most: int = 17) -> Iterator[None]:
    """All that the server gives to these clients are taken: `most`, when its own superuser asks."""
    count = (
        "select count(*) from pg_stat_activity where backend_type = 'client backend' and query like '%pg_sleep(600)%'"
    )
    clients = [
        subprocess.Popen(hold, user=node.layout.user, cwd="/", env={"HOME": "/"}, stderr=subprocess.DEVNULL)
        for _ in range(17)
    ]
    try:
        assert until(lambda: int(node.sql(count)) >= most, 20)
        yield
    finally:
        for client in clients:
            client.kill()
            client.wait()


def told(pair: Pair, node: Node, epoch: int, active: str, **facts: Any) -> list[str]:
    return node.converge(epoch, active, parameters=pair.parameters, **facts).actions  # type: ignore[attr-defined]


def test_a_move_a_loss_and_a_rewind_are_done_under_limits_for_the_shops_sessions(limited: Pair) -> None:
    a, b = limited.a, limited.b
    stopped = stop_server(a.call({}, "stop"), a.server).facts["checkpoint"]
    b.server.wait_replayed(stopped["lsn"], stopped["timeline"], 10)
    planned = {"planned": True, "previous": "a", "checkpoint": stopped}
    assert "promote" in told(limited, b, 2, "b", **planned)
    assert "standby-signal" in told(limited, a, 2, "b", **planned)
    a.kill()
    b.sql("insert into orders values (666)", "shop")
    b.kill()
    a.server.start()
    assert "promote" in told(limited, a, 3, "a", previous="b")
    assert "rewind" in told(limited, b, 3, "a", previous="b")
    caught_up(a, b)
    assert b.sql("select id from orders", "shop") == "1"
    for node in (a, b):
        assert told(limited, node, 3, "a", previous="b") == []


def test_the_agents_connection_outlives_the_limit_for_idle_ones(limited: Pair) -> None:
    a = limited.a
    agent = PostgresFacts(a.layout.base, Log(a.log, "agent run"), a.layout)
    assert agent.read()["in_recovery"] is False
    own = "select pid from pg_stat_activity where application_name = 'dr_agent' and now() - state_change > interval '1 second'"
    assert until(lambda: a.sql(own) != "", 5), "it is cut while it waits for the next beat"
    assert agent.read()["in_recovery"] is False


def test_a_standby_is_built_while_clients_hold_every_connection(limited: Pair) -> None:
    """The ones that are left are for the superuser, who comes over the socket alone (pg_auto_failover#450)."""
    a, b = limited.a, limited.b
    where = {"host": str(a.layout.sockets), "port": str(a.ports["a"]), "user": "postgres", "dbname": "shop"}
    free = conninfo({**where, "options": session.options(a.version)})
    hold = [a.layout.program("psql"), "-Xd", free, "-c", "select pg_sleep(600)"]
    b.close()
    b.layout.data.rename(b.layout.data.with_name("gone"))
    with filled(a, hold):
        done = b.converge(1, "a", parameters=limited.parameters)  # type: ignore[attr-defined]
    assert "copy" in done.actions and done.facts["role"] == "standby"


def test_an_old_primary_is_rewound_while_the_shop_holds_every_connection(limited: Pair) -> None:
    """A rewind reads the new primary over an ordinary session: after a take-over the whole shop is there already."""
    a, b = limited.a, limited.b
    a.kill()
    assert "promote" in told(limited, b, 2, "b", previous="a")
    b.sql("insert into orders values (2)", "shop")
    a.server.start()
    a.sql("insert into orders values (666)", "shop")
    a.server.stop()
    where = {"host": "127.0.0.1", "port": str(b.ports["b"]), "user": "shop", "dbname": "shop", "sslmode": "require"}
    where |= b.shown("shop", b.layout.user)
    shop = conninfo({**where, "password": b.passwords["app"], "options": session.options(b.version)})
    hold = [b.layout.program("psql"), "-Xd", shop, "-c", "select pg_sleep(600)"]
    with filled(b, hold, 14):
        done = a.converge(2, "b", previous="a", parameters=limited.parameters)  # type: ignore[attr-defined]
    assert "rewind" in done.actions and done.facts["role"] == "standby"
    caught_up(b, a)
    assert a.sql("select id from orders order by id", "shop") == "1\n2"


def test_what_the_shop_may_hold_follows_what_there_is(limited: Pair) -> None:
    a, b = limited.a, limited.b
    more = {**limited.parameters, "max_connections": "30"}  # type: ignore[attr-defined]
    for node in (b, a):
        node.converge(1, "a", parameters=more)
    assert a.sql("select datconnlimit from pg_database where datname = 'shop'") == "24"
    assert a.converge(1, "a", parameters=more).changed is False
