"""What Nova asks of Neutron about ports. Each call takes the lock itself; `apply_rules` talks to the backend, so it is called without it."""

from __future__ import annotations

from lab.cloud import backend
from lab.cloud.network import errors, models
from lab.cloud.network.effects import Effects, prefix_length
from lab.cloud.state import Cloud


def bind_port(cloud: Cloud, region: str, port_id: str, server_id: str, zone: str) -> None:
    """Give the port to a server: device, owner `compute:<zone>`, ACTIVE. 404 when there is no such port, 409 when another device has it."""
    with cloud.lock:
        port = models.find(cloud.region(region), "port", port_id)
        if port["device_id"] not in ("", server_id):
            raise errors.port_in_use(port_id)
        port |= {"device_id": server_id, "device_owner": f"compute:{zone}", "status": "ACTIVE"}
        models.touch(port)


def unbind_port(cloud: Cloud, region: str, port_id: str) -> None:
    """Take the port back from its server: no device, DOWN, addresses kept. A port that is gone is left alone."""
    with cloud.lock:
        port = cloud.region(region).ports.get(port_id)
        if port is not None:
            port |= {"device_id": "", "device_owner": "", "status": "DOWN"}
            models.touch(port)


def nic_of(cloud: Cloud, region: str, port_id: str) -> backend.Nic:
    """The interface that a server gets from the port: its first address, and that subnet's gateway and name servers.

    404 when there is no such port; `BackendError` when it has no address.
    """
    with cloud.lock:
        state = cloud.region(region)
        port = models.find(state, "port", port_id)
        if not port["fixed_ips"]:
            raise backend.BackendError(
                f"port {port_id} has no fixed IP, a server needs one: make a subnet before the port"
            )
        fixed = port["fixed_ips"][0]
        subnet = state.subnets[fixed["subnet_id"]]
        return backend.Nic(
            port_id=port_id,
            network_id=port["network_id"],
            mac=port["mac_address"],
            address=fixed["ip_address"],
            prefix_length=prefix_length(state, fixed["subnet_id"]),
            gateway=subnet["gateway_ip"],
            dns=tuple(subnet["dns_nameservers"]),
            mtu=state.networks[port["network_id"]]["mtu"],
        )


def apply_rules(cloud: Cloud, region: str, port_id: str) -> None:
    """Compile the port's security groups and hand the rules to the backend. Raises `BackendError` when it cannot set them.

    Changes of groups, rules and memberships do so by themselves; this is for a port whose server is about to boot.
    """
    effects = Effects(cloud, region)
    effects.port(port_id)
    effects.run()
