"""Real servers: who may undo a stop, and what becomes of one that does not end. Whatever holds it up, the call ends by itself and says what is so."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failed, OutcomeUnknown, Refused, Usage
from contract.limits import STOP_S
from lab.pairs.postgres import Node, Pair
from scripts.host.frame import vouch
from scripts.host.frame.commands import TIMED_OUT, CommandFailed, Done
from scripts.host.frame.locks import WAIT_S
from scripts.host.frame.rolefile import FENCED, PRIMARY, Role
from scripts.host.postgres import halt
from scripts.host.postgres.verbs import VERBS, resume_server, stop_server
from tests.host.servers.holdups import checkpointer, dead_link, hanging_archiver, held, open_transactions
from tests.host.servers.test_agent import Bucket, handler

MINE, THEIRS = "0a-1", "0b-2"


@pytest.fixture
def node() -> Iterator[Node]:
    """A primary of epoch 1, without a standby."""
    with Pair() as made:
        made.a.converge(1, "a")
        yield made.a


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shares of a limit that a test can wait for; what it measures is which of them ends."""
    monkeypatch.setattr(halt, "LIMIT_S", 48.0)
    monkeypatch.setattr(halt, "BACK_S", 36.0)
    monkeypatch.setattr(halt, "CLEAN_S", 0.5)


@contextmanager
def witness(node: Node, **epochs: str) -> Iterator[Bucket]:
    """One that this host knows, which names these sites active: `e1="a"`."""
    bucket = Bucket()
    for name, site in epochs.items():
        bucket.claim(int(name[1:]), site)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(bucket))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    address = {"endpoint": f"http://127.0.0.1:{server.server_port}", "region": "de", "bucket": "witness"}
    node.layout.base.etc.mkdir(parents=True, exist_ok=True)
    (node.layout.base.etc / "witness.json").write_text(
        json.dumps({**address, "access_key": "key", "secret_key": "secret"})
    )
    try:
        yield bucket
    finally:
        bucket.over.set()
        server.shutdown()
        server.server_close()


def stop(node: Node, **document: Any) -> dict[str, Any]:
    return stop_server(node.call(document, "stop"), node.server).facts


def resume(node: Node, **document: Any) -> dict[str, Any]:
    return resume_server(node.call(document, "resume"), node.server).facts


def owner(node: Node) -> Any:
    path = node.layout.base.var / "stop.json"
    return json.loads(path.read_text()) if path.exists() else None


def writes(node: Node) -> bool:
    return node.sql("select pg_logical_emit_message(true, 'x', 'y') is not null") == "t"


def test_both_read_what_they_are_told() -> None:
    assert VERBS["stop"].reads and VERBS["resume"].reads and VERBS["stop"].locked and VERBS["resume"].locked


def test_the_limit_of_a_call_is_over_before_it_is_killed() -> None:
    assert WAIT_S + halt.LIMIT_S < STOP_S
    assert halt.READY_S + halt.BACK_S + halt.CLEAN_S < halt.LIMIT_S


@pytest.mark.parametrize("attempt", ["", "x" * 65, "0A", "1;2", 7])
def test_an_attempt_is_an_id_and_nothing_else(node: Node, attempt: object) -> None:
    for verb in (stop, resume):
        with pytest.raises(Usage, match="attempt"):
            verb(node, attempt=attempt)
    assert node.role == PRIMARY and writes(node)


def test_a_stop_for_another_epoch_than_the_next_changes_nothing(node: Node) -> None:
    with pytest.raises(Refused, match=r"primary in epoch 1, wanted epoch 6, the one before epoch 7"):
        stop(node, epoch_next=7, attempt=MINE)
    assert node.role == PRIMARY and owner(node) is None and writes(node)


def test_a_stop_is_undone_by_its_owner_alone_and_a_later_one_takes_it_over(node: Node) -> None:
    with witness(node, e1="a"):
        first = stop(node, epoch_next=2, attempt=MINE)
        assert stop(node, epoch_next=2, attempt=THEIRS) == first, "the same proof, to whoever owns it now"
        assert owner(node) == {"attempt": THEIRS, "epoch_next": 2}
        with pytest.raises(Refused, match=f"stopped by attempt {THEIRS}, wanted a stop of attempt {MINE}"):
            resume(node, attempt=MINE)
        assert node.role == FENCED and node.server.pid() is None
        assert resume(node, attempt=THEIRS) == {"writable": True}
        assert owner(node) is None and writes(node)


def test_by_hand_the_witness_has_to_confirm_the_epoch(node: Node) -> None:
    with witness(node, e1="a"):
        stop(node, epoch_next=2, attempt=MINE)
        assert resume(node) == {"writable": True}
        stop(node)
        assert owner(node) == {"attempt": None, "epoch_next": 2}, "by hand the epoch that is"
    with pytest.raises(Refused, match="nobody to confirm it"):
        resume(node)
    with witness(node), pytest.raises(Refused, match="names no such epoch"):
        resume(node)
    assert node.role == FENCED and node.server.pid() is None


def test_a_stop_whose_owner_is_gone_with_the_witness_is_undone_by_the_operators_typed_word(node: Node) -> None:
    """The move was killed, and the witness is lost: nobody else is left who could say it."""
    stop(node, epoch_next=2, attempt=MINE)
    override = node.layout.base.var / "override-start"
    for word in ("7", "one"):
        override.write_text(word)
        with pytest.raises(Refused, match=r"echo 1 > /var/lib/dr/override-start.*then the same again"):
            resume(node)
    override.write_text("1\n")
    with witness(node, e1="a", e2="b"), pytest.raises(Refused, match="epoch 2 with b active"):
        resume(node)
    (node.layout.base.etc / "witness.json").unlink()
    assert resume(node) == {"writable": True}
    assert node.role == PRIMARY and writes(node) and override.exists(), "the guard, which starts it, uses it up"


def test_where_the_witness_is_silent_the_owner_may_and_the_guard_is_told(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[int | None] = []
    start = node.control.start

    def guarded(limit_s: float = 30) -> None:
        words.append(vouch.given(node.layout.base))
        start(limit_s)

    monkeypatch.setattr(node.control, "start", guarded)
    stop(node, epoch_next=2, attempt=MINE)
    with pytest.raises(Refused, match=f"stopped by attempt {MINE}"):
        resume(node, attempt=THEIRS)
    assert resume(node, attempt=MINE) == {"writable": True}
    with witness(node, e1="a"):
        stop(node, epoch_next=2, attempt=MINE)
        resume(node, attempt=MINE)
    assert words == [1, None], "a witness that speaks decides"
    assert vouch.given(node.layout.base) is None


def test_what_was_never_stopped_needs_nobodys_word_to_write_on(node: Node) -> None:
    """The stop was refused, and the witness has died since: the move that takes it back must not tell that the shop cannot write."""
    halt.Stopped(2, THEIRS).write(node.layout.base)  # of a move before, which a run of this site has put right
    assert resume(node, attempt=MINE) == {"writable": True}
    with witness(node, e1="a", e2="b"), pytest.raises(Refused, match="epoch 2 with b active"):
        resume(node, attempt=MINE)
    assert node.role == PRIMARY and writes(node)


def test_a_newer_epoch_ends_every_right_to_undo_it(node: Node) -> None:
    with witness(node, e1="a", e2="b"):
        stop(node, epoch_next=2, attempt=MINE)
        for document in ({"attempt": MINE}, {}):
            with pytest.raises(Refused, match="epoch 2 with b active"):
                resume(node, **document)
    assert node.role == FENCED and node.server.pid() is None


def test_an_owner_of_an_epoch_before_owns_nothing(node: Node) -> None:
    stop(node, epoch_next=2, attempt=MINE)
    Role("a", "b", FENCED, 5).write(node.layout.base)
    with witness(node, e5="a"):
        assert resume(node, attempt=THEIRS) == {"writable": True}


def test_a_disk_that_takes_no_checkpoint_in_time_changes_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(limit_s: float) -> int:
        raise CommandFailed(["psql"], Done(TIMED_OUT, "", f"no end within {limit_s:g} s"))

    monkeypatch.setattr(node.server, "make_ready_to_stop", slow)
    with pytest.raises(Refused, match="not done after 20 s"):
        stop(node, epoch_next=2, attempt=MINE)
    assert node.role == PRIMARY and owner(node) is None and writes(node)


@pytest.fixture
def reaped(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill nobody here asks after the server's process, as systemd does on a host; its number would count as taken."""
    start = node.control.start

    def fresh(limit_s: float = 30) -> None:
        if node.server.pid() is None:
            for left in (node.layout.data / "postmaster.pid", *node.layout.sockets.glob(".s.PGSQL.*")):
                left.unlink(missing_ok=True)
        start(limit_s)

    monkeypatch.setattr(node.control, "start", fresh)


@pytest.mark.usefixtures("short", "reaped")
def test_one_in_the_middle_of_a_checkpoint_is_taken_back(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.sql("create table orders (id int); insert into orders values (1)", "shop")
    with ExitStack() as stack:
        # After the checkpoint that comes before a stop: the disk hangs from now on.
        ready = node.server.make_ready_to_stop

        def then_hangs(limit_s: float) -> int:
            done = ready(limit_s)
            node.sql("insert into orders values (2)", "shop")
            stack.enter_context(held(checkpointer(node)))
            return done

        monkeypatch.setattr(node.server, "make_ready_to_stop", then_hangs)
        with pytest.raises(Failed, match=r"still there after .* started again, and writes: nothing was handed over"):
            stop(node, epoch_next=2, attempt=MINE)
    assert node.role == PRIMARY and owner(node) is None and writes(node)
    assert node.sql("select count(*) from orders", "shop") == "2", "what was acknowledged is there"


@pytest.mark.usefixtures("short", "reaped")
def test_one_that_cannot_be_taken_back_says_so_and_its_owner_can_try_again(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = node.server.make_ready_to_stop
    start = node.control.start

    def then_hangs(limit_s: float) -> int:
        done = ready(limit_s)
        os.kill(checkpointer(node), signal.SIGSTOP)
        return done

    def refuses(limit_s: float = 30) -> None:
        raise Failed("unit postgresql@x-main.service: found ERROR guard")

    monkeypatch.setattr(node.server, "make_ready_to_stop", then_hangs)
    monkeypatch.setattr(node.control, "start", refuses)
    with pytest.raises(Failed, match=r"could not be taken back .*guard.*the shop cannot write"):
        stop(node, epoch_next=2, attempt=MINE)
    assert node.role == FENCED and owner(node)["attempt"] == MINE and node.server.pid() is None
    monkeypatch.setattr(node.control, "start", start)
    assert resume(node, attempt=MINE) == {"writable": True}


@pytest.mark.usefixtures("short")
def test_an_archiver_that_hangs_holds_up_nothing(node: Node, tmp_path: Path) -> None:
    with hanging_archiver(node, tmp_path):
        before = node.server.pid()
        facts = stop(node, epoch_next=2, attempt=MINE)
    assert facts["cluster_state"] == "shut down" and node.server.pid() is None and before is not None
    assert "does not end" in node.log.getvalue()


@pytest.mark.usefixtures("short")
def test_hundreds_of_open_transactions_hold_up_nothing(node: Node) -> None:
    node.sql("create table orders (id int)", "shop")
    with open_transactions(node):
        facts = stop(node, epoch_next=2, attempt=MINE)
    assert facts["cluster_state"] == "shut down" and node.server.pid() is None


@pytest.mark.usefixtures("short")
def test_a_standby_that_hangs_holds_up_nothing_for_longer_than_its_link_counts_as_alive() -> None:
    with Pair() as pair:
        pair.up()
        a = pair.a
        a.sql("alter system set wal_sender_timeout = '1s'")
        a.sql("select pg_reload_conf()")
        with dead_link(pair):
            facts = stop(a, epoch_next=2, attempt=MINE)
        assert facts["cluster_state"] == "shut down" and a.role == FENCED


@pytest.mark.usefixtures("short", "reaped")
def test_a_resume_that_takes_too_long_says_so_and_the_server_goes_on(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(node, epoch_next=2, attempt=MINE)
    monkeypatch.setattr(halt, "LIMIT_S", 3.0)
    ask = node.server.ask
    monkeypatch.setattr(node.server, "ask", lambda *_, **__: None)  # as while it recovers
    with pytest.raises(OutcomeUnknown, match=r"does not write yet .* the same again waits for it"):
        resume(node, attempt=MINE)
    assert node.role == PRIMARY and owner(node)["attempt"] == MINE and node.server.pid() is not None
    monkeypatch.setattr(node.server, "ask", ask)
    assert resume(node, attempt=MINE) == {"writable": True} and owner(node) is None
