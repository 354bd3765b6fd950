"""What the rehearsal cloud is made of: one project, its users, two regions with their images, flavors and quotas.

Everything here is fixed for the life of a `Cloud`; what tenants create lives in `lab.cloud.state`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

SERVICE_TYPES = ("image", "compute", "network", "load-balancer", "volumev3")
ADMIN_PROJECT = (
    "267dca8aca21410f8fbe58d59fdc2ab2"  # owns what the tenant only sees: Ext-Net, images, the balancers' own ports
)

_NAMESPACE = uuid.UUID("8d3a4a3e-7f0b-5c83-9d0a-3c1c0f4b6a52")


def fixed_id(*parts: str) -> str:
    """The same UUID for the same name in every process, so that stack files survive a restart of the lab."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


@dataclass(frozen=True, kw_only=True)
class User:
    """One Keystone user with roles on the one project. `id` is 32 hex digits."""

    name: str
    password: str = field(repr=False)
    id: str
    roles: tuple[str, ...] = ("member", "reader", "load-balancer_member")


@dataclass(frozen=True, kw_only=True)
class Image:
    id: str
    name: str
    size: int = 1048576  # bytes
    min_disk: int = 0  # GB
    min_ram: int = 0  # MB
    status: str = "active"


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """`ram` in MB, `disk` in GB."""

    id: str
    name: str
    ram: int
    vcpus: int
    disk: int = 25


@dataclass(frozen=True, kw_only=True)
class LbFlavor:
    id: str
    name: str
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class ExternalNetwork:
    """`pool`: first and last address that routers and floating IPs may take. `gateway`: the internet's own address in it."""

    id: str
    subnet_id: str
    cidr: str
    gateway: str
    pool: tuple[str, str]
    name: str = "Ext-Net"


QUOTAS: Mapping[str, int] = {
    # compute
    "instances": 20, "cores": 100, "ram": 262144, "key_pairs": 100, "metadata_items": 128, "server_groups": 10, "server_group_members": 10,
    # volumev3 (gigabytes is the sum over all volumes)
    "volumes": 20, "gigabytes": 1000, "per_volume_gigabytes": -1, "snapshots": 10, "backups": 10, "backup_gigabytes": 1000, "groups": 10,
    # network
    "network": 100, "subnet": 100, "port": 500, "router": 10, "floatingip": 50, "security_group": 100, "security_group_rule": 1000,
    "subnetpool": -1, "rbac_policy": 10,
    # load-balancer
    "load_balancer": 20, "listener": 100, "pool": 100, "member": 500, "health_monitor": 100, "l7policy": -1, "l7rule": -1,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RegionConfig:
    """`endpoints`: root URL without a path by service type (`http://203.0.113.2:8774`); the catalogue adds each service's own path."""

    name: str
    endpoints: Mapping[str, str]
    external: ExternalNetwork
    images: tuple[Image, ...]
    flavors: tuple[Flavor, ...]
    lb_flavors: tuple[LbFlavor, ...] = ()
    quotas: Mapping[str, int] = field(default_factory=lambda: dict(QUOTAS))  # -1: no limit
    zone: str = "nova"
    hypervisors: int = 2  # how many members an anti-affinity group can have
    volume_types: tuple[str, ...] = ("classic", "high-speed-gen2", "high-speed")  # the first one is the default


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Seconds that an asynchronous change rests in each intermediate state, on top of what the machinery takes."""

    server: float = 0.05
    volume: float = 0.1
    balancer: float = 0.1
    floating_ip: float = 0.1
    network: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CloudConfig:
    """`auth_url` ends in /v3. `project_id` and user ids are 32 hex digits. `rate_limits`: requests per second by service type, absent: none."""

    auth_url: str
    project_id: str
    project_name: str
    users: tuple[User, ...]
    regions: tuple[RegionConfig, ...]
    domain_id: str = "default"
    domain_name: str = "Default"
    token_life_s: float = 4 * 3600
    delays: Delays = field(default_factory=Delays)
    rate_limits: Mapping[str, float] = field(default_factory=dict)

    def region(self, name: str) -> RegionConfig:
        for region in self.regions:
            if region.name == name:
                return region
        raise KeyError(f"region {name} is not one of {', '.join(r.name for r in self.regions)}")


def default_region(
    name: str,
    endpoints: Mapping[str, str],
    *,
    cidr: str,
    gateway: str,
    pool: tuple[str, str],
    quotas: Mapping[str, int] | None = None,
) -> RegionConfig:
    """A region as the lab offers it: `Debian 13`, OVHcloud's small flavors, `Ext-Net`; ids are fixed by the region's name."""
    flavors = (
        ("b3-8", 8192, 2),
        ("b3-16", 16384, 4),
        ("d2-2", 2048, 1),
        ("d2-4", 4096, 2),
        ("d2-8", 8192, 4),
        ("r3-16", 16384, 2),
    )
    return RegionConfig(
        name=name,
        endpoints=endpoints,
        external=ExternalNetwork(
            id=fixed_id(name, "ext-net"),
            subnet_id=fixed_id(name, "ext-net", "subnet"),
            cidr=cidr,
            gateway=gateway,
            pool=pool,
        ),
        images=(Image(id=fixed_id(name, "image", "Debian 13"), name="Debian 13"),),
        flavors=tuple(Flavor(id=fixed_id(name, "flavor", n), name=n, ram=ram, vcpus=cpus) for n, ram, cpus in flavors),
        lb_flavors=tuple(LbFlavor(id=fixed_id(name, "lb-flavor", n), name=n) for n in ("small", "medium", "large")),
        quotas={**QUOTAS, **(quotas or {})},
    )
