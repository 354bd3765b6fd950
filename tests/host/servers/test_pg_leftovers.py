"""Real servers: what `alter system` left on the one that is copied must not decide on the one that follows (cloudnative-pg#11252)."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from lab.pairs.postgres import Node, Pair, caught_up
from scripts.host.__main__ import main
from scripts.host.frame.wait import until
from scripts.host.postgres.layout import PostgresLayout

PROMOTING = {
    "recovery_target": {"recovery_target": "immediate", "recovery_target_action": "promote"},
    "recovery_target_time": {"recovery_target_time": "2001-01-01 00:00:00+00", "recovery_target_action": "promote"},
}


@pytest.fixture
def streaming() -> Iterator[Pair]:
    """Epoch 1: a leads, b follows, one table with one row."""
    with Pair() as pair:
        pair.up()
        pair.a.sql("create table orders (id int); insert into orders values (1)", "shop")
        caught_up(pair.a, pair.b)
        yield pair


def leave(node: Node, values: dict[str, str]) -> None:
    for name, value in values.items():
        node.sql(f"alter system set {name} to '{value}'")


def left(node: Node) -> str:
    return (node.layout.data / "postgresql.auto.conf").read_text()


def follows(node: Node) -> bool:
    return node.sql("select pg_is_in_recovery()") == "t" and node.sql("show transaction_read_only") == "on"


@pytest.mark.parametrize("values", PROMOTING.values(), ids=PROMOTING)
def test_a_copy_follows_whatever_its_donor_would_recover_to(streaming: Pair, values: dict[str, str]) -> None:
    a, b = streaming.a, streaming.b
    leave(a, values)
    b.close()
    b.layout.data.rename(b.layout.data.with_name("gone"))
    done = b.converge(1, "a")
    assert "copy" in done.actions and follows(b) and done.facts["timeline"] == 1
    assert "recovery" not in left(b)
    assert b.converge(1, "a").changed is False


@pytest.mark.parametrize("values", PROMOTING.values(), ids=PROMOTING)
def test_a_rewound_primary_follows_whatever_its_successor_would_recover_to(
    streaming: Pair, values: dict[str, str]
) -> None:
    a, b = streaming.a, streaming.b
    b.kill()
    a.sql("insert into orders values (666)", "shop")
    a.kill()
    b.server.start()
    b.converge(2, "b", previous="a")
    leave(b, values)
    done = a.converge(2, "b", previous="a")
    assert "rewind" in done.actions and "copy" not in done.actions
    assert follows(a) and done.facts["timeline"] == 2


def test_a_standby_that_was_only_down_follows_again(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    leave(b, PROMOTING["recovery_target"])
    b.close()
    done = b.converge(1, "a")
    assert "start" in done.actions and not {"rewind", "copy"} & set(done.actions)
    assert follows(b) and done.facts["timeline"] == 1
    caught_up(a, b)


def test_the_guard_starts_no_standby_with_leftovers(streaming: Pair) -> None:
    """A boot, and systemd's own restart of a server that died, pass it and nothing else of ours."""
    a, b = streaming.a, streaming.b
    leave(b, {**PROMOTING["recovery_target"], "work_mem": "5MB"})
    b.close()
    log = io.StringIO()
    layout = b.layout.base
    assert main(["guard", "postgres"], stdin=io.StringIO(), stdout=io.StringIO(), stderr=log, layout=layout) == 0
    assert "recovery_target" in log.getvalue()
    b.control.start()
    caught_up(a, b)
    assert follows(b) and b.sql("show work_mem") == "5MB", "what is nobody else's business stays"


def test_a_standby_that_pauses_at_a_target_is_restarted_and_not_resumed(streaming: Pair) -> None:
    """To resume it there would end its recovery, which promotes it."""
    a, b = streaming.a, streaming.b
    leave(b, {"recovery_target": "immediate"})
    b.close()
    b.control.start()  # as a boot before the guard knew
    assert until(lambda: b.server.ask("select to_json(pg_get_wal_replay_pause_state())") == "paused", 10)
    done = b.converge(1, "a")
    caught_up(a, b)
    assert follows(b) and any(action.startswith("restart") for action in done.actions)


def test_an_override_goes_where_alter_system_is_not_allowed(streaming: Pair) -> None:
    """A server that refuses `alter system` (17 and newer) still takes over (cloudnative-pg#4921)."""
    b = streaming.b
    forbidden = {"allow_alter_system": "off"} if b.version >= 17 else {}
    block = {"shared_buffers": "16MB", "max_connections": "20", **forbidden}
    leave(b, {"synchronous_standby_names": "dr_a"})
    b.converge(1, "a", parameters=block)
    leave_by_hand(b.layout, "synchronous_standby_names = 'dr_a'")
    streaming.a.kill()
    done = b.converge(2, "b", previous="a", parameters=block)
    assert "reset-overrides synchronous_standby_names" in done.actions
    assert b.sql("show synchronous_standby_names") == ""


def leave_by_hand(layout: PostgresLayout, line: str) -> None:
    with (layout.data / "postgresql.auto.conf").open("a") as stream:
        stream.write(f"{line}\n")
