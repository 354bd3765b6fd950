"""A real server whose agent is gone does not outlive its lease, and loses nothing by that."""

from __future__ import annotations

from pathlib import Path

from lab.pairs.postgres import Pair
from scripts.host.agent.deadman import KINDS, Deadman, now
from scripts.host.frame.wait import until


def test_a_primary_without_its_agent_is_shut_down_and_its_standby_is_not() -> None:
    with Pair() as pair:
        pair.up()
        a, b = pair.a, pair.b
        a.sql("create table orders (id int); insert into orders values (1)", "shop")
        deadmen = [Deadman(KINDS["postgres"], str(node.root)) for node in (a, b)]

        def held(seconds: float) -> None:
            for node in (a, b):
                (Path(node.root) / "run/dr/held-until").write_text(f"{now() + seconds} 5\n")

        held(600)
        for deadman in deadmen:
            deadman.step(now())
        assert a.sql("select count(*) from orders", "shop") == "1"
        held(-5)
        for deadman in deadmen:
            deadman.step(now())
        assert until(lambda: a.server.pid() is None, 30)
        control = a.server.control_data()
        assert control is not None and control.state == "shut down", "asked first, so that its standby has all of it"
        assert b.server.pid() is not None and b.sql("select pg_is_in_recovery()") == "t"
