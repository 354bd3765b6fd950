"""Giving out addresses and making ports. Works on the records alone; the caller holds the lock and tells the backend."""

from __future__ import annotations

import secrets
from typing import Any

from lab.cloud.network import addresses, errors, models
from lab.cloud.state import Cloud, Record, RegionState
from lab.cloud.web import ApiError


def taken(state: RegionState, subnet: str) -> set[str]:
    """All addresses of a subnet that are given out: to ports, and on an external network to routers and as floating IPs."""
    used = {
        fixed["ip_address"]
        for port in state.ports.values()
        for fixed in port["fixed_ips"]
        if fixed["subnet_id"] == subnet
    }
    network = state.subnets[subnet]["network_id"]
    for router in state.routers.values():
        gateway = router["external_gateway_info"] or {"external_fixed_ips": []}
        used |= {fixed["ip_address"] for fixed in gateway["external_fixed_ips"] if fixed["subnet_id"] == subnet}
    return used | {
        floating["floating_ip_address"]
        for floating in state.floating_ips.values()
        if floating["floating_network_id"] == network
    }


def external_address(state: RegionState, network: Record) -> dict[str, str]:
    """A public address, and not the one that was given back last: {"subnet_id", "ip_address"}. 409 when there is none left."""
    for subnet_id in network["subnets"]:
        subnet = state.subnets[subnet_id]
        address = addresses.pick(subnet["allocation_pools"], taken(state, subnet_id), after=subnet.get("_last"))
        if address is not None:
            subnet["_last"] = address
            return {"subnet_id": subnet_id, "ip_address": address}
    raise errors.no_more_addresses(network["id"])


def _subnet_of(state: RegionState, network: Record, wanted: dict[str, Any]) -> Record:
    """The subnet that an entry of `fixed_ips` means."""
    if wanted.get("subnet_id"):
        subnet = models.find(state, "subnet", str(wanted["subnet_id"]))
        if subnet["network_id"] != network["id"]:
            reason = f"Failed to create port on network {network['id']}, because fixed_ips included invalid subnet {subnet['id']}"
            raise errors.invalid_input(reason)
        if wanted.get("ip_address") and not addresses.contains(subnet["cidr"], wanted["ip_address"]):
            text = f"IP address {wanted['ip_address']} is not a valid IP for the specified subnet."
            raise ApiError(400, text, "InvalidIpForSubnet")
        return subnet
    if not wanted.get("ip_address"):
        raise errors.invalid_input("IP allocation requires subnet_id or ip_address")
    for subnet_id in network["subnets"]:
        if addresses.contains(state.subnets[subnet_id]["cidr"], wanted["ip_address"]):
            return state.subnets[subnet_id]
    text = f"IP address {wanted['ip_address']} is not a valid IP for any of the subnets on the specified network."
    raise ApiError(400, text, "InvalidIpForNetwork")


def _any_address(state: RegionState, network: Record) -> list[dict[str, str]]:
    """One address of the first subnet that has one left; none when the network has no subnet."""
    if not network["subnets"]:
        return []
    if network["router:external"]:
        return [external_address(state, network)]
    for subnet_id in network["subnets"]:
        address = addresses.pick(state.subnets[subnet_id]["allocation_pools"], taken(state, subnet_id))
        if address is not None:
            return [{"subnet_id": subnet_id, "ip_address": address}]
    raise errors.no_more_addresses(network["id"])


def fixed_ips(
    state: RegionState, network: Record, wanted: list[dict[str, Any]] | None, keep: Record | None = None
) -> list[dict[str, str]]:
    """Addresses for a port: those asked for, or any (`wanted` None). `keep`: the port that may go on using its own.

    Refusals: 404 unknown subnet, 400 address outside, 409 `IpAddressAlreadyAllocated`, 409 no address left.
    """
    if wanted is None:
        return _any_address(state, network)
    own = {fixed["ip_address"] for fixed in keep["fixed_ips"]} if keep else set()
    chosen: list[dict[str, str]] = []
    for asked in wanted:
        entry = dict(asked)
        if entry.get("ip_address") is not None:
            entry["ip_address"] = str(addresses.parse_address(entry["ip_address"], "fixed_ips"))
        subnet = _subnet_of(state, network, entry)
        used = (taken(state, subnet["id"]) - own) | {fixed["ip_address"] for fixed in chosen}
        address = entry.get("ip_address")
        if address is None:
            address = addresses.pick(subnet["allocation_pools"], used)
            if address is None:
                raise errors.no_more_addresses(network["id"])
        elif address in used:
            raise errors.address_in_use(address, subnet["id"])
        chosen.append({"subnet_id": subnet["id"], "ip_address": address})
    return chosen


def new_mac(cloud: Cloud) -> str:
    """A MAC address that no port of any region has: regions share stretched networks."""
    used = {port["mac_address"] for state in cloud.regions.values() for port in state.ports.values()}
    while True:
        mac = "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        if mac not in used:
            return mac


def create_port(
    cloud: Cloud,
    region: str,
    project: str,
    network_id: str,
    *,
    wanted: list[dict[str, Any]] | None = None,
    mac: str | None = None,
    **values: Any,
) -> Record:
    """Store a new port with its addresses; `values` are further fields of the record. The caller checks quota and applies the rules."""
    state = cloud.region(region)
    network = models.find(state, "network", network_id)
    if mac is not None and any(
        port["mac_address"] == mac and port["network_id"] == network_id for port in state.ports.values()
    ):
        raise errors.mac_in_use(network_id, mac)
    port = models.new_port(project, network_id, mac or new_mac(cloud), fixed_ips(state, network, wanted), **values)
    state.ports[port["id"]] = port
    return port
