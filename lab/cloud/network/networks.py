"""Networks and subnets."""

from __future__ import annotations

from ipaddress import IPv4Network

from lab.cloud.network import addresses, attributes, errors, models
from lab.cloud.network.attributes import UNSET
from lab.cloud.network.resource import Change, Resource
from lab.cloud.state import Record, RegionState
from lab.cloud.web import ApiError

LARGEST_MTU = 9000  # of a VLAN of the vRack
OVERLAY_MTU = 1450  # of a network of one region: what its tunnels leave of the underlay's 1500


def _segment(state: RegionState, values: Record) -> tuple[str, int]:
    """Type and segmentation id: a `vrack` network is the VLAN that it names; any other gets a segment of its own."""
    kind, wanted = values["provider:network_type"], values["provider:segmentation_id"]
    used = {n["provider:segmentation_id"] for n in state.networks.values() if n["provider:network_type"] == "vrack"}
    if kind is UNSET:
        if wanted is not UNSET:
            raise errors.invalid_input("network_type required")
        taken = {
            n["provider:segmentation_id"] for n in state.networks.values() if n["provider:network_type"] == "vxlan"
        }
        return "vxlan", next(number for number in range(1, len(taken) + 2) if number not in taken)
    if kind != "vrack":
        raise errors.invalid_input(f"network_type value '{kind}' not supported")
    if wanted is UNSET:
        raise errors.invalid_input("segmentation_id required for vrack provider network")
    if not 1 <= wanted <= 4094:
        raise errors.invalid_input("segmentation_id out of range (1 through 4094)")
    if wanted in used:
        raise errors.vlan_in_use(wanted)
    return "vrack", wanted


def _mtu(values: Record, default: int, kind: str) -> int:
    if values["mtu"] is UNSET:
        return default
    largest = OVERLAY_MTU if kind == "vxlan" else LARGEST_MTU
    if not 68 <= values["mtu"] <= largest:
        raise errors.invalid_input(f"Requested MTU is too big, maximum is {largest}")
    return int(values["mtu"])


def _check_policy(values: Record, action: str) -> None:
    for name in ("shared", "router:external"):
        if values.get(name):
            raise errors.forbidden(f"(rule:{action}_network and rule:{action}_network:{name})")


def create_network(change: Change, values: Record) -> Record:
    _check_policy(values, "create")
    change.check_quota("network")
    kind, segment = _segment(change.state, values)
    mtu = _mtu(values, 1500 if kind == "vrack" else OVERLAY_MTU, kind)
    network = models.new_network(change.project, values, kind=kind, segment=segment, mtu=mtu)
    change.state.networks[network["id"]] = network
    change.effects.network(network["id"])
    return network


def update_network(change: Change, network: Record, values: Record) -> None:
    _check_policy(values, "update")
    if "mtu" in values:
        network["mtu"] = _mtu(values, network["mtu"], network["provider:network_type"])
        change.effects.network(network["id"])
    network |= {name: value for name, value in values.items() if name != "mtu"}


def delete_network(change: Change, network: Record) -> None:
    ports = [port["id"] for port in change.state.ports.values() if port["network_id"] == network["id"]]
    if ports:
        raise errors.network_in_use(network["id"], ports)
    for subnet in network["subnets"]:
        del change.state.subnets[subnet]
    del change.state.networks[network["id"]]
    change.effects.dropped("network", network)


def _name_servers(values: Record) -> None:
    for address in values.get("dns_nameservers", ()):
        addresses.parse_address(address, "dns_nameservers")


def create_subnet(change: Change, values: Record) -> Record:
    network = change.seen("network", values["network_id"])
    if network["project_id"] != change.project:
        raise errors.forbidden("rule:create_subnet")
    if values["ip_version"] not in (4, 6):
        raise errors.bad_request(f"Invalid input for ip_version. Reason: '{values['ip_version']}' is not in [4, 6].")
    if values["ip_version"] == 6:
        raise errors.not_in_the_lab("IPv6 subnets")
    change.check_quota("subnet")
    cidr = addresses.parse_cidr(values["cidr"])
    _name_servers(values)
    gateway = str(addresses.hosts(cidr)[0]) if values["gateway_ip"] is UNSET else values["gateway_ip"]
    if gateway is not None:
        gateway = str(addresses.parse_address(gateway, "gateway_ip"))
    if values["allocation_pools"] is UNSET:
        pools = addresses.default_pools(cidr, gateway)
    else:
        pools = addresses.check_pools(cidr, values["allocation_pools"])
        if gateway is not None:
            addresses.check_gateway(gateway, pools)
    for other in network["subnets"]:
        if cidr.overlaps(IPv4Network(change.state.subnets[other]["cidr"])):
            raise errors.invalid_input(
                f"Requested subnet with cidr: {cidr} for network: {network['id']} overlaps with another subnet"
            )
    subnet = models.new_subnet(change.project, values, cidr=str(cidr), gateway=gateway, pools=pools)
    change.state.subnets[subnet["id"]] = subnet
    network["subnets"].append(subnet["id"])
    models.touch(network)
    return subnet


def update_subnet(change: Change, subnet: Record, values: Record) -> None:
    _name_servers(values)
    cidr = IPv4Network(subnet["cidr"])
    pools = (
        addresses.check_pools(cidr, values["allocation_pools"])
        if "allocation_pools" in values
        else subnet["allocation_pools"]
    )
    gateway = values.get("gateway_ip", subnet["gateway_ip"])
    if gateway is not None:
        addresses.check_gateway(str(addresses.parse_address(gateway, "gateway_ip")), pools)
    for port in change.state.ports.values():
        held = {fixed["ip_address"] for fixed in port["fixed_ips"] if fixed["subnet_id"] == subnet["id"]}
        if (
            port["device_owner"] == models.INTERFACE
            and subnet["gateway_ip"] in held
            and gateway != subnet["gateway_ip"]
        ):
            text = f"Current gateway ip {subnet['gateway_ip']} already in use by port {port['id']}. Unable to update."
            raise ApiError(409, text, "GatewayIpInUse")
    subnet |= {**values, "allocation_pools": pools, "gateway_ip": gateway}


def delete_subnet(change: Change, subnet: Record) -> None:
    if any(fixed["subnet_id"] == subnet["id"] for port in change.state.ports.values() for fixed in port["fixed_ips"]):
        raise errors.subnet_in_use(subnet["id"])
    network = change.state.networks[subnet["network_id"]]
    network["subnets"].remove(subnet["id"])
    models.touch(network)
    del change.state.subnets[subnet["id"]]


NETWORKS = Resource(
    kind="network",
    path="networks",
    schema=attributes.NETWORK,
    create=create_network,
    update=update_network,
    remove=delete_network,
    extra=(("is_default", False),),
)
SUBNETS = Resource(
    kind="subnet",
    path="subnets",
    schema=attributes.SUBNET,
    create=create_subnet,
    update=update_subnet,
    remove=delete_subnet,
)
