"""The real OpenStack provider against the lab's APIs on loopback: a whole site's worth of resources comes, stays as it is, and goes.

Nothing runs behind the APIs. Slow only where the provider is: it polls at 3 s and more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cloud.backend import RecordingBackend
from lab.cloud.config import CloudConfig, User, default_region
from lab.cloud.openstack import OpenStack, build
from lab.cloud.web import Server
from lab.toolchain import tools
from tests.providers.stacks import Run, Stack

PORTS = {"identity": 5000, "compute": 8774, "network": 9696, "image": 9292, "volumev3": 8776, "load-balancer": 9876}
REGION, PROJECT, PASSWORD = "GRA11", "0123456789abcdef0123456789abcdef", "loopback only"

PROGRAM = f"""
import json
from pathlib import Path

import pulumi
import pulumi_openstack as os_
from pulumi_openstack import compute, loadbalancer as lb, networking as net

given = json.loads(Path("given.json").read_text())
provider = os_.Provider("os", auth_url=given["auth_url"], region="{REGION}", user_name="dr", password="{PASSWORD}", domain_name="Default",
                        tenant_id="{PROJECT}", delayed_auth=True)
opts = pulumi.ResourceOptions(provider=provider)


def after(*resources):
    return pulumi.ResourceOptions(provider=provider, depends_on=list(resources))


vrack = net.Network("vrack", mtu=1500, value_specs={{"provider:network_type": "vrack", "provider:segmentation_id": "42"}}, opts=opts)
vrack_subnet = net.Subnet("vrack", network_id=vrack.id, cidr="10.100.0.0/24", ip_version=4, no_gateway=True,
                          allocation_pools=[net.SubnetAllocationPoolArgs(start="10.100.0.60", end="10.100.0.89")], opts=opts)
front = net.Network("front", tags=["dr"], opts=opts)
subnet = net.Subnet("front", network_id=front.id, cidr="10.1.0.0/24", ip_version=4, gateway_ip="10.1.0.1", dns_nameservers=["192.0.2.53"],
                    allocation_pools=[net.SubnetAllocationPoolArgs(start="10.1.0.200", end="10.1.0.239")], opts=opts)
router = net.Router("router", external_network_id=given["ext_net_id"], opts=opts)
routed = net.RouterInterface("routed", router_id=router.id, subnet_id=subnet.id, opts=opts)
group = net.SecGroup("app", delete_default_rules=True, opts=opts)
for key, more in {{"https": {{"remote_ip_prefix": "10.1.0.0/24"}}, "among": {{"remote_group_id": group.id}}}}.items():
    net.SecGroupRule(key, security_group_id=group.id, direction="ingress", ethertype="IPv4", protocol="tcp", port_range_min=443,
                     port_range_max=443, opts=opts, **more)
net.SecGroupRule("out", security_group_id=group.id, direction="egress", ethertype="IPv4", opts=opts)
port = net.Port("app-front", network_id=front.id, security_group_ids=[group.id],
                fixed_ips=[net.PortFixedIpArgs(subnet_id=subnet.id, ip_address="10.1.0.41")],
                allowed_address_pairs=[net.PortAllowedAddressPairArgs(ip_address="10.1.0.99")], opts=opts)
open_port = net.Port("app-vrack", network_id=vrack.id, port_security_enabled=False, no_security_groups=True,
                     fixed_ips=[net.PortFixedIpArgs(subnet_id=vrack_subnet.id, ip_address="10.100.0.41")], opts=opts)
server = compute.Instance("app", flavor_id=given["flavor_id"], image_id=given["image_id"], opts=opts,
                          networks=[compute.InstanceNetworkArgs(port=port.id), compute.InstanceNetworkArgs(port=open_port.id)])
balancer = lb.LoadBalancer("shop", vip_subnet_id=subnet.id, vip_address="10.1.0.5", flavor_id=given["lb_flavor_id"],
                           description=given["description"], opts=opts)
listener = lb.Listener("https", loadbalancer_id=balancer.id, protocol="TCP", protocol_port=443, allowed_cidrs=["0.0.0.0/0"], opts=opts)
pool = lb.Pool("https", listener_id=listener.id, protocol="PROXYV2", lb_method="ROUND_ROBIN", opts=opts)
lb.Monitor("https", pool_id=pool.id, type="HTTP", http_method="GET", url_path="/health", expected_codes="200", delay=5, timeout=3,
           max_retries=2, max_retries_down=2, opts=opts)
for number in (41, 42):
    lb.Member(f"app-{{number}}", pool_id=pool.id, address=f"10.1.0.{{number}}", protocol_port=443, monitor_port=8080, subnet_id=subnet.id,
              weight=given["weight"], opts=opts)
plain = lb.Pool("plain", loadbalancer_id=balancer.id, protocol="TCP", lb_method="LEAST_CONNECTIONS", opts=opts)
lb.Members("plain", pool_id=plain.id, members=[lb.MembersMemberArgs(address="10.1.0.41", protocol_port=80)], opts=opts)
public = net.FloatingIp("shop", pool="Ext-Net", opts=opts)
net.FloatingIpAssociate("shop", floating_ip=public.address, port_id=balancer.vip_port_id, opts=after(routed))
bastion = net.FloatingIp("bastion", pool="Ext-Net", port_id=port.id, opts=after(routed))
pulumi.export("public", public.address)
"""


class Site:
    """The lab's APIs of one region, served on a loopback address of this process, and a stack on them."""

    def __init__(self, folder: Path) -> None:
        number = os.getpid()
        self.host = f"127.{64 + number % 64}.{number // 250 % 250 + 1}.{number % 250 + 1}"
        endpoints = {kind: f"http://{self.host}:{port}" for kind, port in PORTS.items() if kind != "identity"}
        region = default_region(
            REGION, endpoints, cidr="203.0.113.0/24", gateway="203.0.113.1", pool=("203.0.113.10", "203.0.113.250")
        )
        config = CloudConfig(
            auth_url=f"http://{self.host}:{PORTS['identity']}/v3",
            project_id=PROJECT,
            project_name="shop",
            users=(User(name="dr", password=PASSWORD, id="f" * 32),),
            regions=(region,),
        )
        self.backend = RecordingBackend()
        self.openstack: OpenStack = build(config, self.backend)
        self.cloud = self.openstack.cloud
        self.servers = [
            Server(service, self.host, PORTS[kind]).start() for (kind, _), service in self.openstack.services.items()
        ]
        self.given: dict[str, Any] = {
            "auth_url": config.auth_url,
            "ext_net_id": region.external.id,
            "image_id": region.images[0].id,
            "flavor_id": region.flavors[0].id,
            "lb_flavor_id": region.lb_flavors[0].id,
            "description": "one",
            "weight": 1,
        }
        self.stack = Stack(folder, tools.ensure(), PROGRAM)
        self.write()

    def write(self, **changes: Any) -> None:

        self.given |= changes
        (self.stack.folder / "given.json").write_text(json.dumps(self.given))

    def close(self) -> None:
        for server in self.servers:
            server.stop()
        self.openstack.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "stack")
    yield made
    made.close()


def test_a_site_comes_stays_and_goes_without_a_trace(site: Site) -> None:
    before = site.cloud.all()
    site.stack.up()
    assert site.stack.call("preview", "--diff", "--expect-no-changes").code == 0
    refreshed: Run = site.stack.call("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert refreshed.code == 0, refreshed.output
    site.write(weight=3, description="two")
    changed = site.stack.up()
    assert changed.changed() == {"updated": 3}, changed.output
    site.stack.destroy()
    site.cloud.settle()
    assert site.cloud.all() == before
    made = {(args[0], args[1]) for name, args in site.backend.calls if name == "ensure_network"}
    assert made == {args for name, args in site.backend.calls if name == "delete_network"}
    for make, drop, key in (
        ("ensure_router", "delete_router", "router_id"),
        ("ensure_balancer", "delete_balancer", "balancer_id"),
    ):
        found = {(args[0].region, getattr(args[0], key)) for name, args in site.backend.calls if name == make}
        assert found == {args for name, args in site.backend.calls if name == drop}
        assert len(found) == 1
