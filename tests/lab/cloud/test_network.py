"""Neutron of the lab: addresses, conflicts, order of removal, and what reaches the machinery."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lab.cloud.backend import BackendError, Nic, RouterInterface, Rule
from lab.cloud.network import ports
from lab.cloud.web import ApiError
from tests.lab.cloud.fabric import A, B, Fabric


def address(port: Any) -> str:
    return str(port["fixed_ips"][0]["ip_address"])


def ext_net(fabric: Fabric, region: str = A) -> str:
    return fabric.cloud.settings(region).external.id


def floating(fabric: Fabric, port_id: str | None = None) -> Any:
    wanted = {"floating_network_id": ext_net(fabric), **({"port_id": port_id} if port_id else {})}
    return fabric.neutron[A].ok("POST", "/v2.0/floatingips", {"floatingip": wanted})


# Addresses


def test_addresses_come_from_the_pools_lowest_first_and_never_the_gateway(fabric: Fabric) -> None:
    net, subnet = fabric.network("10.1.0.0/29")
    assert [address(fabric.port(net)) for _ in range(5)] == ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]
    for more in ({}, {"fixed_ips": [{"subnet_id": subnet}]}):
        body = {"port": {"network_id": net, **more}}
        assert fabric.neutron[A].refused("POST", "/v2.0/ports", body)[:2] == (409, "IpAddressGenerationFailure")


def test_a_fixed_address_may_lie_outside_the_pools(fabric: Fabric) -> None:
    net, subnet = fabric.network(allocation_pools=[{"start": "10.1.0.200", "end": "10.1.0.239"}])
    assert address(fabric.port(net)) == "10.1.0.200"
    assert address(fabric.port(net, fixed_ips=[{"subnet_id": subnet, "ip_address": "10.1.0.11"}])) == "10.1.0.11"
    assert address(fabric.port(net, fixed_ips=[{"ip_address": "10.1.0.12"}])) == "10.1.0.12"


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"ip_address": "10.1.0.11"}, 409, "IpAddressAlreadyAllocated"),
        ({"ip_address": "10.9.0.11"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "10.1.0.255"}, 400, "InvalidIpForNetwork"),
        ({"ip_address": "none"}, 400, "HTTPBadRequest"),
        ({"subnet_id": "00000000-0000-4000-8000-000000000000"}, 404, "SubnetNotFound"),
    ],
)
def test_an_address_that_cannot_be_had_is_refused(
    fabric: Fabric, asked: dict[str, str], status: int, kind: str
) -> None:
    net, _ = fabric.network()
    fabric.port(net, fixed_ips=[{"ip_address": "10.1.0.11"}])
    assert fabric.neutron[A].refused("POST", "/v2.0/ports", {"port": {"network_id": net, "fixed_ips": [asked]}})[
        :2
    ] == (status, kind)


def test_a_deleted_port_gives_its_address_back(fabric: Fabric) -> None:
    net, _ = fabric.network()
    port = fabric.port(net, fixed_ips=[{"ip_address": "10.1.0.11"}])
    fabric.neutron[A].ok("DELETE", f"/v2.0/ports/{port['id']}")
    assert address(fabric.port(net, fixed_ips=[{"ip_address": "10.1.0.11"}])) == "10.1.0.11"


def test_a_public_address_given_back_is_not_the_next_one(fabric: Fabric) -> None:
    first = floating(fabric)
    fabric.neutron[A].ok("DELETE", f"/v2.0/floatingips/{first['id']}")
    assert floating(fabric)["floating_ip_address"] != first["floating_ip_address"]


def test_ports_made_at_the_same_time_get_different_addresses(fabric: Fabric) -> None:
    net, _ = fabric.network()
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(address(fabric.port(net)))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 12


def test_a_mac_address_is_used_once(fabric: Fabric) -> None:
    net, _ = fabric.network()
    mac = fabric.port(net)["mac_address"]
    body = {"port": {"network_id": net, "mac_address": mac}}
    assert fabric.neutron[A].refused("POST", "/v2.0/ports", body)[:2] == (409, "MacAddressInUse")


# Networks and subnets


def test_a_vrack_network_is_the_vlan_it_names_in_both_regions(fabric: Fabric) -> None:
    values = {"name": "vrack", "provider:network_type": "vrack", "provider:segmentation_id": "42"}
    made = {region: fabric.neutron[region].ok("POST", "/v2.0/networks", {"network": values}) for region in (A, B)}
    assert made[A]["provider:segmentation_id"] == 42
    assert fabric.backend.of("ensure_network") == [(A, made[A]["id"], 42, 1500), (B, made[B]["id"], 42, 1500)]
    assert fabric.neutron[A].refused("POST", "/v2.0/networks", {"network": values})[:2] == (409, "VlanIdInUse")


def test_a_plain_network_is_of_its_region_alone(fabric: Fabric) -> None:
    net = fabric.neutron[A].ok("POST", "/v2.0/networks", {"network": {"name": "front", "mtu": 1450}})
    assert fabric.backend.of("ensure_network") == [(A, net["id"], None, 1450)]


def test_ext_net_is_shared_and_cannot_be_deleted(fabric: Fabric) -> None:
    found = fabric.neutron[A].ok("GET", "/v2.0/networks?name=Ext-Net")
    assert [(net["id"], net["router:external"], net["shared"], net["status"]) for net in found] == [
        (ext_net(fabric), True, True, "ACTIVE")
    ]
    assert fabric.neutron[A].refused("DELETE", f"/v2.0/networks/{ext_net(fabric)}")[:2] == (403, "PolicyNotAuthorized")


def test_a_subnet_without_gateway_leaves_the_first_address_free(fabric: Fabric) -> None:
    net, subnet = fabric.network(gateway_ip=None)
    shown = fabric.neutron[A].ok("GET", f"/v2.0/subnets/{subnet}")
    assert (shown["gateway_ip"], shown["allocation_pools"]) == (None, [{"start": "10.1.0.1", "end": "10.1.0.254"}])
    assert address(fabric.port(net)) == "10.1.0.1"


@pytest.mark.parametrize(
    ("asked", "status", "kind"),
    [
        ({"cidr": "10.2.0.0/99"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.128/25"}, 400, "InvalidInput"),
        (
            {"cidr": "10.2.0.0/24", "allocation_pools": [{"start": "10.3.0.1", "end": "10.3.0.9"}]},
            400,
            "OutOfBoundsAllocationPool",
        ),
        (
            {"cidr": "10.2.0.0/24", "allocation_pools": [{"start": "10.2.0.9", "end": "10.2.0.5"}]},
            400,
            "InvalidAllocationPool",
        ),
        (
            {"cidr": "10.2.0.0/24", "allocation_pools": [{"start": "10.2.0.1", "end": "10.2.0.9"}]},
            409,
            "GatewayConflictWithAllocationPools",
        ),
        ({"cidr": "10.2.0.0/24", "dns_nameservers": ["nope"]}, 400, "HTTPBadRequest"),
        ({"cidr": "10.2.0.0/24", "nonsense": 1}, 400, "HTTPBadRequest"),
    ],
)
def test_a_subnet_that_cannot_be_is_refused(fabric: Fabric, asked: dict[str, Any], status: int, kind: str) -> None:
    net, _ = fabric.network("10.1.0.0/24")
    body = {"subnet": {"network_id": net, "ip_version": 4, **asked}}
    assert fabric.neutron[A].refused("POST", "/v2.0/subnets", body)[:2] == (status, kind)


# Order of removal


def test_things_go_in_the_order_in_which_they_need_each_other(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    group = fabric.group()
    net, subnet = fabric.network()
    port = fabric.port(net, security_groups=[group])["id"]
    router = fabric.routed(subnet)
    public = floating(fabric, port)["id"]
    interface = f"/v2.0/routers/{router}/remove_router_interface"
    steps = [
        (
            "PUT",
            f"/v2.0/routers/{router}",
            {"router": {"external_gateway_info": {}}},
            "RouterExternalGatewayInUseByFloatingIp",
        ),
        ("PUT", interface, {"subnet_id": subnet}, "RouterInterfaceInUseByFloatingIP"),
        ("DELETE", f"/v2.0/routers/{router}", None, "RouterInUse"),
        ("DELETE", f"/v2.0/subnets/{subnet}", None, "SubnetInUse"),
        ("DELETE", f"/v2.0/networks/{net}", None, "NetworkInUse"),
        ("DELETE", f"/v2.0/security-groups/{group}", None, "SecurityGroupInUse"),
    ]
    for method, path, body, kind in steps:
        assert neutron.refused(method, path, body)[:2] == (409, kind)
    for method, path, body in (
        ("DELETE", f"/v2.0/floatingips/{public}", None),
        ("PUT", interface, {"subnet_id": subnet}),
        ("DELETE", f"/v2.0/routers/{router}", None),
        ("DELETE", f"/v2.0/ports/{port}", None),
        ("DELETE", f"/v2.0/subnets/{subnet}", None),
        ("DELETE", f"/v2.0/networks/{net}", None),
        ("DELETE", f"/v2.0/security-groups/{group}", None),
    ):
        neutron.ok(method, path, body)
    assert fabric.backend.of("delete_router") == [(A, router)]
    assert fabric.backend.of("delete_network") == [(A, net)]


def test_a_router_interface_is_not_deleted_as_a_port(fabric: Fabric) -> None:
    _, subnet = fabric.network()
    router = fabric.routed(subnet)
    port = fabric.neutron[A].ok("GET", f"/v2.0/ports?device_id={router}")[0]["id"]
    assert fabric.neutron[A].refused("DELETE", f"/v2.0/ports/{port}")[:2] == (409, "ServicePortInUse")


# Security groups


ANY_OUT = Rule(direction="egress")


@pytest.mark.parametrize(
    ("rule", "compiled"),
    [
        (
            {"protocol": "tcp", "port_range_min": 443, "port_range_max": 443, "remote_ip_prefix": "10.1.0.9/24"},
            Rule(direction="ingress", protocol="tcp", port_min=443, port_max=443, remote="10.1.0.0/24"),
        ),
        ({"protocol": "icmp", "remote_ip_prefix": "0.0.0.0/0"}, Rule(direction="ingress", protocol="icmp")),
        (
            {"protocol": 6, "port_range_min": 1, "port_range_max": 9},
            Rule(direction="ingress", protocol="tcp", port_min=1, port_max=9),
        ),
        ({"protocol": "any", "remote_ip_prefix": "192.0.2.7"}, Rule(direction="ingress", remote="192.0.2.7/32")),
        ({"direction": "egress"}, ANY_OUT),
    ],
)
def test_rules_reach_the_port_as_they_were_written(fabric: Fabric, rule: dict[str, Any], compiled: Rule) -> None:
    net, _ = fabric.network()
    port = fabric.port(net, security_groups=[fabric.group(rule)])
    assert fabric.backend.of("set_port_rules") == [(A, port["id"], (compiled,))]


def test_a_group_without_its_default_rules_lets_nothing_through(fabric: Fabric) -> None:
    net, _ = fabric.network()
    fabric.port(net, security_groups=[fabric.group()])
    assert fabric.backend.last("set_port_rules") == ()


def test_a_new_group_lets_everything_out_and_nothing_in(fabric: Fabric) -> None:
    net, _ = fabric.network()
    group = fabric.neutron[A].ok("POST", "/v2.0/security-groups", {"security_group": {"name": "g"}})
    assert {(rule["direction"], rule["ethertype"]) for rule in group["security_group_rules"]} == {
        ("egress", "IPv4"),
        ("egress", "IPv6"),
    }
    fabric.port(net, security_groups=[group["id"]])
    assert fabric.backend.last("set_port_rules") == (ANY_OUT,)


def test_a_rule_for_ipv6_opens_nothing_of_ipv4(fabric: Fabric) -> None:
    net, _ = fabric.network()
    fabric.port(net, security_groups=[fabric.group({"ethertype": "IPv6", "direction": "egress"})])
    assert fabric.backend.last("set_port_rules") == ()


def test_the_default_group_lets_everything_through(fabric: Fabric) -> None:
    net, _ = fabric.network()
    fabric.port(net)
    assert fabric.backend.last("set_port_rules") == (ANY_OUT, Rule(direction="ingress"))


def test_without_port_security_nothing_is_filtered(fabric: Fabric) -> None:
    net, _ = fabric.network()
    fabric.port(net, port_security_enabled=False)
    assert fabric.backend.last("set_port_rules") is None
    body = {"port": {"network_id": net, "port_security_enabled": False, "security_groups": [fabric.group()]}}
    assert fabric.neutron[A].refused("POST", "/v2.0/ports", body)[:2] == (
        400,
        "PortSecurityAndIPRequiredForSecurityGroups",
    )


def test_a_change_of_rules_reaches_all_ports_of_the_group(fabric: Fabric) -> None:
    net, _ = fabric.network()
    group = fabric.group()
    inside = {fabric.port(net, security_groups=[group])["id"] for _ in range(2)}
    fabric.port(net, security_groups=[])
    fabric.backend.calls.clear()
    body = {"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "udp"}}
    rule = fabric.neutron[A].ok("POST", "/v2.0/security-group-rules", body)
    assert {(args[1], args[2]) for args in fabric.backend.of("set_port_rules")} == {
        (port, (Rule(direction="ingress", protocol="udp"),)) for port in inside
    }
    fabric.backend.calls.clear()
    fabric.neutron[A].ok("DELETE", f"/v2.0/security-group-rules/{rule['id']}")
    assert {(args[1], args[2]) for args in fabric.backend.of("set_port_rules")} == {(port, ()) for port in inside}


def test_a_remote_group_means_the_addresses_of_its_ports_of_the_moment(fabric: Fabric) -> None:
    net, _ = fabric.network()
    members = fabric.group()
    watcher = fabric.port(net, security_groups=[fabric.group({"protocol": "tcp", "remote_group_id": members})])["id"]

    def admitted() -> list[str | None]:
        return [
            rule.remote for rule in [args for args in fabric.backend.of("set_port_rules") if args[1] == watcher][-1][2]
        ]

    assert admitted() == []
    first = fabric.port(net, security_groups=[members], fixed_ips=[{"ip_address": "10.1.0.11"}])["id"]
    assert admitted() == ["10.1.0.11/32"]
    second = fabric.port(net, fixed_ips=[{"ip_address": "10.1.0.12"}])["id"]
    fabric.neutron[A].ok("PUT", f"/v2.0/ports/{second}", {"port": {"security_groups": [members]}})
    assert admitted() == ["10.1.0.11/32", "10.1.0.12/32"]
    fabric.neutron[A].ok("PUT", f"/v2.0/ports/{second}", {"port": {"fixed_ips": [{"ip_address": "10.1.0.13"}]}})
    assert admitted() == ["10.1.0.11/32", "10.1.0.13/32"]
    pairs = {"port": {"allowed_address_pairs": [{"ip_address": "10.1.0.99"}]}}
    fabric.neutron[A].ok("PUT", f"/v2.0/ports/{second}", pairs)
    assert admitted() == ["10.1.0.11/32", "10.1.0.13/32", "10.1.0.99/32"]
    fabric.neutron[A].ok("DELETE", f"/v2.0/ports/{first}")
    assert admitted() == ["10.1.0.13/32", "10.1.0.99/32"]
    fabric.neutron[A].ok("PUT", f"/v2.0/ports/{second}", {"port": {"security_groups": []}})
    assert admitted() == []


@pytest.mark.parametrize(
    "again", [{}, {"remote_ip_prefix": "0.0.0.0/0"}, {"port_range_min": 1, "port_range_max": 65535}]
)
def test_the_same_rule_twice_is_refused_and_names_the_first(fabric: Fabric, again: dict[str, Any]) -> None:
    group = fabric.group({"protocol": "tcp"})
    first = fabric.neutron[A].ok("GET", f"/v2.0/security-group-rules?security_group_id={group}")[0]["id"]
    body = {"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "tcp", **again}}
    assert fabric.neutron[A].refused("POST", "/v2.0/security-group-rules", body) == (
        409, "SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {first}."
    )  # fmt: skip


def test_two_changes_at_once_leave_the_port_with_both(fabric: Fabric) -> None:
    """While the first change is still on its way to the machinery, a second one is made: the older rules must not overwrite the newer."""
    net, _ = fabric.network()
    group = fabric.group()
    fabric.port(net, security_groups=[group])
    arrived, go_on = threading.Event(), threading.Event()
    fabric.backend.hold["set_port_rules"] = (arrived, go_on)

    def add(protocol: str) -> None:
        body = {"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": protocol}}
        fabric.neutron[A].ok("POST", "/v2.0/security-group-rules", body)

    first, second = (threading.Thread(target=add, args=(protocol,)) for protocol in ("tcp", "udp"))
    first.start()
    assert arrived.wait(5)
    second.start()
    second.join(0.3)  # it must wait for the first, so this always takes its time
    assert second.is_alive()
    go_on.set()
    first.join(5)
    second.join(5)
    assert {rule.protocol for rule in fabric.backend.last("set_port_rules")} == {"tcp", "udp"}


# Routers and floating IPs


def test_the_router_gets_its_whole_state(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    front, subnet = fabric.network("10.1.0.0/24")
    back, other = fabric.network("10.2.0.0/16")
    router = fabric.routed(subnet)
    neutron.ok("PUT", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": other})
    public = floating(fabric, fabric.port(front, fixed_ips=[{"ip_address": "10.1.0.11"}])["id"])
    fabric.cloud.settle()
    spec = fabric.backend.last("ensure_router")
    gateway = neutron.ok("GET", f"/v2.0/routers/{router}")["external_gateway_info"]["external_fixed_ips"][0][
        "ip_address"
    ]
    macs = {port["network_id"]: port["mac_address"] for port in neutron.ok("GET", f"/v2.0/ports?device_id={router}")}
    assert (spec.region, spec.router_id, spec.external_address) == (A, router, gateway)
    assert set(spec.interfaces) == {
        RouterInterface(network_id=front, address="10.1.0.1", prefix_length=24, mac=macs[front]),
        RouterInterface(network_id=back, address="10.2.0.1", prefix_length=16, mac=macs[back]),
    }
    assert spec.floating == ((public["floating_ip_address"], "10.1.0.11"),)
    neutron.ok("PUT", f"/v2.0/routers/{router}", {"router": {"admin_state_up": False}})
    down = fabric.backend.last("ensure_router")
    assert (down.external_address, down.floating, down.interfaces) == (None, (), spec.interfaces)


def test_an_interface_reaches_the_router_when_it_comes_and_when_it_goes(fabric: Fabric) -> None:
    _, subnet = fabric.network()
    router = fabric.routed(subnet)
    assert [interface.address for interface in fabric.backend.last("ensure_router").interfaces] == ["10.1.0.1"]
    again = fabric.neutron[A].refused("PUT", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet})
    assert again[:2] == (400, "BadRequest")
    fabric.neutron[A].ok("PUT", f"/v2.0/routers/{router}/remove_router_interface", {"subnet_id": subnet})
    assert fabric.backend.last("ensure_router").interfaces == ()


def test_a_floating_ip_becomes_active_and_down_a_moment_later(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    net, subnet = fabric.network()
    fabric.routed(subnet)
    port = fabric.port(net)["id"]
    public = floating(fabric, port)
    assert (public["status"], public["fixed_ip_address"], public["port_details"]["device_owner"]) == (
        "DOWN",
        "10.1.0.2",
        "",
    )
    fabric.cloud.settle()
    path = f"/v2.0/floatingips/{public['id']}"
    assert neutron.ok("GET", path)["status"] == "ACTIVE"
    taken = neutron.ok("PUT", path, {"floatingip": {"port_id": None}})
    assert (taken["port_id"], taken["router_id"], taken["fixed_ip_address"]) == (None, None, None)
    fabric.cloud.settle()
    assert neutron.ok("GET", path)["status"] == "DOWN"
    assert fabric.backend.last("ensure_router").floating == ()


def test_deleting_the_port_takes_its_floating_ip_off(fabric: Fabric) -> None:
    net, subnet = fabric.network()
    fabric.routed(subnet)
    port = fabric.port(net)["id"]
    public = floating(fabric, port)["id"]
    fabric.neutron[A].ok("DELETE", f"/v2.0/ports/{port}")
    fabric.cloud.settle()
    shown = fabric.neutron[A].ok("GET", f"/v2.0/floatingips/{public}")
    assert (shown["status"], shown["port_id"]) == ("DOWN", None)
    assert fabric.backend.last("ensure_router").floating == ()


def test_without_a_router_a_floating_ip_is_refused_and_none_is_left_behind(fabric: Fabric) -> None:
    net, _ = fabric.network()
    port = fabric.port(net)["id"]
    body = {"floatingip": {"floating_network_id": ext_net(fabric), "port_id": port}}
    assert fabric.neutron[A].refused("POST", "/v2.0/floatingips", body)[:2] == (
        404,
        "ExternalGatewayForFloatingIPNotFound",
    )
    assert fabric.neutron[A].ok("GET", "/v2.0/floatingips") == []


def test_a_port_has_one_floating_ip(fabric: Fabric) -> None:
    net, subnet = fabric.network()
    fabric.routed(subnet)
    port = fabric.port(net)["id"]
    floating(fabric, port)
    second = floating(fabric)["id"]
    body = {"floatingip": {"port_id": port}}
    assert fabric.neutron[A].refused("PUT", f"/v2.0/floatingips/{second}", body)[:2] == (
        409,
        "FloatingIPPortAlreadyAssociated",
    )


# When the machinery fails


def test_a_network_that_cannot_be_made_is_in_error(fabric: Fabric) -> None:
    fabric.backend.fail_next["ensure_network"] = "no bridge"
    assert fabric.neutron[A].ok("POST", "/v2.0/networks", {"network": {"name": "n"}})["status"] == "ERROR"


def test_a_floating_ip_of_a_router_in_error_is_in_error(fabric: Fabric) -> None:
    net, subnet = fabric.network()
    router = fabric.routed(subnet)
    port = fabric.port(net)["id"]
    fabric.backend.fail_next["ensure_router"] = "no namespace"
    public = floating(fabric, port)["id"]
    fabric.cloud.settle()
    assert fabric.neutron[A].ok("GET", f"/v2.0/floatingips/{public}")["status"] == "ERROR"
    assert fabric.neutron[A].ok("GET", f"/v2.0/routers/{router}")["status"] == "ERROR"


def test_what_cannot_be_removed_comes_back_in_error_and_can_be_deleted_again(fabric: Fabric) -> None:
    net = fabric.neutron[A].ok("POST", "/v2.0/networks", {"network": {"name": "n"}})["id"]
    fabric.backend.fail_next["delete_network"] = "bridge busy"
    status, _, message = fabric.neutron[A].refused("DELETE", f"/v2.0/networks/{net}")
    assert status == 500
    assert "bridge busy" in message
    assert fabric.neutron[A].ok("GET", f"/v2.0/networks/{net}")["status"] == "ERROR"
    fabric.neutron[A].ok("DELETE", f"/v2.0/networks/{net}")
    assert fabric.neutron[A].refused("GET", f"/v2.0/networks/{net}")[0] == 404


def test_rules_that_cannot_be_set_fail_the_call_and_the_new_port_is_taken_back(fabric: Fabric) -> None:
    net, _ = fabric.network()
    fabric.backend.fail_next["set_port_rules"] = "nft says no"
    status, _, message = fabric.neutron[A].refused("POST", "/v2.0/ports", {"port": {"network_id": net}})
    assert status == 500
    assert "nft says no" in message
    assert fabric.neutron[A].ok("GET", "/v2.0/ports") == []


def test_a_rule_that_cannot_be_set_is_taken_back_and_can_be_made_later(fabric: Fabric) -> None:
    net, _ = fabric.network()
    group = fabric.group()
    fabric.port(net, security_groups=[group])
    fabric.backend.fail_next["set_port_rules"] = "nft says no"
    body = {"security_group_rule": {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}}
    assert fabric.neutron[A].refused("POST", "/v2.0/security-group-rules", body)[0] == 500
    assert fabric.backend.last("set_port_rules") == ()
    fabric.neutron[A].ok("POST", "/v2.0/security-group-rules", body)
    assert fabric.backend.last("set_port_rules") == (Rule(direction="ingress", protocol="tcp"),)


# The frame: quotas, revisions, filters, tags, roles


def test_quotas_refuse_with_409_and_count_the_tenants_own(fabric: Fabric) -> None:
    fabric.cloud.region(A).quotas["network"] = 1
    fabric.network()
    assert fabric.neutron[A].refused("POST", "/v2.0/networks", {"network": {"name": "n"}})[:2] == (409, "OverQuota")
    project = fabric.cloud.config.project_id
    assert fabric.neutron[A].ok("GET", f"/v2.0/quotas/{project}/details.json")["network"] == {
        "limit": 1,
        "used": 1,
        "reserved": 0,
    }


def test_a_quota_cannot_be_set_below_use_and_not_by_the_tenant(fabric: Fabric) -> None:
    fabric.network()
    path, neutron = f"/v2.0/quotas/{fabric.cloud.config.project_id}", fabric.neutron[A]
    assert neutron.refused("PUT", path, {"quota": {"network": 9}})[0] == 403
    neutron.token = fabric.issue("admin")
    assert neutron.refused("PUT", path, {"quota": {"network": 0}})[0] == 400
    assert neutron.ok("PUT", path, {"quota": {"network": 1}})["network"] == 1


def test_a_stale_revision_is_refused(fabric: Fabric) -> None:
    net, _ = fabric.network()
    path = f"/v2.0/networks/{net}"
    revision = fabric.neutron[A].ok("GET", path)["revision_number"]
    fabric.neutron[A].ok("PUT", path, {"network": {"name": "x"}}, if_match=f"revision_number={revision}")
    found = fabric.neutron[A].refused("PUT", path, {"network": {"name": "y"}}, if_match=f"revision_number={revision}")
    assert found == (
        412,
        "RevisionNumberConstraintFailed",
        f"Constrained to {revision}, but current revision is {revision + 1}",
    )


def test_lists_are_filtered(fabric: Fabric) -> None:
    net, subnet = fabric.network()
    other, _ = fabric.network("10.2.0.0/24")
    first, second = fabric.port(net, name="one"), fabric.port(other, name="two")
    neutron = fabric.neutron[A]
    for query, wanted in {
        "name=one": {first["id"]},
        "name=one&name=two": {first["id"], second["id"]},
        f"network_id={other}": {second["id"]},
        f"fixed_ips=subnet_id%3D{subnet}": {first["id"]},
        "admin_state_up=false": set(),
        f"id={second['id']}&status=DOWN": {second["id"]},
    }.items():
        assert {port["id"] for port in neutron.ok("GET", f"/v2.0/ports?{query}")} == wanted, query
    assert neutron.refused("GET", "/v2.0/ports?nonsense=1")[0] == 400


def test_a_list_can_be_read_page_by_page(fabric: Fabric) -> None:
    net, _ = fabric.network()
    made = sorted(fabric.port(net)["id"] for _ in range(3))
    neutron = fabric.neutron[A]
    first = neutron.call("GET", "/v2.0/ports?limit=2").body
    assert [port["id"] for port in first["ports"]] == made[:2]
    after = next(link["href"] for link in first["ports_links"] if link["rel"] == "next")
    assert after == f"http://203.0.113.2:9696/v2.0/ports?limit=2&marker={made[1]}"
    last = neutron.call("GET", after.removeprefix("http://203.0.113.2:9696")).body
    assert [port["id"] for port in last["ports"]] == made[2:]
    assert [link["rel"] for link in last["ports_links"]] == ["previous"]


def test_tags_are_replaced_added_and_filtered_by(fabric: Fabric) -> None:
    net, _ = fabric.network()
    neutron = fabric.neutron[A]
    assert neutron.ok("PUT", f"/v2.0/networks/{net}/tags", {"tags": ["b", "a", "b"]}) == ["a", "b"]
    neutron.ok("PUT", f"/v2.0/networks/{net}/tags/c")
    neutron.ok("DELETE", f"/v2.0/networks/{net}/tags/a")
    assert neutron.ok("GET", f"/v2.0/networks/{net}")["tags"] == ["b", "c"]
    assert [found["id"] for found in neutron.ok("GET", "/v2.0/networks?tags=b,c")] == [net]
    assert neutron.ok("GET", "/v2.0/networks?tags=b,a") == []
    assert neutron.refused("DELETE", f"/v2.0/networks/{net}/tags/a")[:2] == (404, "TagNotFound")


def test_a_reader_changes_nothing(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    neutron.token = fabric.issue("reader")
    assert neutron.refused("POST", "/v2.0/networks", {"network": {"name": "n"}})[:2] == (403, "PolicyNotAuthorized")
    assert [net["name"] for net in neutron.ok("GET", "/v2.0/networks")] == ["Ext-Net"]


def test_what_the_lab_does_not_know_is_501(fabric: Fabric) -> None:
    assert fabric.neutron[A].refused("GET", "/v2.0/trunks")[0] == 501
    net, _ = fabric.network()
    assert (
        fabric.neutron[A].refused(
            "POST", "/v2.0/subnets", {"subnet": {"network_id": net, "ip_version": 6, "cidr": "2001:db8::/64"}}
        )[0]
        == 501
    )


# For Nova


def test_a_port_is_bound_to_one_server_and_keeps_its_address_afterwards(fabric: Fabric) -> None:
    net, _ = fabric.network()
    port = fabric.port(net)
    ports.bind_port(fabric.cloud, A, port["id"], "server-1", "nova")
    shown = fabric.neutron[A].ok("GET", f"/v2.0/ports/{port['id']}")
    assert (shown["device_id"], shown["device_owner"], shown["status"]) == ("server-1", "compute:nova", "ACTIVE")
    with pytest.raises(ApiError, match="still in use") as refusal:
        ports.bind_port(fabric.cloud, A, port["id"], "server-2", "nova")
    assert refusal.value.status == 409
    ports.unbind_port(fabric.cloud, A, port["id"])
    shown = fabric.neutron[A].ok("GET", f"/v2.0/ports/{port['id']}")
    assert (shown["device_id"], shown["device_owner"], shown["status"], address(shown)) == (
        "",
        "",
        "DOWN",
        address(port),
    )


def test_a_nic_has_what_the_guest_must_know(fabric: Fabric) -> None:
    front, _ = fabric.network("10.1.0.0/24", dns_nameservers=["192.0.2.53"])
    vrack, _ = fabric.network("10.100.0.0/16", vlan=42, gateway_ip=None)
    first, second = fabric.port(front), fabric.port(vrack, fixed_ips=[{"ip_address": "10.100.0.11"}])
    assert ports.nic_of(fabric.cloud, A, first["id"]) == Nic(
        port_id=first["id"], network_id=front, mac=first["mac_address"], address="10.1.0.2", prefix_length=24, gateway="10.1.0.1",
        dns=("192.0.2.53",), mtu=1450,
    )  # fmt: skip
    assert ports.nic_of(fabric.cloud, A, second["id"]) == Nic(
        port_id=second["id"],
        network_id=vrack,
        mac=second["mac_address"],
        address="10.100.0.11",
        prefix_length=16,
        gateway=None,
        mtu=1500,
    )


def test_rules_are_applied_again_on_demand(fabric: Fabric) -> None:
    net, _ = fabric.network()
    port = fabric.port(net, security_groups=[fabric.group({"protocol": "tcp"})])["id"]
    fabric.backend.calls.clear()
    ports.apply_rules(fabric.cloud, A, port)
    assert fabric.backend.of("set_port_rules") == [(A, port, (Rule(direction="ingress", protocol="tcp"),))]
    fabric.backend.fail_next["set_port_rules"] = "nft says no"
    with pytest.raises(BackendError, match="nft says no"):
        ports.apply_rules(fabric.cloud, A, port)
