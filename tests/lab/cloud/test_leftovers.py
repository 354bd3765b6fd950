"""What an interrupted run left behind is cleared when nothing hangs on it, and left alone when something does: asked of the lab's cloud."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from contract.access import OpenStack, Ovh
from contract.errors import Failed, Refused
from scripts.clients.openstack import ApiDown, Cloud
from scripts.leftovers import balancers, boots, found, network, patience, room, servers
from scripts.leftovers.boots import Boots
from scripts.leftovers.clear import Leftovers
from tests.lab.cloud.tenant import PROJECT, REGION, Tenant

ROOTS = {"image": "", "compute": "/v2.1", "network": "", "volumev3": f"/v3/{PROJECT}", "load-balancer": ""}


class TenantsCloud(Cloud):
    """The real one over a tenant, without sockets; whatever is under way comes to its end after each call."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant, self.region = tenant, REGION

    def ask(self, method: str, service: str, path: str, body: Any = None) -> dict[str, Any]:
        reply = self.tenant.ask(service, method, ROOTS[service] + path, body)
        self.tenant.settle()
        if reply.status >= 400:
            raise ApiDown(f"{method} {path}: answered {reply.status} {reply.body}", reply.status)
        return reply.body or {}


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


@pytest.fixture
def cloud(tenant: Tenant) -> TenantsCloud:
    return TenantsCloud(tenant)


def cleared(found: list[Any]) -> list[str | None]:
    """Clears what may be cleared; why the rest was held."""
    for item in found:
        if item.held_by is None:
            item.remove()
    return [item.held_by for item in found]


def make(tenant: Tenant, collection: str, **fields: Any) -> dict[str, Any]:
    body = tenant.ok("network", "POST", f"/v2.0/{collection}", {collection.rstrip("s").replace("-", "_"): fields})
    return dict(body)


def subnet_of(tenant: Tenant, identity: str) -> str:
    return str(tenant.ok("network", "GET", f"/v2.0/networks/{identity}")["subnets"][0])


def test_a_bare_network_goes_and_one_with_a_subnet_stays(tenant: Tenant, cloud: TenantsCloud) -> None:
    bare = make(tenant, "networks", name="front")
    used = tenant.network()
    held = cleared(network.networks(cloud, {"name": "front"}))
    assert sorted(held, key=str) == sorted([None, f"it has subnets ({subnet_of(tenant, used)})"], key=str)
    assert [item["id"] for item in network.listed(cloud, "networks", name="front")] == [used]
    assert bare["id"] != used


def test_a_network_of_another_name_is_nobodys_business(tenant: Tenant, cloud: TenantsCloud) -> None:
    make(tenant, "networks", name="another")
    assert network.networks(cloud, {"name": "front"}) == []


def test_a_subnet_goes_until_a_port_has_an_address_in_it(tenant: Tenant, cloud: TenantsCloud) -> None:
    where = tenant.network()
    port = tenant.port(where)
    inputs = {"networkId": where, "cidr": "10.1.0.0/24"}
    assert cleared(network.subnets(cloud, inputs)) == [f"it has ports ({port})"]
    tenant.ask("network", "DELETE", f"/v2.0/ports/{port}")
    assert cleared(network.subnets(cloud, inputs)) == [None]
    assert network.listed(cloud, "subnets", network_id=where) == []


def test_a_port_goes_until_a_server_uses_it(tenant: Tenant, cloud: TenantsCloud) -> None:
    where = tenant.network()
    address = [{"subnet_id": subnet_of(tenant, where), "ip_address": "10.1.0.11"}]
    inputs = {"networkId": where, "name": "db-1-front", "fixedIps": [{"ipAddress": "10.1.0.11"}]}
    port = make(tenant, "ports", network_id=where, name="db-1-front", fixed_ips=address)["id"]
    server = tenant.server({"port": port})
    assert cleared(network.ports(cloud, inputs)) == [f"compute:nova {server} uses it"]
    tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}")
    tenant.settle()
    assert cleared(network.ports(cloud, inputs)) == [None]
    assert network.ports(cloud, inputs) == []


def test_a_port_of_another_name_at_our_address_is_left_and_named(tenant: Tenant, cloud: TenantsCloud) -> None:
    where = tenant.network()
    address = [{"subnet_id": subnet_of(tenant, where), "ip_address": "10.1.0.11"}]
    make(tenant, "ports", network_id=where, name="printer", fixed_ips=address)
    inputs = {"networkId": where, "name": "db-1-front", "fixedIps": [{"ipAddress": "10.1.0.11"}]}
    assert cleared(network.ports(cloud, inputs)) == ["its name is 'printer'"]


def test_a_router_goes_until_it_has_an_interface_and_the_interface_goes_alone(
    tenant: Tenant, cloud: TenantsCloud
) -> None:
    where = tenant.network()
    subnet, router = subnet_of(tenant, where), make(tenant, "routers", name="way-out")["id"]
    side = tenant.ask("network", "PUT", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet}).body[
        "port_id"
    ]
    assert cleared(network.routers(cloud, {"name": "way-out"})) == [f"it has interfaces ({side})"]
    assert cleared(network.router_interfaces(cloud, {"routerId": router, "subnetId": subnet})) == [None]
    assert cleared(network.routers(cloud, {"name": "way-out"})) == [None]
    assert network.listed(cloud, "routers", name="way-out") == []


def test_a_group_goes_until_a_port_uses_it_and_the_same_rule_goes(tenant: Tenant, cloud: TenantsCloud) -> None:
    group = make(tenant, "security-groups", name="db")["id"]
    rule = {
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 5432,
        "port_range_max": 5432,
    }
    make(tenant, "security-group-rules", security_group_id=group, remote_ip_prefix="10.100.0.0/24", **rule)
    inputs = {
        "securityGroupId": group,
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "portRangeMin": 5432,
        "portRangeMax": 5432,
    }
    assert network.rules(cloud, {**inputs, "remoteIpPrefix": "10.1.0.0/24"}) == []
    assert cleared(network.rules(cloud, {**inputs, "remoteIpPrefix": "10.100.0.0/24"})) == [None]
    assert network.rules(cloud, {**inputs, "remoteIpPrefix": "10.100.0.0/24"}) == []
    port = make(tenant, "ports", network_id=tenant.network(), security_groups=[group])["id"]
    assert cleared(network.groups(cloud, {"name": "db"})) == [f"it has ports ({port})"]
    tenant.ask("network", "DELETE", f"/v2.0/ports/{port}")
    assert cleared(network.groups(cloud, {"name": "db"})) == [None]
    assert network.groups(cloud, {"name": "db"}) == []


def test_a_floating_address_that_is_bound_stays(tenant: Tenant, cloud: TenantsCloud) -> None:
    outside = next(item["id"] for item in network.listed(cloud, "networks") if item["router:external"])
    inputs = {"description": "shop-a-bastion"}
    make(tenant, "floatingips", floating_network_id=outside, description="shop-a-bastion")
    where = tenant.network()
    router = make(tenant, "routers", name="way-out", external_gateway_info={"network_id": outside})["id"]
    tenant.ask(
        "network", "PUT", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet_of(tenant, where)}
    )
    port = tenant.port(where)
    make(tenant, "floatingips", floating_network_id=outside, description="shop-a-bastion", port_id=port)
    assert sorted(cleared(network.floating_ips(cloud, inputs)), key=str) == sorted(
        [None, f"it is bound to port {port}"], key=str
    )
    assert [item["port_id"] for item in network.listed(cloud, "floatingips", **inputs)] == [port]


def test_a_server_on_our_ports_goes_and_one_with_a_volume_or_other_ports_stays(
    tenant: Tenant, cloud: TenantsCloud
) -> None:
    where = tenant.network()
    port = tenant.port(where)
    server, inputs = (
        tenant.server({"port": port}, name="shop-a-db-1"),
        {"name": "shop-a-db-1", "networks": [{"port": port}]},
    )
    assert cleared(servers.servers(cloud, {**inputs, "networks": []})) == [
        f"it uses ports that are not this stack's ({port})"
    ]
    volume = tenant.volume()
    tenant.attach(server, volume)
    tenant.settle()
    assert cleared(servers.servers(cloud, inputs)) == [f"it has volumes ({volume})"]
    attached = {"instanceId": server, "volumeId": volume}
    assert cleared(servers.attachments(cloud, attached, lambda: "a database may be writing to it")) == [
        "a database may be writing to it"
    ]
    assert cleared(servers.volumes(cloud, {"name": "data"})) == ["a volume may hold data"]
    assert cleared(servers.attachments(cloud, attached, lambda: None)) == [None]
    assert servers.attachments(cloud, attached, lambda: None) == [], (
        "it is free, and was taken off a server that was down"
    )
    assert tenant.state(server)[0] == "ACTIVE"
    assert cleared(servers.servers(cloud, inputs)) == [None]
    assert tenant.state(server)[0] == "gone"
    assert network.listed(cloud, "ports", network_id=where)[0]["id"] == port, "the port is the stack's own and stays"


def test_a_server_group_goes_until_it_has_a_member(tenant: Tenant, cloud: TenantsCloud) -> None:
    body = {"server_group": {"name": "shop-a-app", "policies": ["anti-affinity"]}}
    group = tenant.ok("compute", "POST", "/v2.1/os-server-groups", body)["id"]
    server = tenant.server({"uuid": tenant.network()}, {"group": group})
    assert cleared(servers.server_groups(cloud, {"name": "shop-a-app"})) == [f"it has members ({server})"]
    tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}")
    tenant.settle()
    assert cleared(servers.server_groups(cloud, {"name": "shop-a-app"})) == [None]
    assert servers.server_groups(cloud, {"name": "shop-a-app"}) == []


def lb(tenant: Tenant, collection: str, **fields: Any) -> dict[str, Any]:
    body = tenant.ok(
        "load-balancer", "POST", f"/v2.0/lbaas/{collection}", {collection.rsplit("/", 1)[-1].rstrip("s"): fields}
    )
    tenant.settle()
    return dict(body)


def test_a_load_balancer_is_cleared_from_its_leaves_to_itself(tenant: Tenant, cloud: TenantsCloud) -> None:
    subnet = subnet_of(tenant, tenant.network())
    balancer = lb(tenant, "loadbalancers", name="shop", vip_subnet_id=subnet)["id"]
    listener = lb(tenant, "listeners", name="https", loadbalancer_id=balancer, protocol="TCP", protocol_port=443)["id"]
    pool = lb(tenant, "pools", name="https", listener_id=listener, protocol="PROXYV2", lb_algorithm="ROUND_ROBIN")["id"]
    monitor = lb(tenant, "healthmonitors", pool_id=pool, type="TCP", delay=5, timeout=3, max_retries=2)["id"]
    member = lb(tenant, f"pools/{pool}/members", address="10.1.0.41", protocol_port=443, subnet_id=subnet)["id"]
    of = {
        balancers.load_balancers: {"name": "shop"},
        balancers.listeners: {"loadbalancerId": balancer, "protocolPort": 443.0},
        balancers.pools: {"name": "https", "listenerId": listener},
    }
    held = [cleared(rule(cloud, inputs)) for rule, inputs in of.items()]
    assert [str(text[0]).split(" (")[0] for text in held] == [
        "it has listeners or pools",
        f"it has pool {pool}",
        "it has members or a monitor",
    ]
    assert member in str(held[2][0]) and monitor in str(held[2][0])
    assert balancers.members(cloud, {"poolId": pool, "address": "10.1.0.42", "protocolPort": 443}) == []
    assert cleared(balancers.members(cloud, {"poolId": pool, "address": "10.1.0.41", "protocolPort": 443})) == [None]
    assert cleared(balancers.monitors(cloud, {"poolId": pool})) == [None]
    assert balancers.monitors(cloud, {"poolId": pool}) == []
    for rule, inputs in reversed(of.items()):
        assert cleared(rule(cloud, inputs)) == [None]
        assert rule(cloud, inputs) == []


def test_a_balancer_in_error_goes_whole_and_no_other_does(tenant: Tenant, cloud: TenantsCloud) -> None:
    subnet = subnet_of(tenant, tenant.network())
    balancer = lb(tenant, "loadbalancers", name="shop", description="generation 1", vip_subnet_id=subnet)["id"]
    listener = lb(tenant, "listeners", name="https", loadbalancer_id=balancer, protocol="TCP", protocol_port=443)["id"]
    pool = lb(tenant, "pools", name="https", listener_id=listener, protocol="PROXYV2", lb_algorithm="ROUND_ROBIN")["id"]
    member = lb(tenant, f"pools/{pool}/members", address="10.1.0.41", protocol_port=443, subnet_id=subnet)["id"]
    state = tenant.cloud.region(REGION)
    raised = {"name": "shop", "description": "generation 2"}
    assert balancers.out_of_error(cloud, raised) == [], "one that takes changes is the provider's to delete"
    state.load_balancers[balancer]["provisioning_status"] = "ERROR"
    refused = tenant.ask("load-balancer", "DELETE", f"/v2.0/lbaas/pools/{pool}/members/{member}")
    assert (refused.status, refused.body["faultstring"]) == (409, f"Pool {pool} is immutable and cannot be updated.")
    assert tenant.ask("load-balancer", "DELETE", f"/v2.0/lbaas/loadbalancers/{balancer}").status == 400
    assert balancers.out_of_error(cloud, {"name": "shop", "description": "generation 1"}) == [], "it was just made"
    (told,) = balancers.out_of_error(cloud, raised)
    assert told.startswith(f"load balancer shop ({balancer}): was in ERROR")
    kinds = (state.load_balancers, state.listeners, state.pools, state.members)
    assert [len(kind) for kind in kinds] == [0, 0, 0, 0]


def test_a_server_in_error_goes_when_a_later_generation_is_wanted(tenant: Tenant, cloud: TenantsCloud) -> None:
    where = tenant.network()
    wanted = Boots(site="a", image_id=tenant.image, flavors={"db": tenant.flavor})
    tenant.backend.fail_next["boot_server"] = "no space left for the disk"
    broken = tenant.server({"uuid": where}, name="shop-a-db-1", metadata={"generation": "1"})
    standing = tenant.server({"uuid": where}, name="shop-a-db-2", metadata={"generation": "1"})
    (reason,) = boots.failures(cloud, {"name": "shop-a-db-1"})
    assert reason == f"server shop-a-db-1 ({broken}): is in ERROR (no space left for the disk)"
    inputs = {"name": "shop-a-db-1", "kind": "db", "generation": 1.0}
    assert boots.replacement(cloud, inputs, wanted) == [], "it is the one that is wanted"
    with pytest.raises(Refused, match="its image nowhere is missing"):
        boots.replacement(cloud, {**inputs, "generation": 2.0}, dataclasses.replace(wanted, image_id="nowhere"))
    assert tenant.state(broken)[0] == "ERROR", "refused, and so it was left alone"
    assert boots.replacement(cloud, {**inputs, "generation": 2.0}, wanted) == [f"{reason}; removed, to be made anew"]
    assert tenant.state(broken)[0] == "gone"
    assert boots.replacement(cloud, {**inputs, "name": "shop-a-db-2", "generation": 2.0}, wanted) == []
    assert tenant.state(standing)[0] == "ACTIVE", "one that runs is the provider's to delete"


def test_a_site_is_not_begun_without_room_for_all_of_it() -> None:
    tenant = Tenant(security_group_rule=20)
    cloud = TenantsCloud(tenant)
    held = len(tenant.ok("network", "GET", "/v2.0/security-group-rules"))
    room.check(cloud, PROJECT, 20 - held)
    with pytest.raises(Refused, match=rf"is 20 with {held} in use, wanted room for {21 - held} more"):
        room.check(cloud, PROJECT, 21 - held)
    tenant.cloud.region(REGION).quotas["security_group_rule"] = -1
    room.check(cloud, PROJECT, 10_000)


def test_an_api_that_does_not_answer_is_told_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "REST_S", 0.0)
    nowhere = OpenStack(
        auth_url="http://127.0.0.1:9/v3", user="u", password="secret-word", project_id="p", domain="Default"
    )
    keys = dict.fromkeys(("application_key", "application_secret", "consumer_key"), "secret-word")
    seen = Leftovers(
        nowhere,
        "GRA11",
        Ovh(endpoint="http://127.0.0.1:9/1.0", **keys),
        lambda: None,
        Boots(site="a", image_id="i", flavors={}),
    )
    told = seen.clear("openstack:networking/network:Network", {"name": "front"})
    assert [text.split(":")[0] for text in told] == ["could not see whether an interrupted run left a Network"]
    assert "secret-word" not in told[0]


def test_a_wait_that_is_over_says_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "GONE_S", 0.0)
    with pytest.raises(Failed, match="server x: not SHUTOFF 0 s after os-stop was asked for"):
        found.await_end("server x", lambda: True, "not SHUTOFF", "os-stop")
    with pytest.raises(Failed, match="port y: still there 0 s after its removal was asked for"):
        found.await_gone("port y", lambda: True)
