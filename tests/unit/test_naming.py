"""Names and addresses are the contract between both stacks, the hosts and the fence: the table of docs/interfaces.md, section 1."""

from __future__ import annotations

from contract import hosts, names, sites
from contract.hosts import Place, Sizes

MOST = Sizes(app=hosts.MAX_APP_HOSTS, cache_replicas=hosts.MAX_CACHE_REPLICAS)


def site(letter: str) -> dict[str, hosts.HostAddress]:
    front, offset = {"a": ("10.1.0.0/24", 0), "b": ("10.2.0.0/24", 100)}[letter]
    return hosts.site_hosts(letter, Place(front=front, vrack="10.100.0.0/24", offset=offset))


def test_addresses_are_those_of_the_table() -> None:
    assert {key: (host.front, host.vrack) for key, host in site("a").items()} == {
        "control-1.a": ("10.1.0.31", "10.100.0.31"),
        "db-1.a": ("10.1.0.11", "10.100.0.11"),
        "cache-1.a": ("10.1.0.21", "10.100.0.21"),
        "app-1.a": ("10.1.0.41", "10.100.0.41"),
        "app-2.a": ("10.1.0.42", "10.100.0.42"),
    }
    assert site("b")["app-2.b"].vrack == "10.100.0.142"
    assert site("b")["app-2.b"].front == "10.2.0.42"


def test_no_host_meets_a_pool_or_a_host_of_the_other_site() -> None:
    taken = [
        host.vrack
        for letter in "ab"
        for host in hosts.site_hosts(
            letter,
            Place(front="10.1.0.0/24", vrack="10.100.0.0/24", offset={"a": 0, "b": 100}[letter], sizes=MOST),
        ).values()
    ]
    first, last = hosts.VRACK_POOL
    pools = {hosts.at("10.100.0.0/24", octet + offset) for offset in (0, 100) for octet in range(first, last + 1)}
    assert len(taken) == len(set(taken)) == 2 * (3 + hosts.MAX_CACHE_REPLICAS + hosts.MAX_APP_HOSTS)
    assert not set(taken) & pools


def test_names_that_others_look_for() -> None:
    host = site("b")["cache-1.b"]
    assert (host.fqdn, host.role, host.key) == ("cache-1.b.dr.internal", "cache", "cache-1.b")
    assert names.server_name("shop", "b", "db-1") == "shop-b-db-1"
    assert names.record_name("a", "www") == "a.www"
    assert names.bucket_name("shop", "0123456789abcdef", "a", "wal") == "shop-01234567-a-wal"


def test_the_bastion_comes_first_because_the_others_are_reached_through_it() -> None:
    assert hosts.host_names(Sizes(app=1)) == ("control-1", "db-1", "cache-1", "app-1")


def test_each_site_is_the_others_peer() -> None:
    assert (sites.other("a"), sites.other("b")) == ("b", "a")


def test_a_kind_of_host_says_who_keeps_a_lease_and_whom_a_fence_stops() -> None:
    assert hosts.leased(Sizes()) == ("db-1", "cache-1")
    assert hosts.leased(Sizes(cache_replicas=2)) == ("db-1", "cache-1", "cache-2", "cache-3")
    assert [hosts.lease_of(name) for name in ("db-1", "cache-3", "cache-4", "app-1", "db-1x", "other-1")] == [
        "postgres", "redis", None, None, None, None,
    ]  # fmt: skip
    assert [kind.name for kind in hosts.KINDS.values() if not kind.fenced] == ["control"]


def test_certificates_name_the_host_its_addresses_and_what_its_kind_shares() -> None:
    assert hosts.certificate_names(site("b")["app-1.b"]) == [
        "app-1.b.dr.internal", "10.100.0.141", "10.2.0.41", "app.b.dr.internal",
    ]  # fmt: skip
    assert hosts.certificate_names(site("a")["db-1.a"]) == ["db-1.a.dr.internal", "10.100.0.11", "10.1.0.11"]
