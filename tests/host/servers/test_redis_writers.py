"""Caches of a host, whoever started them, and which of them take writes: what the agent ends where none may."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from lab.pairs.loopback import free_port
from lab.pairs.redis import ADDRESSES, SERVERS, Pair, Site, settled
from scripts.host.agent.redis import RedisFacts, servers_found
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from scripts.host.redis.config import ARMED, LENT
from scripts.host.redis.leader import point
from scripts.host.redis.sentinel import UNIT
from scripts.host.redis.server import Process
from scripts.host.redis.wire import ErrorReply, Server


@pytest.fixture(params=SERVERS)
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    pair = Pair(tmp_path, server=request.param)
    yield pair.up()
    pair.close()


@pytest.fixture
def by_hand(pair: Pair) -> Iterator[list[subprocess.Popen[bytes]]]:
    """What was started beside the unit."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait(10)


def start(pair: Pair, started: list[subprocess.Popen[bytes]], *arguments: str) -> int:
    command = [pair.server, *arguments]
    started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    assert started[-1].stdout is not None
    assert any(b"Ready to accept" in line for line in started[-1].stdout)
    return started[-1].pid


def pids(site: Site) -> list[tuple[int, bool | None]]:
    return [(server.pid, server.writes) for server in servers_found(site.layout)]


def test_a_pair_that_works_has_one_writer_and_it_is_the_leader(pair: Pair) -> None:
    assert pids(pair.a) == [(pair.a.units.processes["redis"].pid, True)]
    assert pids(pair.b) == [(pair.b.units.processes["redis"].pid, False)]
    assert servers_found(Layout(pair.a.layout.root / "never-converged")) == []


def test_one_that_was_started_round_the_guard_is_found_and_ends(
    pair: Pair, by_hand: list[subprocess.Popen[bytes]]
) -> None:
    pair.b.units.stop("redis", 10)
    point(pair.b.units.conf, None)
    pid = start(pair, by_hand, str(pair.b.units.conf))
    assert pids(pair.b) == [(pid, True)]
    os.kill(pid, signal.SIGTERM)
    assert by_hand[0].wait(10) == 0 and pids(pair.b) == []


def test_a_replica_that_somebody_made_a_leader_is_found(pair: Pair) -> None:
    pair.b.operator("REPLICAOF", "NO", "ONE")
    assert pids(pair.b) == [(pair.b.units.processes["redis"].pid, True)]


def test_one_on_another_port_that_writes_the_shops_files_is_found(
    pair: Pair, by_hand: list[subprocess.Popen[bytes]]
) -> None:
    pair.b.units.stop("redis", 10)
    own = "--port", str(free_port()), "--bind", ADDRESSES["cache-1.b"], "--appendonly", "no"
    pid = start(pair, by_hand, *own, "--dir", str(pair.b.data))
    assert pids(pair.b) == [(pid, True)]


def test_one_of_somebody_elses_and_a_sentinel_are_left_alone(
    pair: Pair, by_hand: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    own = "--port", str(free_port()), "--bind", ADDRESSES["cache-1.b"], "--appendonly", "no", "--save", ""
    start(pair, by_hand, *own, "--dir", str(tmp_path))
    folder = pair.b.data / "dr-sentinel"
    folder.mkdir()
    (folder / "sentinel.conf").write_text(f"bind {ADDRESSES['cache-1.b']}\ndir {folder}\nport 26379\n")
    pair.b.units.start(UNIT, 10)
    assert pids(pair.b) == [(pair.b.units.processes["redis"].pid, False)]


def test_one_that_says_nothing_is_found(pair: Pair) -> None:
    process = pair.a.units.processes["redis"]
    os.kill(process.pid, signal.SIGSTOP)
    assert pids(pair.a) == [(process.pid, None)]


def test_a_standby_that_lends_its_keys_to_a_rebuilt_leader_takes_no_write_and_is_left_alone(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leads for as long as the copy takes. Its agent would stop a writer there: with it the only copy of all carts, in the middle."""
    pair.a.shop("SET", "cart", "1")
    assert until(lambda: pair.b.shop("GET", "cart") == "1", 10)
    pair.a.units.kill()
    rmtree(pair.a.layout.root)
    pair.a = pair.hosts["cache-1.a"] = Site(pair, "cache-1.a", pair.a.layout.root)
    agent, really = RedisFacts(pair.b.layout, Log(io.StringIO(), "agent run")), Process.await_link
    seen: list[bool | None] = []

    def await_link(process: Process, leader: Server) -> None:
        block = agent.read()
        assert block["role"] == "master"
        seen.append(agent.writes(block))
        with pytest.raises(ErrorReply, match="NOREPLICAS"):
            pair.b.shop("SET", "cart", "2")
        really(process, leader)

    monkeypatch.setattr(Process, "await_link", await_link)
    pair.a.converge(1, "a")
    assert seen == [False]
    assert pair.a.look().role == "master" and pair.a.shop("GET", "cart") == "1"  # type: ignore[union-attr]
    assert settled(pair.b) and pair.b.operator("CONFIG", "GET", ARMED) == [ARMED, "0"]
    assert agent.writes(agent.read()) is False and pair.b.converge(1, "a").changed is False


def test_one_that_has_lent_its_keys_takes_writes_once_it_leads_for_good(pair: Pair) -> None:
    """The run that took them back has died, and then its site."""
    pair.b.operator("CONFIG", "SET", ARMED, LENT)
    pair.b.operator("REPLICAOF", "NO", "ONE")
    pair.a.units.kill()
    pair.b.converge(2, "b")
    pair.b.shop("SET", "cart", "1")
    agent = RedisFacts(pair.b.layout, Log(io.StringIO(), "agent run"))
    assert agent.writes(agent.read()) is True
