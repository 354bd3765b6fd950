"""The public entrance of one region: a load balancer with a floating IP in front of the app hosts.

TCP with the PROXY protocol: TLS ends at the app hosts, which hold the shop's certificate in both regions, so no key is kept at the
platform; plain http goes there too, to be led to https. The monitor asks nginx for /health on its own port. It makes no DNS record and
knows no role: the standby's entrance serves too, its hosts forward.

A load balancer that ended in ERROR cannot be updated: Octavia has deleted its port, and the provider reads that port on every update.
Raising `dr:regions.<site>.balancer_generation` changes the description below, and that alone makes the next run delete the balancer
and make it anew with the same address. Neither do the parts of one in ERROR let themselves be deleted. So the component itself tells
of its generation: when that changes it is updated first of all, and whoever looks then (`components.leftovers`) removes the whole. What
is deleted afterwards is not there any more, which the provider takes as done, but for what it looks for in its pool: a pool takes its
members and monitor with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_openstack import loadbalancer, networking

from components.settings import Settings
from contract import hosts, names
from contract.dataclass import dataclass
from contract.hosts import PORTS

PATIENCE_S = 50  # of a connection that says nothing, at the least


@dataclass(frozen=True, kw_only=True)
class BalancerArgs:
    settings: Settings
    subnet_id: pulumi.Input[str]  # of the front network
    members: Mapping[str, str]  # host name -> front address
    routed: Sequence[pulumi.Resource]  # the way to Ext-Net, needed before a floating IP is bound


class Balancer(pulumi.ComponentResource):
    """Load balancer, listener, pool, members, monitor and floating IP of a site."""

    address: pulumi.Output[str]  # public

    def __init__(self, name: str, args: BalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = args.settings
        prefix = f"{settings.project}-{settings.site}-shop"
        generation = settings.region.balancer_generation
        described = f"shop, site {settings.site}, generation {generation}"
        # The first says nothing, as it always did: a version that says more of itself must not look like a change.
        told = {"name": prefix, "description": described} if generation > 1 else {}
        super().__init__("dr:index:Balancer", name, told, opts)
        balancer = loadbalancer.LoadBalancer(
            f"{name}-octavia",
            name=prefix,
            description=described,
            vip_subnet_id=args.subnet_id,
            vip_address=hosts.at(settings.region.front_cidr, hosts.BALANCER_OCTET),
            flavor_id=settings.region.lb_flavor_id,
            # The old one first: the fixed address can be held by one at a time.
            opts=pulumi.ResourceOptions(parent=self, replace_on_changes=["description"], delete_before_replace=True),
        )
        last = self._listens("https", name, prefix, balancer.id, args)
        self._listens("http", name, prefix, balancer.id, args, after=[last])
        public = networking.FloatingIp(
            f"{name}-ip",
            pool=names.EXT_NET,
            description=prefix,
            # The name of the shop points there.
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protects),
        )
        networking.FloatingIpAssociate(
            f"{name}-ip-vip",
            floating_ip=public.address,
            port_id=balancer.vip_port_id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.routed)),
        )
        self.address = public.address
        self.register_outputs({"address": self.address})

    def _listens(
        self,
        port: str,
        name: str,
        prefix: str,
        balancer_id: pulumi.Output[str],
        args: BalancerArgs,
        *,
        after: Sequence[pulumi.Resource] = (),
    ) -> pulumi.Resource:
        """One port of the entrance, with a pool of its own: a member has one port. Returns what is made last of it."""
        # Octavia's own is 50 s, which ends whatever says nothing for longer, a slow answer or a websocket.
        patience_ms = 1000 * max(PATIENCE_S, args.settings.app.silence_s + 10)
        listener = loadbalancer.Listener(
            f"{name}-{port}",
            name=f"{prefix}-{port}",
            loadbalancer_id=balancer_id,
            protocol="TCP",
            protocol_port=PORTS[port],
            timeout_client_data=patience_ms,
            timeout_member_data=patience_ms,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        pool = loadbalancer.Pool(
            f"{name}-{port}-pool",
            name=f"{prefix}-{port}",
            listener_id=listener.id,
            protocol="PROXYV2",
            lb_method="ROUND_ROBIN",
            opts=pulumi.ResourceOptions(parent=self),
        )
        # One after the other: a load balancer takes one change at a time and answers 409 to the rest.
        last: pulumi.Resource = loadbalancer.Monitor(
            f"{name}-{port}-monitor",
            name=f"{prefix}-{port}",
            pool_id=pool.id,
            type="HTTP",
            http_method="GET",
            url_path="/health",
            expected_codes="200",
            delay=5,
            timeout=3,
            max_retries=2,
            max_retries_down=2,
            opts=pulumi.ResourceOptions(parent=self, deleted_with=pool),
        )
        for host, address in args.members.items():
            last = loadbalancer.Member(
                f"{name}-{port}-{host}",
                name=host,
                pool_id=pool.id,
                address=address,
                protocol_port=PORTS[port],
                monitor_port=PORTS["health"],
                subnet_id=args.subnet_id,
                weight=1,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[last], deleted_with=pool),
            )
        return last
