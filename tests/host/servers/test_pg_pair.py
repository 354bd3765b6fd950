"""Stories of a real pair of PostgreSQL servers on loopback: first build, hand-over, loss, return, and what may go wrong in between."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.errors import DrError, Failed, Refused
from lab.pairs.postgres import Node, Pair, Record, caught_up
from scripts.host.frame import rolefile
from scripts.host.frame.rolefile import PRIMARY, Role
from scripts.host.frame.wait import until
from scripts.host.frame.witness import Silent
from scripts.host.postgres import copy as pg_copy
from scripts.host.postgres.desired import Desired
from scripts.host.postgres.status import live_status
from scripts.host.postgres.verbs import resume_server, stop_server, takeover_server


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as made:
        yield made


@pytest.fixture
def streaming(pair: Pair) -> Pair:
    """Epoch 1: a leads, b follows, one table with one row."""
    pair.up()
    pair.a.sql("create table orders (id int); insert into orders values (1)", "shop")
    caught_up(pair.a, pair.b)
    return pair


def hand_over(old: Node, new: Node, epoch: int) -> dict[str, Any]:
    """A planned move as the fence link does it; returns the epoch's facts."""
    facts = stop_server(old.call({}, "stop"), old.server).facts
    new.server.wait_replayed(facts["checkpoint"]["lsn"], facts["checkpoint"]["timeline"], 10)
    return {"planned": True, "previous": old.site, "checkpoint": facts["checkpoint"]}


def tell(node: Node, *lines: dict[str, object]) -> None:
    """`postgres takeover`, told these lines."""
    takeover_server(
        replace(node.call({}, "takeover"), lines=io.StringIO("".join(f"{json.dumps(line)}\n" for line in lines))),
        node.server,
    )


def orders(node: Node) -> list[str]:
    return node.sql("select id from orders order by id", "shop").split()


def status(node: Node) -> dict[str, object]:
    return live_status(node.layout.base, node.server)


def test_the_primary_says_how_far_its_standby_is_behind(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    assert until(lambda: (status(a)["lag_bytes"], status(a)["lag_s"]) == (0, 0), 10), status(a)
    b.sql("select pg_wal_replay_pause()")
    a.sql("insert into orders select generate_series(2, 100)", "shop")

    def behind() -> bool:
        return bool(status(a)["lag_bytes"])

    assert until(behind, 10), status(a)
    b.sql("select pg_wal_replay_resume()")
    assert until(lambda: status(a)["lag_bytes"] == 0, 10), status(a)
    assert status(a)["lag_s"] == 0


def test_a_second_converge_changes_nothing_on_either_side(streaming: Pair) -> None:
    for node in (streaming.a, streaming.b):
        first, second = node.converge(1, "a"), node.converge(1, "a")
        assert (first.changed, second.changed) == (False, False)
        assert first.facts == second.facts
    assert (streaming.a.control.starts, streaming.b.control.starts) == (1, 1)
    assert status(streaming.a)["streaming"] is True and status(streaming.b)["streaming"] is True
    assert streaming.a.sql("show data_checksums") == "on" and streaming.a.sql("show wal_log_hints") == "on"


def test_three_hand_overs_lose_nothing_and_copy_nothing(streaming: Pair) -> None:
    old, new = streaming.a, streaming.b
    for epoch in (2, 3, 4):
        facts = hand_over(old, new, epoch)
        took = new.converge(epoch, new.site, **facts)
        assert took.facts["timeline"] == epoch, "each promotion makes a timeline of its own"
        assert not any(action.startswith(("restart", "files", "start")) for action in took.actions), (
            "a promotion restarts nothing"
        )
        new.sql(f"insert into orders values ({epoch})", "shop")
        followed = old.converge(epoch, new.site, **facts)
        assert "copy" not in followed.actions
        assert "standby-signal" in followed.actions
        assert new.converge(epoch, new.site, **facts).changed is False
        assert old.converge(epoch, new.site, **facts).changed is False, "the slot of its time as primary is gone"
        old, new = new, old
    assert orders(old) == orders(new) == ["1", "2", "3", "4"]


def test_a_standby_that_the_fence_has_promoted_needs_no_second_promotion_and_no_restart(
    streaming: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = streaming.a, streaming.b
    checkpoint = stop_server(a.call({}, "stop"), a.server).facts["checkpoint"]
    tell(b, {"checkpoint": checkpoint, "timeout_s": 10}, {"epoch": 2})
    assert capsys.readouterr().out.splitlines() == ['{"replayed": true}', '{"timeline": 2}']
    b.sql("insert into orders values (2)", "shop")
    assert rolefile.read(b.layout.base) == Role("b", "a", PRIMARY, 2)
    facts = {"planned": True, "previous": "a", "checkpoint": checkpoint}
    took = b.converge(2, "b", **facts, parameters={"shared_buffers": "17MB", "max_connections": "20"})
    assert "promote" not in took.actions and "slot" in took.actions
    assert not [action for action in took.actions if action.startswith("restart")], "clients have just come back"
    a.converge(2, "b", **facts)
    assert orders(a) == orders(b) == ["1", "2"]


@pytest.mark.parametrize(
    ("site", "line", "says"),
    [
        ("a", {"epoch": 2}, "primary in epoch 1, wanted standby"),
        ("b", {"epoch": 1}, "standby in epoch 1, wanted standby in an epoch before 1"),
        ("b", {"checkpoint": {"lsn": "F/0", "timeline": 1}, "timeout_s": 1}, "wanted strictly past F/0"),
        ("b", {"epoch": True}, "line.epoch"),
    ],
)
def test_a_takeover_that_does_not_fit_promotes_nothing(
    streaming: Pair, site: str, line: dict[str, object], says: str
) -> None:
    node = streaming.a if site == "a" else streaming.b
    with pytest.raises(DrError, match=says):
        tell(node, line)
    assert status(streaming.b)["in_recovery"] is True and node.role == ("primary" if site == "a" else "standby")


def test_a_killed_primary_comes_back_as_standby_and_its_unsent_order_is_kept_beside(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.kill()
    a.sql("insert into orders values (666)", "shop")
    a.kill()
    b.server.start()
    b.converge(2, "b", previous="a")
    b.sql("insert into orders values (2)", "shop")
    back = a.converge(2, "b", previous="a")
    assert {"evidence in evidence/2", "rewind", "swap rewound"} <= set(back.actions) and "copy" not in back.actions
    assert orders(a) == ["1", "2"]
    assert (a.layout.evidence / "2" / "evidence.json").is_file()
    assert "went on past" in a.log.getvalue() or "was not shut down" in a.log.getvalue()


def test_resume_undoes_stop_and_a_standby_is_neither_stopped_nor_resumed(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    stopped = stop_server(a.call({}, "stop"), a.server).facts
    assert stopped["cluster_state"] == "shut down" and stopped["checkpoint"]["timeline"] == 1
    assert a.role == "fenced" and status(a)["running"] is False and status(a)["cluster_state"] == "shut down"
    again = stop_server(a.call({"attempt": "a1"}, "stop"), a.server)
    assert (again.facts, again.changed) == (stopped, False)
    assert resume_server(a.call({"attempt": "a1"}, "resume"), a.server).facts == {"writable": True}
    assert a.role == "primary"
    a.sql("insert into orders values (2)", "shop")
    for verb in (stop_server, resume_server):
        with pytest.raises(Refused):
            verb(b.call({}), b.server)
    assert b.server.pid() is not None


def test_a_standby_that_misses_the_checkpoint_is_not_promoted(streaming: Pair) -> None:
    b = streaming.b
    with pytest.raises(Refused, match="strictly past 9/0"):
        b.server.wait_replayed("9/0", 1, 0.2)
    assert b.sql("select pg_is_in_recovery()") == "t"


def test_seconds_of_lag_are_of_what_waits_and_none_where_nothing_does(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    a.sql("create table lag (i int)")
    assert until(lambda: status(b)["lag_s"] == 0 and status(a)["lag_s"] == 0, 20), "nothing is behind"
    b.sql("select pg_wal_replay_pause()")
    a.sql("insert into lag values (1)")
    assert until(lambda: all(isinstance(lag := status(node)["lag_s"], float) and lag > 0.2 for node in (a, b)), 20)
    b.sql("select pg_wal_replay_resume()")
    assert until(lambda: status(b)["lag_s"] == 0 and status(a)["lag_s"] == 0, 20)


def test_a_paused_replay_goes_on_before_a_promotion_and_in_a_hand_over(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.sql("select pg_wal_replay_pause()")
    a.sql("insert into orders values (2)", "shop")
    b.converge(2, "b", **hand_over(a, b, 2))
    a.converge(2, "b", previous="a")
    a.sql("select pg_wal_replay_pause()")
    assert "resume-replay" in a.converge(2, "b", previous="a").actions
    a.sql("select pg_wal_replay_pause()")
    b.sql("insert into orders values (3)", "shop")
    assert until(lambda: a.sql("select pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()") == "t", 5)
    b.kill()
    assert "resume-replay" in a.converge(3, "a", previous="b").actions
    assert orders(a) == ["1", "2", "3"], "what was received is replayed"


def test_an_interrupted_copy_is_never_started_and_the_next_run_finishes(pair: Pair) -> None:
    a, b = pair.a, pair.b
    a.converge(1, "a")
    b.layout.fresh.mkdir(parents=True)
    (b.layout.fresh / "PG_VERSION").write_text(f"{b.version}\n")
    for folder in (b.layout.mount, b.layout.data.parent, b.layout.fresh, b.layout.fresh / "PG_VERSION"):
        folder.chmod(0o755)
        shutil.chown(folder, b.layout.user)  # as pg_basebackup leaves it
    done = b.converge(1, "a")
    assert done.actions.index("discard-copy") < done.actions.index("copy") < done.actions.index("start")
    assert not b.layout.fresh.exists()
    assert b.layout.data.stat().st_mode & 0o777 == 0o700


def spaced(a: Node, place: Path) -> None:
    """Epoch 1 with one table in a tablespace of its own."""
    place.mkdir()
    shutil.chown(place, a.layout.user)
    a.converge(1, "a")
    a.sql(f"create tablespace fast location '{place}'")
    a.sql("create table orders (id int) tablespace fast; insert into orders values (1)", "shop")


def test_every_copy_has_tablespaces_of_its_own(pair: Pair) -> None:
    """Where the primary has them, files of an earlier copy may lie, and pg_basebackup takes no folder that is in use (patroni#2864)."""
    a, b = pair.a, pair.b
    spaced(a, pair.folder / "fast = disk")
    for name in ("first", "second"):
        assert "copy" in b.converge(1, "a").actions
        caught_up(a, b)
        assert orders(b) == ["1"]
        b.close()
        b.layout.data.rename(b.layout.data.with_name(name))
    kept = sorted(path.name for path in b.layout.data.parent.iterdir())
    assert kept == ["first", "main.tablespaces-1", "main.tablespaces-2", "second"]
    for name, number in (("first", 1), ("second", 2)):
        (link,) = (b.layout.data.with_name(name) / "pg_tblspc").iterdir()
        assert link.readlink() == b.layout.data.with_name(f"main.tablespaces-{number}") / link.name and any(
            link.iterdir()
        )


def test_a_copy_that_was_cut_leaves_no_tablespaces_in_the_way(pair: Pair) -> None:
    a, b = pair.a, pair.b
    spaced(a, pair.folder / "fast")
    left = b.layout.fresh.with_name("main.new.tablespaces") / a.sql(
        "select oid from pg_tablespace where spcname = 'fast'"
    )
    left.mkdir(parents=True)
    (left / "scrap").touch()
    for folder in (b.layout.mount, b.layout.data.parent, left.parent, left, left / "scrap"):
        folder.chmod(0o755)
        shutil.chown(folder, b.layout.user)  # as pg_basebackup leaves it
    assert "copy" in b.converge(1, "a").actions
    caught_up(a, b)
    assert orders(b) == ["1"]


def test_a_whole_copy_is_used_although_the_power_went_before_the_swap(pair: Pair) -> None:
    a, b = pair.a, pair.b
    a.converge(1, "a")
    swap = pg_copy.swap

    def power_cut(layout: object, source: object = None) -> None:
        raise Failed("power cut")

    pg_copy.swap = power_cut
    try:
        with pytest.raises(Failed, match="power cut"):
            b.converge(1, "a")
    finally:
        pg_copy.swap = swap
    assert b.server.pid() is None and not b.layout.data.exists()
    done = b.converge(1, "a")
    assert "copy" not in done.actions and "swap" in done.actions
    assert status(b)["streaming"] is True


def test_a_standby_whose_wal_is_gone_is_rebuilt_in_one_run(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.kill()
    for _ in range(8):
        a.sql(
            "select pg_logical_emit_message(false, 'fill', repeat('x', 12000000)); select pg_switch_wal(); checkpoint",
            "shop",
        )
    assert a.sql("select wal_status from pg_replication_slots") == "lost"
    done = b.converge(1, "a")
    assert "copy" in done.actions and "peer-slot" in done.actions
    assert orders(b) == ["1"] and status(b)["streaming"] is True
    assert a.sql("select wal_status from pg_replication_slots") in ("reserved", "extended")


def test_a_standby_whose_wal_expired_without_a_slot_is_rebuilt_in_one_run(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.kill()
    a.sql("select pg_drop_replication_slot('dr_peer')")
    for _ in range(8):
        a.sql(
            "select pg_logical_emit_message(false, 'fill', repeat('x', 12000000)); select pg_switch_wal(); checkpoint",
            "shop",
        )
    done = b.converge(1, "a")
    assert done.actions.index("follow") < done.actions.index("copy") < done.actions.index("set-aside diverged")
    assert orders(b) == ["1"] and status(b)["streaming"] is True
    assert b.converge(1, "a").changed is False


def test_another_cluster_is_never_copied_over_the_only_copy(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    a.close()
    shutil.rmtree(a.layout.data)
    with pytest.raises(Refused, match="on a host that is primary"):
        a.converge(1, "a")
    (a.layout.base.var / "role.json").unlink()
    a.converge(1, "a", begin_empty=1)
    with pytest.raises(Refused, match="another database"):
        b.converge(1, "a")
    assert orders(b) == ["1"]


def test_a_lost_data_directory_is_no_reason_for_an_empty_database(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.converge(2, "b", **hand_over(a, b, 2))
    b.close()
    shutil.rmtree(b.layout.data)
    with pytest.raises(Refused, match="empty database"):
        b.converge(2, "b", previous="a", planned=True)


def test_a_new_host_in_the_first_epoch_gets_no_empty_database_where_there_was_one(streaming: Pair) -> None:
    """Its disk is new, so nothing on it tells; the first epoch may last for years."""
    a, b = streaming.a, streaming.b
    assert len(streaming.clusters.names) == 1
    a.close()
    for folder in (a.layout.data, a.layout.base.var):
        shutil.rmtree(folder)
    with pytest.raises(Refused, match=r"clusters/.*nothing was changed.*docs/restore.md.*accept.empty to"):
        a.converge(1, "a")
    known, streaming.clusters.names = streaming.clusters.names, set()
    with pytest.raises(Refused, match=f"db-1.b.dr.internal's {known.pop().split('/')[1].removesuffix('.json')}"):
        a.converge(1, "a")
    b.close()
    streaming.clusters.silent = True
    with pytest.raises(Failed, match="once the witness answers"):
        a.converge(1, "a")
    assert not a.layout.data.exists() and a.role is None


def test_the_operators_word_for_this_epoch_begins_empty_and_no_other_does(streaming: Pair) -> None:
    a = streaming.a
    a.close()
    shutil.rmtree(a.layout.data)
    with pytest.raises(Refused, match=r"accept\.empty"):
        a.converge(1, "a", begin_empty=2)
    assert "initialise" in a.converge(1, "a", begin_empty=1).actions
    assert len(streaming.clusters.names) == 2


def test_a_database_that_the_witness_could_not_be_told_of_is_not_started(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, record = pair.a, Record.record

    def silent(self: Record, identifier: str, role: Role) -> None:
        raise Silent("witness: found no answer, wanted one")

    monkeypatch.setattr(Record, "record", silent)
    with pytest.raises(Failed, match="is not started before the witness knows it"):
        a.converge(1, "a")
    assert a.server.pid() is None and a.role is None
    monkeypatch.setattr(Record, "record", record)
    done = a.converge(1, "a")
    assert "initialise" not in done.actions and "record-cluster" in done.actions
    assert pair.clusters.names and a.converge(1, "a").changed is False


def test_what_alter_system_left_behind_does_not_block_the_first_order(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    b.sql("alter system set synchronous_standby_names to 'dr_a'")
    b.sql("alter system set primary_conninfo to 'host=nowhere'")
    (b.layout.data / "recovery.signal").touch()
    b.converge(2, "b", **hand_over(a, b, 2))
    assert b.sql("show synchronous_standby_names") == ""
    b.sql("set statement_timeout to '5s'; insert into orders values (2)", "shop")
    b.server.stop()
    b.server.start()
    assert b.sql("select pg_is_in_recovery()") == "f"


def test_passwords_of_any_marks_work_and_a_changed_one_is_set(streaming: Pair) -> None:
    a, b = streaming.a, streaming.b
    client = streaming.folder / "client.pgpass"
    client.touch(0o600)
    for password in (a.passwords["app"], "simple", "p:q\\r 'é%$"):
        a.passwords["app"] = password
        changed = a.converge(1, "a")
        both = ["role-in-database shop", "role-in-database shop_worker"]
        assert changed.actions == ([] if password == b.passwords["app"] else both)
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        client.write_text(f"127.0.0.1:*:*:*:{escaped}\n")
        target = f"host=127.0.0.1 port={a.ports['a']} user=shop dbname=shop sslmode=require passfile={client}"
        target += "".join(f" {name}={path}" for name, path in a.shown("shop").items())
        answer = subprocess.run(
            [a.layout.program("psql"), "-XAtd", target, "-c", "select session_user"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.stdout.strip() == "shop", answer.stderr
    refused = subprocess.run(
        [a.layout.program("psql"), "-XAtd", target.replace("sslmode=require", "sslmode=disable"), "-c", "select 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "rejects connection" in refused.stderr, "nobody comes in without TLS"
    log = a.layout.log.read_text()
    assert "simple" not in log


def test_a_reload_that_brings_an_error_is_reported_and_a_restart_is_done_when_it_must_be(streaming: Pair) -> None:
    a = streaming.a
    streaming.b.converge(1, "a", parameters={"shared_buffers": "24MB", "max_connections": "20"})
    done = a.converge(1, "a", parameters={"shared_buffers": "24MB", "max_connections": "20"})
    assert [action.split()[0] for action in done.actions] == ["files", "reload", "restart"]
    assert a.sql("show shared_buffers") == "24MB"
    done = a.converge(1, "a", parameters={"shared_buffers": "24MB", "max_connections": "20", "work_mem": "5MB"})
    assert [action.split()[0] for action in done.actions] == ["files", "reload"]
    assert a.sql("show work_mem") == "5MB"
    with pytest.raises(Failed, match="work_mem"):
        a.converge(1, "a", parameters={"shared_buffers": "24MB", "max_connections": "20", "work_mem": "much"})


def test_check_says_what_is_due_and_does_nothing(streaming: Pair) -> None:
    due = streaming.b.converge(2, "b", check=True, previous="a")
    assert due.changed and due.actions[:2] == ["role primary in epoch 2", "promote"]
    assert streaming.b.sql("select pg_is_in_recovery()") == "t" and streaming.b.role == "standby"


def test_no_secret_is_in_any_message_or_memory(streaming: Pair) -> None:
    a = streaming.a
    desired = Desired.read(a.document(1, "a"))
    secrets = (*a.passwords.values(), a.tls["key"])
    for text in (repr(desired), a.log.getvalue(), a.layout.memory.read_text(), str(a.converge(1, "a"))):
        assert not any(secret in text for secret in secrets)
    conf = (a.layout.conf / "conf.d" / "dr.conf").read_text()
    assert "x %@#" not in conf
