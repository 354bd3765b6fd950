"""Real caches and Sentinels, and who gets as far as to say a word to them. Those that are not let in hold every password there is."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.pairs.redis import ADDRESSES, Pair, Site, settled
from scripts.ctl.stacks.secrets import CLIENT, SERVER, Authority, generate
from scripts.host.frame.wait import until
from scripts.host.redis.leader import SENTINEL_PORT, Access
from scripts.host.redis.wire import Connection, ErrorReply, Former, Own, Server, Unreachable, show

NAMES = ["cache-1.a.dr.internal", "127.0.0.21"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("caches"), caches=3).up()
    yield made
    made.close()


def sentinel(pair: Pair) -> Server:
    access = Access.of_host(pair.a.layout)
    assert access is not None
    return access.sentinels[0]


def doors(pair: Pair) -> dict[str, Server]:
    """Of a cache by each of its users, and of its Sentinel."""
    users: dict[str, Server] = {user: pair.a.server(user) for user in ("shop", "dr_operator", "dr_replica")}
    return {**users, "sentinel": sentinel(pair)}


def _foreign(pair: Pair) -> Own:
    return Own(**Authority("test").issue(NAMES))


def _hosts(pair: Pair) -> Own:
    """Of the same host, by the CA of the hosts: what its agent shows."""
    return Own(**generate({"cache-1.a": NAMES}, "www.shop.example", {})["tls"]["hosts"]["cache-1.a"])


def _public(pair: Pair) -> Own:
    found = generate({}, "www.shop.example", {})["tls"]["shop"]
    return Own(found["cert"], found["key"])


def _serving(pair: Pair) -> Own:
    """Of the caches' own CA, and not good for a client."""
    return Own(**pair.authority.issue(NAMES, purposes=(SERVER,)))


def _ended(pair: Pair) -> Own:
    return Own(**pair.authority.issue(NAMES, days=0, purposes=(CLIENT,)))


SHOWN: dict[str, Callable[[Pair], Own | None]] = {
    "no certificate": lambda pair: None,
    "a foreign CA of the same name": _foreign,
    "the CA of the hosts": _hosts,
    "the one that customers see": _public,
    "one that is good for servers alone": _serving,
    "one that has ended": _ended,
}


@pytest.mark.parametrize("door", ["shop", "dr_operator", "dr_replica", "sentinel"])
@pytest.mark.parametrize("what", SHOWN)
def test_without_a_certificate_of_the_caches_nobody_says_a_word(pair: Pair, door: str, what: str) -> None:
    server = doors(pair)[door]
    with Connection(server) as connection:
        assert connection.call("PING" if door != "dr_operator" else "ROLE")
    with pytest.raises(Unreachable):
        Connection(replace(server, own=SHOWN[what](pair)))


@pytest.mark.parametrize("port", ["cache", "sentinel"])
def test_nobody_speaks_in_clear_or_by_an_old_version_of_tls(pair: Pair, port: str) -> None:
    where = (ADDRESSES["cache-1.a"], pair.port if port == "cache" else SENTINEL_PORT)
    with socket.create_connection(where, 5) as plain:
        plain.sendall(b"PING\r\n")
        assert b"PONG" not in _heard(plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    show(context, Own(**pair.client))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(where, 5) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


def _heard(plain: socket.socket) -> bytes:
    try:
        return plain.recv(200)
    except ConnectionError:
        return b""


@pytest.mark.parametrize("door", ["shop", "sentinel"])
def test_a_server_that_cannot_prove_its_name_hears_no_password(pair: Pair, door: str) -> None:
    """Whoever has its address has not its certificate."""
    server = doors(pair)[door]
    for other in (
        replace(server, ca=Authority("test").certificate_pem),
        replace(server, name="cache-9.a.dr.internal"),
    ):
        with pytest.raises(Unreachable, match="verify failed"):
            Connection(other)


def test_each_server_listens_by_tls_alone(pair: Pair) -> None:
    for name, port in (("redis", pair.port), ("sentinel", SENTINEL_PORT)):
        process = pair.a.units.processes[name]
        assert _listens(process.pid) == {(ADDRESSES["cache-1.a"], port)}, name


def _listens(pid: int) -> set[tuple[str, int]]:
    """Address and port of each socket on which a process waits."""
    own = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    found = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]
    return {(socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16)) for host, port in found}


def test_a_sentinel_wants_its_password_besides(pair: Pair) -> None:
    server = sentinel(pair)
    context = ssl.create_default_context(cadata=server.ca)
    assert server.own is not None
    show(context, server.own)
    with (
        socket.create_connection((server.address, server.port), 5) as plain,
        context.wrap_socket(plain, server_hostname=server.name) as stream,
    ):
        for words in (b"PING\r\n", b"SENTINEL MASTERS\r\n", b"SENTINEL REMOVE shop\r\n"):
            stream.sendall(words)
            assert stream.recv(200).startswith(b"-NOAUTH"), words
    for password in ("", "wrong", pair.passwords["app"], pair.passwords["operator"]):
        with pytest.raises(ErrorReply, match="WRONGPASS"):
            Connection(replace(server, password=password))


def test_the_key_of_a_caller_lies_on_no_disk_and_in_no_text(pair: Pair) -> None:
    server = pair.a.server()
    assert server.own is not None
    lines = server.own.key.splitlines()
    shown = repr(server) + repr(server.own) + repr(replace(server, former=Former("", "before", server.own)))
    assert len(lines) > 2 and not [line for line in lines[1:-1] if line in shown]
    assert server.password not in shown and "before" not in shown


# -- one CA after the other


@pytest.fixture
def two(tmp_path: Any) -> Iterator[Pair]:
    made = Pair(tmp_path).up()
    assert settled(made.b)
    yield made
    made.close()


def rotate(pair: Pair) -> None:
    """Each cache's certificate and the shop's by a new CA."""
    pair.authority = Authority("the next")
    pair.certificates = {name: pair.authority.issue([f"{name}.dr.internal", at]) for name, at in ADDRESSES.items()}
    pair.client = pair.authority.issue(["shop"], purposes=(CLIENT,))


def follows_anew(site: Site, leader: Site) -> bool:
    """Its connection is cut, and it comes back."""
    leader.operator("CLIENT", "KILL", "TYPE", "replica")
    leader.pair.a.shop("SET", "later", "1")
    return until(lambda: bool((found := site.look()) and found.link_up and found.keys == leader.look().keys), 10)  # type: ignore[union-attr]


def test_a_new_ca_is_taken_without_a_restart_and_the_old_one_opens_nothing_any_more(two: Pair) -> None:
    process, before = two.a.units.processes["redis"].pid, two.a.server("shop")
    rotate(two)
    for site in (two.a, two.b):
        site.converge(1, "a")
        assert site.converge(1, "a").changed is False
    assert two.a.units.processes["redis"].pid == process
    assert follows_anew(two.b, two.a)
    with pytest.raises(Unreachable):
        Connection(replace(before, ca=two.authority.certificate_pem))


def test_with_both_cas_trusted_for_a_while_no_link_is_ever_cut_off(two: Pair) -> None:
    following = Authority("the next")
    two.beside = following.certificate_pem
    for site in (two.a, two.b):
        site.converge(1, "a")
    assert follows_anew(two.b, two.a)
    for site in (two.a, two.b):
        two.certificates[site.name] = following.issue([f"{site.name}.dr.internal", ADDRESSES[site.name]])
        site.converge(1, "a")
        assert follows_anew(two.b, two.a), f"with a new certificate of {site.name} alone"
        assert two.a.shop("PING") == "PONG", "the shop shows its old one yet"
    before = two.a.server("shop")
    two.client = following.issue(["shop"], purposes=(CLIENT,))
    two.authority, two.beside = following, ""
    for site in (two.a, two.b):
        site.converge(1, "a")
        assert follows_anew(two.b, two.a)
        with pytest.raises(Unreachable):
            Connection(replace(site.server("shop"), own=before.own))
        assert site.operator("PING") == "PONG"


def test_a_cache_of_before_clients_needed_a_certificate_is_brought_up_to_it_without_a_restart(two: Pair) -> None:
    """Its own settings file names no certificate, and it would take none of the new CA."""
    process = two.a.units.processes["redis"].pid
    for site in (two.a, two.b):
        site.operator("CONFIG", "SET", "tls-auth-clients", "optional")
        path = site.layout.etc / "redis.json"
        found = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in found.items() if name not in ("cert", "key")}))
        access = Access.of_host(site.layout)
        assert access is not None and access.local.own is None
    rotate(two)
    for site in (two.a, two.b):
        assert {"load-tls", "set tls-auth-clients"} <= set(site.converge(1, "a").actions)
        assert site.converge(1, "a").changed is False
    assert two.a.units.processes["redis"].pid == process
    assert follows_anew(two.b, two.a)
    with pytest.raises(Unreachable):
        Connection(replace(two.a.server("shop"), own=None))
