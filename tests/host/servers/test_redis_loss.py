"""What a takeover of the cache costs and says, what an empty or older master may not do, and a master that waits for its replica."""

from __future__ import annotations

import io
import shutil
import socket
import ssl
from dataclasses import replace

import pytest

from contract.errors import Refused
from lab.pairs.redis import SERVERS, Pair, Site, conf_of, settled
from scripts.host import guard
from scripts.host.frame.call import Call
from scripts.host.frame.log import Log
from scripts.host.frame.rolefile import PRIMARY, STANDBY, Role
from scripts.host.frame.wait import until
from scripts.host.frame.witness import Active
from scripts.host.guard import VERBS, Found, decide, emptied_redis
from scripts.host.redis import status as redis
from scripts.host.redis.data import marker
from scripts.host.redis.state import Instance
from scripts.host.redis.wire import Connection, ErrorReply, encode, show


@pytest.fixture(params=SERVERS)
def pair(tmp_path, request):
    pair = Pair(tmp_path, server=request.param)
    yield pair.up()
    pair.close()


def cut(site: Site) -> None:
    """The replica hears its master no more; it stays what it is."""
    site.operator("CONFIG", "SET", "masterauth", "wrong")
    site.operator("REPLICAOF", "127.0.0.1", 1)


def write(site: Site, count: int, name: str = "cart") -> None:
    for number in range(count):
        site.shop("SET", f"{name}:{number}", number)


def looked_at(site: Site) -> Instance:
    found = site.look()
    assert found is not None
    return found


def caught_up(behind: Site, ahead: Site) -> bool:
    return until(lambda: looked_at(behind).offset >= looked_at(ahead).offset, 10)


def empty(site: Site) -> None:
    """As after a lost disk: the process is gone and so are its files."""
    site.units.kill()
    shutil.rmtree(site.data)
    site.data.mkdir()
    site.layout.at("/var/lib/redis").chmod(0o777)


def heartbeat(site: Site) -> dict[str, object]:
    """What the site's last heartbeat tells the other one, as it arrives in its document."""
    found = looked_at(site)
    return {"peer_offset": found.offset, "peer_replication_id": found.stream, "peer_keys": found.keys}


# -- what it cost


def test_an_unplanned_takeover_counts_what_never_came_over(pair):
    write(pair.a, 10)
    assert caught_up(pair.b, pair.a)
    before = pair.b.look().offset
    cut(pair.b)
    write(pair.a, 50, "late")
    seen = heartbeat(pair.a)
    pair.a.units.kill()
    result = pair.b.converge(2, "b", **seen)
    lost = result.facts["takeover"]["lost_bytes"]
    # Each SET of a late key is one command in the stream; whatever else the server wrote (a ping) comes on top.
    assert lost == seen["peer_offset"] - before and lost > 50 * len("SETlate:0")
    assert f"at least {lost} bytes" in pair.b.err.getvalue()
    assert (result.facts["takeover"]["keys"], result.facts["takeover"]["keys_before"]) == (10, 60)
    assert "10 of the 60 keys that the old master had" in pair.b.err.getvalue()
    again = pair.b.converge(2, "b", **seen)
    assert (again.changed, again.facts) == (False, result.facts)


def test_nothing_is_lost_when_the_replica_had_all_of_it(pair):
    write(pair.a, 10)
    assert caught_up(pair.b, pair.a)
    seen = heartbeat(pair.a)
    pair.a.units.kill()
    assert pair.b.converge(2, "b", **seen).facts["takeover"] == {
        "epoch": 2,
        "way": "promotion",
        "lost_bytes": 0,
        "unknown_because": None,
        "keys": 10,
        "keys_before": 10,
    }


@pytest.mark.parametrize(
    ("seen", "why"),
    [({}, "tells no offset"), ({"peer_offset": 5, "peer_replication_id": "f" * 40}, "another replication stream")],
)
def test_what_cannot_be_compared_is_unknown_and_not_nothing(pair, seen, why):
    pair.a.units.kill()
    takeover = pair.b.converge(2, "b", **seen).facts["takeover"]
    assert takeover["lost_bytes"] is None and why in takeover["unknown_because"]


def test_a_handover_costs_nothing_and_the_record_is_of_its_epoch_alone(pair):
    assert "takeover" not in pair.a.converge(1, "a").facts
    assert pair.b.converge(2, "b", planned=True, **heartbeat(pair.a)).facts["takeover"]["way"] == "handover"
    assert "takeover" not in pair.a.converge(2, "b", planned=True).facts
    assert "takeover" not in pair.b.converge(3, "b").facts


def test_a_cache_that_was_down_at_the_takeover_cannot_say_what_it_missed(pair):
    write(pair.a, 3)
    assert caught_up(pair.b, pair.a)
    pair.a.units.kill()
    pair.b.units.stop("redis", 10)
    takeover = pair.b.converge(2, "b", peer_offset=1).facts["takeover"]
    assert (takeover["way"], takeover["lost_bytes"]) == ("start from own files", None)
    assert pair.b.shop("GET", "cart:2") == "2"


def test_a_takeover_that_broke_off_is_still_counted(pair, monkeypatch):
    write(pair.a, 10)
    assert caught_up(pair.b, pair.a)
    cut(pair.b)
    write(pair.a, 5, "late")
    seen, had = heartbeat(pair.a), pair.b.look().offset
    pair.a.units.kill()
    pair.b.operator("REPLICAOF", "NO", "ONE")  # the process died before it wrote anything down
    takeover = pair.b.converge(2, "b", **seen).facts["takeover"]
    assert (takeover["way"], takeover["lost_bytes"]) == ("promotion", seen["peer_offset"] - had)


def test_the_first_word_of_an_epoch_stays(pair):
    pair.a.units.kill()
    pair.b.converge(2, "b", peer_offset=10_000_000)
    lost = pair.b.converge(2, "b").facts["takeover"]["lost_bytes"]
    pair.a.converge(2, "b")
    write(pair.b, 3)
    assert caught_up(pair.a, pair.b)
    empty(pair.b)
    assert "handover cache-1.a.dr.internal" in pair.b.converge(2, "b").actions
    assert pair.b.look().keys == 3 and pair.b.converge(2, "b").facts["takeover"]["lost_bytes"] == lost > 0


def test_status_tells_the_takeover_and_never_fails(pair):
    call = Call("redis", "status", {}, pair.b.layout, Log(io.StringIO(), "redis status"), False)
    pair.b.converge(2, "b", planned=True)
    facts = redis.status(call).facts
    assert facts["takeover"]["way"] == "handover" and facts["takeover"]["held_ms"] < 2000
    assert (facts["role"], facts["peer"]["role"], facts["maxmemory"]) == ("master", "replica", 64 * 1024**2)
    for path in (
        pair.b.layout.etc / "redis.json",
        pair.b.layout.var / "redis-takeover.json",
        pair.b.layout.var / "role.json",
    ):
        path.write_text("[]")
    assert (redis.status(call).facts["takeover"], redis.status(call).facts["role"]) == (None, None)


# -- partial resync


def test_an_old_master_that_missed_nothing_goes_on_without_a_full_copy_after_an_unplanned_takeover(pair):
    write(pair.a, 20)
    assert caught_up(pair.b, pair.a)
    pair.b.operator("REPLICAOF", "NO", "ONE")  # as a promotion does that did not see the old master
    write(pair.b, 5, "new")
    result = pair.a.converge(2, "b")
    assert "keep-diverged" not in result.actions
    assert settled(pair.a) and pair.a.look().keys == 25
    stats = pair.b.operator("INFO", "stats")
    assert "sync_full:0" in stats and "sync_partial_ok:1" in stats


def test_an_old_master_with_writes_of_its_own_takes_a_full_copy_and_keeps_its_own(pair):
    write(pair.a, 20)
    assert caught_up(pair.b, pair.a)
    pair.b.operator("REPLICAOF", "NO", "ONE")
    write(pair.a, 3, "late")
    write(pair.b, 5, "new")
    assert "keep-diverged" in pair.a.converge(2, "b").actions
    assert pair.a.look().keys == 25 and (pair.a.data / "diverged-2" / "dr.rdb").exists()
    assert "sync_full:1" in pair.b.operator("INFO", "stats")


def test_a_replica_that_was_cut_off_goes_on_from_the_backlog(pair):
    cut(pair.b)
    write(pair.a, 200)
    pair.b.converge(1, "a")
    assert settled(pair.b) and pair.b.look().keys == 200
    assert "sync_full:1" in pair.a.operator("INFO", "stats")  # the first one; the second was partial


# -- an empty master


def test_a_primary_whose_data_is_gone_is_not_started_and_its_replica_keeps_every_key(pair, monkeypatch):
    write(pair.a, 30)
    assert caught_up(pair.b, pair.a)
    assert emptied_redis(pair.a.layout) is None
    empty(pair.a)
    reason = emptied_redis(pair.a.layout)
    with pytest.raises(Refused, match="an empty master would empty its replica"):
        decide("redis", Found(Role("a", "b", PRIMARY, 1), gone=reason))
    monkeypatch.setattr(
        guard, "_asked", lambda call, role, found: replace(found, active=Active(1, "a"))
    )  # the witness agrees
    with pytest.raises(Refused, match="whose data is gone"):
        VERBS["redis"].run(Call("redis", "guard", {}, pair.a.layout, Log(io.StringIO(), "guard redis"), False))
    assert decide("redis", Found(Role("a", "b", STANDBY, 1), gone=reason)) == "standby in epoch 1"
    assert pair.b.look().keys == 30


def test_converge_gives_it_the_keys_back(pair):
    write(pair.a, 30)
    assert caught_up(pair.b, pair.a)
    empty(pair.a)
    pair.a.converge(1, "a")
    assert (pair.a.look().role, pair.a.look().keys) == ("master", 30)
    assert settled(pair.b) and pair.b.look().keys == 30
    assert emptied_redis(pair.a.layout) is None


def test_it_does_not_begin_empty_while_nobody_can_say_what_the_peer_holds(pair):
    write(pair.a, 30)
    empty(pair.a)
    pair.b.units.kill()
    with pytest.raises(Refused, match="an empty master would empty its replica"):
        pair.a.converge(1, "a")
    assert not pair.a.units.active("redis")
    result = pair.a.converge(1, "a", cold_cache=True)
    assert "forget-data" in result.actions and pair.a.look().keys == 0
    assert marker(pair.a.layout).exists()


@pytest.mark.parametrize(("followed", "starts"), [(True, False), (None, False), (False, True)])
def test_a_rebuilt_host_asks_the_witness_whether_there_ever_was_a_replica(pair, followed, starts):
    empty(pair.a)
    shutil.rmtree(pair.a.layout.root / "var/lib/dr")
    pair.b.units.kill()
    pair.followed = followed
    if starts:
        assert pair.a.converge(1, "a").facts["role"] == "primary"
    else:
        with pytest.raises(Refused, match="none, nobody answers") as refusal:
            pair.a.converge(1, "a")
        assert ("the witness does not say" in str(refusal.value)) is (followed is None)


def test_a_standby_does_not_follow_a_master_that_lost_all_and_had_writes_since_it_was_emptied(pair):
    write(pair.a, 30)
    assert caught_up(pair.b, pair.a)
    cut(pair.b)
    empty(pair.a)
    pair.a.units.start("redis", 10)  # by somebody who went round the guard
    assert until(lambda: pair.a.look() is not None, 10)
    with pytest.raises(Refused, match="a master that was started empty"):
        pair.b.converge(1, "a")
    assert pair.b.look().keys == 30
    write(pair.a, 1, "new")
    assert "keep-diverged" in pair.b.converge(1, "a").actions
    assert pair.b.look().keys == 1 and (pair.b.data / "diverged-1" / "dr.rdb").stat().st_size > 0


def test_a_standby_follows_an_empty_master_when_the_operator_chose_a_cold_cache(pair):
    write(pair.a, 30)
    assert caught_up(pair.b, pair.a)
    cut(pair.b)
    empty(pair.a)
    pair.a.units.start("redis", 10)
    assert until(lambda: pair.a.look() is not None, 10)
    assert "keep-diverged" in pair.b.converge(1, "a", cold_cache=True).actions
    assert (pair.b.look().keys, settled(pair.b)) == (0, True)


def test_a_cold_takeover_begins_empty_and_a_planned_move_never_does(pair):
    write(pair.a, 10)
    assert caught_up(pair.b, pair.a)
    assert pair.b.converge(2, "b", planned=True, cold_cache=True).facts["takeover"]["way"] == "handover"
    assert pair.b.look().keys == 10
    pair.a.converge(2, "b", planned=True, cold_cache=True)
    pair.b.units.kill()
    result = pair.a.converge(3, "a", cold_cache=True)
    assert "promote-cold" in result.actions and result.facts["takeover"]["way"] == "cold start"
    assert pair.a.look().keys == 0
    write(pair.a, 2, "new")
    assert pair.a.converge(3, "a", cold_cache=True).changed is False and pair.a.look().keys == 2


# -- a master that waits for its replica


def test_by_default_a_master_goes_on_without_its_replica(pair):
    pair.b.units.kill()
    assert until(lambda: pair.a.look().replicas == 0, 10)
    assert pair.a.shop("SET", "cart", 1) == "OK"


def test_a_master_that_asks_for_a_replica_refuses_without_it_and_a_promotion_lifts_that(pair):
    for site in (pair.a, pair.b):
        site.converge(1, "a", min_replicas_to_write=1)
    assert pair.a.look().armed and "min-replicas-to-write 1" in conf_of(pair.a)
    assert pair.a.shop("SET", "cart", 1) == "OK" and caught_up(pair.b, pair.a)
    pair.b.operator("REPLICAOF", "127.0.0.1", 1)
    assert until(lambda: pair.a.look().replicas == 0, 10)
    with pytest.raises(ErrorReply, match="NOREPLICAS"):
        pair.a.shop("SET", "cart", 2)
    pair.b.operator("REPLICAOF", "127.0.0.21", pair.port)
    assert settled(pair.b)
    pair.a.units.kill()
    pair.b.converge(2, "b", min_replicas_to_write=1)
    assert not pair.b.look().armed and pair.b.shop("SET", "cart", 3) == "OK"
    pair.a.converge(2, "b", min_replicas_to_write=1)
    assert pair.b.look().armed
    assert pair.b.converge(2, "b", min_replicas_to_write=1).actions[:1] == ["write-conf primary"]
    assert [site.converge(2, "b", min_replicas_to_write=1).changed for site in (pair.a, pair.b)] == [False, False]


def test_a_handover_back_and_forth_with_it_never_leaves_a_master_that_refuses(pair):
    for site in (pair.a, pair.b):
        site.converge(1, "a", min_replicas_to_write=1)
    pair.b.converge(2, "b", planned=True, min_replicas_to_write=1)
    assert pair.b.shop("SET", "cart", 1) == "OK"
    # The old master still runs with the setting that it had: it must be gone before it leads again.
    pair.b.units.kill()
    pair.a.converge(3, "a", min_replicas_to_write=1)
    assert pair.a.shop("SET", "cart", 2) == "OK"


# -- equal limits


def test_limits_that_differ_are_told_before_they_evict(pair):
    pair.b.converge(1, "a", maxmemory="32mb")
    assert "with volatile-lru as here; after a move keys would be evicted" in pair.b.err.getvalue()
    pair.b.converge(1, "a")
    told = len(pair.b.err.getvalue())
    pair.b.converge(1, "a")
    assert "limit of" not in pair.b.err.getvalue()[told:]
    assert pair.b.operator("CONFIG", "GET", "replica-ignore-maxmemory")[1] == "yes"


# -- what the files give back


def test_a_transaction_is_read_back_from_the_file_like_any_other_write(pair):
    """The server reads its file as the user `default`, and asks of each EXEC whether that one may: carts are written in transactions."""
    with Connection(pair.a.server("shop")) as connection:
        for words in (("MULTI",), ("ROLE",), ("HSET", "cart:1", "book", 2), ("EXPIRE", "cart:1", 3600)):
            connection.call(*words)
        assert connection.call("EXEC")[1:] == [1, 1]
    pair.a.shop("SET", "plain", "1")
    pair.a.units.kill()
    pair.a.units.start("redis", 10)
    assert until(lambda: pair.a.look() is not None, 10)
    assert (pair.a.shop("GET", "plain"), pair.a.shop("HGET", "cart:1", "book")) == ("1", "2")


def test_nobody_signs_in_as_the_user_who_reads_the_file(pair):
    """Nor is a connection that has not signed in that user."""
    server = pair.a.server()
    for password in ("", "nopass", pair.passwords["app"]):
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            Connection(replace(server, user="default", password=password))
    context = ssl.create_default_context(cadata=server.ca)
    show(context, server.own)
    for words in (("GET", "plain"), ("SET", "plain", 2), ("PING",)):
        with (
            socket.create_connection((server.address, server.port), 5) as plain,
            context.wrap_socket(plain, server_hostname=server.name) as stream,
        ):
            stream.sendall(encode(words))
            assert stream.recv(200).startswith(b"-NOAUTH"), words
