"""The addresses of a load balancer: its VIP, a Neutron port of the tenant's, and that of the machine behind it, a port of Octavia's own."""

from __future__ import annotations

from typing import Any

from lab.cloud.config import ADMIN_PROJECT
from lab.cloud.loadbalancer import errors
from lab.cloud.network import allocation, models, port_api
from lab.cloud.network.resource import Change
from lab.cloud.state import Cloud, Record, RegionState, new_id
from lab.cloud.web import ApiError


def _subnet(state: RegionState, values: Record) -> Record:
    """Where the VIP shall be: the subnet named, or the first of the network named. 400 when unknown, as Octavia says it."""
    if values["vip_subnet_id"] is not None:
        subnet = state.subnets.get(values["vip_subnet_id"])
        if subnet is None:
            raise errors.not_found("Subnet", values["vip_subnet_id"], status=400)
        return subnet
    network = state.networks.get(values["vip_network_id"])
    if network is None:
        raise errors.not_found("Network", values["vip_network_id"], status=400)
    if not network["subnets"]:
        raise errors.failure(f"Supplied network does not contain a subnet: {network['id']}")
    return state.subnets[network["subnets"][0]]


def check(state: RegionState, values: Record) -> None:
    """Refuse a VIP that is named nowhere, or by something that does not exist."""
    if values["vip_port_id"] is not None:
        if values["vip_port_id"] not in state.ports:
            raise errors.not_found("Port", values["vip_port_id"], status=400)
    elif values["vip_subnet_id"] is None and values["vip_network_id"] is None:
        raise errors.failure("VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id.")
    else:
        _subnet(state, values)


def allocate(cloud: Cloud, region: str, project: str, balancer: Record, values: Record) -> None:
    """Make (or take) the VIP port and write it on the balancer's record. A refusal of Neutron becomes Octavia's 500."""
    state = cloud.region(region)
    if values["vip_port_id"] is not None:
        port = state.ports[values["vip_port_id"]]
        if port["device_id"]:
            raise errors.provider_failed(ApiError(409, "in use"))
        port |= {"device_id": f"lb-{balancer['id']}", "device_owner": models.BALANCER}
        models.touch(port)
        balancer["_own_port"] = False
    else:
        port = _new_port(cloud, region, project, balancer, values)
        balancer["_own_port"] = True
    fixed = port["fixed_ips"][0]
    balancer |= {
        "vip_address": fixed["ip_address"],
        "vip_port_id": port["id"],
        "vip_subnet_id": fixed["subnet_id"],
        "vip_network_id": port["network_id"],
    }


def _new_port(cloud: Cloud, region: str, project: str, balancer: Record, values: Record) -> Record:
    state = cloud.region(region)
    subnet = _subnet(state, values)
    wanted: dict[str, Any] = {"subnet_id": subnet["id"]}
    if values["vip_address"] is not None:
        wanted["ip_address"] = values["vip_address"]
    change = Change(cloud, region, project)
    try:
        change.check_quota("port")
        port = allocation.create_port(
            cloud,
            region,
            project,
            subnet["network_id"],
            wanted=[wanted],
            name=f"octavia-lb-{balancer['id']}",
            device_id=f"lb-{balancer['id']}",
            device_owner=models.BALANCER,
            admin_state_up=False,
        )
    except ApiError as refusal:
        raise errors.provider_failed(refusal) from refusal
    group = models.new_group(ADMIN_PROJECT, f"lb-{balancer['id']}", "")
    state.security_groups[group["id"]] = group
    port["security_groups"] = [group["id"]]
    balancer["_group"] = group["id"]
    return port


def allocate_machine(cloud: Cloud, region: str, balancer: Record) -> None:
    """The second address, of the machine that carries the balancer. 409 when the subnet has none left.

    The tenant sees it as the network's owner, and cannot delete the network before the balancer.
    """
    mac = allocation.new_mac(cloud)
    vip = cloud.region(region).ports[balancer["vip_port_id"]]
    port = allocation.create_port(
        cloud,
        region,
        ADMIN_PROJECT,
        balancer["vip_network_id"],
        wanted=[{"subnet_id": balancer["vip_subnet_id"]}],
        mac=mac,
        name=f"octavia-lb-vrrp-{new_id()}",
        device_id=new_id(),
        device_owner=f"compute:{cloud.settings(region).zone}",
        status="ACTIVE",
        security_groups=list(vip["security_groups"]),
        allowed_address_pairs=[{"mac_address": mac, "ip_address": balancer["vip_address"]}],
        _balancer=balancer["id"],
    )
    balancer["_machine_port"] = port["id"]


def release(change: Change, balancer: Record) -> None:
    """Give everything back: the VIP port (a port that the tenant brought is only let go), the machine's port, the group."""
    state = change.state
    for name in ("vip_port_id", "_machine_port"):
        port = state.ports.get(balancer.get(name) or "")
        if port is None:
            continue
        if name == "vip_port_id" and not balancer["_own_port"]:
            port |= {"device_id": "", "device_owner": ""}
            models.touch(port)
        else:
            port_api.remove_port(change, port)
    state.security_groups.pop(balancer.get("_group") or "", None)
