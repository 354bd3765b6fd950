"""Real servers that nobody would stop otherwise: one whose agent is gone, one that was started past its unit. They lose nothing by it."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

from lab.pairs.postgres import Pair
from scripts.host.agent.deadman import KINDS, Deadman, now
from scripts.host.agent.facts import servers_of
from scripts.host.agent.postgres import PostgresFacts, servers_found
from scripts.host.agent.unit import Unit
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import STANDBY, Role
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


def test_servers_are_found_by_their_data_or_by_their_port_and_say_what_they_are() -> None:
    with Pair() as pair:
        pair.up()
        a, b = pair.a, pair.b
        assert [(each.pid, each.writes) for each in servers_found(a.layout.base)] == [(a.server.pid(), True)]
        assert [(each.pid, each.writes) for each in servers_found(b.layout.base)] == [(b.server.pid(), False)]
        facts = PostgresFacts(b.layout.base, Log(b.log, "agent run"), b.layout)
        assert facts.writes({"running": True, "in_recovery": None}) is None, "it may be promoted at any moment"
        signal_file = b.layout.data / "standby.signal"
        signal_file.unlink()  # as a promotion does
        assert facts.writes({"running": True, "in_recovery": None}) is True, "it answers elsewhere, and is no standby"
        signal_file.touch()
        pid = a.server.pid()
        assert pid is not None
        a.layout.data.rename(a.layout.data.with_name("elsewhere"))
        try:
            assert [each.pid for each in servers_found(a.layout.base)] == [pid], "by its port"
            memory = json.loads(a.layout.memory.read_text())
            a.layout.memory.write_text(json.dumps({**memory, "port": 1}))
            assert servers_found(a.layout.base) == [], "a server beside it, to look at what was"
        finally:
            a.layout.data.with_name("elsewhere").rename(a.layout.data)


def test_one_that_was_started_by_hand_past_the_guard_is_stopped() -> None:
    with Pair() as pair:
        pair.a.converge(1, "a")
        a = pair.a
        a.server.stop()
        Role("a", "b", STANDBY, 2).write(a.layout.base)
        a.control.start()  # no unit, no guard
        assert until(lambda: a.server.ask("select to_json(true)") is True, 30)
        log = io.StringIO()
        control = Unit(
            a.layout.base,
            lambda: a.layout.unit,
            Log(log, "agent run"),
            servers_of("postgres", a.layout.base),
            signal.SIGINT,
        )
        (a.root / "sys/fs/cgroup/system.slice").mkdir(parents=True)
        assert control.running() and control.writers()
        assert control.stop(20.0, lambda: None) is True
        state = a.server.control_data()
        assert a.server.pid() is None and state is not None and state.state == "shut down"
        assert "none of the unit's" in log.getvalue()
