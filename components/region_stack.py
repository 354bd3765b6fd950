"""One region in full: networks, hosts, load balancer and public addresses.

Nothing here depends on which region is active or asked for: the same region is built either way. It makes no bucket, no DNS record and
starts no service. Names of resources hold no site, so both stacks have the same tree.
"""

from __future__ import annotations

import pulumi
from pulumi_openstack import compute, networking

from components.balancer import Balancer, BalancerArgs
from components.bundle import Bundle
from components.host import Host, HostArgs
from components.network import Network, NetworkArgs
from components.settings import Settings
from contract.dataclass import dataclass
from contract.hosts import APP, CONTROL, DATABASE, KINDS, first
from contract.names import EXT_NET, server_name


@dataclass(frozen=True, kw_only=True)
class RegionStackArgs:
    settings: Settings
    tool: Bundle  # the dr-host archive


class RegionStack(pulumi.ComponentResource):
    """The stack's own region."""

    address: pulumi.Output[str]  # public, of the load balancer
    bastion: pulumi.Output[str]  # public, of control-1
    hosts: dict[str, Host]  # by name within the site: "db-1"
    ready: list[pulumi.Resource]  # done once every host is set up and the entrance stands

    def __init__(self, name: str, args: RegionStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dr:index:RegionStack", name, {}, opts)
        settings, self._project = args.settings, args.settings.project
        child = pulumi.ResourceOptions(parent=self)
        network = Network(f"{name}-network", NetworkArgs(settings=settings), opts=child)
        apart = compute.ServerGroup(
            f"{name}-app-apart", name=f"{settings.project}-{settings.site}-app", policies="anti-affinity", opts=child
        )
        bastion = networking.FloatingIp(
            f"{name}-bastion-ip",
            pool=EXT_NET,
            description=f"{settings.project}-{settings.site}-bastion",
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protects),
        )
        self.bastion = bastion.address
        self.hosts = self._hosts(name, args, network, apart)
        balancer = Balancer(
            f"{name}-balancer",
            BalancerArgs(
                settings=settings,
                subnet_id=network.front_subnet_id,
                members={host.address.name: host.address.front for host in self.of(APP)},
                routed=[network.routed],
            ),
            opts=child,
        )
        self.address = balancer.address
        self.ready = [host.ready for host in self.hosts.values()] + [balancer]
        self.register_outputs({"address": self.address, "bastion": self.bastion})

    def of(self, role: str) -> list[Host]:
        """Hosts of one kind, first one first."""
        return [host for host in self.hosts.values() if host.address.role == role]

    def instances(self) -> dict[str, pulumi.Output[str]]:
        """Ids of the servers that a fence stops, by their names at the API."""
        return {
            server_name(self._project, host.address.site, host.address.name): host.instance_id
            for host in self.hosts.values()
            if KINDS[host.address.role].fenced
        }

    def _hosts(self, name: str, args: RegionStackArgs, network: Network, apart: compute.ServerGroup) -> dict[str, Host]:
        """All hosts of the site, the bastion first: the others are reached through it."""
        settings = args.settings
        hosts: dict[str, Host] = {}
        for address in settings.hosts_of(settings.site).values():
            hosts[address.name] = Host(
                f"{name}-{address.name}",
                HostArgs(
                    settings=settings,
                    address=address,
                    network=network,
                    tool=args.tool,
                    bastion=self.bastion,
                    reachable=[hosts[first(CONTROL)].reached] if hosts else [network],
                    server_group_id=apart.id if address.role == APP else None,
                    volume_gb=settings.region.db_volume_gb if address.role == DATABASE else None,
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
        return hosts
