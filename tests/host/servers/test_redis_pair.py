"""The cache of two sites with real servers: converge, planned handover under a writer, unplanned promotion, and what must be refused."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from contract.errors import Failed, Refused
from lab.pairs.redis import PASSWORDS, SERVERS, Pair, conf_of, dumped, own_files, settled
from scripts.host.frame.wait import until
from scripts.host.redis.config import directives
from scripts.host.redis.engine import equal, find_engine
from scripts.host.redis.handover import exchange
from scripts.host.redis.look import look
from scripts.host.redis.wire import Connection, ErrorReply, Server, Unreachable


@pytest.fixture(params=SERVERS)
def pair(tmp_path, request):
    pair = Pair(tmp_path, server=request.param)
    yield pair
    pair.close()


class Writer(threading.Thread):
    """Writes one key after the other to whichever cache is the master, as the shop does, and remembers what was acknowledged."""

    def __init__(self, pair: Pair) -> None:
        super().__init__(daemon=True)
        self._sites, self._halt = (pair.a, pair.b), threading.Event()
        self.acknowledged: list[tuple[int, str]] = []

    def run(self) -> None:
        number = 0
        while not self._halt.is_set():
            try:
                site = next(site for site in self._sites if _is_master(site))
                with Connection(site.server("shop")) as connection:
                    while not self._halt.is_set():
                        connection.call("SET", f"key:{number}", number)
                        self.acknowledged.append((number, site.site))
                        number += 1
            except (StopIteration, Unreachable, ErrorReply):
                continue

    def stop(self) -> None:
        self._halt.set()
        self.join(10)

    def wrote_to(self, site: str, count: int = 200) -> bool:
        return until(lambda: sum(where == site for _, where in self.acknowledged) >= count, 10)


def _is_master(site) -> bool:
    with Connection(site.server("shop")) as connection:
        return bool(connection.call("ROLE")[0] == "master")


def test_both_sites_take_their_roles_and_a_second_run_changes_nothing(pair):
    pair.up()
    assert (pair.a.look().role, pair.b.look().role, pair.b.look().link_up) == ("master", "replica", True)
    assert (pair.a.role(), pair.b.role()) == ("primary", "standby")
    before = own_files(pair.a), own_files(pair.b)
    again = pair.a.converge(1, "a"), pair.b.converge(1, "a")
    assert [result.changed for result in again] == [False, False]
    assert (own_files(pair.a), own_files(pair.b)) == before
    assert [result.facts["role"] for result in again] == ["primary", "standby"]


def test_what_is_on_disk_is_what_runs(pair):
    pair.up()
    for site in (pair.a, pair.b):
        wanted = directives(site.service(1, "a")._desired, find_engine(site.layout), site.layout)
        flat = site.operator("CONFIG", "GET", *wanted)
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        assert [name for name, value in wanted.items() if not equal(name, value, found.get(name))] == []


def test_a_planned_handover_under_a_writer_loses_no_acknowledged_write_in_either_direction(pair):
    pair.up()
    writer = Writer(pair)
    writer.start()
    assert writer.wrote_to("a")
    result = pair.b.converge(2, "b", planned=True)
    assert "handover cache-1.a.dr.internal" in result.actions
    assert writer.wrote_to("b")
    pair.a.converge(2, "b", planned=True)
    pair.a.converge(3, "a", planned=True)
    assert writer.wrote_to("a", 400)
    writer.stop()
    assert (pair.a.look().role, pair.b.look().role) == ("master", "replica")
    with Connection(pair.a.server("shop")) as connection:
        missing = [
            number for number, _ in writer.acknowledged if connection.call("GET", f"key:{number}") != str(number)
        ]
    assert missing == []


def test_after_a_handover_the_old_master_follows_without_a_full_copy(pair):
    pair.up()
    pair.a.shop("SET", "cart", "1")
    pair.b.converge(2, "b", planned=True)
    assert settled(pair.a)
    assert pair.a.converge(2, "b", planned=True).facts["role"] == "standby"
    assert "replicaof 127.0.0.121" in conf_of(pair.a)
    assert "replicaof" not in conf_of(pair.b)
    info = pair.b.operator("INFO", "stats")
    assert "sync_full:0" in info and "sync_partial_ok:1" in info


def test_the_new_role_survives_a_restart_of_both(pair):
    pair.up()
    pair.a.shop("SET", "cart", "1")
    pair.b.converge(2, "b", planned=True)
    pair.a.converge(2, "b", planned=True)
    for site in (pair.b, pair.a):
        site.units.restart("redis", 10)
    assert until(lambda: pair.b.look() is not None, 10) and settled(pair.a)
    assert pair.b.look().role == "master"
    assert pair.b.shop("GET", "cart") == "1"


def test_an_unplanned_takeover_promotes_without_the_peer(pair):
    pair.up()
    pair.a.shop("SET", "cart", "1")
    assert until(lambda: pair.b.look().keys == 1, 10)
    pair.a.units.kill()
    result = pair.b.converge(2, "b")
    assert [action for action in result.actions if action == "promote"] == ["promote"]
    assert pair.b.shop("GET", "cart") == "1"
    assert pair.b.converge(2, "b").changed is False
    assert "does not answer" in pair.b.err.getvalue()


def test_a_returning_old_master_keeps_a_copy_and_follows(pair):
    pair.up()
    pair.a.units.kill()
    pair.b.converge(2, "b")
    pair.b.shop("SET", "new", "2")
    pair.a.units.start("redis", 10)
    assert until(lambda: pair.a.look() is not None, 10)
    pair.a.shop("SET", "late", "1")
    result = pair.a.converge(2, "b")
    assert "keep-diverged" in result.actions
    assert (pair.a.data / "diverged-2" / "dr.rdb").stat().st_size > 0
    assert pair.a.look().keys == 1 and pair.b.shop("GET", "late") is None
    assert pair.a.converge(2, "b").changed is False


def test_a_rebuilt_empty_active_host_takes_the_keys_back_from_its_replica_first(pair):
    pair.up()
    pair.a.shop("SET", "cart", "1")
    assert until(lambda: pair.b.look().keys == 1, 10)
    pair.a.units.kill()
    for path in sorted(pair.a.layout.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    pair.a = pair.hosts["cache-1.a"] = type(pair.a)(pair, "cache-1.a", pair.a.layout.root)
    result = pair.a.converge(1, "a")
    assert "promote-peer cache-1.b.dr.internal" in result.actions
    assert pair.a.look().role == "master" and pair.a.shop("GET", "cart") == "1"
    assert settled(pair.b)
    assert (pair.b.look().keys, pair.b.converge(1, "a").changed) == (1, False)


def test_an_empty_master_does_not_wipe_a_server_that_holds_keys(pair):
    pair.up()
    pair.a.units.kill()
    pair.b.converge(2, "b")
    pair.b.shop("SET", "cart", "1")
    stranger = pair.a
    for name in ("dr.rdb",):
        (stranger.data / name).unlink(missing_ok=True)
    for path in sorted((stranger.data / "dr-aof").rglob("*")):
        path.unlink()
    stranger.units.start("redis", 10)
    assert until(lambda: stranger.look() is not None and stranger.look().keys == 0, 10)
    with pytest.raises(Refused, match="a master that was started empty"):
        pair.b.converge(3, "a")
    assert pair.b.shop("GET", "cart") == "1"


def test_a_standby_stays_as_it_is_while_the_active_side_is_silent(pair):
    pair.up()
    pair.b.converge(2, "b", planned=True)
    pair.b.units.kill()
    before = own_files(pair.a)
    pair.a.shop("ROLE")
    pair.a.operator("REPLICAOF", "NO", "ONE")
    with pytest.raises(Refused, match="nobody answers"):
        pair.a.converge(2, "b", planned=True)
    assert own_files(pair.a) == before
    assert pair.a.look().role == "master"


def test_a_planned_handover_with_the_link_down_is_refused(pair):
    pair.up()
    pair.b.operator("CONFIG", "SET", "masterauth", "wrong")
    pair.b.operator("REPLICAOF", "127.0.0.1", 1)
    pair.b.operator("REPLICAOF", "127.0.0.21", pair.port)
    with pytest.raises(Refused, match="link down"):
        pair.b.converge(2, "b", planned=True)
    assert (pair.a.look().role, pair.b.look().role) == ("master", "replica")


class Played:
    """A server of a handover on paper: its offsets in the order in which they are asked for, the last one for ever."""

    def __init__(self, role, said, *offsets):
        self._field = "master_repl_offset" if role == "master" else "slave_repl_offset"
        self._role, self._said, self._offsets = role, said, list(offsets)

    def call(self, *words):
        if words[0] != "INFO":
            self._said.append(" ".join(map(str, words[:2])))
            return "OK"
        offset = self._offsets.pop(0) if len(self._offsets) > 1 else self._offsets[0]
        self._said.append(f"{self._role} {offset}")
        return f"role:{self._role}\n{self._field}:{offset}"


def test_writers_are_held_only_once_the_stream_flows(monkeypatch):
    monkeypatch.setattr("scripts.host.redis.handover.POLL_S", 0.001)
    said: list[str] = []
    exchange(
        Played("slave", said, 5, 5, 10, 12), Played("master", said, 10, 12), Server("own", "127.0.0.1", 1, "", "", "")
    )
    assert said == [
        "master 10", "slave 5", "slave 5", "slave 10", "CLIENT PAUSE", "master 12", "slave 12", "REPLICAOF NO", "REPLICAOF 127.0.0.1", "CLIENT UNPAUSE",
    ]  # fmt: skip


def test_a_stream_that_stalls_while_writers_are_held_lets_them_go(monkeypatch):
    monkeypatch.setattr("scripts.host.redis.handover.CATCH_UP_S", 0.01)
    said: list[str] = []
    with pytest.raises(Failed, match="did not reach offset 12"):
        exchange(Played("slave", said, 10), Played("master", said, 10, 12), Server("own", "127.0.0.1", 1, "", "", ""))
    assert said[-1] == "CLIENT UNPAUSE" and "REPLICAOF NO" not in said


def test_a_handover_that_cannot_catch_up_leaves_the_old_master_writable(pair, monkeypatch):
    pair.up()
    monkeypatch.setattr("scripts.host.redis.handover.FLOW_S", 0.05)
    monkeypatch.setattr(
        "scripts.host.redis.handover._offset",
        lambda caller: 2 if "role:master" in caller.call("INFO", "replication") else 1,
    )
    with pytest.raises(Failed, match="did not reach offset"):
        pair.b.converge(2, "b", planned=True)
    assert pair.a.shop("SET", "still", "writable") == "OK"
    assert pair.b.look().role == "replica"


def test_a_handover_that_broke_off_after_the_promotion_is_finished_by_the_next_run(pair):
    pair.up()
    pair.b.operator("REPLICAOF", "NO", "ONE")
    result = pair.b.converge(2, "b", planned=True)
    assert "turn-peer cache-1.a.dr.internal" in result.actions
    assert settled(pair.a)
    assert pair.b.converge(2, "b", planned=True).changed is False


def test_a_changed_limit_is_set_without_a_restart_and_a_fixed_one_with_it(pair):
    pair.up()
    process = pair.a.units.processes["redis"].pid
    result = pair.a.converge(1, "a", maxmemory="80mb")
    assert "set maxmemory" in result.actions and pair.a.units.processes["redis"].pid == process
    assert pair.a.converge(1, "a", maxmemory="80mb").changed is False
    assert "maxmemory 83886080" in conf_of(pair.a)


def test_new_certificates_and_passwords_of_others_are_taken_without_a_restart(pair):
    pair.up()
    process = pair.a.units.processes["redis"].pid
    pair.passwords["app"] = 'another"one'
    pair.certificates["cache-1.a"] = pair.authority.issue(["cache-1.a.dr.internal", "127.0.0.21"])
    result = pair.a.converge(1, "a")
    assert {"load-acl", "load-tls"} <= set(result.actions)
    assert pair.a.shop("PING") == "PONG" and pair.a.units.processes["redis"].pid == process


def test_the_users_may_do_what_they_need_and_no_more(pair):
    pair.up()
    assert pair.a.shop("SET", "cart", "1") == "OK"
    for words in (("FLUSHALL",), ("CONFIG", "GET", "masterauth"), ("REPLICAOF", "NO", "ONE"), ("ACL", "LIST")):
        with pytest.raises(ErrorReply, match="NOPERM"):
            pair.a.shop(*words)
    with pytest.raises(ErrorReply, match="NOPERM"):
        pair.a.operator("GET", "cart")
    server = pair.a.server("shop")
    for user, password in (("default", ""), ("shop", "wrong")):
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            Connection(replace(server, user=user, password=password))


def test_no_secret_in_results_logs_or_arguments(pair):
    pair.up()
    shown = (
        dumped(pair.a.converge(1, "a"))
        + pair.a.err.getvalue()
        + " ".join(map(str, pair.a.units.processes["redis"].args))
    )
    for secret in (*PASSWORDS.values(), pair.certificates["cache-1.a"]["key"]):
        assert secret not in shown


def test_check_says_what_is_due_and_touches_nothing(pair):
    pair.up()
    before = own_files(pair.b)
    result = pair.b.converge(2, "b", planned=True, check=True)
    assert (result.changed, result.actions[0]) == (True, "handover cache-1.a.dr.internal")
    assert own_files(pair.b) == before and pair.b.look().role == "replica"


def test_a_dead_peer_is_asked_once_in_a_run(pair, monkeypatch):
    pair.up()
    pair.a.units.kill()
    asked = []

    def counted(server):
        asked.append(server.name)
        return look(server)

    monkeypatch.setattr("scripts.host.redis.verbs.look", counted)
    pair.b.converge(2, "b")
    assert pair.b.role() == "primary"
    name = pair.b.service(2, "b").wanted.peer_name
    assert asked.count(name) == 1
