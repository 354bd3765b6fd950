"""Names and addresses of every host of both sites, computed from a few numbers and never looked up.

Either stack can therefore name the other site's hosts while that site is gone. The table of octets is the contract of
`docs/interfaces.md`, section 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

SITES = ("a", "b")
EXT_NET = "Ext-Net"  # OVHcloud's public network and floating IP pool, the same name in every region

GATEWAY_OCTET = 1
BALANCER_OCTET = 5
FRONT_POOL = (200, 239)
VRACK_POOL = (60, 89)
MAX_APP_HOSTS = 9

_OCTETS = {"db-1": 11, "cache-1": 21, "cache-2": 22, "cache-3": 23, "control-1": 31}
_APP_OCTET = 40
MAX_CACHE_REPLICAS = 2


@dataclass(frozen=True, kw_only=True)
class HostAddress:
    """One host as every other host knows it."""

    name: str  # within its site: "db-1"
    site: str
    fqdn: str  # resolves to the vRack address
    front: str
    vrack: str

    @property
    def key(self) -> str:
        """The name that is unique over both sites: "db-1.a"."""
        return f"{self.name}.{self.site}"

    @property
    def role(self) -> str:
        """The kind of host: db, cache, control or app."""
        return self.name.rsplit("-", 1)[0]


def peer_of(site: str) -> str:
    """The other site."""
    return "b" if site == "a" else "a"


def app_names(count: int) -> tuple[str, ...]:
    """Names of the app hosts of one site, first one first."""
    return tuple(f"app-{number}" for number in range(1, count + 1))


def cache_names(replicas: int) -> tuple[str, ...]:
    """Names of the cache hosts of one site, the one that leads after a move first."""
    return tuple(f"cache-{number}" for number in range(1, replicas + 2))


def host_names(app_hosts: int, cache_replicas: int = 0) -> tuple[str, ...]:
    """Names of all hosts of one site; control-1 first, because the others are reached through it."""
    return ("control-1", "db-1", *cache_names(cache_replicas), *app_names(app_hosts))


def at(network: str, octet: int) -> str:
    """The address with this last octet in a /24."""
    return str(IPv4Network(network)[octet])


def app_tier_name(site: str) -> str:
    """The name that the certificates of a site's app hosts share. It is checked in TLS and never resolved."""
    return f"app.{site}.dr.internal"


def octet_of(name: str) -> int:
    """Last octet of a host in its front network, and on the vRack before the site's offset."""
    return _OCTETS[name] if name in _OCTETS else _APP_OCTET + int(name.removeprefix("app-"))


def site_hosts(
    site: str, *, front: str, vrack: str, offset: int, app_hosts: int, cache_replicas: int = 0
) -> dict[str, HostAddress]:
    """All hosts of one site by key ("db-1.a")."""
    hosts = (
        HostAddress(
            name=name,
            site=site,
            fqdn=f"{name}.{site}.dr.internal",
            front=at(front, octet_of(name)),
            vrack=at(vrack, octet_of(name) + offset),
        )
        for name in host_names(app_hosts, cache_replicas)
    )
    return {host.key: host for host in hosts}


def server_name(project: str, site: str, host: str) -> str:
    """Name of a server at the OpenStack API; the fence of the other site finds it by this name."""
    return f"{project}-{site}-{host}"


def bucket_name(project: str, service_name: str, site: str, kind: str) -> str:
    """Name of a bucket. Bucket names are shared by all customers, hence the piece of the project's id."""
    return f"{project}-{service_name[:8]}-{site}-{kind}".lower()


def record_name(site: str, subdomain: str) -> str:
    """The fixed name of one site beside the public name: "a.www"."""
    return f"{site}.{subdomain}" if subdomain else site
