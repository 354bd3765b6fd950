"""Real servers: parameters of which a standby may not have less than its primary, raised and lowered, whichever side is converged first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.errors import Refused
from lab.pairs.postgres import Node, Pair
from scripts.host.frame.wait import until
from scripts.host.postgres.status import live_status

LOW = {"shared_buffers": "16MB", "max_connections": "20"}
HIGH = {
    "shared_buffers": "16MB",
    "max_connections": "40",
    "max_worker_processes": "12",
    "max_prepared_transactions": "5",
}


@pytest.fixture
def streaming() -> Iterator[Pair]:
    with Pair() as made:
        made.up()
        yield made


def connections(node: Node) -> str:
    return node.sql("show max_connections")


def streams(node: Node) -> bool:
    return (
        live_status(node.layout.base, node.server)["streaming"] is True
        and node.sql("select pg_is_wal_replay_paused()") == "f"
    )


def test_raised_on_the_standby_first_and_refused_on_the_primary_until_then(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    with pytest.raises(Refused, match=r"max_connections.*20.*on the standby.*40.*region-b"):
        a.converge(1, "a", parameters=HIGH)
    assert connections(a) == "20" and "= '20'" in (a.layout.conf / "conf.d" / "dr.conf").read_text()
    assert any(action.startswith("restart") for action in b.converge(1, "a", parameters=HIGH).actions)
    a.converge(1, "a", parameters=HIGH)
    assert connections(a) == connections(b) == "40"
    assert until(lambda: streams(b), 10), "the standby never stopped its replay"
    assert b.converge(1, "a", parameters=HIGH).changed is False


def test_lowered_on_the_primary_first_although_the_standby_was_asked_first(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.converge(1, "a", parameters=HIGH)
    a.converge(1, "a", parameters=HIGH)
    b.converge(1, "a", parameters=LOW)
    assert connections(b) == "40", "it holds what its primary has"
    a.converge(1, "a", parameters=LOW)
    assert connections(a) == "20"
    assert until(lambda: b.server.control_data().limits["max_connections"] == 20, 10), "the standby replays that"  # type: ignore[union-attr]
    b.converge(1, "a", parameters=LOW)
    assert connections(b) == "20" and until(lambda: streams(b), 10)


def test_a_standby_that_was_away_while_they_were_raised_catches_up(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.kill()
    a.converge(1, "a", parameters=HIGH)
    assert connections(a) == "40", "a standby that is away is no reason to wait"
    b.converge(1, "a", parameters=LOW)
    assert connections(b) == "40" and streams(b), "even with an older stack file"


def test_a_new_copy_of_a_primary_with_more_starts(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.close()
    b.layout.data.rename(b.layout.data.with_name("gone"))
    a.converge(1, "a", parameters=HIGH)
    b.converge(1, "a", parameters=LOW)
    assert connections(b) == "40" and streams(b)


def test_a_replay_that_stopped_for_less_is_mended_before_the_promotion(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    a.sql("alter system set max_connections to 50")
    a.server.stop()
    a.control.start()  # past this software, which would have taken that out
    a.sql("create table orders (id int); insert into orders values (1)", "shop")
    assert until(lambda: b.sql("select pg_is_wal_replay_paused()") == "t", 10)
    assert until(lambda: b.sql("select pg_last_wal_receive_lsn()") == a.sql("select pg_current_wal_flush_lsn()"), 10)
    a.kill()
    done = b.converge(2, "b", previous="a")
    assert "restart max_connections" in done.actions
    assert b.sql("select count(*) from orders", "shop") == "1"
    assert connections(b) == "50", "a primary that was just promoted is not restarted for less"
