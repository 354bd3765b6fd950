"""First boot, firewall, packages and bucket policy, as plain data."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import yaml

from components import config
from components.render import cloud_init, firewall
from components.render.policy import site_policy
from components.settings import Settings, SshKey
from contract.errors import ConfigError
from contract.hosts import (
    BALANCER_OCTET,
    FRONT_POOL,
    KINDS,
    MAX_APP_HOSTS,
    MAX_CACHE_REPLICAS,
    VRACK_POOL,
    at,
    balancer_networks,
    packages,
)
from tests.components import stack

ACME_SECRETS = ("application_key", "application_secret", "consumer_key")
STOCK_QUOTA, RULES_OF_THE_DEFAULT_GROUP = 100, 4  # of Neutron, where nobody has changed it


@pytest.fixture
def settings() -> Settings:
    """Of a pair that nobody watches."""
    return config.parse(stack.configuration("a", monitoring=None))


def test_the_first_boot_is_a_cloud_config_with_one_way_in(settings: Settings) -> None:
    text = cloud_init.user_data(
        settings.hosts["db-1.a"], SshKey(private="KEY\nLINES", public="ssh-ed25519 HOST"), "ssh-ed25519 OPERATOR"
    )
    assert text.startswith("#cloud-config\n")
    read = yaml.safe_load(text)
    assert read["ssh_authorized_keys"] == ["ssh-ed25519 OPERATOR"]
    assert read["users"] == [] and read["disable_root"] is False and read["ssh_pwauth"] is False
    assert read["ssh_keys"] == {"ed25519_private": "KEY\nLINES\n", "ed25519_public": "ssh-ed25519 HOST"}
    assert (read["hostname"], read["fqdn"]) == ("db-1", "db-1.a.dr.internal")


def flows(settings: Settings, role: str, port: int) -> set[str]:
    return {
        rule.prefix
        for rule in firewall.rules(settings, role)
        if rule.direction == "ingress" and rule.port is not None and rule.port <= port <= (rule.last or rule.port)
    }


def opened(settings: Settings, role: str, port: int) -> set[str]:
    """Every address that a rule of this port lets in."""
    return {f"{address}/32" for prefix in flows(settings, role, port) for address in IPv4Network(prefix)}


def full_size(site: str = "a", **changes: Any) -> Settings:
    """As many hosts as there can be."""
    sizes = {"redis": {"maxmemory": "256mb", "cache_replicas": MAX_CACHE_REPLICAS}, "monitoring": None}
    values = stack.configuration(site, **{**sizes, **changes})
    values["app"] = {**values["app"], "hosts": MAX_APP_HOSTS}
    for keys in (values["secrets"]["ssh"]["hosts"], values["secrets"]["tls"]["hosts"]):
        keys |= {f"app-{number}.{site}": keys["app-1.a"] for number in range(3, MAX_APP_HOSTS + 1) for site in "ab"}
    return config.parse(values)


def test_the_database_is_open_to_those_who_use_it_and_nobody_else(settings: Settings) -> None:
    apps = {f"10.100.0.{octet}/32" for octet in (41, 42, 141, 142)}
    assert flows(settings, "db", 5432) == apps | {"10.100.0.111/32"}, "no bastion: it asks nothing there"
    assert flows(settings, "cache", 6379) == apps | {"10.100.0.121/32"}
    assert flows(settings, "db", 7600) == {"10.100.0.111/32"} and flows(settings, "cache", 7600) == {"10.100.0.121/32"}
    assert flows(settings, "app", 7600) == flows(settings, "control", 7600) == set()
    assert flows(settings, "db", 443) == flows(settings, "app", 5432) == set()


def test_the_shop_is_open_to_its_entrance_and_to_the_other_sites_app_hosts(settings: Settings) -> None:
    balancer = {"10.1.0.5/32", "10.1.0.200/29", "10.1.0.208/28", "10.1.0.224/28"}
    assert flows(settings, "app", 443) == flows(settings, "app", 8080) == balancer
    assert flows(settings, "app", 8443) == {f"10.100.0.{octet}/32" for octet in (41, 42, 141, 142)}


@pytest.mark.parametrize("site", ["a", "b"])
def test_no_host_has_an_address_that_passes_for_the_balancer(site: str) -> None:
    """What it says in a PROXY header is believed."""
    everybody = full_size(site)
    balancer = [IPv4Network(prefix) for prefix in flows(everybody, "app", 443)]
    hosts = [IPv4Address(it.front) for it in everybody.hosts.values() if it.site == site]
    assert not [it for it in hosts if any(it in network for network in balancer)]
    front = everybody.region.front_cidr
    own = [BALANCER_OCTET, *range(FRONT_POOL[0], FRONT_POOL[1] + 1)]
    assert sorted(it for network in balancer for it in network) == [IPv4Address(at(front, octet)) for octet in own]


@pytest.mark.parametrize("role", sorted(KINDS))
def test_ssh_comes_from_bastions_alone_and_to_the_bastion_from_operators(settings: Settings, role: str) -> None:
    bastions = {"10.1.0.31/32", "10.100.0.31/32", "10.100.0.131/32"}
    wanted = {"10.100.0.131/32", "192.0.2.0/24"} if role == "control" else bastions
    assert flows(settings, role, 22) == wanted


@pytest.mark.parametrize("role", sorted(KINDS))
def test_every_rule_has_a_name_of_its_own(settings: Settings, role: str) -> None:
    names = [rule.key for rule in firewall.rules(settings, role)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("role", sorted(KINDS))
def test_packages_are_named_once_and_sorted(role: str) -> None:
    names = packages(role, 17)
    assert list(names) == sorted(set(names))
    assert ("postgresql-17" in names) is (role == "db") and "postgresql-14" not in names
    assert ("postgresql-16" in packages(role, 16)) is (role == "db")
    assert ("nginx" in names) is (role == "app")


def test_the_policy_covers_the_sites_own_buckets_alone() -> None:
    allow, deny = json.loads(site_policy(["one", "two"]))["Statement"]
    assert allow["Resource"] == ["arn:aws:s3:::one", "arn:aws:s3:::one/*", "arn:aws:s3:::two", "arn:aws:s3:::two/*"]
    assert (allow["Effect"], deny["Effect"], deny["Action"]) == ("Allow", "Deny", ["s3:ListAllMyBuckets"])
    assert "s3:DeleteObjectVersion" not in allow["Action"] and not any("*" in action for action in allow["Action"])


def test_several_caches_of_a_site_reach_each_other_and_the_other_sites_sentinels(settings: Settings) -> None:
    grouped = config.parse(stack.configuration("a", redis={"maxmemory": "256mb", "cache_replicas": 2}))
    caches = {f"10.100.0.{octet}/32" for octet in (21, 22, 23, 121, 122, 123)}
    assert caches < opened(grouped, "cache", 6379) and opened(grouped, "cache", 26379) == caches
    assert opened(grouped, "cache", 7600) == {f"10.100.0.{octet}/32" for octet in (121, 122, 123)}
    assert flows(settings, "cache", 26379) == set()


def everything(site: str = "a") -> Settings:
    """At full size, all that takes a rule, each place beyond the region on a port that nothing else has."""
    values: dict[str, Any] = {
        "monitoring": {
            "email": stack.MAIL,
            "status_page": {"bucket": "shop-status", "public": True, "address": "https://status.example:8482/"},
            "pagerduty_url": "https://pager.example:8481/v2/enqueue",
            "remote_write": {"url": "https://store.example:8480/insert/0/prometheus/api/v1/write"},
        },
        "logs": {"store": {**stack.JOURNALS, "url": "https://logs.example:9428/insert/journald"}},
    }
    plain = stack.configuration(site)
    acme = {"contact": "ops@shop.example", "directory": "https://acme.example:14000/dir"}
    values["shop"] = {**plain["shop"], "acme": acme}
    values["secrets"] = {**plain["secrets"], "acme": {name: f"acme-{name}" for name in ACME_SECRETS}}
    values["secrets"]["tls"]["shop"]["ca"] = values["secrets"]["tls"]["ca"].replace("tlsca", "tlsshopca")
    return full_size(site, **values)


@pytest.mark.parametrize("site", ["a", "b"])
def test_the_largest_configuration_fits_a_stock_neutron_s_quota(site: str) -> None:
    assert firewall.count(everything(site)) <= STOCK_QUOTA - RULES_OF_THE_DEFAULT_GROUP


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_host_has_the_rules_of_its_kind_from_two_groups_and_each_of_them_once(site: str) -> None:
    for settings in (config.parse(stack.configuration(site)), everything(site)):
        groups = firewall.grouped(settings)
        assert set(groups) == {firewall.EVERY, *KINDS}
        for role in KINDS:
            found = [*groups[firewall.EVERY], *groups[role]]
            assert len(found) == len(set(found)) and {*found} == {*firewall.rules(settings, role)}
        assert not [rule.key for rule in groups["db"] if all(rule in firewall.rules(settings, role) for role in KINDS)]


def test_each_further_resolver_takes_two_rules_and_each_further_network_of_operators_one(settings: Settings) -> None:
    values = stack.configuration("a", monitoring=None)
    values["regions"]["a"]["dns_servers"] = [*values["regions"]["a"]["dns_servers"], "192.0.2.54"]
    assert firewall.count(config.parse(values)) == firewall.count(settings) + 2
    values["operator_cidrs"] = [*values["operator_cidrs"], "198.51.100.0/24"]
    assert firewall.count(config.parse(values)) == firewall.count(settings) + 3


def test_the_documents_say_how_many_rules_a_site_takes(settings: Settings) -> None:
    said = (stack.ROOT / "docs/configuration.md").read_text()
    usual, most = firewall.count(config.parse(stack.configuration("a", monitoring=None))), firewall.count(full_size())
    largest = max(firewall.count(everything(site)) for site in "ab")
    assert usual < most < largest
    assert f"A site takes {usual} security group rules, {most} at full size" in said
    assert f"{largest} at most with all of it" in said


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_block_that_holds_more_than_its_hosts_holds_nobody_elses_address(site: str) -> None:
    """At full size an app host's port is open to some addresses that nobody has; never to one of another kind of host, or of DHCP."""
    everybody = full_size(site)
    apps = {IPv4Address(it.vrack) for it in everybody.hosts.values() if it.role == "app"}
    assert len(apps) == 2 * MAX_APP_HOSTS
    offsets = [region.vrack_offset for region in everybody.regions.values()]
    octets = {*range(VRACK_POOL[0], VRACK_POOL[1] + 1)}
    octets |= {kind.octet + number for kind in KINDS.values() if kind.name != "app" for number in range(kind.most)}
    taken = {IPv4Address(at(everybody.vrack.cidr, octet + offset)) for octet in octets for offset in offsets}
    blocks = [IPv4Network(prefix) for prefix in flows(everybody, "app", 8443)]
    opened_to = {address for block in blocks for address in block}
    assert len(blocks) == 4, "two a site"
    assert apps <= opened_to and not opened_to & taken
    assert len(opened_to - apps) < len(apps), "few"


def test_a_usual_site_is_open_to_its_hosts_addresses_and_no_other(settings: Settings) -> None:
    apps = {f"{it.vrack}/32" for it in settings.hosts.values() if it.role == "app"}
    assert opened(settings, "app", 8443) == apps


def test_who_watches_is_let_in_by_address_and_tells_people_where_they_are() -> None:
    watched = config.parse(stack.configuration("a"))
    both = {"10.100.0.31/32", "10.100.0.131/32"}
    assert all(flows(watched, role, 9100) == both for role in ("db", "cache", "app"))
    for port in (9100, 9090, 9093, 9094):
        assert flows(watched, "control", port) == {"10.100.0.131/32"}, "what it asks itself leaves no host"
    (rule,) = (it for it in firewall.rules(watched, "control") if it.key == "watch-control-1-peer")
    listens = {port.number for port in KINDS["control"].ports if port.watched}
    assert (rule.port, rule.last) == (min(listens), max(listens)), "one rule for all of them"
    more = outgoing(watched, "control") - outgoing(config.parse(stack.configuration("a", monitoring=None)), "control")
    assert more == {
        ("tcp", 9090, VRACK),  # to 9100
        *(("tcp", port, "0.0.0.0/0") for port in (587, 8443)),
    }
    store = {
        "email": stack.MAIL,
        "remote_write": {"url": "https://store.example:8480/insert/0/prometheus/api/v1/write"},
    }
    stored = config.parse(stack.configuration("a", monitoring=store))
    assert outgoing(stored, "control") - outgoing(watched, "control") == {("tcp", 8480, "0.0.0.0/0")}
    assert outgoing(stored, "app") == outgoing(watched, "app")
    assert not {9090, 9093, 9094, 9100} & {rule[1] for rule in outgoing(watched, "app")}


@pytest.mark.parametrize("site", ["a", "b"])
def test_journals_come_from_hosts_of_the_other_site_alone_and_sending_takes_no_rule(site: str) -> None:
    everybody = full_size(site, logs={})
    without = full_size(site)
    others = {IPv4Address(it.vrack) for it in everybody.hosts.values() if it.site != site}
    own = {IPv4Address(it.vrack) for it in everybody.hosts.values() if it.site == site}
    offsets = [region.vrack_offset for region in everybody.regions.values()]
    pools = {IPv4Address(at(everybody.vrack.cidr, octet + offset)) for octet in range(60, 90) for offset in offsets}
    opened_to = {address for prefix in flows(everybody, "control", 443) for address in IPv4Network(prefix)}
    assert others <= opened_to and not opened_to & (own | pools)
    assert all(outgoing(everybody, role) == outgoing(without, role) for role in KINDS)
    assert 2 <= firewall.count(everybody) - firewall.count(without) <= 3


@pytest.mark.parametrize("site", ["a", "b"])
def test_journals_go_to_a_store_by_one_rule_that_lets_the_own_sites_hosts_come_and_one_more_on_a_port_of_its_own(
    site: str,
) -> None:
    copied, stored = full_size(site, logs={}), full_size(site, logs={"store": stack.JOURNALS})
    (more,) = {*firewall.rules(stored, "control")} - {*firewall.rules(copied, "control")}
    assert (more.direction, more.protocol, more.port) == ("ingress", "tcp", 443)
    front = stored.region.front_cidr
    opened_to = {*IPv4Network(more.prefix)}
    own = {IPv4Address(it.front) for it in stored.hosts.values() if it.site == site}
    assert own <= opened_to
    assert not opened_to & {IPv4Address(at(front, octet)) for octet in range(FRONT_POOL[0], FRONT_POOL[1] + 1)}
    assert all(firewall.rules(stored, role) == firewall.rules(copied, role) for role in KINDS if role != "control")
    elsewhere = full_size(site, logs={"store": {**stack.JOURNALS, "url": "https://logs.example:9428/insert/journald"}})
    assert outgoing(elsewhere, "control") - outgoing(stored, "control") == {("tcp", 9428, "0.0.0.0/0")}
    assert outgoing(elsewhere, "app") == outgoing(stored, "app")


def test_plain_http_is_let_in_by_two_rules_that_hold_the_balancers_and_no_host(settings: Settings) -> None:
    """nginx, which is behind it, knows the balancer by its exact networks."""
    found = {IPv4Network(it) for it in flows(settings, "app", 80)}
    assert len(found) == 2
    wanted = {IPv4Network(it) for it in balancer_networks(settings.region.front_cidr)}
    assert all(any(it.subnet_of(each) for each in found) for it in wanted)
    everybody = full_size()
    assert not [it.front for it in everybody.hosts.values() if any(IPv4Address(it.front) in each for each in found)]
    assert {IPv4Network(it) for it in flows(settings, "app", 443)} == wanted


def test_two_neighbours_that_fill_no_block_keep_a_rule_each(settings: Settings) -> None:
    """Standing installations of the usual size see no rule come or go."""
    names = {rule.key for rule in firewall.rules(settings, "db") if rule.port == 5432}
    assert {"postgres-app-1-own", "postgres-app-2-own", "postgres-app-1-peer", "postgres-app-2-peer"} <= names


def outgoing(settings: Settings, role: str) -> set[tuple[str | None, int | None, str]]:
    return {
        (rule.protocol, rule.port, rule.prefix) for rule in firewall.rules(settings, role) if rule.direction == "egress"
    }


EVERYBODY = {
    ("udp", 53, "192.0.2.53/32"),
    ("tcp", 53, "192.0.2.53/32"),
    ("udp", 123, "0.0.0.0/0"),
    ("tcp", 80, "0.0.0.0/0"),
    ("tcp", 443, "0.0.0.0/0"),
    ("tcp", 7070, "0.0.0.0/0"),  # the rehearsal's buckets
}
VRACK = "10.100.0.0/24"


@pytest.mark.parametrize(
    ("role", "own"),
    [
        ("db", {("tcp", 5432, VRACK), ("tcp", 7600, VRACK)}),
        ("cache", {("tcp", 6379, VRACK), ("tcp", 7600, VRACK)}),
        ("app", {("tcp", 5432, VRACK), ("tcp", 6379, VRACK), ("tcp", 8443, VRACK)}),
        ("control", {("tcp", 22, VRACK), ("tcp", 22, "10.1.0.0/24")}),
    ],
)
def test_a_host_opens_what_it_needs_and_nothing_else(
    settings: Settings, role: str, own: set[tuple[str | None, int | None, str]]
) -> None:
    assert outgoing(settings, role) == EVERYBODY | own


def test_buckets_behind_https_take_no_rule_of_their_own() -> None:
    values = stack.configuration("a")
    values["witness"]["endpoint"] = "https://s3.de.io.cloud.ovh.net"
    for site in "ab":
        values["regions"][site]["s3_endpoint"] = "https://s3.gra.io.cloud.ovh.net:443"
    real = config.parse(values)
    assert not [rule for role in KINDS for rule in outgoing(real, role) if rule[1] == 7070]


def test_a_shop_that_needs_more_gets_it_on_its_own_hosts_alone() -> None:
    values = stack.configuration("a", monitoring=None)
    values["app"] = {**values["app"], "outgoing_ports": [587, "443"]}
    mailing = config.parse(values)
    assert ("tcp", 587, "0.0.0.0/0") in outgoing(mailing, "app")
    assert not [role for role in KINDS if role != "app" and ("tcp", 587, "0.0.0.0/0") in outgoing(mailing, role)]
    names = [rule.key for rule in firewall.rules(mailing, "app")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("wrong", ["smtp", 0, 65536, "1-1024", True, -1])
def test_what_is_no_port_is_refused(wrong: object) -> None:
    values = stack.configuration("a")
    values["app"] = {**values["app"], "outgoing_ports": [wrong]}
    with pytest.raises(ConfigError, match="outgoing_ports"):
        config.parse(values)


@pytest.mark.parametrize("full", [False, True])
def test_whom_a_host_lets_in_may_open_the_way_to_it(settings: Settings, full: bool) -> None:
    """Two lists of one thing, at both its ends: from each to each other host of both sites."""
    both = full_size() if full else settings
    for asker in (it for it in both.hosts.values() if it.site == both.site):
        for target in (it for it in both.hosts.values() if it != asker):
            told = (
                both if target.site == both.site else full_size("b") if full else config.parse(stack.configuration("b"))
            )
            for port in (22, 5432, 6379, 7600, 8443, 26379):
                may = any(reaches(it, port, target.vrack) for it in outgoing(both, asker.role))
                lets = f"{asker.vrack}/32" in opened(told, target.role, port)
                assert may or not lets, f"{asker.key} is let in at {target.key}:{port} and may not open it"


def reaches(rule: tuple[str | None, int | None, str], port: int, address: str) -> bool:
    return rule[:2] == ("tcp", port) and IPv4Address(address) in IPv4Network(rule[2])


def test_no_rule_is_of_ipv6_and_none_opens_everything(settings: Settings) -> None:
    for role in KINDS:
        for rule in firewall.rules(settings, role):
            assert ":" not in rule.prefix
            assert rule.protocol is not None and (rule.port is not None or rule.protocol == "icmp"), rule
