"""Real servers asked with the passwords of their users: what each of them may do, and what it may not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lab.pairs.redis import Pair, Site
from scripts.host.redis.config import OPERATOR, REPLICA, SENTINEL, Desired, acl, files
from scripts.host.redis.engine import ENGINES
from scripts.host.redis.wire import Connection, ErrorReply, Server, encode, show

HELLO = "__sentinel__:hello"
# What Rails sends: its cache store, sessions, carts in transactions, queues, Action Cable.
SHOPS = (
    "PING", "SELECT 0", "CLIENT SETNAME puma", "CLIENT ID", "ROLE", "SET cache:1 x", "SET lock:1 x NX PX 1000", "SETEX session:1 10 x", "GET cache:1",
    "MGET cache:1 cache:2", "MSET cache:3 x", "INCRBY hits 1", "DECRBY hits 1", "EXPIRE hits 10", "PEXPIRE hits 1000", "TTL hits", "EXISTS hits",
    "DEL cache:3", "UNLINK cache:2", "SCAN 0 MATCH cache:* COUNT 10", "HSET cart:1 book 2", "HGETALL cart:1", "HINCRBY cart:1 book 1", "HDEL cart:1 book",
    "SADD queues default", "SMEMBERS queues", "LPUSH queue:default job", "RPOP queue:default", "BRPOP queue:default 1", "LLEN queue:default",
    "LPUSH queue:more job", "LMOVE queue:more queue:taken LEFT RIGHT", "ZADD schedule 1 job", "ZRANGE schedule 0 -1", "ZREM schedule job",
    "WATCH cart:1", "MULTI", "INCR hits", "EXEC", "PUBLISH chat_1 hello", "PUBLISH _action_cable_internal bye", "PUBSUB NUMSUB chat_1",
    "SUBSCRIBE chat_1",
)  # fmt: skip
NEVER = (
    f"PUBLISH {HELLO} x", f"SUBSCRIBE {HELLO}", "PSUBSCRIBE *", "PSUBSCRIBE __sentinel__*", f"SPUBLISH {HELLO} x", "SUBSCRIBE __keyevent@0__:expired",
    "FUNCTION LIST", "FUNCTION FLUSH", "FUNCTION DUMP", "FCALL f 0", "SCRIPT KILL", "SCRIPT FLUSH", "EVAL_RO x 0",
    "KEYS *", "MONITOR", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "SORT queues", "DEBUG SLEEP 0", "MIGRATE 127.0.0.1 1 cache:1 0 10", "RESTORE a 0 x",
    "CONFIG GET masterauth", "CONFIG SET dir /tmp", "CONFIG REWRITE", "CONFIG RESETSTAT", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "FAILOVER", "PSYNC ? -1",
    "REPLCONF ACK 0", "SYNC", "ACL LIST", "ACL SETUSER x on", "CLIENT KILL TYPE normal", "CLIENT LIST", "CLIENT PAUSE 1",
    "CLIENT NO-EVICT on", "SHUTDOWN NOSAVE", "SAVE", "BGSAVE", "BGREWRITEAOF", "LASTSAVE", "MODULE LIST", "MODULE LOAD /tmp/x.so", "SLOWLOG GET",
    "LATENCY RESET", "MEMORY DOCTOR", "CLUSTER INFO", "PFDEBUG x x",
)  # fmt: skip
SCRIPTS = (
    "EVAL return(1) 0",
    "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
    "SCRIPT LOAD return(1)",
    "SCRIPT EXISTS x",
    "INFO server",
)
OTHERS = {
    "operator": (
        ("PING", "INFO", "ROLE", "CONFIG GET dir", "CLIENT LIST"),
        ("GET a", "SET a b", "DEL a", "KEYS *", "SCAN 0", "RANDOMKEY", "DUMP a", "EVAL x 0", "FUNCTION LIST", "SCRIPT FLUSH", "PUBLISH chat_1 x",
         f"PUBLISH {HELLO} x", "PSUBSCRIBE *", "MONITOR", "ACL LIST", "ACL SETUSER x on", "CONFIG REWRITE", "MODULE LIST", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0"),
    ),
    "replica": (("PING", "REPLCONF capa eof"), ("GET a", "SET a b", "INFO", "KEYS *", f"PUBLISH {HELLO} x", "CONFIG GET *", "ACL LIST", "EVAL x 0")),
    "sentinel": (
        ("PING", "INFO", "ROLE", f"PUBLISH {HELLO} x", "CLIENT SETNAME s", "CLIENT KILL TYPE pubsub", "MULTI ; SLAVEOF NO ONE ; EXEC"),
        ("GET a", "SET a b", "KEYS *", "PUBLISH chat_1 x", "CONFIG REWRITE", "CONFIG GET *", "ACL LIST", "CLIENT LIST", "CLIENT PAUSE 1", "SCRIPT FLUSH",
         "FLUSHALL", "EVAL x 0", "PSUBSCRIBE *", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("cache"))
    try:
        made.a.converge(1, "a")
        yield made
    finally:
        made.close()


def answers(server: Server, words: str) -> str | None:
    """None, or what is said against it."""
    with Connection(server) as connection:
        try:
            for each in words.split(" ; "):
                connection.call(*each.split())
        except ErrorReply as error:
            return str(error)
    return None


def refused(said: str | None) -> bool:
    """By the rights of the user, or, before those are looked at, because this server does it for nobody."""
    return said is not None and (said.startswith("NOPERM") or "command not allowed. If the enable-" in said)


def test_the_shop_may_do_what_a_rails_shop_does(pair: Pair) -> None:
    failed = []
    with Connection(pair.a.server("shop")) as connection:
        for words in SHOPS:
            try:
                connection.call(*words.split())
            except ErrorReply as error:
                failed.append((words, str(error)))
    assert failed == []


def test_workers_of_the_other_site_take_nothing_from_the_queues_here(pair: Pair) -> None:
    pair.a.shop("LPUSH", "queue:left", "job")
    with pytest.raises(ErrorReply, match="WRONGPASS"):
        answers(pair.a.server("shop_worker_b"), "RPOP queue:left")
    assert answers(pair.a.server("shop_worker_a"), "RPOP queue:left ; LPUSH queue:left job") is None
    assert refused(answers(pair.a.server("shop_worker_a"), "CONFIG GET dir"))


DEFAULT = ("PING", "GET a", "INFO", "AUTH any", "AUTH default ", "AUTH default any", "HELLO 3 AUTH default any")


@pytest.mark.parametrize("words", DEFAULT)
def test_whoever_does_not_sign_in_is_nobody(pair: Pair, words: str) -> None:
    """With a good certificate, and whatever password: `default` has none."""
    server = pair.a.server("shop")
    assert server.own is not None
    context = ssl.create_default_context(cadata=server.ca)
    show(context, server.own)
    with (
        socket.create_connection((server.address, server.port), 5) as plain,
        context.wrap_socket(plain, server_hostname=server.name) as stream,
    ):
        stream.sendall(encode(tuple(words.split(" "))))
        assert stream.recv(200).split()[0] in (b"-NOAUTH", b"-WRONGPASS")


@pytest.mark.parametrize("scripting", [False, True])
def test_the_shop_may_do_nothing_else(pair: Pair, scripting: bool) -> None:
    pair.a.converge(1, "a", scripting=scripting)
    server = pair.a.server("shop")
    found = {words: answers(server, words) for words in NEVER}
    assert {words: said for words, said in found.items() if not refused(said)} == {}
    assert {words: refused(answers(server, words)) for words in SCRIPTS} == dict.fromkeys(SCRIPTS, not scripting)


def test_a_script_may_do_what_its_caller_may(pair: Pair) -> None:
    pair.a.converge(1, "a", scripting=True)
    with Connection(pair.a.server("shop")) as connection:
        assert connection.call("EVAL", "return redis.call('INCR', KEYS[1])", 1, "scripted") == 1
        for words in (f"'PUBLISH', '{HELLO}', 'x'", "'FLUSHALL'", "'CONFIG', 'GET', '*'", "'KEYS', '*'"):
            with pytest.raises(ErrorReply, match=r"NOPERM|The user executing the script can't|not allowed from script"):
                connection.call("EVAL", f"return redis.call({words})", 0)


@pytest.mark.parametrize("who", OTHERS)
def test_those_of_the_machinery_may_do_their_work_and_see_no_data(pair: Pair, who: str) -> None:
    may, never = OTHERS[who]
    server = granted(pair.a, {"replica": REPLICA, "sentinel": SENTINEL, "operator": OPERATOR}[who])
    assert {words: said for words in may if (said := answers(server, words)) is not None} == {}
    found = {words: answers(server, words) for words in never}
    assert {words: said for words, said in found.items() if not refused(said)} == {}


def granted(site: Site, user: str) -> Server:
    """One that is there, or is given to a cache that has no Sentinel of its own."""
    file = site.layout.at("/etc/redis/dr.acl")
    file.write_text(acl({**Desired.read(site.document(1, "a")).passwords, SENTINEL: "word"}))
    site.operator("ACL", "LOAD")
    password = "word" if user == SENTINEL else site.pair.passwords[user.removeprefix("dr_")]
    return replace(site.server(), user=user, password=password)


def test_what_lies_on_the_disk_is_the_caches_own(pair: Pair) -> None:
    """A session is as good as a password."""
    desired = Desired.read(pair.a.document(1, "a"))
    for engine in ENGINES:
        found = files(desired, engine, pair.a.layout, follows=None)
        unit = next(file.content for file in found if file.path.name == "dr-redis.conf")
        assert f"StateDirectory={engine.name}\nStateDirectoryMode=0700\nUMask=0077\n" in unit
        modes = {file.path.name: file.mode for file in found}
        assert {modes[name] for name in ("dr.key", "dr.acl", "dr.conf", "redis.json")} == {0o600}
