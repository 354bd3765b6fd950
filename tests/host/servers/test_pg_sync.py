"""When commits wait for the standby: decided without a server, then seen on a real pair."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from contract.errors import Failed, Usage
from lab.pairs.postgres import Node, Pair, caught_up
from scripts.host.agent.postgres import PostgresFacts
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from scripts.host.postgres import copy as pg_copy
from scripts.host.postgres import sync as pg_sync
from scripts.host.postgres.config import upstream
from scripts.host.postgres.desired import Desired
from scripts.host.postgres.layout import PostgresLayout
from scripts.host.postgres.memory import Memory
from scripts.host.postgres.status import live_status
from scripts.host.postgres.sync import Move, Seen, State, step
from scripts.host.postgres.text import conninfo
from scripts.host.postgres.watch import Watch

FOLLOWS_OFF, FOLLOWS_ON = Seen(False, False, True), Seen(False, True, True)
GONE_OFF, GONE_ON = Seen(False, False, False), Seen(False, True, False)


def event(answer: tuple[State, Move | None]) -> str | None:
    return answer[1].event if answer[1] else None


def test_it_is_armed_when_the_standby_has_caught_up_and_not_before() -> None:
    for mode in ("sync", "degrade"):
        assert event(step(mode, State(), FOLLOWS_OFF, 0, 10)) == "armed"
        assert step(mode, State(), GONE_OFF, 0, 10) == (State(), None)
        assert step(mode, State(), FOLLOWS_ON, 0, 10) == (State(), None)
    assert step("async", State(), FOLLOWS_OFF, 0, 10) == (State(), None)


def test_only_degrade_stops_waiting_and_only_after_its_time() -> None:
    for mode in ("sync", "degrade"):
        state, move = step(mode, State(), GONE_ON, 100, 10)
        assert (state.gone_since, move) == (100, None)
        state, move = step(mode, state, GONE_ON, 109.9, 10)
        assert (state.gone_since, move) == (100, None)
        state, move = step(mode, state, GONE_ON, 110, 10)
        assert (move is not None) == (mode == "degrade")
    assert move is not None and not move.on and "lost if this site dies" in move.says and state.degraded


def test_a_standby_that_came_back_in_time_starts_the_count_anew() -> None:
    state, _ = step("degrade", State(), GONE_ON, 0, 10)
    state, _ = step("degrade", state, FOLLOWS_ON, 8, 10)
    state, move = step("degrade", state, GONE_ON, 11, 10)
    assert (state.gone_since, move) == (11, None)


def test_after_degrading_it_is_restored_and_called_so() -> None:
    state, _ = step("degrade", State(0.0), GONE_ON, 10, 10)
    state, move = step("degrade", state, GONE_OFF, 20, 10)
    assert state.degraded and move is None
    assert event(step("degrade", state, FOLLOWS_OFF, 30, 10)) == "restored"


def test_a_standby_and_another_mode_are_disarmed_and_silence_changes_nothing() -> None:
    assert event(step("sync", State(5.0), Seen(True, True, False), 9, 10)) == "off"
    assert event(step("async", State(), FOLLOWS_ON, 9, 10)) == "off"
    assert step("degrade", State(5.0), None, 99, 10) == (State(5.0), None)


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    node = Node("a", tmp_path, {"ca": "c", "cert": "c", "key": "k"}, {"a": 1, "b": 2})
    with pytest.raises(Usage, match="async or sync or degrade"):
        Desired.read(node.document(1, "a", mode="quorum"))


def test_the_watch_stops_waiting_only_after_the_witness_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Move] = []
    monkeypatch.setattr(pg_sync, "apply", lambda layout, server, peer, move: done.append(move))
    watch = Watch(PostgresLayout(Layout(tmp_path)), Log(io.StringIO(), "agent run"))
    memory = Memory(17, 5432, "a", "b", "degrade", 10)

    def look(now: float, seen: Seen | None) -> str:
        return watch.look(memory, lambda query: json.dumps(asdict(seen)) if seen else None, now)

    assert [look(now, GONE_ON) for now in (0, 9)] == ["degrade", "degrade"]
    watch.told("degrade")
    assert look(10, GONE_ON) == "degraded"
    watch.told("degrade")
    assert done == [], "a beat of before that was still on its way counts for nothing"
    assert look(12, GONE_ON) == "degraded"
    watch.told("degraded")
    assert [move.event for move in done] == ["degraded"]
    assert look(14, GONE_OFF) == "degraded" and look(15, None) == "degraded"
    watch.told("degraded")
    assert len(done) == 1
    assert look(16, FOLLOWS_OFF) == "degrade"
    assert [move.event for move in done] == ["degraded", "restored"]


def test_the_watch_of_an_asynchronous_pair_asks_nothing(tmp_path: Path) -> None:
    def ask(query: str) -> str:
        raise AssertionError(query)

    watch = Watch(PostgresLayout(Layout(tmp_path)), Log(io.StringIO(), "agent run"))
    assert watch.look(Memory(17, 5432, "a", "b"), ask, 0) == "async"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        made.up(mode="degrade", degrade_after_s=7)
        made.a.sql("create table orders (id int)", "shop")
        caught_up(made.a, made.b)
        yield made


def commit(node: Node, seconds: int) -> subprocess.CompletedProcess[str]:
    """An order as the shop commits it, with a limit."""
    order = f"set role shop; set statement_timeout to '{seconds}s'; insert into orders values (1) returning 'done'"
    argv = node.psql("-c", order)
    try:
        return subprocess.run(argv, user="postgres", capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", "waits")


def look(node: Node) -> Seen | None:
    return pg_sync.seen(node.sql(pg_sync.query("b" if node.site == "a" else "a")))


def test_a_pair_is_armed_waits_degrades_and_is_restored(pair: Pair) -> None:
    a, b = pair.a, pair.b
    a.sql("alter table orders owner to shop", "shop")
    assert until(lambda: look(a) == FOLLOWS_OFF, 10)
    assert a.converge(1, "a", mode="degrade", degrade_after_s=7).actions == ["sync on"]
    memory = Memory.read(a.layout)
    assert memory is not None and (memory.mode, memory.degrade_after_s) == ("degrade", 7)
    assert live_status(a.layout.base, a.server, memory.mode)["sync"] == "on"
    assert commit(a, 10).stdout.strip() == "done"
    b.kill()
    assert until(lambda: look(a) == GONE_ON, 15)
    assert commit(a, 2).returncode == 124, "nothing is acknowledged that the standby lacks"
    assert a.converge(1, "a", mode="degrade", degrade_after_s=7).changed is False, (
        "our own sessions do not wait, and a converge is no reason to degrade"
    )
    state, _ = step("degrade", pg_sync.start(a.layout), look(a), 0, 7)
    state, move = step("degrade", state, look(a), 7, 7)
    assert move is not None
    pg_sync.apply(a.layout, a.server, "b", move)
    assert commit(a, 10).stdout.strip() == "done"
    assert live_status(a.layout.base, a.server, "degrade")["sync"] == "degraded"
    b.server.start()
    assert until(lambda: look(a) == FOLLOWS_OFF, 20)
    state, move = step("degrade", pg_sync.start(a.layout), look(a), 0, 7)
    assert move is not None and move.event == "restored"


def test_a_promoted_standby_waits_for_nobody(pair: Pair) -> None:
    a, b = pair.a, pair.b
    assert until(lambda: look(a) == FOLLOWS_OFF, 10)
    a.converge(1, "a", mode="sync")
    a.sql("alter table orders owner to shop", "shop")
    caught_up(a, b)
    a.kill()
    b.converge(2, "b", previous="a", mode="sync")
    assert commit(b, 10).stdout.strip() == "done"
    a.converge(2, "b", previous="a", mode="sync")
    assert a.sql("show synchronous_standby_names") == "", "it led in sync mode and follows now"
    assert until(lambda: look(b) == FOLLOWS_OFF, 10)
    assert b.converge(2, "b", previous="a", mode="sync").actions == ["sync on"]
    assert b.converge(2, "b", previous="a", mode="async").actions[-1] == "sync off"


def test_the_agent_arms_degrades_after_its_word_to_the_witness_and_restores(pair: Pair) -> None:
    a, b = pair.a, pair.b
    a.converge(1, "a", mode="degrade", degrade_after_s=5)
    agent = PostgresFacts(a.layout.base, Log(a.log, "agent run"), a.layout)
    assert until(
        lambda: agent.read()["mode"] == "degrade" and a.sql("show synchronous_standby_names") == "FIRST 1 (dr_b)", 20
    )
    b.kill()
    assert until(lambda: agent.read()["mode"] == "degraded", 30)
    assert a.sql("show synchronous_standby_names") != "", "the witness does not know yet"
    agent.told(agent.read())
    assert a.sql("show synchronous_standby_names") == "" and "lost if this site dies" in a.log.getvalue()
    b.server.start()
    assert until(lambda: agent.read()["mode"] == "degrade", 30)
    assert a.sql("show synchronous_standby_names") == "FIRST 1 (dr_b)"


def copying(node: Node) -> dict[str, str]:
    """How the standby's host reaches its primary."""
    desired = Desired.read(node.document(1, "a"))
    return upstream(desired, caller="dr_", papers=node.layout.papers)


def senders(node: Node) -> list[str]:
    return node.sql("select sync_state from pg_stat_replication where state = 'streaming'").split()


@contextmanager
def running(argv: list[str], node: Node) -> Iterator[None]:
    with subprocess.Popen(argv, user=node.layout.user, cwd="/", env={"HOME": "/"}, start_new_session=True) as program:
        try:
            yield
        finally:
            os.killpg(program.pid, signal.SIGKILL)


def armed_without_standby(pair: Pair) -> None:
    a, b = pair.a, pair.b
    a.sql("alter table orders owner to shop", "shop")
    assert until(lambda: look(a) == FOLLOWS_OFF, 10)
    a.converge(1, "a", mode="sync")
    b.kill()
    assert until(lambda: look(a) == GONE_ON and not senders(a), 30)


def test_an_unfinished_copy_is_no_standby_that_commits_may_wait_for(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair.a, pair.b
    armed_without_standby(pair)
    b.layout.data.rename(b.layout.data.with_name("gone"))
    seen: list[object] = []

    def slow(argv: list[str], **_: object) -> None:
        with running([*argv, "--max-rate=32k"], b):
            assert until(lambda: len(senders(a)) == 1, 20)
            seen.extend([senders(a), look(a), commit(a, 2).returncode])
        raise Failed("cut")

    monkeypatch.setattr(pg_copy, "run", slow)
    with pytest.raises(Failed, match="cut"):
        b.converge(1, "a", mode="sync")
    assert seen == [["async"], GONE_ON, 124], "what is acknowledged is on two hosts"


def test_what_streams_and_replays_nothing_is_no_standby(pair: Pair) -> None:
    """Whatever name it comes under."""
    a, b = pair.a, pair.b
    armed_without_standby(pair)
    folder = b.layout.data.with_name("received")
    folder.mkdir()
    shutil.chown(folder, b.layout.user)
    argv = [b.layout.program("pg_receivewal"), "--synchronous", "-D", str(folder), "-d", conninfo(copying(b))]
    with running(argv, b):
        assert until(lambda: a.sql("select flush_lsn is not null from pg_stat_replication") == "t", 20)
        assert look(a) == GONE_ON
