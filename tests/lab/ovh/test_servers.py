"""DNS for real: two Knot servers and Unbound on loopback addresses."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dns.rcode
import pytest

from lab.cloud.ovh import service
from lab.dns.servers import Address, Dns, DnsError, Record, answer
from lab.pairs.loopback import free_port
from tests.lab.ovh.fakes import CONFIG, Api, FakeStorage

pytestmark = pytest.mark.lab
ZONE = "shop.example"


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dns]:
    port = free_port()
    running = Dns(
        tmp_path_factory.mktemp("run"),
        [Address("127.0.0.21", port), Address("127.0.0.22", port)],
        Address("127.0.0.53", port),
        (ZONE, "other.example"),
    )
    running.start()
    try:
        yield running
    finally:
        running.stop()


def addresses(server: Address, name: str = f"www.{ZONE}") -> list[str]:
    message = answer(server, name, "A", 5)
    assert message is not None, f"{server.host} does not answer"
    return sorted(str(item) for section in message.answer for item in section)


def test_both_servers_serve_what_was_published_when_publish_returns(servers: Dns) -> None:
    servers.publish(ZONE, [Record("www", "A", "203.0.113.5", 60)], 10)
    assert [addresses(server) for server in servers.servers] == [["203.0.113.5"]] * 2
    assert [servers.serial(server, ZONE) for server in servers.servers] == [10, 10]
    assert [servers.serial(server, "other.example") for server in servers.servers] == [1, 1]


def test_a_later_publication_replaces_the_zone(servers: Dns) -> None:
    servers.publish(ZONE, [Record("www", "A", "203.0.113.5", 60), Record("old", "A", "203.0.113.6", 60)], 10)
    servers.publish(ZONE, [Record("www", "A", "198.51.100.5", 60)], 11)
    assert [addresses(server) for server in servers.servers] == [["198.51.100.5"]] * 2
    assert addresses(servers.servers[0], f"old.{ZONE}") == []


def test_the_resolver_keeps_an_answer_for_its_ttl(servers: Dns) -> None:
    servers.publish(ZONE, [Record("www", "A", "203.0.113.5", 3600), Record("brief", "A", "203.0.113.5", 1)], 10)
    assert addresses(servers.resolver) == ["203.0.113.5"]
    assert addresses(servers.resolver, f"brief.{ZONE}") == ["203.0.113.5"]
    servers.publish(ZONE, [Record("www", "A", "198.51.100.5", 3600), Record("brief", "A", "198.51.100.5", 1)], 11)
    assert addresses(servers.resolver) == ["203.0.113.5"]
    deadline = time.monotonic() + 20
    while addresses(servers.resolver, f"brief.{ZONE}") != ["198.51.100.5"]:
        assert time.monotonic() < deadline, "the resolver still gives the old address of a record with a TTL of 1 s"
        time.sleep(0.1)
    assert addresses(servers.resolver) == ["203.0.113.5"]
    servers.flush()
    assert addresses(servers.resolver) == ["198.51.100.5"]


def test_the_resolver_asks_the_other_server_when_one_is_dead(servers: Dns) -> None:
    servers.publish(ZONE, [Record("www", "A", "203.0.113.5", 60)], 10)
    servers.stop_server(0)
    assert addresses(servers.resolver) == ["203.0.113.5"]
    servers.publish(ZONE, [Record("www", "A", "198.51.100.5", 60)], 11)
    servers.start_server(0)
    assert servers.serial(servers.servers[0], ZONE) == 11


def test_nothing_but_the_zones_exists_for_the_resolver(servers: Dns) -> None:
    message = answer(servers.resolver, "www.example.com", "A", 5)
    assert message is not None
    assert message.rcode() == dns.rcode.NXDOMAIN


def test_the_resolver_finds_the_servers_to_which_a_zone_is_delegated(servers: Dns) -> None:
    servers.publish(ZONE, [Record("www", "A", "203.0.113.5", 60)], 10)
    message = answer(servers.resolver, ZONE, "NS", 5)
    assert message is not None
    names = sorted(str(item) for section in message.answer for item in section)
    assert names == [f"{name}." for name in servers.names]
    assert [addresses(servers.resolver, name) for name in servers.names] == [["127.0.0.21"], ["127.0.0.22"]]


def test_text_records_survive_their_quotes(servers: Dns) -> None:
    servers.publish(ZONE, [Record("", "TXT", 'v=spf1 "include" ~all', 60)], 10)
    message = answer(servers.servers[0], ZONE, "TXT", 5)
    assert message is not None
    assert message.answer[0][0].strings == (b'v=spf1 "include" ~all',)


def test_an_unknown_zone_is_refused_by_name(servers: Dns) -> None:
    with pytest.raises(DnsError, match=r"none\.example"):
        servers.publish("none.example", [], 10)


def test_a_zone_that_no_server_can_load_is_an_error_and_the_old_one_stays(
    servers: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.publish(ZONE, [Record("www", "A", "203.0.113.5", 60)], 10)
    monkeypatch.setattr("lab.dns.servers.PUBLISHED_WITHIN_S", 0.5)
    with pytest.raises(DnsError, match="serves serial 10"):
        servers.publish(ZONE, [Record("www", "MX", "no priority", 60)], 11)
    assert addresses(servers.servers[0]) == ["203.0.113.5"]


def test_the_api_publishes_through_the_servers(servers: Dns) -> None:
    api = Api(service(CONFIG, FakeStorage(), servers))
    api(
        "POST",
        f"/domain/zone/{ZONE}/record",
        {"fieldType": "A", "subDomain": "www", "target": "203.0.113.5", "ttl": 60},
    )
    assert addresses(servers.servers[0]) == []
    assert api("POST", f"/domain/zone/{ZONE}/refresh")[0] == 200
    assert [addresses(server) for server in (*servers.servers, servers.resolver)] == [["203.0.113.5"]] * 3
