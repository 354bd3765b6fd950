"""Routers, their gateway and their interfaces."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

from lab.cloud.network import allocation, attributes, errors, models
from lab.cloud.network.resource import Change, NeutronService, Resource
from lab.cloud.state import Record
from lab.cloud.web import Call, Reply

_GATEWAY_FIELDS = {"network_id", "enable_snat", "external_fixed_ips"}


def _floating(change: Change, router: str, subnet: str | None = None) -> bool:
    """Whether floating IPs need the router, or its interface on one subnet."""
    for floating in change.state.floating_ips.values():
        if floating["router_id"] != router:
            continue
        port = change.state.ports[floating["port_id"]]
        held = [
            fixed["subnet_id"] for fixed in port["fixed_ips"] if fixed["ip_address"] == floating["fixed_ip_address"]
        ]
        if subnet is None or subnet in held:
            return True
    return False


def _set_gateway(change: Change, router: Record, info: dict[str, Any] | None) -> None:
    current = router["external_gateway_info"]
    wanted = (info or {}).get("network_id")
    if unknown := sorted(set(info or {}) - _GATEWAY_FIELDS):
        text = f"Invalid input for external_gateway_info. Reason: Unexpected keys supplied: {', '.join(unknown)}."
        raise errors.bad_request(text)
    if wanted is not None:
        network = change.seen("network", wanted)
        if not network["router:external"]:
            raise errors.bad_resource("router", f"Network {wanted} is not an external network.")
    if current and wanted != current["network_id"] and _floating(change, router["id"]):
        raise errors.gateway_in_use(router["id"], current["network_id"])
    if wanted is None:
        router["external_gateway_info"] = None
        return
    if info and info.get("external_fixed_ips"):
        raise errors.forbidden("(rule:update_router and rule:update_router:external_gateway_info:external_fixed_ips)")
    if current is None or current["network_id"] != wanted:
        address = allocation.external_address(change.state, network)
        current = {"network_id": wanted, "external_fixed_ips": [address], "enable_snat": True}
    if info and "enable_snat" in info:
        current["enable_snat"] = attributes.boolean("enable_snat", info["enable_snat"])
    router["external_gateway_info"] = current


def create(change: Change, values: Record) -> Record:
    change.check_quota("router")
    router = models.new_router(change.project, values)
    if values["external_gateway_info"]:
        _set_gateway(change, router, values["external_gateway_info"])
        models.touch(router)
    change.state.routers[router["id"]] = router
    change.effects.router(router["id"])
    return router


def update(change: Change, router: Record, values: Record) -> None:
    if "external_gateway_info" in values:
        _set_gateway(change, router, values["external_gateway_info"])
    router |= {name: value for name, value in values.items() if name != "external_gateway_info"}
    change.effects.router(router["id"])


def remove(change: Change, router: Record) -> None:
    ports = [port["id"] for port in change.state.ports.values() if port["device_id"] == router["id"]]
    if ports:
        raise errors.router_in_use(router["id"], ports)
    del change.state.routers[router["id"]]
    change.effects.dropped("router", router)


def _interfaces(change: Change, router: Record) -> list[Record]:
    return [
        p
        for p in change.state.ports.values()
        if p["device_id"] == router["id"] and p["device_owner"] == models.INTERFACE
    ]


def _check_subnet(change: Change, router: Record, subnet: Record) -> None:
    """One interface for each subnet, and none where the ranges overlap."""
    for port in _interfaces(change, router):
        for fixed in port["fixed_ips"]:
            other = change.state.subnets[fixed["subnet_id"]]
            if other["id"] == subnet["id"]:
                raise errors.bad_resource("router", f"Router already has a port on subnet {subnet['id']}.")
            if IPv4Network(other["cidr"]).overlaps(IPv4Network(subnet["cidr"])):
                reason = f"Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with cidr {other['cidr']} of subnet {other['id']}."
                raise errors.bad_resource("router", reason)


def _reference(body: Any) -> tuple[str | None, str | None]:
    """(subnet id, port id), of which a request names at least one."""
    given = body if isinstance(body, dict) else {}
    subnet, port = given.get("subnet_id"), given.get("port_id")
    if subnet is None and port is None:
        raise errors.bad_resource("router", "Either subnet_id or port_id must be specified.")
    return subnet, port


def _describe(router: Record, port: Record) -> Record:
    subnets = [fixed["subnet_id"] for fixed in port["fixed_ips"]]
    return {
        "id": router["id"],
        "tenant_id": port["tenant_id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "subnet_id": subnets[0],
        "subnet_ids": subnets,
    }


def add_interface(change: Change, router: Record, body: Any) -> Record:
    """Give the router the subnet's gateway address, or the port that the request names."""
    subnet_id, port_id = _reference(body)
    if subnet_id is not None and port_id is not None:
        raise errors.bad_resource("router", "Cannot specify both subnet-id and port-id.")
    if port_id is not None:
        port = change.own("port", str(port_id), "update")
        if port["device_id"]:
            raise errors.port_in_use(port["id"])
        if not port["fixed_ips"]:
            raise errors.bad_resource(
                "router", f"Router port must have at least one fixed IP, port {port_id} has none."
            )
        for fixed in port["fixed_ips"]:
            _check_subnet(change, router, change.state.subnets[fixed["subnet_id"]])
        port |= {"device_id": router["id"], "device_owner": models.INTERFACE}
        models.touch(port)
    else:
        subnet = change.seen("subnet", str(subnet_id))
        _check_subnet(change, router, subnet)
        if subnet["gateway_ip"] is None:
            raise errors.bad_resource("router", "Subnet for router interface must have a gateway IP.")
        change.check_quota("port")
        wanted = [{"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}]
        port = allocation.create_port(
            change.cloud,
            change.region,
            change.project,
            subnet["network_id"],
            wanted=wanted,
            device_id=router["id"],
            device_owner=models.INTERFACE,
            port_security_enabled=False,
        )
    models.touch(router)
    change.effects.router(router["id"])
    return _describe(router, port)


def remove_interface(change: Change, router: Record, body: Any) -> Record:
    subnet_id, port_id = _reference(body)
    if subnet_id is not None:
        change.seen("subnet", str(subnet_id))
    for port in _interfaces(change, router):
        subnets = [fixed["subnet_id"] for fixed in port["fixed_ips"]]
        if port_id not in (None, port["id"]) or (subnet_id is not None and subnet_id not in subnets):
            continue
        for subnet in subnets:
            if _floating(change, router["id"], subnet):
                raise errors.interface_in_use(router["id"], subnet)
        del change.state.ports[port["id"]]
        models.touch(router)
        change.effects.router(router["id"])
        return _describe(router, port)
    raise errors.no_interface(router["id"], str(subnet_id or port_id))


ROUTERS = Resource(kind="router", path="routers", schema=attributes.ROUTER, create=create, update=update, remove=remove)


def add_interface_routes(service: NeutronService) -> None:
    def register(name: str, act: Callable[[Change, Record, Any], Record]) -> None:
        @service.route("PUT", f"/v2.0/routers/<wanted>/{name}", locked=False)
        def handler(call: Call, wanted: str) -> Reply:
            service.check_writer(call, name)

            def work(change: Change) -> Callable[[], Reply]:
                answer = act(change, change.own("router", wanted, name), call.body)
                return lambda: Reply(200, answer)

            return service.change(call, work)

    register("add_router_interface", add_interface)
    register("remove_router_interface", remove_interface)
