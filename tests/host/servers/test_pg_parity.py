"""Real servers: what has to be equal on both sides, and what comes and goes while they run: clients, certificates, extensions, libraries."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from contract.errors import Failed, Refused, Usage
from lab.pairs.postgres import Node, Pair, caught_up, certificates
from scripts.host.frame.wait import until
from scripts.host.postgres.verbs import stop_server
from scripts.host.postgres.versions import VERSIONS


@pytest.fixture
def streaming() -> Iterator[Pair]:
    with Pair() as made:
        made.up()
        caught_up(made.a, made.b)
        yield made


def session(node: Node, script: str) -> subprocess.Popen[str]:
    """A client that runs a script and stays."""
    client = subprocess.Popen(
        node.psql(), user="postgres", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert client.stdin is not None
    client.stdin.write(script + "\n")
    client.stdin.flush()
    return client


def shown(node: Node) -> bytes:
    """The certificate that the server presents."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", node.ports[node.site]), 5) as plain:
        plain.sendall(struct.pack("!II", 8, 80877103))
        assert plain.recv(1) == b"S"
        with context.wrap_socket(plain) as wrapped:
            return wrapped.getpeercert(True) or b""


def test_clients_that_hold_a_transaction_open_are_ended_before_the_stop(streaming: Pair) -> None:
    a = streaming.a
    a.sql("create table orders (id int)", "shop")
    idle, busy = session(a, "begin; insert into orders values (1);"), session(a, "select pg_sleep(600);")
    open_for = "select count(*) from pg_stat_activity where backend_type = 'client backend' and xact_start < now() - interval '2 s'"
    assert until(lambda: a.sql(open_for) == "2", 15)
    stopped = stop_server(a.call({}, "stop"), a.server)
    assert stopped.facts["cluster_state"] == "shut down"
    assert "2 clients with a transaction open for more than 2 s were ended" in a.log.getvalue()
    for client in (idle, busy):
        assert client.communicate(timeout=10)[0] == ""


def test_a_standby_whose_library_sorts_in_another_way_is_not_accepted(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    a.sql("update pg_database set datcollversion = '1.0' where datname = 'shop'")
    caught_up(a, b)
    with pytest.raises(Failed, match=r"collation of shop.*image"):
        b.converge(1, "a")
    assert a.converge(1, "a").changed is False and "collation of shop" in a.log.getvalue()
    a.sql("update pg_database set datcollversion = null where datname = 'shop'")
    caught_up(a, b)
    assert b.converge(1, "a").changed is False


def test_changed_certificates_are_in_force_without_a_restart(streaming: Pair) -> None:
    before = {node.site: hashlib.sha256(shown(node)).digest() for node in (streaming.a, streaming.b)}
    made = certificates()
    both = streaming.a.tls["ca"] + made["a"]["ca"]
    # As one does it: first both authorities are trusted, then the certificates are exchanged, then the old authority goes.
    for step in ({"ca": both}, {"cert": None, "key": None}, {"ca": None}):
        for node in (streaming.a, streaming.b):
            node.tls = {
                **node.tls,
                **{key: made[node.site][key] if value is None else value for key, value in step.items()},
            }
            node.converge(1, "a")
    for node in (streaming.a, streaming.b):
        assert hashlib.sha256(shown(node)).digest() != before[node.site]
        assert node.converge(1, "a").changed is False
        assert node.control.starts == 1
    streaming.b.sql("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walreceiver'")
    assert until(lambda: streaming.b.sql("select status from pg_stat_wal_receiver") == "streaming", 15), (
        "a new connection trusts the new one"
    )


def test_extensions_and_libraries_come_on_both_sides(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    keys: dict[str, Any] = {"preload": ["pg_stat_statements"], "extensions": ["pg_stat_statements", "citext"]}
    b.converge(1, "a", **keys)
    done = a.converge(1, "a", **keys)
    assert {"extension pg_stat_statements", "extension citext"} <= set(done.actions)
    assert a.converge(1, "a", **keys).changed is False
    caught_up(a, b)
    assert b.sql("select count(*) >= 0 from pg_stat_statements", "shop") == "t"
    assert b.converge(1, "a", **keys).changed is False


def test_what_is_not_installed_is_refused_before_anything_changes(streaming: Pair) -> None:
    a = streaming.a
    with pytest.raises(Refused, match="no pg_no_such_library"):
        a.converge(1, "a", preload=["pg_no_such_library"])
    with pytest.raises(Refused, match="no no_such_extension"):
        a.converge(1, "a", extensions=["no_such_extension"])
    assert a.control.starts == 1 and a.converge(1, "a").changed is False


def kept(primary: Node, node: Node) -> bool:
    """A slot is copied once its subscriber has gone on, past what the standby's own begins with."""
    primary.sql(
        "select pg_log_standby_snapshot(); select count(*) from pg_logical_slot_get_changes('sub', null, null)", "shop"
    )
    return (
        node.sql("select count(*) from pg_replication_slots where slot_name = 'sub' and synced and not temporary")
        == "1"
    )


def test_logical_slots_are_kept_over_hand_overs_or_refused_with_an_older_version(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    if not VERSIONS[a.version].failover_slots:
        with pytest.raises(Usage, match="17 or newer"):
            a.converge(1, "a", logical=True)
        return
    b.converge(1, "a", logical=True)
    a.converge(1, "a", logical=True)
    b.converge(1, "a", logical=True)
    a.sql(
        "create table orders (id int); select pg_create_logical_replication_slot('sub', 'test_decoding', false, false, true)",
        "shop",
    )
    for epoch, old, new in ((2, a, b), (3, b, a)):
        assert until(partial(kept, old, new), 30, 0.5), "the standby has the slot"
        facts = stop_server(old.call({}, "stop"), old.server).facts
        moved = {"planned": True, "previous": old.site, "checkpoint": facts["checkpoint"], "logical": True}
        new.converge(epoch, new.site, **moved)
        assert new.sql("select count(*) from pg_replication_slots where slot_name = 'sub'") == "1"
        actions = [action for _ in range(2) for action in old.converge(epoch, new.site, **moved).actions]
        # The one that was made here stands in the way of its own copy; one that was a copy before goes on as one.
        assert ("drop-logical-slots sub" in actions) is (epoch == 2)
    assert until(partial(kept, a, b), 30, 0.5), "and has it again after the way back"
