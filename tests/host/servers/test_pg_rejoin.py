"""Real servers: a primary that went on alone becomes a standby again, its own writes are kept as evidence, whatever is killed on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from contract.errors import Failed
from lab.pairs.postgres import Node, Pair, caught_up
from scripts.host.frame.commands import Done
from scripts.host.frame.plan import Step
from scripts.host.postgres import evidence as pg_evidence
from scripts.host.postgres import rejoin as pg_rejoin
from scripts.host.postgres.rejoin import Rejoin
from scripts.host.postgres.service import Postgres
from scripts.host.postgres.status import live_status


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        yield made


@pytest.fixture
def diverged(pair: Pair) -> Pair:
    """Epoch 2 with b active; a went on alone for 50 orders in 5 commits, and was killed."""
    a, b = pair.a, pair.b
    pair.up()
    a.sql("create table orders (id int primary key); insert into orders select generate_series(1, 10)", "shop")
    caught_up(a, b)
    b.kill()
    for first in range(100, 150, 10):
        a.sql(f"insert into orders select generate_series({first}, {first + 9})", "shop")
    a.sql("begin; delete from orders; rollback", "shop")
    a.kill()
    b.server.start()
    b.converge(2, "b", previous="a")
    b.sql("insert into orders values (11)", "shop")
    return pair


def orders(node: Node) -> list[int]:
    return [int(line) for line in node.sql("select id from orders order by id", "shop").split()]


def evidence(node: Node, name: str = "2") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((node.layout.evidence / name / "evidence.json").read_text())
    return found


def streams(node: Node) -> bool:
    return live_status(node.layout.base, node.server)["streaming"] is True


def names(node: Node) -> list[str]:
    return sorted(path.name for path in node.layout.data.parent.iterdir())


def test_a_diverged_primary_is_rewound_and_what_it_alone_had_is_kept(diverged: Pair) -> None:
    a, b = diverged.a, diverged.b
    back = a.converge(2, "b", previous="a")
    steps = [action.split()[0] for action in back.actions]
    assert steps[-8:] == ["evidence", "recover", "peer-slot", "rewind", "swap", "start", "follow", "settle"]
    caught_up(b, a)
    assert orders(a) == orders(b) == list(range(1, 12))
    assert streams(a) and streams(b)
    assert names(a) == ["main"], "nothing is left of the work but the data"
    found = evidence(a)
    assert (found["commits"], found["rows"], found["complete"]) == (5, 50, True)
    assert found["system_identifier"] == a.server.control_data().system_identifier  # type: ignore[union-attr]
    assert {"insert": 50, "database": "shop", "name": "public.orders"}.items() <= next(
        r for r in found["relations"] if r["name"] == "public.orders"
    ).items()
    assert found["fork"]["timeline"] == found["timeline"] == 1 and found["first_commit"] < found["last_commit"]
    assert {path.name for path in (a.layout.evidence / "2" / "wal").iterdir()} >= set(found["segments"]) != set()
    assert back.facts["evidence"] == [str(a.layout.evidence / "2")]
    again = a.converge(2, "b", previous="a")
    assert (again.changed, again.facts) == (False, back.facts)
    assert b.converge(2, "b", previous="a").changed is False


class Killed(BaseException):
    """dr-host ends here, as by kill -9: nothing in it catches this."""


def test_a_kill_after_any_step_is_taken_up_by_the_next_run(diverged: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, killed = diverged.a, []
    apply = Postgres.apply

    def until_killed(self: Postgres, step: Step) -> None:
        apply(self, step)
        if step.name not in killed:
            killed.append(step.name)
            raise Killed

    monkeypatch.setattr(Postgres, "apply", until_killed)
    for _ in range(15):
        try:
            a.converge(2, "b", previous="a")
            break
        except Killed:
            assert streams(a) or a.server.pid() is None or killed[-1] == "start", killed
    assert {"role", "evidence", "recover", "peer-slot", "rewind", "swap", "start"} <= set(
        killed
    ) and "copy" not in killed
    assert streams(a) and orders(a) == list(range(1, 12))
    assert evidence(a)["rows"] == 50 and names(a) == ["main"]
    assert len(pg_evidence.existing(a.layout)) == 1, "the same evidence is not taken twice"


def test_a_rewind_killed_half_way_is_scrap_kept_and_never_started(
    diverged: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, run = diverged.a, Rejoin._run

    def half_way(self: Rejoin, data: str, *more: str) -> Done:
        if "--dry-run" in more:
            return run(self, data, *more)
        (a.layout.rewinding / "global" / "pg_control").unlink()
        raise Killed

    monkeypatch.setattr(Rejoin, "_run", half_way)
    with pytest.raises(Killed):
        a.converge(2, "b", previous="a")
    assert names(a) == ["main.rejoin.json", "main.rewinding"] and a.server.pid() is None
    assert live_status(a.layout.base, a.server)["rejoin"]["stage"] == "rewind"
    follow = Postgres._do_follow
    kept: list[list[str]] = []

    def watched(self: Postgres, detail: str) -> None:
        kept.append(names(a))
        follow(self, detail)

    monkeypatch.setattr(Postgres, "_do_follow", watched)
    done = a.converge(2, "b", previous="a")
    assert "copy" in done.actions and "rewind" not in done.actions
    assert "main.rewinding" in kept[0], "the old data are there until the new ones stream"
    assert names(a) == ["main", "main.diverged-2"] and streams(a)
    assert orders(a) == list(range(1, 12)) and evidence(a)["rows"] == 50


def test_without_the_wal_of_the_fork_a_copy_is_made_and_the_old_data_are_kept(diverged: Pair) -> None:
    a = diverged.a
    for path in (a.layout.data / "pg_wal").glob("0*"):
        path.unlink()
    done = a.converge(2, "b", previous="a")
    assert "copy" in done.actions and "set-aside diverged" in done.actions
    assert names(a) == ["main", "main.diverged-2"] and streams(a)
    assert evidence(a)["complete"] is False
    assert "no rewind" in a.log.getvalue()


@pytest.fixture
def holed(pair: Pair) -> Pair:
    """Epoch 2 with b active; a went on alone for 4 commits, a segment each, was killed, and lacks the segment of the second one."""
    a, b = pair.a, pair.b
    pair.up()
    a.sql("create table orders (id int primary key)", "shop")
    caught_up(a, b)
    b.kill()
    segments = []
    for number in range(4):
        a.sql(f"insert into orders values ({number})", "shop")
        segments.append(a.sql("select pg_walfile_name(pg_current_wal_lsn())"))
        a.sql("select pg_switch_wal()")
    a.kill()
    (a.layout.data / "pg_wal" / segments[1]).unlink()
    b.server.start()
    b.converge(2, "b", previous="a")
    return pair


def test_a_hole_in_the_wal_is_told_what_lies_behind_it_is_counted_and_the_directory_is_kept(holed: Pair) -> None:
    a = holed.a
    done = a.converge(2, "b", previous="a")
    found = evidence(a)
    assert found["complete"] is False and len(found["gaps"]) == 1
    assert found["commits"] == 3, "all but the one that is gone"
    assert "at least 3 commits" in a.log.getvalue() and "no rewind" in a.log.getvalue()
    assert "copy" in done.actions and names(a) == ["main", "main.diverged-2"] and streams(a)


def test_a_connection_that_is_lost_in_the_middle_of_a_rewind_costs_no_copy(
    diverged: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, run, cut = diverged.a, Rejoin._run, [2]

    def interrupted(self: Rejoin, data: str, *more: str) -> Done:
        if "--dry-run" in more or not cut[0]:
            return run(self, data, *more)
        cut[0] -= 1
        return Done(1, "", "pg_rewind: error: could not fetch file: server closed the connection unexpectedly")

    monkeypatch.setattr(Rejoin, "_run", interrupted)
    done = a.converge(2, "b", previous="a")
    assert "rewind" in done.actions and "copy" not in done.actions
    assert names(a) == ["main"] and streams(a) and orders(a) == list(range(1, 12))


def test_a_rewind_whose_link_stays_away_is_taken_up_by_the_next_run(
    diverged: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, run = diverged.a, Rejoin._run

    def cut(self: Rejoin, data: str, *more: str) -> Done:
        if "--dry-run" in more:
            return run(self, data, *more)
        return Done(1, "", "pg_rewind: error: connection to server at 127.0.0.1 failed: timeout expired")

    monkeypatch.setattr(Rejoin, "_run", cut)
    with pytest.raises(Failed, match=r"rewind from db-1\.b.*run the same again"):
        a.converge(2, "b", previous="a")
    assert names(a) == ["main.rejoin.json", "main.rewinding"] and a.server.pid() is None
    monkeypatch.setattr(Rejoin, "_run", run)
    done = a.converge(2, "b", previous="a")
    assert "rewind" in done.actions and "copy" not in done.actions
    assert names(a) == ["main"] and streams(a) and orders(a) == list(range(1, 12))


def test_a_primary_that_went_on_for_checkpoints_can_still_be_rewound(pair: Pair) -> None:
    a, b = pair.a, pair.b
    pair.up()
    a.sql("create table orders (id int primary key)", "shop")
    caught_up(a, b)
    b.kill()
    for number in range(3):
        a.sql(f"insert into orders values ({number}); select pg_switch_wal(); checkpoint", "shop")
    a.kill()
    b.server.start()
    b.converge(2, "b", previous="a")
    back = a.converge(2, "b", previous="a")
    assert "rewind" in back.actions and "copy" not in back.actions
    assert evidence(a)["rows"] == 3 and len(evidence(a)["segments"]) >= 4


def test_a_standby_of_another_history_is_not_accepted_although_it_streams(
    diverged: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = diverged.a
    monkeypatch.setattr(pg_rejoin, "read_history", lambda data, timeline: ((1, "0/1000000"),))
    with pytest.raises(Failed, match="may hold other rows"):
        a.converge(2, "b", previous="a")
    assert a.layout.rejoin.exists(), "nothing is settled"


def test_a_failback_rewinds_in_the_other_direction_without_a_copy(diverged: Pair) -> None:
    a, b = diverged.a, diverged.b
    a.converge(2, "b", previous="a")
    caught_up(b, a)
    a.kill()
    b.sql("insert into orders values (777)", "shop")
    b.kill()
    a.server.start()
    a.converge(3, "a", previous="b")
    back = b.converge(3, "a", previous="b")
    assert "rewind" in back.actions and "copy" not in back.actions
    caught_up(a, b)
    assert orders(a) == orders(b) == list(range(1, 12))
    assert evidence(b, "3")["rows"] == 1 and evidence(b, "3")["fork"]["timeline"] == 2
    assert back.facts["timeline"] == 3


def test_no_room_for_evidence_leaves_the_data_as_they_are(diverged: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a = diverged.a
    monkeypatch.setattr(pg_evidence.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))  # type: ignore[attr-defined]
    with pytest.raises(Failed, match=r"0 MiB free.*db_volume_gb"):
        a.converge(2, "b", previous="a")
    assert a.server.control_data().state == "in production"  # type: ignore[union-attr]
    monkeypatch.undo()
    a.converge(2, "b", previous="a")
    assert evidence(a)["rows"] == 50
