"""Neutron of the lab: requests that must be refused, each leaving everything as it was; and changes of what exists."""

from __future__ import annotations

from typing import Any

import pytest

from lab.cloud.backend import BackendError
from lab.cloud.network import ports
from tests.lab.cloud.fabric import A, Fabric

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Place:
    """A routed network with a port, a group with a rule, a floating IP that nobody uses, and Ext-Net: what refusals are about."""

    def __init__(self, fabric: Fabric) -> None:
        self.net, self.subnet = fabric.network()
        self.router = fabric.routed(self.subnet)
        self.group = fabric.group({"protocol": "tcp", "port_range_min": 443, "port_range_max": 443})
        self.port = fabric.port(self.net, security_groups=[self.group], fixed_ips=[{"ip_address": "10.1.0.11"}])["id"]
        self.ext = fabric.cloud.settings(A).external.id
        self.floating = fabric.neutron[A].ok(
            "POST", "/v2.0/floatingips", {"floatingip": {"floating_network_id": self.ext}}
        )["id"]
        self.default = fabric.neutron[A].ok("GET", "/v2.0/security-groups?name=default")[0]["id"]
        self.unknown = UNKNOWN

    def fill(self, value: Any) -> Any:
        """`{name}` in texts becomes the id of that name."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return value.format(**vars(self)) if isinstance(value, str) else value


NEW: list[tuple[str, dict[str, Any], int, str]] = [
    ("network", {"nonsense": 1}, 400, "HTTPBadRequest"),
    ("network", {"name": 7}, 400, "HTTPBadRequest"),
    ("network", {"name": "x" * 256}, 400, "HTTPBadRequest"),
    ("network", {"admin_state_up": "maybe"}, 400, "InvalidInput"),
    ("network", {"shared": True}, 403, "PolicyNotAuthorized"),
    ("network", {"router:external": True}, 403, "PolicyNotAuthorized"),
    ("network", {"project_id": "somebody else"}, 403, "PolicyNotAuthorized"),
    ("network", {"mtu": 9001}, 400, "InvalidInput"),
    ("network", {"mtu": True}, 400, "InvalidInput"),
    ("network", {"provider:network_type": "vrack"}, 400, "InvalidInput"),
    ("network", {"provider:segmentation_id": 42}, 400, "InvalidInput"),
    ("network", {"provider:network_type": "vrack", "provider:segmentation_id": "4095"}, 400, "InvalidInput"),
    ("network", {"provider:network_type": "vrack", "provider:segmentation_id": "x"}, 400, "InvalidInput"),
    ("network", {"provider:network_type": "gre", "provider:segmentation_id": 1}, 400, "InvalidInput"),
    ("subnet", {"network_id": "{unknown}", "ip_version": 4, "cidr": "10.2.0.0/24"}, 404, "NetworkNotFound"),
    ("subnet", {"network_id": "{ext}", "ip_version": 4, "cidr": "10.2.0.0/24"}, 403, "PolicyNotAuthorized"),
    ("subnet", {"network_id": "{net}", "ip_version": 5, "cidr": "10.2.0.0/24"}, 400, "HTTPBadRequest"),
    ("subnet", {"network_id": "{net}", "ip_version": 4}, 400, "HTTPBadRequest"),
    ("subnet", {"network_id": "{net}", "ip_version": 4, "cidr": "10.2.0.5"}, 400, "InvalidInput"),
    ("subnet", {"network_id": "{net}", "ip_version": 6, "cidr": "10.2.0.0/24"}, 501, "NotImplemented"),
    ("subnet", {"network_id": "{net}", "ip_version": 4, "cidr": "2001:db8::/64"}, 501, "NotImplemented"),
    (
        "subnet",
        {"network_id": "{net}", "ip_version": 4, "cidr": "10.2.0.0/24", "gateway_ip": "x"},
        400,
        "HTTPBadRequest",
    ),
    (
        "subnet",
        {"network_id": "{net}", "ip_version": 4, "cidr": "10.2.0.0/24", "allocation_pools": ["x"]},
        400,
        "HTTPBadRequest",
    ),
    (
        "subnet",
        {
            "network_id": "{net}",
            "ip_version": 4,
            "cidr": "10.2.0.0/24",
            "allocation_pools": [{"start": "10.2.0.9", "end": "10.2.0.20"}, {"start": "10.2.0.20", "end": "10.2.0.30"}],
        },
        409,
        "OverlappingAllocationPools",
    ),
    ("port", {}, 400, "HTTPBadRequest"),
    ("port", {"network_id": "not-a-uuid"}, 400, "HTTPBadRequest"),
    ("port", {"network_id": "{unknown}"}, 404, "NetworkNotFound"),
    ("port", {"network_id": "{net}", "security_groups": ["{unknown}"]}, 404, "SecurityGroupNotFound"),
    ("port", {"network_id": "{net}", "mac_address": "nope"}, 400, "HTTPBadRequest"),
    ("port", {"network_id": "{net}", "fixed_ips": [{}]}, 400, "InvalidInput"),
    ("port", {"network_id": "{net}", "fixed_ips": "10.1.0.7"}, 400, "HTTPBadRequest"),
    (
        "port",
        {"network_id": "{net}", "fixed_ips": [{"ip_address": "10.1.0.7"}, {"ip_address": "10.1.0.7"}]},
        409,
        "IpAddressAlreadyAllocated",
    ),
    ("port", {"network_id": "{ext}", "fixed_ips": [{"subnet_id": "{subnet}"}]}, 400, "InvalidInput"),
    (
        "port",
        {"network_id": "{net}", "allowed_address_pairs": [{"mac_address": "fa:16:3e:00:00:01"}]},
        400,
        "AllowedAddressPairsMissingIP",
    ),
    ("port", {"network_id": "{net}", "allowed_address_pairs": [{"ip_address": "x"}]}, 400, "HTTPBadRequest"),
    (
        "port",
        {"network_id": "{net}", "allowed_address_pairs": [{"ip_address": "10.1.0.9", "nonsense": 1}]},
        400,
        "HTTPBadRequest",
    ),
    (
        "port",
        {"network_id": "{net}", "allowed_address_pairs": [{"ip_address": "10.1.0.9"}] * 2},
        400,
        "DuplicateAddressPairInRequest",
    ),
    (
        "port",
        {"network_id": "{net}", "allowed_address_pairs": [{"ip_address": "10.1.0.9"}] * 11},
        400,
        "AllowedAddressPairExhausted",
    ),
    (
        "port",
        {"network_id": "{net}", "port_security_enabled": False, "allowed_address_pairs": [{"ip_address": "10.1.0.9"}]},
        409,
        "AddressPairAndPortSecurityRequired",
    ),
    ("router", {"external_gateway_info": "{ext}"}, 400, "HTTPBadRequest"),
    ("router", {"external_gateway_info": {"network_id": "{unknown}"}}, 404, "NetworkNotFound"),
    ("router", {"external_gateway_info": {"network_id": "{net}"}}, 400, "BadRequest"),
    ("router", {"external_gateway_info": {"network_id": "{ext}", "nonsense": 1}}, 400, "HTTPBadRequest"),
    (
        "router",
        {"external_gateway_info": {"network_id": "{ext}", "external_fixed_ips": [{"ip_address": "203.0.113.9"}]}},
        403,
        "PolicyNotAuthorized",
    ),
    ("floatingip", {"floating_network_id": "{net}"}, 400, "BadRequest"),
    ("floatingip", {"floating_network_id": "{ext}", "port_id": "{unknown}"}, 404, "PortNotFound"),
    ("floatingip", {"floating_network_id": "{ext}", "floating_ip_address": "203.0.113.77"}, 403, "PolicyNotAuthorized"),
    (
        "floatingip",
        {"floating_network_id": "{ext}", "port_id": "{port}", "fixed_ip_address": "10.1.0.99"},
        400,
        "BadRequest",
    ),
    ("security_group", {"name": "default"}, 409, "SecurityGroupDefaultAlreadyExists"),
]
RULES: list[tuple[dict[str, Any], int, str]] = [
    ({"direction": "sideways"}, 400, "HTTPBadRequest"),
    ({"protocol": "nonsense"}, 400, "SecurityGroupRuleInvalidProtocol"),
    ({"protocol": 256}, 400, "SecurityGroupRuleInvalidProtocol"),
    ({"port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupProtocolRequiredWithPorts"),
    ({"protocol": "tcp", "port_range_min": 2, "port_range_max": 1}, 400, "SecurityGroupInvalidPortRange"),
    ({"protocol": "tcp", "port_range_min": 2}, 400, "SecurityGroupInvalidPortRange"),
    ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65536}, 400, "HTTPBadRequest"),
    ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupInvalidProtocolForPort"),
    ({"protocol": "icmp", "port_range_min": 256}, 400, "SecurityGroupInvalidIcmpValue"),
    ({"protocol": "icmp", "port_range_max": 0}, 400, "SecurityGroupMissingIcmpType"),
    ({"remote_ip_prefix": "10.0.0.0/99"}, 400, "InvalidCIDR"),
    ({"remote_ip_prefix": "2001:db8::/32"}, 400, "SecurityGroupRuleParameterConflict"),
    ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "{group}"}, 400, "SecurityGroupMultipleRemoteEntites"),
    ({"remote_group_id": "{unknown}"}, 404, "SecurityGroupNotFound"),
    ({"security_group_id": "{unknown}"}, 404, "SecurityGroupNotFound"),
    ({"protocol": "6", "port_range_min": 443, "port_range_max": 443}, 409, "SecurityGroupRuleExists"),
]
CHANGES: list[tuple[str, str, Any, int, str]] = [
    ("PUT", "networks/{net}", {"network": {"provider:segmentation_id": 5}}, 400, "HTTPBadRequest"),
    ("PUT", "networks/{ext}", {"network": {"name": "mine"}}, 403, "PolicyNotAuthorized"),
    ("PUT", "networks/{net}", {"network": {"shared": True}}, 403, "PolicyNotAuthorized"),
    ("PUT", "subnets/{subnet}", {"subnet": {"gateway_ip": "10.1.0.200"}}, 409, "GatewayConflictWithAllocationPools"),
    ("PUT", "subnets/{subnet}", {"subnet": {"gateway_ip": None}}, 409, "GatewayIpInUse"),
    ("PUT", "ports/{port}", {"port": {"mac_address": "fa:16:3e:00:00:01"}}, 403, "PolicyNotAuthorized"),
    (
        "PUT",
        "ports/{port}",
        {"port": {"port_security_enabled": False}},
        400,
        "PortSecurityAndIPRequiredForSecurityGroups",
    ),
    ("PUT", "ports/{port}", {"port": {"network_id": "{net}"}}, 400, "HTTPBadRequest"),
    ("PUT", "ports/{port}", {"port": {"fixed_ips": [{"ip_address": "10.1.0.1"}]}}, 409, "IpAddressAlreadyAllocated"),
    ("PUT", "ports/{unknown}", {"port": {"name": "x"}}, 404, "PortNotFound"),
    ("PUT", "routers/{router}/add_router_interface", {}, 400, "BadRequest"),
    ("PUT", "routers/{router}/add_router_interface", {"subnet_id": "{unknown}"}, 404, "SubnetNotFound"),
    ("PUT", "routers/{router}/add_router_interface", {"subnet_id": "{subnet}"}, 400, "BadRequest"),
    ("PUT", "routers/{router}/add_router_interface", {"subnet_id": "{subnet}", "port_id": "{port}"}, 400, "BadRequest"),
    ("PUT", "routers/{router}/add_router_interface", {"port_id": "{port}"}, 400, "BadRequest"),
    ("PUT", "routers/{router}/remove_router_interface", {"port_id": "{port}"}, 404, "RouterInterfaceNotFoundForSubnet"),
    ("PUT", "floatingips/{floating}", {"floatingip": {"fixed_ip_address": "10.1.0.11"}}, 400, "BadRequest"),
    ("PUT", "floatingips/{floating}", {"floatingip": {"port_id": "{unknown}"}}, 404, "PortNotFound"),
    ("DELETE", "security-groups/{default}", None, 409, "SecurityGroupCannotRemoveDefault"),
    ("PUT", "security-groups/{group}/tags", {"tags": "x"}, 400, "HTTPBadRequest"),
    ("PUT", "security-groups/{group}/tags", {}, 400, "InvalidInput"),
    ("GET", "quotas/{unknown}", None, 403, "PolicyNotAuthorized"),
    ("GET", "ports?limit=x", None, 400, "HTTPBadRequest"),
    ("GET", "ports?limit=1&marker=x", None, 400, "HTTPBadRequest"),
]


def check_refused(fabric: Fabric, request: tuple[str, str, Any], expected: tuple[int, str]) -> None:
    """The request, with names filled in, is refused so; nothing has changed, here or in the machinery."""
    place = Place(fabric)
    fabric.cloud.settle()
    before, calls = fabric.cloud.all(), len(fabric.backend.calls)
    method, path, body = request
    assert fabric.neutron[A].refused(method, "/v2.0/" + path.format(**vars(place)), place.fill(body))[:2] == expected
    fabric.cloud.settle()
    assert fabric.cloud.all() == before
    assert len(fabric.backend.calls) == calls


@pytest.mark.parametrize(("kind", "values", "status", "fault"), NEW)
def test_what_cannot_be_made_is_refused(
    fabric: Fabric, kind: str, values: dict[str, Any], status: int, fault: str
) -> None:
    check_refused(fabric, ("POST", kind.replace("_", "-") + "s", {kind: values}), (status, fault))


@pytest.mark.parametrize(("values", "status", "fault"), RULES)
def test_a_rule_that_cannot_be_is_refused(fabric: Fabric, values: dict[str, Any], status: int, fault: str) -> None:
    body = {"security_group_rule": {"security_group_id": "{group}", "direction": "ingress", **values}}
    check_refused(fabric, ("POST", "security-group-rules", body), (status, fault))


@pytest.mark.parametrize(("method", "path", "body", "status", "fault"), CHANGES)
def test_a_change_that_cannot_be_is_refused(
    fabric: Fabric, method: str, path: str, body: Any, status: int, fault: str
) -> None:
    check_refused(fabric, (method, path, body), (status, fault))


@pytest.mark.parametrize(
    ("body", "raw", "message"),
    [
        (None, b"{", "Body contains invalid data"),
        ({}, None, "Unable to find 'network' in request body"),
        ({"network": []}, None, "Unable to find 'network' in request body"),
    ],
)
def test_a_body_without_the_resource_is_refused(fabric: Fabric, body: Any, raw: bytes | None, message: str) -> None:
    reply = fabric.neutron[A].call("POST", "/v2.0/networks", body, raw)
    assert (reply.status, reply.body["NeutronError"]["message"]) == (400, message)


# Changes that are accepted


@pytest.mark.parametrize(
    ("extra", "largest"),
    [({}, 1450), ({"provider:network_type": "vrack", "provider:segmentation_id": "42"}, 9000)],
)
def test_a_network_carries_no_more_than_what_is_under_it(fabric: Fabric, extra: dict[str, str], largest: int) -> None:
    """What a region's tunnels leave of the underlay; a VLAN has no tunnel."""
    neutron = fabric.neutron[A]
    assert neutron.refused("POST", "/v2.0/networks", {"network": {"name": "n", "mtu": largest + 1, **extra}}) == (
        400,
        "InvalidInput",
        f"Invalid input for operation: Requested MTU is too big, maximum is {largest}.",
    )
    made = neutron.ok("POST", "/v2.0/networks", {"network": {"name": "n", "mtu": largest, **extra}})
    assert made["mtu"] == largest
    changed = {"network": {"mtu": largest + 1}}
    assert neutron.refused("PUT", f"/v2.0/networks/{made['id']}", changed)[:2] == (400, "InvalidInput")


def test_an_mtu_reaches_the_machinery(fabric: Fabric) -> None:
    net, _ = fabric.network()
    assert fabric.neutron[A].ok("PUT", f"/v2.0/networks/{net}", {"network": {"mtu": 1400, "name": "n"}})["mtu"] == 1400
    assert fabric.backend.last("ensure_network") == 1400


def test_pools_and_name_servers_of_a_subnet_can_change(fabric: Fabric) -> None:
    net, subnet = fabric.network()
    values = {
        "allocation_pools": [{"start": "10.1.0.50", "end": "10.1.0.60"}],
        "dns_nameservers": ["192.0.2.53"],
        "gateway_ip": None,
    }
    shown = fabric.neutron[A].ok("PUT", f"/v2.0/subnets/{subnet}", {"subnet": values})
    assert {name: shown[name] for name in values} == values
    assert fabric.port(net)["fixed_ips"][0]["ip_address"] == "10.1.0.50"


def test_the_second_subnet_serves_when_the_first_is_full(fabric: Fabric) -> None:
    net, _ = fabric.network("10.1.0.0/30")
    body = {"subnet": {"network_id": net, "ip_version": 4, "cidr": "10.2.0.0/24"}}
    second = fabric.neutron[A].ok("POST", "/v2.0/subnets", body)["id"]
    assert [fabric.port(net)["fixed_ips"][0]["ip_address"] for _ in range(2)] == ["10.1.0.2", "10.2.0.2"]
    assert second in fabric.neutron[A].ok("GET", f"/v2.0/networks/{net}")["subnets"]


def test_a_gateway_in_the_middle_leaves_two_pools(fabric: Fabric) -> None:
    _, subnet = fabric.network(gateway_ip="10.1.0.9")
    assert fabric.neutron[A].ok("GET", f"/v2.0/subnets/{subnet}")["allocation_pools"] == [
        {"start": "10.1.0.1", "end": "10.1.0.8"},
        {"start": "10.1.0.10", "end": "10.1.0.254"},
    ]


def test_a_port_can_keep_its_address_and_get_another(fabric: Fabric) -> None:
    net, _ = fabric.network()
    port = fabric.port(net, fixed_ips=[{"ip_address": "10.1.0.11"}])["id"]
    wanted = {"port": {"fixed_ips": [{"ip_address": "10.1.0.11"}, {"ip_address": "10.1.0.12"}]}}
    shown = fabric.neutron[A].ok("PUT", f"/v2.0/ports/{port}", wanted)
    assert [fixed["ip_address"] for fixed in shown["fixed_ips"]] == ["10.1.0.11", "10.1.0.12"]


def test_a_floating_ip_comes_off_when_its_fixed_address_goes(fabric: Fabric) -> None:
    place = Place(fabric)
    neutron = fabric.neutron[A]
    neutron.ok(
        "PUT",
        f"/v2.0/floatingips/{place.floating}",
        {"floatingip": {"port_id": place.port, "fixed_ip_address": "10.1.0.11"}},
    )
    neutron.ok("PUT", f"/v2.0/ports/{place.port}", {"port": {"fixed_ips": [{"ip_address": "10.1.0.12"}]}})
    fabric.cloud.settle()
    assert neutron.ok("GET", f"/v2.0/floatingips/{place.floating}")["port_id"] is None
    assert fabric.backend.last("ensure_router").floating == ()


def test_a_floating_ip_moves_from_one_router_to_another(fabric: Fabric) -> None:
    place = Place(fabric)
    neutron = fabric.neutron[A]
    net, subnet = fabric.network("10.2.0.0/24")
    second = fabric.routed(subnet)
    other = fabric.port(net)["id"]
    for port in (place.port, other):
        moved = neutron.ok(
            "PUT", f"/v2.0/floatingips/{place.floating}", {"floatingip": {"port_id": port, "description": "d"}}
        )
        assert (moved["status"], moved["description"]) == ("DOWN", "d")
        fabric.cloud.settle()
    specs = {args[0].router_id: args[0].floating for args in fabric.backend.of("ensure_router")}
    address = neutron.ok("GET", f"/v2.0/floatingips/{place.floating}")["floating_ip_address"]
    assert specs == {place.router: (), second: ((address, "10.2.0.2"),)}


def test_a_router_can_take_a_port_as_its_interface(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    net, subnet = fabric.network()
    port = fabric.port(net, fixed_ips=[{"ip_address": "10.1.0.254"}])["id"]
    router = neutron.ok("POST", "/v2.0/routers", {"router": {"name": "r"}})["id"]
    added = neutron.ok("PUT", f"/v2.0/routers/{router}/add_router_interface", {"port_id": port})
    assert (added["port_id"], added["subnet_ids"]) == (port, [subnet])
    assert [interface.address for interface in fabric.backend.last("ensure_router").interfaces] == ["10.1.0.254"]
    overlapping = fabric.network("10.1.0.0/16")[1]
    assert neutron.refused("PUT", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": overlapping})[:2] == (
        400,
        "BadRequest",
    )
    second = neutron.ok("POST", "/v2.0/routers", {"router": {"name": "r"}})["id"]
    assert neutron.refused("PUT", f"/v2.0/routers/{second}/add_router_interface", {"port_id": port})[:2] == (
        409,
        "PortInUse",
    )
    neutron.ok("PUT", f"/v2.0/routers/{router}/remove_router_interface", {"port_id": port})
    assert neutron.refused("GET", f"/v2.0/ports/{port}")[0] == 404


def test_a_port_without_an_address_is_no_interface(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    net = neutron.ok("POST", "/v2.0/networks", {"network": {"name": "n"}})["id"]
    port = fabric.port(net)
    assert port["fixed_ips"] == []
    router = neutron.ok("POST", "/v2.0/routers", {"router": {"name": "r"}})["id"]
    assert neutron.refused("PUT", f"/v2.0/routers/{router}/add_router_interface", {"port_id": port["id"]})[:2] == (
        400,
        "BadRequest",
    )
    with pytest.raises(BackendError, match="has no fixed IP"):
        ports.nic_of(fabric.cloud, A, port["id"])


def test_a_subnet_without_gateway_takes_no_router(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    _, subnet = fabric.network(gateway_ip=None)
    router = neutron.ok("POST", "/v2.0/routers", {"router": {"name": "r"}})["id"]
    assert neutron.refused("PUT", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet})[:2] == (
        400,
        "BadRequest",
    )


def test_the_gateway_of_a_router_comes_and_goes(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    router = neutron.ok("POST", "/v2.0/routers", {"router": {"name": "r"}})["id"]
    assert fabric.backend.last("ensure_router").external_address is None
    gateway = {"network_id": fabric.cloud.settings(A).external.id, "enable_snat": True}
    shown = neutron.ok("PUT", f"/v2.0/routers/{router}", {"router": {"external_gateway_info": gateway}})[
        "external_gateway_info"
    ]
    address = shown["external_fixed_ips"][0]["ip_address"]
    assert fabric.backend.last("ensure_router").external_address == address
    again = neutron.ok("PUT", f"/v2.0/routers/{router}", {"router": {"external_gateway_info": gateway}})[
        "external_gateway_info"
    ]
    assert again == shown
    assert (
        neutron.ok("PUT", f"/v2.0/routers/{router}", {"router": {"external_gateway_info": None}})[
            "external_gateway_info"
        ]
        is None
    )
    assert fabric.backend.last("ensure_router").external_address is None


def test_a_deleted_group_takes_the_rules_that_name_it_along(fabric: Fabric) -> None:
    net, _ = fabric.network()
    gone = fabric.group()
    watching = fabric.group({"protocol": "tcp", "remote_group_id": gone}, {"protocol": "udp"})
    fabric.port(net, security_groups=[watching])
    fabric.neutron[A].ok("DELETE", f"/v2.0/security-groups/{gone}")
    rules = fabric.neutron[A].ok("GET", f"/v2.0/security-groups/{watching}")["security_group_rules"]
    assert [rule["protocol"] for rule in rules] == ["udp"]
    assert [rule.protocol for rule in fabric.backend.last("set_port_rules")] == ["udp"]


def test_a_group_can_be_renamed(fabric: Fabric) -> None:
    group = fabric.group()
    body = {"security_group": {"name": "other", "description": "d"}}
    shown = fabric.neutron[A].ok("PUT", f"/v2.0/security-groups/{group}", body)
    assert (shown["name"], shown["description"]) == ("other", "d")


def test_a_list_can_be_sorted_and_cut_to_fields(fabric: Fabric) -> None:
    net, _ = fabric.network()
    for name in ("b", "a", "c"):
        fabric.port(net, name=name)
    found = fabric.neutron[A].ok("GET", "/v2.0/ports?sort_key=name&sort_dir=desc&fields=name&fields=status")
    assert found == [{"name": name, "status": "DOWN"} for name in ("c", "b", "a")]


def test_clients_find_their_way(fabric: Fabric) -> None:
    neutron = fabric.neutron[A]
    aliases = {extension["alias"] for extension in neutron.ok("GET", "/v2.0/extensions")}
    assert {"router", "security-group", "port-security", "standard-attr-tag"} <= aliases
    assert neutron.ok("GET", "/v2.0/extensions/router")["alias"] == "router"
    assert neutron.refused("GET", "/v2.0/extensions/nope")[0] == 404
    neutron.token = ""
    assert neutron.ok("GET", "/")[0]["links"][0]["href"] == "http://203.0.113.2:9696/v2.0/"
    reply = neutron.call("GET", "/v2.0/networks")
    assert (reply.status, reply.body["error"]["code"]) == (401, 401)
    assert reply.headers["WWW-Authenticate"] == 'Keystone uri="http://192.0.2.10:5000/v3"'
