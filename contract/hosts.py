"""The kinds of hosts, a row each, and the names and addresses that follow from them. Nothing is ever looked up.

A new kind of host is a row in `KINDS` and a service in `scripts/host`: its servers, ports, names in certificates, packages and firewall rules,
whether a fence stops it and whether its agent keeps a lease all come from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from enum import StrEnum

from .dataclass import dataclass

GATEWAY_OCTET, BALANCER_OCTET = 1, 5
FRONT_POOL, VRACK_POOL = (200, 239), (60, 89)  # of DHCP, first and last octet
MAX_APP_HOSTS, MAX_CACHE_REPLICAS = 9, 2
INNER = ".dr.internal"  # the end of every name that hosts have among themselves


class Asker(StrEnum):
    """Who may open a port, where that is not a kind of host of both sites."""

    BALANCER = "balancer"  # the own site's load balancer, see `balancer_networks`
    OPERATORS = "operators"  # dr:operator_cidrs
    COUNTERPART = "counterpart"  # the same host of the other site
    OTHERS = "others"  # every host of the other site
    OWN = "own"  # every host of the own site, over the front network


@dataclass(frozen=True, kw_only=True)
class Port:
    """A TCP port that a kind of host listens on. `name` becomes part of the names of firewall rules."""

    name: str
    number: int
    asked_by: tuple[str, ...]  # kinds of hosts, or an Asker
    grouped: bool = False  # only where a site has several hosts of the kind
    itself: bool = False  # whether an only host of its kind asks itself, too
    rough: bool = (
        False  # whether the balancer is let in by as few rules as can be, and told apart behind the port alone
    )
    watched: bool = False  # only where there is monitoring (`dr:monitoring`)
    logged: bool = False  # only where journals are copied (`dr:logs`)
    stored: bool = False  # only where they are sent to a store as well (`dr:logs.store`)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many hosts a site has, as far as that is configured."""

    app: int = 2
    cache_replicas: int = 0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of host."""

    name: str  # its hosts are <name>-1, <name>-2, ...
    octet: int  # last octet of the first one
    count: Callable[[Sizes], int]  # how many a site has
    most: int
    packages: tuple[str, ...]  # of Debian; {version} is PostgreSQL's major version
    ports: tuple[Port, ...]
    leased: str | None = None  # the service that its agent stops when nobody hears it; None: no agent, no heartbeat
    fenced: bool = True  # whether it writes or works, so that a fence stops its server
    flavor_doc: str = ""
    acme_packages: tuple[str, ...] = ()  # besides, where the shop's certificate is ordered
    shared_name: str | None = None  # further name in the certificates of all its hosts of a site


LEASE_PORT = 7600
_LEASE = Port(name="lease", number=LEASE_PORT, asked_by=(Asker.COUNTERPART,))
# What Prometheus asks, on every host; and on control hosts what each says to the other's. The names are of Debian's packages, ports those of upstream.
_FIGURES = Port(name="figures", number=9100, asked_by=("control",), watched=True)
_COMMON_PACKAGES = ("ca-certificates", "nftables", "unattended-upgrades")
SSH = Port(name="ssh", number=22, asked_by=("control",))  # on every host, from both sites' bastions

CONTROL, DATABASE, CACHE, APP = "control", "db", "cache", "app"

# In the order in which they are made: the others are reached through the first.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name=CONTROL,
            octet=31,
            count=lambda sizes: 1,
            most=1,
            packages=(),
            acme_packages=("lego",),
            ports=(
                Port(name="ssh", number=22, asked_by=(Asker.OPERATORS,)),
                _FIGURES,
                Port(name="prometheus", number=9090, asked_by=("control",), watched=True),
                Port(name="alerts", number=9093, asked_by=("control",), watched=True),
                Port(name="gossip", number=9094, asked_by=("control",), watched=True),
                # A port on which hosts may reach anybody: none needs a rule of its own to send.
                Port(name="logs", number=443, asked_by=(Asker.OTHERS,), logged=True),
                Port(name="store", number=443, asked_by=(Asker.OWN,), stored=True),  # its front address
            ),
            fenced=False,
        ),
        Kind(
            name=DATABASE,
            octet=11,
            count=lambda sizes: 1,
            most=1,
            packages=(
                "pgbackrest",
                "postgresql-{version}",
                "postgresql-client-{version}",
                "python3-psycopg",
                "e2fsprogs",
            ),
            ports=(Port(name="postgres", number=5432, asked_by=(APP, DATABASE)), _LEASE, _FIGURES),
            leased="postgres",
        ),
        Kind(
            name=CACHE,
            octet=21,
            count=lambda sizes: 1 + sizes.cache_replicas,
            most=1 + MAX_CACHE_REPLICAS,
            packages=("redis-server", "redis-tools"),
            ports=(
                Port(name="redis", number=6379, asked_by=(APP, CACHE)),
                # Also from the other site: who takes over tells them that this site leads no more.
                Port(name="sentinel", number=26379, asked_by=(CACHE,), grouped=True),
                _LEASE,
                _FIGURES,
            ),
            leased="redis",
        ),
        Kind(
            name=APP,
            octet=41,
            count=lambda sizes: sizes.app,
            most=MAX_APP_HOSTS,
            packages=(
                "haproxy",
                "nginx",
                "postgresql-client-{version}",
                "puma",
                "python3-psycopg",
                "redis-tools",
                "ruby-aws-sdk-s3",
                "ruby-pg",
                "ruby-rails",
                "ruby-redis",
            ),
            ports=(
                Port(name="http", number=80, asked_by=(Asker.BALANCER,), rough=True),
                Port(name="https", number=443, asked_by=(Asker.BALANCER,)),
                Port(name="health", number=8080, asked_by=(Asker.BALANCER,)),
                Port(name="forward", number=8443, asked_by=(APP,), itself=True),
                _FIGURES,
            ),
            shared_name=f"app.{{site}}{INNER}",
        ),
    )
}
PORTS = {port.name: port.number for kind in KINDS.values() for port in kind.ports}


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
        """The kind of host: a key of `KINDS`."""
        return kind_of(self.name)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The numbers from which a site's addresses are computed."""

    front: str  # its /24
    vrack: str  # the shared /24
    offset: int  # of its last octets on the vRack
    sizes: Sizes = field(default_factory=Sizes)


def kind_of(name: str) -> str:
    """The kind of a host by its name within a site ("cache-2") or by its key ("cache-2.a")."""
    return name.split(".", maxsplit=1)[0].rsplit("-", 1)[0]


def first(kind: str) -> str:
    """The name of the first host of a kind: of a leader, where there are several."""
    return f"{kind}-1"


def of_kind(kind: str, sizes: Sizes) -> tuple[str, ...]:
    """Names of a site's hosts of one kind, the first one first."""
    return tuple(f"{kind}-{number}" for number in range(1, KINDS[kind].count(sizes) + 1))


def host_names(sizes: Sizes) -> tuple[str, ...]:
    """Names of all hosts of one site; the bastion first, because the others are reached through it."""
    return tuple(name for kind in KINDS for name in of_kind(kind, sizes))


def leased(sizes: Sizes) -> tuple[str, ...]:
    """Names, within a site, of the hosts whose agents keep a lease and tell the witness of themselves; the database first."""
    return tuple(name for kind, row in KINDS.items() if row.leased for name in of_kind(kind, sizes))


def lease_of(name: str) -> str | None:
    """The service that the agent of this host stops; None where it has none. Names of no kind are none of ours."""
    row = KINDS.get(kind_of(name))
    number = name.rpartition("-")[2]
    return row.leased if row and number.isdigit() and 1 <= int(number) <= row.most else None


def opened(kind: str, sizes: Sizes, *, watched: bool, logged: bool = False, stored: bool = False) -> tuple[Port, ...]:
    """The ports that a kind of host listens on, besides ssh. `watched`: where there is monitoring. `logged`: where journals are copied, `stored`: and
    sent to a store.
    """
    row = KINDS[kind]
    return tuple(
        port
        for port in row.ports
        if (not port.grouped or row.count(sizes) > 1)
        and (watched or not port.watched)
        and (logged or not port.logged)
        and (stored or not port.stored)
    )


def asked(kind: str, sizes: Sizes, *, watched: bool) -> tuple[Port, ...]:
    """The ports of hosts, in either site, that a kind of host asks; ssh, which bastions ask, and what anybody may be asked on are not among them."""
    return tuple(
        {
            port.name: port
            for name in KINDS
            for port in opened(name, sizes, watched=watched)
            if kind in port.asked_by or (name == kind and Asker.COUNTERPART in port.asked_by)
        }.values()
    )


def packages(kind: str, version: int, *, acme: bool = False) -> tuple[str, ...]:
    """Sorted package names of one kind of host, with PostgreSQL of that major version. `acme`: where the shop's certificate is ordered."""
    names = {*_COMMON_PACKAGES, *KINDS[kind].packages, *(KINDS[kind].acme_packages if acme else ())}
    return tuple(sorted(name.format(version=version) for name in names))


def at(network: str, octet: int) -> str:
    """The address with this last octet in a /24."""
    return f"{network.split('/', maxsplit=1)[0].rsplit('.', 1)[0]}.{octet}"


def balancer_networks(front: str) -> tuple[str, ...]:
    """Where a site's load balancer asks its members from: its own address, and the DHCP pool of its front network in as few prefixes as fill it.

    The machines behind a balancer's address take theirs from the pool, which nobody can foretell; hosts have addresses outside of it, and a port
    sends from its own address alone. So none of them can pass for the balancer.
    """
    from ipaddress import IPv4Address, summarize_address_range  # noqa: PLC0415 - most of what runs on a host knows no network

    first, last = (IPv4Address(at(front, octet)) for octet in FRONT_POOL)
    return (f"{at(front, BALANCER_OCTET)}/32", *(str(block) for block in summarize_address_range(first, last)))


def host_quarter(front: str) -> str:
    """The quarter of a site's front network that holds all of its hosts and nothing of DHCP: one prefix for all of them."""
    return f"{at(front, 0)}/26"


def balancer_quarter(front: str) -> tuple[str, ...]:
    """The same in two prefixes: its address, and the quarter of the network in which the pool lies and no host has an address.

    Platforms count rules (100 for all groups of a project where nobody has asked for more). For a port behind which nothing is to be had.
    """
    return (f"{at(front, BALANCER_OCTET)}/32", f"{at(front, FRONT_POOL[0] // 64 * 64)}/26")


def octet_of(name: str) -> int:
    """Last octet of a host in its front network, and on the vRack before the site's offset."""
    return KINDS[kind_of(name)].octet + int(name.rsplit("-", 1)[1]) - 1


def fqdn_of(name: str, site: str) -> str:
    """The name that resolves to a host's vRack address, in `/etc/hosts` of every host."""
    return f"{name}.{site}{INNER}"


def site_hosts(site: str, place: Place) -> dict[str, HostAddress]:
    """All hosts of one site by key ("db-1.a")."""
    hosts = (
        HostAddress(
            name=name,
            site=site,
            fqdn=fqdn_of(name, site),
            front=at(place.front, octet_of(name)),
            vrack=at(place.vrack, octet_of(name) + place.offset),
        )
        for name in host_names(place.sizes)
    )
    return {host.key: host for host in hosts}


def certificate_names(host: HostAddress) -> list[str]:
    """What a host's certificate names: itself, both addresses, and the name that its kind shares, which is never resolved."""
    shared = shared_name(host.role, host.site)
    return [host.fqdn, host.vrack, host.front, *([shared] if shared else [])]


def serves(kind: str) -> bool:
    """Whether hosts of a kind answer others over TLS; all of them may ask."""
    return any(port.number != SSH.number for port in KINDS[kind].ports)


def shared_name(kind: str, site: str) -> str | None:
    """The name that the certificates of a site's hosts of one kind share. It is checked in TLS and never resolved."""
    pattern = KINDS[kind].shared_name
    return pattern.format(site=site) if pattern else None
