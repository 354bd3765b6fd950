"""Neutron: networks, subnets, routers and their interfaces, ports, groups, rules, floating IPs (https://docs.openstack.org/api-ref/network/v2/)."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from scripts.clients.openstack import Cloud
from scripts.leftovers.found import Found

ROUTER_SIDE = "network:router_interface"
PLATFORMS_OWN = ("network:dhcp", "network:distributed")


def listed(cloud: Cloud, collection: str, **query: str) -> list[dict[str, Any]]:
    """Objects of a collection ("ports") that match all of `query`."""
    body = cloud.ask("GET", "network", f"/v2.0/{collection}?{urllib.parse.urlencode(query)}")
    return list(body[collection.replace("-", "_")])


def remover(cloud: Cloud, path: str) -> Callable[[], None]:
    """The deletion of one object."""
    return lambda: cloud.delete("network", f"/v2.0/{path}")


def networks(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name; a subnet or a port of somebody's holds it."""
    found = []
    for item in listed(cloud, "networks", name=str(inputs["name"])):
        ports = [
            port for port in listed(cloud, "ports", network_id=item["id"]) if port["device_owner"] not in PLATFORMS_OWN
        ]
        held = _held("subnets", item["subnets"]) or _held("ports", [port["id"] for port in ports])
        found.append(Found(f"{item['name']} ({item['id']})", remover(cloud, f"networks/{item['id']}"), held))
    return found


def subnets(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By range within its network; a port with an address in it holds it."""
    found = []
    for item in listed(cloud, "subnets", network_id=str(inputs["networkId"]), cidr=str(inputs["cidr"])):
        ports = [
            port
            for port in listed(cloud, "ports", network_id=item["network_id"])
            if port["device_owner"] not in PLATFORMS_OWN
        ]
        using = [port["id"] for port in ports if any(ip["subnet_id"] == item["id"] for ip in port["fixed_ips"])]
        found.append(
            Found(f"{item['name']} ({item['id']})", remover(cloud, f"subnets/{item['id']}"), _held("ports", using))
        )
    return found


def routers(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name; an interface holds it."""
    found = []
    for item in listed(cloud, "routers", name=str(inputs["name"])):
        sides = listed(cloud, "ports", device_id=item["id"], device_owner=ROUTER_SIDE)
        held = _held("interfaces", [port["id"] for port in sides])
        found.append(Found(f"{item['name']} ({item['id']})", remover(cloud, f"routers/{item['id']}"), held))
    return found


def router_interfaces(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """The router's port in the subnet: made again a moment later."""
    router, subnet = str(inputs["routerId"]), str(inputs["subnetId"])

    def remove() -> None:
        cloud.ask("PUT", "network", f"/v2.0/routers/{router}/remove_router_interface", {"subnet_id": subnet})

    sides = listed(cloud, "ports", device_id=router, device_owner=ROUTER_SIDE)
    return [
        Found(f"of router {router}", remove)
        for port in sides
        if any(ip["subnet_id"] == subnet for ip in port["fixed_ips"])
    ]


def ports(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By fixed address; a server that uses it holds it."""
    addresses = {str(ip.get("ipAddress")) for ip in inputs.get("fixedIps") or ()}
    found = []
    for item in listed(cloud, "ports", network_id=str(inputs["networkId"])):
        if addresses & {ip["ip_address"] for ip in item["fixed_ips"]}:
            held = f"{item['device_owner'] or 'device'} {item['device_id']} uses it" if item["device_id"] else None
            if held is None and item["name"] != inputs["name"]:
                held = f"its name is {item['name']!r}"
            found.append(Found(f"{item['name']} ({item['id']})", remover(cloud, f"ports/{item['id']}"), held))
    return found


def groups(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name; a port that uses it holds it."""
    found = []
    for item in listed(cloud, "security-groups", name=str(inputs["name"])):
        using = [
            port["id"]
            for port in listed(cloud, "ports", project_id=item["project_id"])
            if item["id"] in port["security_groups"]
        ]
        found.append(
            Found(
                f"{item['name']} ({item['id']})", remover(cloud, f"security-groups/{item['id']}"), _held("ports", using)
            )
        )
    return found


def rules(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """The same rule of the same group: made again a moment later."""
    wanted = {
        "direction": inputs["direction"],
        "ethertype": inputs["ethertype"],
        "protocol": inputs.get("protocol") or None,
        "port_range_min": _whole(inputs.get("portRangeMin")),
        "port_range_max": _whole(inputs.get("portRangeMax")),
        "remote_ip_prefix": inputs.get("remoteIpPrefix") or None,
    }
    same = [
        item
        for item in listed(cloud, "security-group-rules", security_group_id=str(inputs["securityGroupId"]))
        if all(item[key] == value for key, value in wanted.items())
    ]
    return [
        Found(f"{item['description']} ({item['id']})", remover(cloud, f"security-group-rules/{item['id']}"))
        for item in same
    ]


def floating_ips(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By description; one that is bound is in use."""
    found = []
    for item in listed(cloud, "floatingips", description=str(inputs["description"])):
        held = f"it is bound to port {item['port_id']}" if item["port_id"] else None
        found.append(
            Found(f"{item['floating_ip_address']} ({item['id']})", remover(cloud, f"floatingips/{item['id']}"), held)
        )
    return found


def _whole(value: Any) -> int | None:
    return int(value) if value else None


def _held(what: str, ids: list[str]) -> str | None:
    return f"it has {what} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})" if ids else None


KINDS = {
    "openstack:networking/network:Network": networks,
    "openstack:networking/subnet:Subnet": subnets,
    "openstack:networking/router:Router": routers,
    "openstack:networking/routerInterface:RouterInterface": router_interfaces,
    "openstack:networking/port:Port": ports,
    "openstack:networking/secGroup:SecGroup": groups,
    "openstack:networking/secGroupRule:SecGroupRule": rules,
    "openstack:networking/floatingIp:FloatingIp": floating_ips,
}
