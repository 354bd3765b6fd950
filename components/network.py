"""The networks of one region and the rules at its hosts' ports.

Makes the regional front network (router, way out, floating IPs), this region's half of the stretched vRack network, one security group
for each kind of host and one that all hosts are in. It makes no gateway on the vRack: the pages of the platform contradict each other about gateways on a
stretched VLAN, and replication needs none. It leaves the project's `default` group alone and uses no group as a rule's source, since
a group knows the ports of its own region only.
"""

from __future__ import annotations

import pulumi
from pulumi_openstack import networking

from components.render import firewall
from components.settings import Settings
from contract import hosts
from contract.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    settings: Settings


class Network(pulumi.ComponentResource):
    """Both networks of a site. `routed` is what must exist before a floating IP can be bound."""

    front_network_id: pulumi.Output[str]
    front_subnet_id: pulumi.Output[str]
    vrack_network_id: pulumi.Output[str]
    vrack_subnet_id: pulumi.Output[str]
    group_ids: dict[str, pulumi.Output[str]]  # security groups by their names in `firewall.grouped`
    routed: pulumi.Resource

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:Network", name, {}, opts)
        settings = args.settings
        prefix = f"{settings.project}-{settings.site}"
        front, front_subnet = self._front(name, prefix, settings)
        vrack, vrack_subnet = self._vrack(name, prefix, settings)
        router = networking.Router(
            f"{name}-router",
            name=f"{prefix}-router",
            external_network_id=settings.region.ext_net_id,
            opts=self._stays(settings),
        )
        self.routed = networking.RouterInterface(
            f"{name}-router-front", router_id=router.id, subnet_id=front_subnet.id, opts=self._stays(settings)
        )
        self.front_network_id, self.front_subnet_id = front.id, front_subnet.id
        self.vrack_network_id, self.vrack_subnet_id = vrack.id, vrack_subnet.id
        self.group_ids = {
            group: self._group(name, prefix, group, rules) for group, rules in firewall.grouped(settings).items()
        }
        self.register_outputs(
            {
                "front_network_id": self.front_network_id,
                "front_subnet_id": self.front_subnet_id,
                "vrack_network_id": self.vrack_network_id,
                "vrack_subnet_id": self.vrack_subnet_id,
                "group_ids": self.group_ids,
            }
        )

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self)

    def groups_of(self, role: str) -> list[pulumi.Output[str]]:
        """Ids of the security groups of a kind of host."""
        return [self.group_ids[firewall.EVERY], self.group_ids[role]]

    def _stays(self, settings: Settings) -> pulumi.ResourceOptions:
        """What every host stands on, and what no change of a configuration may take away in passing."""
        return pulumi.ResourceOptions(parent=self, protect=settings.protects)

    def _front(self, name: str, prefix: str, settings: Settings) -> tuple[networking.Network, networking.Subnet]:
        cidr = settings.region.front_cidr
        network = networking.Network(
            f"{name}-front",
            name=f"{prefix}-front",
            mtu=settings.region.front_mtu,
            admin_state_up=True,
            opts=self._stays(settings),
        )
        subnet = networking.Subnet(
            f"{name}-front-subnet",
            name=f"{prefix}-front",
            network_id=network.id,
            cidr=cidr,
            ip_version=4,
            gateway_ip=hosts.at(cidr, hosts.GATEWAY_OCTET),
            enable_dhcp=True,
            allocation_pools=[_pool(cidr, hosts.FRONT_POOL, 0)],
            dns_nameservers=list(settings.region.dns_servers),
            opts=self._stays(settings),
        )
        return network, subnet

    def _vrack(self, name: str, prefix: str, settings: Settings) -> tuple[networking.Network, networking.Subnet]:
        network = networking.Network(
            f"{name}-vrack",
            name=f"{prefix}-vrack",
            mtu=settings.vrack.mtu,
            admin_state_up=True,
            # The same VLAN in both regions is what makes one network of two.
            value_specs={"provider:network_type": "vrack", "provider:segmentation_id": str(settings.vrack.vlan)},
            opts=self._stays(settings),
        )
        subnet = networking.Subnet(
            f"{name}-vrack-subnet",
            name=f"{prefix}-vrack",
            network_id=network.id,
            cidr=settings.vrack.cidr,
            ip_version=4,
            no_gateway=True,
            enable_dhcp=True,
            allocation_pools=[_pool(settings.vrack.cidr, hosts.VRACK_POOL, settings.region.vrack_offset)],
            opts=self._stays(settings),
        )
        return network, subnet

    def _group(self, name: str, prefix: str, own: str, rules: tuple[firewall.Rule, ...]) -> pulumi.Output[str]:
        group = networking.SecGroup(
            f"{name}-{own}",
            name=f"{prefix}-{own}",
            description="all hosts" if own == firewall.EVERY else f"hosts of kind {own}",
            # What a new group allows by itself depends on the installation; every rule is written here instead.
            delete_default_rules=True,
            opts=self._child(),
        )
        for rule in rules:
            networking.SecGroupRule(
                f"{name}-{own}-{rule.key}",
                security_group_id=group.id,
                description=rule.key,
                direction=rule.direction,
                ethertype="IPv4",
                protocol=rule.protocol,
                port_range_min=rule.port,
                port_range_max=rule.last or rule.port,
                remote_ip_prefix=rule.prefix,
                opts=self._child(),
            )
        group_id: pulumi.Output[str] = group.id
        return group_id


def _pool(network: str, octets: tuple[int, int], offset: int) -> networking.SubnetAllocationPoolArgs:
    first, last = octets
    return networking.SubnetAllocationPoolArgs(
        start=hosts.at(network, first + offset), end=hosts.at(network, last + offset)
    )
