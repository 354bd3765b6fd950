"""Real servers whose stop is held up when their lease is over: by its own limit nothing of them is left, and what was acknowledged is there.

Whoever stops them: the agent, or the dead-man without it.
"""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lab.pairs.postgres import Node, Pair
from scripts.host.agent.deadman import GRACE, KINDS, Deadman, now
from scripts.host.agent.facts import servers_of
from scripts.host.agent.unit import Unit
from scripts.host.frame.log import Log
from scripts.host.frame.wait import until
from tests.host.servers import holdups

STOP_S = 5.0  # as `dr:lease.stop_s`
HOLDS = (
    "a checkpoint on a disk that hangs",
    "500 open transactions",
    "a standby on a dead link",
    "an archiver that hangs",
)
ENDS_WHEN_ASKED = HOLDS[1]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """b follows a, where one order is committed."""
    with Pair() as made:
        made.up()
        made.a.sql("create table orders (id int); insert into orders values (1)", "shop")
        yield made


def holding(what: str, pair: Pair, folder: Path) -> AbstractContextManager[None]:
    return {
        HOLDS[0]: lambda: holdups.hanging_checkpoint(pair.a),
        HOLDS[1]: lambda: holdups.open_transactions(pair.a),
        HOLDS[2]: lambda: holdups.dead_link(pair),
        HOLDS[3]: lambda: holdups.hanging_archiver(pair.a, folder),
    }[what]()


def dead_man(node: Node) -> Deadman:
    """That of a host whose lease is over."""
    (Path(node.root) / "run/dr/held-until").write_text(f"{now() - STOP_S} {STOP_S}\n")
    return Deadman(KINDS["postgres"], str(node.root))


def acknowledged(node: Node) -> str:
    """Ids of the orders that are there once it is started again, as after a boot."""
    for left in (node.layout.data / "postmaster.pid", *node.layout.sockets.glob(".s.PGSQL.*")):
        left.unlink(missing_ok=True)  # nobody here asks after a process that was killed, so its number counts as taken
    node.control.start()
    return node.sql("select id from orders", "shop")


@pytest.mark.parametrize("what", HOLDS)
def test_the_dead_man_leaves_nothing_by_its_own_limit(pair: Pair, tmp_path: Path, what: str) -> None:
    with holding(what, pair, tmp_path):
        watch, at = dead_man(pair.a), now()
        watch.step(at)
        assert until(lambda: "received fast shutdown request" in pair.a.layout.log.read_text(), 30), "asked first"
        if what == ENDS_WHEN_ASKED:
            assert until(lambda: not watch.servers(), 60)
        else:
            watch.step(at + STOP_S * GRACE - 0.1)
            assert watch.servers(), f"{what} holds it up"
            watch.step(at + STOP_S * GRACE)
            assert until(lambda: not watch.servers(), 30)
    assert acknowledged(pair.a) == "1"


@pytest.mark.parametrize("what", HOLDS)
def test_the_agent_leaves_nothing_by_its_own_limit(pair: Pair, tmp_path: Path, what: str) -> None:
    a, log = pair.a, io.StringIO()
    (a.root / "sys/fs/cgroup/system.slice").mkdir(parents=True)
    unit = Unit(
        a.layout.base,
        lambda: a.layout.unit,
        Log(log, "agent run"),
        servers_of("postgres", a.layout.base),
        signal.SIGINT,
    )
    with holding(what, pair, tmp_path):
        assert unit.running()
        unit.stop(
            STOP_S, lambda: None
        )  # it has told them by its limit; when the kernel has ended them on a busy machine is the machine's
        assert until(lambda: not unit.running() and not dead_man(a).servers(), 30), (
            "none of its processes, by another way to look"
        )
        assert what == ENDS_WHEN_ASKED or "still there after" in log.getvalue(), f"{what} holds it up"
    assert acknowledged(a) == "1"
