"""Neutron's records: how each looks when it is new, how it is found, how it is shown.

Records are the bodies of the API; `lab.cloud.state` says who may touch them when.
"""

from __future__ import annotations

import copy
from typing import Any

from lab.cloud.config import ADMIN_PROJECT
from lab.cloud.network import errors
from lab.cloud.state import Cloud, Record, RegionState, Store, new_id, public, stamp

INTERFACE = "network:router_interface"
BALANCER = "Octavia"
FABRIC = (INTERFACE, BALANCER)  # owners whose ports no server stands behind: nothing filters them

STORES = {
    "network": "networks",
    "subnet": "subnets",
    "port": "ports",
    "router": "routers",
    "security_group": "security_groups",
    "security_group_rule": "rules",
    "floatingip": "floating_ips",
}


def store(state: RegionState, kind: str) -> Store:
    found: Store = getattr(state, STORES[kind])
    return found


def find(state: RegionState, kind: str, wanted: str) -> Record:
    """The record, or the 404 of its kind."""
    record = store(state, kind).get(wanted)
    if record is None:
        raise errors.not_found(kind, wanted)
    return record


def visible(state: RegionState, record: Record, project: str) -> bool:
    """Of one's own, on a network of one's own, or shared with everybody."""
    if record["project_id"] == project or record.get("shared") or record.get("router:external"):
        return True
    network = state.networks.get(record.get("network_id") or "")
    return network is not None and network["project_id"] == project


def owned(project: str, revision: int) -> Record:
    """The part that all records have in common."""
    moment = stamp()
    return {
        "tenant_id": project,
        "project_id": project,
        "created_at": moment,
        "updated_at": moment,
        "revision_number": revision,
    }


def touch(record: Record) -> None:
    """A change: new revision, new time."""
    record["revision_number"] += 1
    record["updated_at"] = stamp()


def new_network(project: str, values: Record, *, kind: str, segment: int | None, mtu: int) -> Record:
    return {
        "id": new_id(),
        "name": values["name"],
        "admin_state_up": values["admin_state_up"],
        "mtu": mtu,
        "status": "ACTIVE",
        "subnets": [],
        "shared": values["shared"],
        "availability_zone_hints": values["availability_zone_hints"],
        "availability_zones": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "router:external": values["router:external"],
        "description": values["description"],
        "port_security_enabled": values["port_security_enabled"],
        "qos_policy_id": None,
        "tags": [],
        "provider:network_type": kind,
        "provider:segmentation_id": segment,
        **owned(project, 1),
    }


def new_subnet(project: str, values: Record, *, cidr: str, gateway: str | None, pools: list[dict[str, str]]) -> Record:
    return {
        "id": new_id(),
        "name": values["name"],
        "network_id": values["network_id"],
        "ip_version": 4,
        "subnetpool_id": None,
        "enable_dhcp": values["enable_dhcp"],
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "gateway_ip": gateway,
        "cidr": cidr,
        "allocation_pools": pools,
        "host_routes": values["host_routes"],
        "dns_nameservers": values["dns_nameservers"],
        "description": values["description"],
        "router:external": False,
        "service_types": values["service_types"],
        "tags": [],
        **owned(project, 0),
    }


def new_port(project: str, network: str, mac: str, fixed_ips: list[dict[str, str]], **values: Any) -> Record:
    """`values`: whatever differs from a port that nobody uses yet."""
    record: Record = {
        "id": new_id(),
        "name": "",
        "network_id": network,
        "mac_address": mac,
        "admin_state_up": True,
        "status": "DOWN",
        "device_id": "",
        "device_owner": "",
        "fixed_ips": fixed_ips,
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "security_groups": [],
        "description": "",
        "binding:vnic_type": "normal",
        "port_security_enabled": True,
        "qos_policy_id": None,
        "qos_network_policy_id": None,
        "tags": [],
        **owned(project, 1),
    }
    record.update(values)
    return record


def new_router(project: str, values: Record) -> Record:
    return {
        "id": new_id(),
        "name": values["name"],
        "admin_state_up": values["admin_state_up"],
        "status": "ACTIVE",
        "external_gateway_info": None,
        "description": values["description"],
        "availability_zones": [],
        "availability_zone_hints": values["availability_zone_hints"],
        "routes": [],
        "flavor_id": None,
        "tags": [],
        **owned(project, 1),
    }


def new_group(project: str, name: str, description: str, stateful: bool = True) -> Record:
    return {
        "id": new_id(),
        "name": name,
        "stateful": stateful,
        "description": description,
        "shared": False,
        "tags": [],
        **owned(project, 1),
    }


def new_rule(project: str, group: str, direction: str, ethertype: str, **values: Any) -> Record:
    record: Record = {
        "id": new_id(),
        "security_group_id": group,
        "ethertype": ethertype,
        "direction": direction,
        "protocol": None,
        "port_range_min": None,
        "port_range_max": None,
        "remote_ip_prefix": None,
        "remote_address_group_id": None,
        "normalized_cidr": None,
        "remote_group_id": None,
        "belongs_to_default_sg": False,
        "description": None,
        **owned(project, 0),
    }
    record.update(values)
    return record


def new_floating_ip(project: str, network: str, address: str, description: str) -> Record:
    return {
        "id": new_id(),
        "floating_ip_address": address,
        "floating_network_id": network,
        "router_id": None,
        "port_id": None,
        "fixed_ip_address": None,
        "status": "DOWN",
        "description": description,
        "qos_policy_id": None,
        "tags": [],
        **owned(project, 0),
    }


def group_body(state: RegionState, group: Record) -> Record:
    """A group with its rules, which are shown here with two fields more than on their own."""
    rules = [public(rule) for rule in state.rules.values() if rule["security_group_id"] == group["id"]]
    for number, rule in enumerate(rules, start=1):
        rule |= {"tags": [], "standard_attr_id": number}
    return {**public(group), "security_group_rules": rules}


def group_listed(state: RegionState, group: Record) -> Record:
    """A group within a list: Neutron does not look up there whether its rules are those of the default group."""
    shown = group_body(state, group)
    for rule in shown["security_group_rules"]:
        rule["belongs_to_default_sg"] = None
    return shown


_DETAILS = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")


def floating_ip_body(state: RegionState, floating: Record) -> Record:
    port = state.ports.get(floating["port_id"] or "")
    details = {name: copy.deepcopy(port[name]) for name in _DETAILS} if port is not None else None
    return {**public(floating), "port_details": details}


def plain_body(state: RegionState, record: Record) -> Record:
    return public(record)


def default_group(state: RegionState, project: str) -> Record:
    """The group that a port gets when it names none. Every project has it from the beginning."""
    for group in state.security_groups.values():
        if group["project_id"] == project and group["name"] == "default":
            return group
    raise errors.not_found("security_group", "default")


def seed(cloud: Cloud, region: str) -> None:
    """What a region has on its first day: Ext-Net with its subnet, and the project's default group.

    The default group lets everything through both ways, as OVHcloud's does (elsewhere it admits its own members only).
    """
    state, external, project = cloud.region(region), cloud.settings(region).external, cloud.config.project_id
    values = {
        "name": external.name,
        "description": "",
        "admin_state_up": True,
        "shared": True,
        "router:external": True,
        "port_security_enabled": True,
        "availability_zone_hints": [],
    }
    network = new_network(ADMIN_PROJECT, values, kind="flat", segment=None, mtu=1500)
    network |= {"id": external.id, "subnets": [external.subnet_id], "is_default": False, "revision_number": 2}
    values = {
        "name": "ext",
        "network_id": external.id,
        "enable_dhcp": False,
        "host_routes": [],
        "dns_nameservers": [],
        "description": "",
        "service_types": [],
    }
    pools = [{"start": external.pool[0], "end": external.pool[1]}]
    subnet = new_subnet(ADMIN_PROJECT, values, cidr=external.cidr, gateway=external.gateway, pools=pools)
    subnet |= {"id": external.subnet_id, "router:external": True}
    state.networks[external.id], state.subnets[external.subnet_id] = network, subnet
    group = new_group(project, "default", "Default security group")
    state.security_groups[group["id"]] = group
    for direction in ("ingress", "egress"):
        for ethertype in ("IPv4", "IPv6"):
            rule = new_rule(project, group["id"], direction, ethertype, belongs_to_default_sg=True)
            state.rules[rule["id"]] = rule
