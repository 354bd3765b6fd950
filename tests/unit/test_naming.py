"""Names and addresses are the contract between both stacks, the hosts and the fence: the table of docs/interfaces.md, section 1."""

from __future__ import annotations

from components import naming


def site(letter: str) -> dict[str, naming.HostAddress]:
    front, offset = {"a": ("10.1.0.0/24", 0), "b": ("10.2.0.0/24", 100)}[letter]
    return naming.site_hosts(letter, front=front, vrack="10.100.0.0/24", offset=offset, app_hosts=2)


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
        for host in naming.site_hosts(
            letter,
            front="10.1.0.0/24",
            vrack="10.100.0.0/24",
            offset={"a": 0, "b": 100}[letter],
            app_hosts=naming.MAX_APP_HOSTS,
        ).values()
    ]
    first, last = naming.VRACK_POOL
    pools = {naming.at("10.100.0.0/24", octet + offset) for offset in (0, 100) for octet in range(first, last + 1)}
    assert len(taken) == len(set(taken)) == 2 * (3 + naming.MAX_APP_HOSTS)
    assert not set(taken) & pools


def test_names_that_others_look_for() -> None:
    host = site("b")["cache-1.b"]
    assert (host.fqdn, host.role, host.key) == ("cache-1.b.dr.internal", "cache", "cache-1.b")
    assert naming.server_name("shop", "b", "db-1") == "shop-b-db-1"
    assert naming.record_name("a", "www") == "a.www"
    assert naming.bucket_name("shop", "0123456789abcdef", "a", "wal") == "shop-01234567-a-wal"


def test_the_bastion_comes_first_because_the_others_are_reached_through_it() -> None:
    assert naming.host_names(1) == ("control-1", "db-1", "cache-1", "app-1")


def test_each_site_is_the_others_peer() -> None:
    assert (naming.peer_of("a"), naming.peer_of("b")) == ("b", "a")
