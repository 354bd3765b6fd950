"""What `drctl init` is told: the form of an answers file. No secret has a place in it.

Values that reach the configuration are held to the configuration's own forms (`installation.py`), so that both never differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Check, boolean, integer, listing, mapping, optional, socket, text
from .dataclass import dataclass
from .fields import key, keys, part, parts
from .hosts import APP as APP_HOST
from .hosts import CACHE, CONTROL, DATABASE, KINDS, MAX_APP_HOSTS
from .installation import Dns, OpenStack, Ovh, Region, Shared, Vrack, Witness
from .services import archive
from .shop import Shop
from .sites import SITES


def _form(of: type[Any], name: str) -> Check[Any]:
    """That of a key of the configuration."""
    check = keys(of)[name][1].check
    assert check is not None
    return check


_NAME = text(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}", "a name as the platform shows it")
_STORAGE = _form(Region, "storage_region")
_BUCKET = _form(Witness, "bucket")
_URL = _form(Witness, "endpoint")
_PROJECT = _form(Shared, "service_name")
# Of OVHcloud; sizes for a shop that begins. Each kind of host may have another.
FLAVORS = {DATABASE: "b3-16", CACHE: "b3-8", APP_HOST: "b3-8", CONTROL: "d2-2"}
IMAGE = "Debian 13"
RESOLVER = "213.186.33.99"  # OVHcloud's own, the same in every region


@dataclass(frozen=True, kw_only=True)
class Place:
    """`regions.<site>`."""

    compute_region: str = key(
        _form(Region, "compute_region"),
        "the region of its servers, like GRA11. Both regions should not share a site, a river or a power line",
        why="nobody knows where to build",
    )
    storage_region: str | None = key(
        optional(_STORAGE),
        "the region of its buckets; absent: the compute region without its number, GRA for GRA11",
        default=None,
        why="nobody knows where its buckets belong",
    )
    front_cidr: str | None = key(
        optional(_form(Region, "front_cidr")),
        "its own network; absent: 10.1.0.0/24 for a, 10.2.0.0/24 for b",
        default=None,
        why="hosts have no address",
    )
    image_id: str | None = key(
        optional(_form(Region, "image_id")),
        "the image by its id, where several bear its name",
        default=None,
        why="nobody knows which image is meant",
    )
    s3_endpoint: str | None = key(
        optional(_URL),
        "where its buckets are reached; absent: OVHcloud's address of the storage region",
        default=None,
        why="its buckets cannot be reached",
    )
    archive_endpoint: str | None = key(
        optional(archive.ENDPOINT),
        "the same for the archive, which speaks TLS alone; absent: s3_endpoint",
        default=None,
        why="WAL cannot be sent there",
    )


@dataclass(frozen=True, kw_only=True)
class Third:
    """`witness`: the third region, which holds the witness and Pulumi's state, so that neither goes with a region."""

    storage_region: str = key(
        _STORAGE,
        "the storage region of the witness and of Pulumi's state, like DE: neither that of a nor that of b",
        why="the witness has no place",
    )
    service_name: str | None = key(
        optional(_PROJECT),
        "a Public Cloud project of its own for both buckets, as docs/security.md asks for; absent: that of the shop",
        default=None,
        why="nobody knows in which project the witness belongs",
    )
    bucket: str | None = key(
        optional(_BUCKET),
        "the witness bucket; absent: <project>-<piece of service_name>-witness",
        default=None,
        why="the witness has no name",
    )
    state_bucket: str | None = key(
        optional(_BUCKET),
        "the bucket of Pulumi's state, where this machine is not signed in to another backend; absent: <project>-<piece of service_name>-state",
        default=None,
        why="the state has no name",
    )
    page_bucket: str | None = key(
        optional(_BUCKET),
        "a bucket for the page for customers, which is written with `dr:monitoring`; absent: there is no page",
        default=None,
        why="the page has no place",
    )
    s3_endpoint: str | None = key(
        optional(_URL),
        "where all of them are reached; absent: OVHcloud's address of the storage region",
        default=None,
        why="the witness cannot be reached",
    )


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """`endpoints`: who is asked. Only for another OVHcloud than Europe's, and for a rehearsal."""

    auth_url: str = key(
        _form(OpenStack, "auth_url"), "Keystone", default="https://auth.cloud.ovh.net/v3", why="signing in fails"
    )
    ovh: str = key(_form(Ovh, "endpoint"), "the OVHcloud API", default="ovh-eu", why="the API cannot be reached")
    name_servers: tuple[str, ...] = key(
        listing(socket),
        "the zone's authoritative servers; absent: those that the API names",
        default=(),
        why="nobody can prove that a new address is served",
    )
    archive_ca: str | None = key(
        archive.PEM, "PEM of the CA of the archive's S3 servers, where it is not a public one", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Answers:
    """An answers file."""

    service_name: str = key(
        _PROJECT,
        "the Public Cloud project that the shop is built in, by its id (Control Panel, beside the project's name)",
        why="nobody knows in which project to build",
    )
    zone: str = key(
        _form(Dns, "zone"),
        "the DNS zone at OVHcloud in which the shop's name stands, like shop.example",
        why="the shop has no name",
    )
    operator_cidrs: tuple[str, ...] = key(
        _form(Shared, "operator_cidrs"),
        "networks of operators and CI, like 192.0.2.7/32: nobody else reaches the bastions",
        why="nobody could reach the bastions",
    )
    regions: Mapping[str, Place] = parts(
        Place, "the two regions of the shop", names=SITES, why="nobody knows where to build"
    )
    witness: Third = part(Third, "the third region", why="the witness has no place")
    subdomain: str = key(
        _form(Dns, "subdomain"), "the shop's name in the zone", default="www", why="the shop has no name"
    )
    project: str = key(
        _form(Shared, "project"), "how names at the platform begin", default="shop", why="nothing can be named"
    )
    release: str = key(
        _form(Shop, "release"),
        "folder of the Rails app, relative to the project",
        default="examples/shop",
        why="there is no code to upload",
    )
    flavors: Mapping[str, str] = key(
        mapping("|".join(KINDS), _NAME),
        f"flavor of each kind of host by its name; absent: {', '.join(f'{kind} {name}' for kind, name in FLAVORS.items())}",
        default={},
        why="no server can be created",
    )  # fmt: skip
    app_hosts: int = key(integer(1, MAX_APP_HOSTS), "app hosts of each region", default=2, why="the shop has no hosts")
    image: str = key(_NAME, "the hosts' image by its name", default=IMAGE, why="no server can be created")
    db_volume_gb: int = key(
        _form(Region, "db_volume_gb"),
        "the database's volume: it may grow, and never shrinks",
        default=50,
        unit="GB",
        why="no data volume can be created",
    )
    volume_type: str | None = key(
        _form(Region, "volume_type"),
        "type of that volume, like high-speed-gen2-luks; absent: the region's default, which is not encrypted",
        default=None,
        why="no data volume can be created",
    )
    vlan: int = key(
        _form(Vrack, "vlan"),
        "a VLAN of the project's vRack that is free in both regions",
        default=42,
        why="the regions do not meet",
    )
    vrack_cidr: str = key(
        _form(Vrack, "cidr"), "addresses on that VLAN", default="10.100.0.0/24", why="hosts have no replication address"
    )
    front_mtu: int | None = key(
        _form(Region, "front_mtu"),
        "the largest packet on each region's own network",
        default=1500,
        unit="bytes",
        why="large packets are lost in silence",
    )
    resolvers: tuple[str, ...] = key(
        _form(Region, "dns_servers"),
        "resolvers that the hosts are given",
        default=(RESOLVER,),
        why="hosts cannot resolve names",
    )
    protect: bool = key(
        boolean, "addresses, networks and data are protected from a destroy", default=True, why="data may be deleted"
    )
    rehearsal: bool = key(
        boolean,
        "this is the rehearsal cloud, which speaks plain http (`dr:lab`). Never on a real account",
        default=False,
        why="it is not clear whether endpoints may be plain http",
    )
    endpoints: Endpoints | None = part(Endpoints, "who is asked", optional=True, why="nobody can be asked")

    def flavor(self, kind: str) -> str:
        """Its name for one kind of host."""
        return self.flavors.get(kind, FLAVORS[kind])

    def storage_region(self, site: str) -> str:
        """Of its buckets."""
        place = self.regions[site]
        return place.storage_region or place.compute_region.rstrip("0123456789")

    @property
    def asked(self) -> Endpoints:
        """Whom to ask."""
        return self.endpoints or Endpoints()

    @property
    def third_project(self) -> str:
        """The project of witness and state."""
        return self.witness.service_name or self.service_name

    @property
    def witness_bucket(self) -> str:
        """Its name: bucket names are shared by all customers, hence the piece of the project's id."""
        return self.witness.bucket or f"{self.project}-{self.service_name[:8]}-witness"

    @property
    def state_bucket(self) -> str:
        """The same of Pulumi's state."""
        return self.witness.state_bucket or f"{self.project}-{self.service_name[:8]}-state"

    @property
    def host(self) -> str:
        """The public name."""
        return f"{self.subdomain}.{self.zone}"


def s3_address(storage_region: str) -> str:
    """OVHcloud's S3 server of a storage region."""
    return f"https://s3.{storage_region.lower()}.io.cloud.ovh.net"
