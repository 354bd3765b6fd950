"""The service's block of the heartbeat, read from real servers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.pairs.postgres import Node, Pair
from lab.pairs.redis import Pair as CachePair
from lab.pairs.redis import settled
from scripts.host.agent.postgres import PgConnection, PostgresFacts
from scripts.host.agent.redis import RedisFacts
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from scripts.host.postgres.slot import ENSURE, LOOKS, SEEN, Slots
from scripts.host.postgres.text import lsn


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """One for all tests here: each leaves both servers running."""
    with Pair() as made:
        made.up()
        yield made


def facts(node: Node) -> PostgresFacts:
    return PostgresFacts(node.layout.base, Log(node.log, "agent run"), node.layout)


def test_a_pair_of_databases_tells_its_positions_over_one_connection(pair: Pair) -> None:
    primary, standby = facts(pair.a), facts(pair.b)
    assert until(lambda: primary.read()["streaming"] is True and standby.read()["streaming"] is True, 20)
    primary = facts(pair.a)
    first = primary.read()
    assert (first["running"], first["in_recovery"], first["timeline"], first["streaming"]) == (True, False, 1, True)
    assert first["system_identifier"] == pair.a.server.control_data().system_identifier  # type: ignore[union-attr]
    assert primary.writes(first) is True
    pair.a.sql("create table t (id int); insert into t select generate_series(1, 1000)")
    second = primary.read()
    assert lsn(second["write_lsn"]) > lsn(first["write_lsn"])
    assert [position for _, position in second["trail"]] == [second["write_lsn"], first["write_lsn"]]
    assert second["trail"][0][0] <= second["trail"][1][0]
    own = "select count(*) from pg_stat_activity where application_name = 'dr_agent'"
    connections = pair.a.sql(own)
    for _ in range(3):
        primary.read()
    assert pair.a.sql(own) == connections
    other = standby.read()
    assert (other["in_recovery"], other["write_lsn"], other["streaming"], other["trail"]) == (True, None, True, [])
    assert standby.writes(other) is False
    assert until(lambda: lsn(standby.read()["replay_lsn"]) >= lsn(second["write_lsn"]), 10)


def test_a_database_that_goes_and_comes_is_told_as_such(pair: Pair) -> None:
    told = facts(pair.a)
    before = told.read()
    pair.a.kill()
    down = told.read()
    assert (down["running"], down["write_lsn"], told.writes(down)) == (False, None, None)
    assert [position for _, position in down["trail"]] == [before["write_lsn"]], "what it wrote last is still told"
    assert (down["system_identifier"], down["timeline"]) == (before["system_identifier"], before["timeline"]), (
        "and what it can be compared by"
    )
    after = facts(pair.a)  # of the agent that was started after a power cut
    assert after.read()["trail"] == []
    after.recall(down, 3600.0)
    recalled = after.read()
    ((age, position),) = recalled["trail"]
    assert age >= 3600.0 and (position, recalled["timeline"]) == (before["write_lsn"], before["timeline"])
    pair.a.control.start()
    assert until(lambda: told.read()["in_recovery"] is False, 20)
    assert until(lambda: after.read()["in_recovery"] is False, 20)
    assert after.read()["trail"][0][0] < 60 and len(after.read()["trail"]) <= 3, (
        "what is older than its minute has gone"
    )


def test_the_keys_are_those_of_the_contract_whatever_runs(pair: Pair, tmp_path: Path) -> None:
    keys = {
        "running",
        "in_recovery",
        "timeline",
        "write_lsn",
        "receive_lsn",
        "replay_lsn",
        "streaming",
        "system_identifier",
        "mode",
        "trail",
    }
    assert (
        set(facts(pair.a).read())
        == set(facts(pair.b).read())
        == set(PostgresFacts(Layout(tmp_path), Log(io.StringIO(), "agent run")).read())
        == keys
    )


def test_an_error_of_the_server_is_its_sentence(pair: Pair) -> None:
    layout = pair.a.layout
    connection = PgConnection(str(layout.sockets / f".s.PGSQL.{pair.a.ports['a']}"), layout.user, layout.version, 2.0)
    with pytest.raises(Exception, match="division by zero"):
        connection.value("select 1/0")
    connection.close()


def test_a_cache_tells_its_role_and_offset(tmp_path: Path) -> None:
    caches = CachePair(tmp_path).up()
    try:
        assert settled(caches.b)
        told = {site.site: RedisFacts(site.layout, Log(io.StringIO(), "agent run")) for site in (caches.a, caches.b)}
        first = told["a"].read()
        assert (first["running"], first["role"]) == (True, "master") and told["a"].writes(first) is True
        for number in range(100):
            caches.a.shop("SET", f"key:{number}", "x" * 100)
        second = told["a"].read()
        assert second["offset"] > first["offset"] + 10_000 and (first["keys"], second["keys"]) == (0, 100)
        assert until(lambda: told["b"].read()["offset"] >= second["offset"], 10)
        other = told["b"].read()
        assert (other["role"], other["replication_id"]) == ("replica", second["replication_id"]) and told["b"].writes(
            other
        ) is False
        caches.a.units.kill()
        down = told["a"].read()
        assert (down["running"], down["role"], told["a"].writes(down)) == (False, None, None)
        caches.a.units.start("redis", 10)
        assert until(lambda: told["a"].read()["role"] == "master", 10)
    finally:
        caches.close()


@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"local": {}}', '{"local": {"name": 1}, "ca": "x", "password": "y"}']
)
def test_a_cache_that_nobody_knows_yet_is_unknown(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "etc/dr").mkdir(parents=True)
        (tmp_path / "etc/dr/redis.json").write_text(text)
    told = RedisFacts(Layout(tmp_path), Log(io.StringIO(), "agent run"))
    assert told.read() == {"running": False, "role": None, "offset": None, "replication_id": None, "keys": None}
    assert told.writes(told.read()) is None


def test_a_slot_that_somebody_dropped_is_made_anew_and_the_standby_streams_again(pair: Pair) -> None:
    told = facts(pair.a)
    assert until(lambda: told.read()["streaming"] is True, 20)
    pair.b.kill()
    assert until(
        lambda: (
            pair.a.sql("select count(pg_drop_replication_slot(slot_name)) from pg_replication_slots where not active")
            == "1"
        ),
        20,
    )
    for _ in range(LOOKS - 1):
        told.read()
    assert pair.a.sql("select count(*) from pg_replication_slots") == "0", "a promotion makes its own: not at once"
    told.read()
    assert pair.a.sql("select wal_status from pg_replication_slots where slot_name = 'dr_peer'") == "reserved"
    assert "slot dr_peer: found none" in pair.a.log.getvalue()
    pair.b.control.start()
    assert until(lambda: told.read()["streaming"] is True, 20)


def test_a_slot_that_cannot_be_made_is_told_once_and_tried_on() -> None:
    asked, text = [], io.StringIO()

    def ask(query: str) -> str | None:
        asked.append(query)
        return "none" if query == SEEN else None

    slots = Slots(Log(text, "agent run"))
    for _ in range(3 * LOOKS):
        slots.look(ask)
    assert asked.count(ENSURE) == 3
    assert text.getvalue().count("max_replication_slots") == 1
