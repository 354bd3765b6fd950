"""The configuration of one installation, `dr:...`: every key that is no service's own, and the list of all sections."""

from __future__ import annotations

from collections.abc import Mapping

from .accept import Accept, Destroy
from .checks import address, boolean, cidr, integer, listing, mapping, one_of, optional, socket, text, url, word
from .dataclass import dataclass
from .fields import key, part, parts, table
from .forms import PHRASE
from .hosts import KINDS
from .lease import Lease
from .objectives import Reports
from .services import app, archive, assets, logs, monitoring, postgres, redis
from .shop import PUBLIC_NAME, Shop
from .sites import A_SITE, SITES
from .ssh_keys import PUBLIC, REVOKED
from .watch import Watch

_NAME = text(r"[a-z][a-z0-9-]{1,20}[a-z0-9]", "3 to 22 lower-case letters, digits and dashes")
_UUID = text(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an OpenStack id (UUID)")
_IDENTIFIER = text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "an id or name without spaces")
_FLAVOR = text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "the id of a flavor of that region")
_PROJECT = text(r"[0-9a-f]{32}", "32 hexadecimal digits")
_SUBDOMAIN = text(
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a name in lower case below the zone, like www"
)
_BUCKET = text(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket name of 3 to 63 lower-case letters, digits, dots and dashes"
)
_COMPUTE = text(r"[A-Z][A-Z0-9-]*", "a compute region in upper case, like GRA11")
_STORAGE = text(r"[A-Z][A-Z0-9-]*", "a storage region in upper case, mostly without its number, like GRA")
_S3_REGION = text(r"[a-z][a-z0-9-]*", "an S3 region in lower case, like gra")
_GENERATION = integer(1, 999)
_HOST_NAME = "|".join(f"{kind.name}-[1-{kind.most}]" for kind in KINDS.values())


def _look_up(command: str) -> str:
    return f"look it up once, with that region's `openstack {command}`, and write it into the configuration"


@dataclass(frozen=True, kw_only=True)
class Dns:
    """`dr:dns`: the public record."""

    zone: str = key(PUBLIC_NAME, "the zone", why="the record has no zone")
    subdomain: str = key(
        _SUBDOMAIN,
        "the record's name in it",
        why="the record has no name",
        fix="a name at the zone's own apex is not supported: use www",
    )
    ttl: int = key(
        integer(60, 3600),
        "of the record; 60 is the platform's least",
        default=60,
        unit="s",
        why="OVHcloud refuses less than 60 s, and more than an hour keeps clients on a dead region",
    )
    mode: str = key(
        one_of("single", "dual"),
        "`single`: the active site's address; `dual`: both sites' addresses, the standby forwards",
        default="single",
        why="it is not clear which addresses to publish",
    )
    servers: tuple[str, ...] = key(
        listing(socket, at_least=1),
        "the zone's authoritative servers, which are asked whether they serve the new address",
        why="nobody can prove that a new address is served",
        fix="name the zone's authoritative servers",
    )


_SIGN_IN = "signing in to OpenStack fails"


@dataclass(frozen=True, kw_only=True)
class OpenStack:
    """`dr:openstack`: the Public Cloud project, and a user of it (roles: compute, network, security groups, volume, load balancer)."""

    auth_url: str = key(url, "Keystone", why=_SIGN_IN, fix="OVHcloud: https://auth.cloud.ovh.net/v3")
    user: str = key(
        word, "the user's name; each region may have its own (docs/security.md)", why=_SIGN_IN, shared=False
    )
    project_id: str = key(_PROJECT, "the project's id, on OVHcloud that of `dr:service_name`", why=_SIGN_IN)
    project_name: str = key(word, "the project's name", why=_SIGN_IN)
    domain: str = key(word, "the user's domain", default="Default", why=_SIGN_IN)
    endpoint_overrides: Mapping[str, str] = key(
        mapping(r"[a-z0-9]+", text(r"https?://\S+/", "a URL that ends in a slash")),
        "service name to URL, for the provider alone",
        default={},
        why="requests would go to a wrong address",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ovh:
    """`dr:ovh`."""

    endpoint: str = key(
        text(r"ovh-(eu|ca|us)|https?://\S+[^/]", "ovh-eu, ovh-ca, ovh-us or a URL without a slash at its end"),
        "the OVHcloud API",
        why="the OVHcloud API cannot be reached",
    )


_CLAIM = "epochs cannot be claimed"


@dataclass(frozen=True, kw_only=True)
class Witness:
    """`dr:witness`: the bucket that holds the epochs, versioned, in a third region: a dead site must not take it along."""

    endpoint: str = key(url, "its S3 server", why=_CLAIM)
    region: str = key(_S3_REGION, "the region's name in signatures", why=_CLAIM)
    bucket: str = key(_BUCKET, "its name", why=_CLAIM)


@dataclass(frozen=True, kw_only=True)
class Vrack:
    """`dr:vrack`: the network that both regions share."""

    vlan: int = key(
        integer(1, 4000),
        "a VLAN of the project's vRack that is free in both regions",
        why="the networks of both regions do not meet",
    )
    cidr: str = key(cidr(24), "its addresses", why="hosts have no replication address")
    mtu: int = key(
        integer(1280, 9000),
        "1500 unless every path carries more",
        default=1500,
        unit="bytes",
        why="large packets are lost in silence",
    )


_COMPUTE_WHY = "no server can be created"


@dataclass(frozen=True, kw_only=True)
class Region:
    """`dr:regions.<site>`: facts of a region. Each stack has to know the other's addresses while the other is gone."""

    compute_region: str = key(_COMPUTE, "the compute region, like GRA11", why=_COMPUTE_WHY)
    storage_region: str = key(
        _STORAGE, "the storage region, like GRA: its name mostly lacks the number", why="no bucket can be created"
    )
    s3_endpoint: str = key(url, "where the site's buckets are reached", why="the shop cannot reach its assets")
    s3_region: str = key(
        _S3_REGION, "the region's name in signatures, like gra", why="signatures of S3 requests are refused"
    )
    ext_net_id: str = key(
        _UUID, "id of Ext-Net", why="the router has no way out", fix=_look_up("network show Ext-Net -f value -c id")
    )
    image_id: str = key(
        _UUID,
        "id of the image Debian 13. A new one alone replaces nothing: raise the servers' numbers in `host_generation` one by one, the standby "
        "site first",
        why=_COMPUTE_WHY,
        fix=_look_up("image show 'Debian 13' -f value -c id"),
    )
    flavors: Mapping[str, str] = table(
        _FLAVOR,
        "id of one flavor for each kind of host",
        names=tuple(KINDS),
        why=_COMPUTE_WHY,
        fix=_look_up("flavor list -c ID -c Name"),
    )
    lb_flavor_id: str | None = key(
        optional(_IDENTIFIER),
        "size of the load balancer; absent: the region's smallest",
        default=None,
        why="no load balancer can be created",
    )
    front_cidr: str = key(
        cidr(24),
        "the site's own network: entrance, way out, bastion; never within 172.31.0.0/17",
        why="hosts have no address",
    )
    front_mtu: int | None = key(
        optional(integer(1280, 9000)),
        "the largest packet on it. OVHcloud's networks may say 9000, which their way out does not carry; null: what the platform gives, for one "
        "that answers *Requested MTU is too big*",
        default=1500,
        unit="bytes",
        why="large packets are lost in silence",
    )
    vrack_offset: int = key(
        integer(0, 160),
        "added to the last octet of every host on the vRack: 0 and 100",
        why="hosts of both regions would take the same addresses",
    )
    volume_type: str | None = key(
        optional(_IDENTIFIER),
        "of the database's data volume, chosen once, when it is made; absent: the region's default, which is not encrypted. On OVHcloud one that ends in "
        "-luks is, where the region has one",
        default=None,
        why="no data volume can be created",
    )
    db_volume_gb: int = key(
        integer(1, 12000),
        "its size: it may grow, and its file system with it",
        unit="GB",
        why="no data volume can be created",
    )
    dns_servers: tuple[str, ...] = key(
        listing(address, at_least=1), "resolvers that the hosts are given", why="hosts cannot resolve names"
    )
    balancer_generation: int = key(
        _GENERATION,
        "raised: the load balancer is replaced, its public address stays. The way out of provisioning status ERROR",
        default=1,
        why="the load balancer cannot be numbered",
        shared=False,
    )
    host_generation: Mapping[str, int] = key(
        mapping(_HOST_NAME, _GENERATION),
        "raised, as in `{app-1: 2}`: that server is replaced with the image and first-boot text of now; addresses and data volume stay. `cache-1` "
        "of the active site takes its keys back from its replica, and the shop has no cache until then: move the shop away first",
        default={},
        why="a server cannot be numbered",
        shared=False,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LossBudget:
    """`dr:loss_budget`: what an unplanned move may lose without your word, by the lost site's last heartbeat; unknown counts as more."""

    max_lag_bytes: int = key(
        integer(0, 999_999_999),
        "of WAL that had not arrived",
        default=16 * 2**20,
        unit="bytes",
        why="nobody knows what a take-over may lose",
    )
    max_lag_s: int = key(
        integer(0, 86_400), "of writes", default=30, unit="s", why="nobody knows what a take-over may lose"
    )


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """`dr:ssh`: whose ssh certificates open root beside those of the secrets' own CA, and who is shut out."""

    authorities: tuple[str, ...] = key(
        listing(PUBLIC),
        "public keys of further CAs (Vault, step-ca): a user certificate of theirs with the principal `dr-operator` opens root on every host",
        default=(),
        why="nobody could come in by a certificate of that CA",
    )
    revoked: tuple[str, ...] = key(
        listing(REVOKED),
        "who is shut out before a certificate ends: a public key, which counts for every certificate of it, or `serial:4711`, or a whole key id, "
        "`id:alice+20261129T090000Z`",
        default=(),
        why="whoever was to be shut out could still come in",
        fix="copy it as `drctl audit verify` or the host's log shows it; quote it in YAML",
    )


@dataclass(frozen=True, kw_only=True)
class Own:
    """What a stack file says of its own stack: the two regions need not agree in it."""

    site: str = key(
        A_SITE,
        "which site this stack is. The stack's own name ends in it: `region-a`, `region-b`, or `<any word>-a`, `<any word>-b`",
        why="the program does not know which region this stack is",
    )
    failover_region: str = key(
        A_SITE,
        "the site that is asked to be active. A request: what is in force is the newest epoch in the witness bucket. Set it in both stacks",
        why="no region is asked for as the active one",
        fix="`pulumi config set failover_region a` or `b`, in both stacks",
    )
    lab: bool = key(
        boolean,
        "this is a rehearsal: endpoints may be plain `http://` anywhere, and whoever stands between reads every password. Never on a real account; "
        "without it they are `https://`, or this machine's own",
        default=False,
        why="it is not clear whether endpoints may be plain http",
    )
    repair: int = key(
        integer(0, 999_999),
        "raised: every link runs again and asks every host whether it is as it should be; what was stopped is started, what is well is left alone",
        default=0,
        why="it is not clear whether hosts are asked again",
    )
    why: str | None = key(
        optional(PHRASE),
        "why the runs of now are made, for the audit trail; the variable `DR_WHY` of a single run goes before it. It changes no resource",
        default=None,
        why="the trail would say something else",
    )
    accept: Accept = part(Accept, "your word, for one epoch and one hour", optional=True, why="nothing is accepted")
    destroy: Destroy | None = part(
        Destroy,
        "your word, for one epoch and one hour, that this site may be taken down: the next run lifts its protection, and a `pulumi destroy` "
        "within the hour is let by the site's keeper even where the site is active",
        optional=True,
        why="nothing may be destroyed",
    )


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What both regions share: it stands once, in `Pulumi.yaml`."""

    project: str = key(
        _NAME,
        "prefix of every physical name: servers are <project>-<site>-<host>, buckets <project>-<piece of service_name>-<site>-<kind>",
        default="shop",
        why="servers and buckets cannot be named",
    )
    service_name: str = key(
        text(r"[0-9a-f]{32}", "the Public Cloud project's id: 32 hexadecimal digits"),
        "id of the Public Cloud project, as the OVHcloud API knows it",
        why="OVHcloud does not know which project to put buckets and users in",
    )
    protect: bool = key(
        boolean,
        "what a site stands on (addresses, networks, data) is protected, and data volumes and buckets outlive the stack. Off only where data may be lost",
        default=True,
        why="it is not clear whether data may be deleted",
    )
    shop: Shop = part(Shop, "the shop", why="there is no shop to run")
    dns: Dns = part(Dns, "the public record", why="the public name cannot follow the shop")
    openstack: OpenStack = part(OpenStack, "the project and its user", why="no region can be reached")
    ovh: Ovh = part(Ovh, "the OVHcloud API", why="buckets and DNS records cannot be made")
    witness: Witness = part(Witness, "the witness bucket", why="no region can prove that it may be active")
    vrack: Vrack = part(Vrack, "the network that both regions share", why="the regions cannot replicate")
    operator_cidrs: tuple[str, ...] = key(
        listing(cidr(), at_least=1),
        "where operators and CI come from; nobody else reaches the bastions' ssh",
        why="nobody could reach the bastion by ssh",
    )
    ssh: Ssh | None = part(
        Ssh,
        "who comes in by ssh",
        optional=True,
        why="nobody is let in by another CA, and nobody shut out",
        shared=False,  # a move must not wait until both sites know who was shut out
    )
    regions: Mapping[str, Region] = parts(
        Region, "facts of both regions", names=SITES, why="either stack has to know both regions"
    )
    postgres: postgres.Keys = part(postgres.Keys, "the database", why="there is no database")
    archive: archive.Keys | None = part(archive.Keys, "WAL and backups", optional=True, why="nothing is archived")
    redis: redis.Keys = part(redis.Keys, "the cache", why="there is no cache")
    lease: Lease | None = part(
        Lease,
        "how a region that is cut off stops by itself, or `off`",
        off=True,
        why="a region that is cut off would go on writing",
        fix="off, or the times in seconds; see docs/configuration.md",
    )
    app: app.Keys = part(app.Keys, "the app hosts", why="the shop has no hosts")
    assets: assets.Keys = part(assets.Keys, "assets", why="nobody knows how assets reach the other region")
    loss_budget: LossBudget = part(
        LossBudget,
        "what an unplanned move may lose",
        why="nobody knows what a take-over may lose",
        shared=False,  # whoever takes over goes by its own
    )
    monitoring: monitoring.Keys | None = part(  # not `shared`: a move must not wait for it
        monitoring.Keys, "who watches both regions", optional=True, why="nobody is told of anything", shared=False
    )
    logs: logs.Keys | None = part(  # not `shared` either
        logs.Keys,
        "copies of every host's journal in the other region",
        optional=True,
        why="the last lines of a region that is lost could not be read",
        shared=False,
    )
    reports: Reports | None = part(
        Reports,
        "what is promised of a move, and who signs the records of it",
        optional=True,
        why="records say of no objective whether it was kept, and nobody can sign them off",
        shared=False,  # it is of records alone, and no reason against a move
    )
    watch: Watch | None = part(
        Watch,
        "when a region counts as lost, and what happens then",
        optional=True,
        why="nobody knows when a region counts as lost",
        shared=False,  # a watcher reads one of the two, and hosts know nothing of it
    )


@dataclass(frozen=True, kw_only=True)
class Configuration(Shared, Own):
    """All of it but the secrets."""
