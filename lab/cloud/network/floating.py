"""Floating IPs. The records change at once; the router follows a moment later, and then the status says ACTIVE or DOWN."""

from __future__ import annotations

from collections.abc import Collection

from lab.cloud.network import allocation, attributes, errors, models
from lab.cloud.network.effects import Effects
from lab.cloud.network.resource import Change, Resource
from lab.cloud.state import Record, RegionState


def settle_later(change: Change, floating: Record, *routers: str | None) -> None:
    """Have the routers follow the record; then its status: ACTIVE with a port, DOWN without, ERROR when its router is in ERROR."""
    cloud, region, wanted = change.cloud, change.region, floating["id"]

    def settle() -> None:
        effects = Effects(cloud, region)
        for router in routers:
            effects.router(router)
        effects.run()
        with cloud.lock:
            state = cloud.region(region)
            record = state.floating_ips.get(wanted)
            if record is None:
                return
            serving = state.routers.get(record["router_id"] or "")
            status = "DOWN" if serving is None else "ERROR" if serving["status"] == "ERROR" else "ACTIVE"
            if record["status"] != status:
                record["status"] = status
                models.touch(record)

    cloud.later(cloud.config.delays.floating_ip, settle)


def _serving_router(state: RegionState, network: str, subnet: str) -> str | None:
    """The router that leads from a subnet to the external network: it has an interface there and its gateway here."""
    for port in state.ports.values():
        if port["device_owner"] == models.INTERFACE and any(
            fixed["subnet_id"] == subnet for fixed in port["fixed_ips"]
        ):
            gateway = state.routers[port["device_id"]]["external_gateway_info"]
            if gateway and gateway["network_id"] == network:
                return str(port["device_id"])
    return None


def _associate(change: Change, floating: Record, port_id: str, fixed_address: str | None) -> None:
    port = change.seen("port", port_id)
    choices = [fixed for fixed in port["fixed_ips"] if fixed_address in (None, fixed["ip_address"])]
    if not choices:
        reason = f"Cannot add floating IP to port {port_id} that has no fixed IPv4 addresses."
        if fixed_address is not None:
            reason = f"Port {port_id} does not have fixed ip {fixed_address}."
        raise errors.bad_resource("floatingip", reason)
    fixed = choices[0]
    network = floating["floating_network_id"]
    for other in change.state.floating_ips.values():
        same = other["port_id"] == port_id and other["fixed_ip_address"] == fixed["ip_address"]
        if same and other["id"] != floating["id"]:
            raise errors.port_has_floating_ip(
                floating["floating_ip_address"], floating["id"], port_id, fixed["ip_address"], network
            )
    router = _serving_router(change.state, network, fixed["subnet_id"])
    if router is None:
        raise errors.not_reachable(network, fixed["subnet_id"], port_id)
    floating |= {"port_id": port_id, "fixed_ip_address": fixed["ip_address"], "router_id": router}


def release(change: Change, port_id: str, keep: Collection[str] = ()) -> None:
    """Take the floating IPs off a port, but those of the fixed addresses in `keep`."""
    for floating in change.state.floating_ips.values():
        if floating["port_id"] == port_id and floating["fixed_ip_address"] not in keep:
            router = floating["router_id"]
            floating |= {"port_id": None, "fixed_ip_address": None, "router_id": None}
            models.touch(floating)
            settle_later(change, floating, router)


def create(change: Change, values: Record) -> Record:
    if values["floating_ip_address"] is not None:
        raise errors.forbidden("(rule:create_floatingip and rule:create_floatingip:floating_ip_address)")
    change.check_quota("floatingip")
    network = change.seen("network", values["floating_network_id"])
    if not network["router:external"]:
        raise errors.bad_resource("floatingip", f"Network {network['id']} is not a valid external network.")
    address = allocation.external_address(change.state, network)["ip_address"]
    floating = models.new_floating_ip(change.project, network["id"], address, values["description"])
    if values["port_id"] is not None:
        _associate(change, floating, values["port_id"], values["fixed_ip_address"])
        settle_later(change, floating, floating["router_id"])
    change.state.floating_ips[floating["id"]] = floating
    return floating


def update(change: Change, floating: Record, values: Record) -> None:
    before = floating["router_id"]
    if values.get("fixed_ip_address") and not values.get("port_id"):
        raise errors.bad_resource("floatingip", "fixed_ip_address cannot be specified without a port_id")
    if values.get("port_id"):
        moved = values["port_id"] != floating["port_id"]
        _associate(change, floating, values["port_id"], values.get("fixed_ip_address"))
        if moved:
            floating["status"] = "DOWN"
    elif "port_id" in values:
        floating |= {"port_id": None, "fixed_ip_address": None, "router_id": None}
    if "description" in values:
        floating["description"] = values["description"]
    if "port_id" in values:
        settle_later(change, floating, before, floating["router_id"])


def remove(change: Change, floating: Record) -> None:
    del change.state.floating_ips[floating["id"]]
    change.effects.router(floating["router_id"])


FLOATING_IPS = Resource(
    kind="floatingip",
    path="floatingips",
    schema=attributes.FLOATING_IP,
    create=create,
    update=update,
    remove=remove,
    body=models.floating_ip_body,
)
