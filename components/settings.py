"""The configuration as the program uses it: frozen, typed, already validated by `components.config.parse`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components import naming


@dataclass(frozen=True, kw_only=True)
class Shop:
    host: str  # public name, equal to <dns.subdomain>.<dns.zone>
    release: str  # folder of the release, relative to the project


@dataclass(frozen=True, kw_only=True)
class Dns:
    zone: str
    subdomain: str
    ttl: int  # seconds, at least 60
    mode: str  # single | dual
    servers: tuple[str, ...]  # authoritative servers, ip:port


@dataclass(frozen=True, kw_only=True)
class OpenStack:
    auth_url: str
    user: str
    project_id: str
    project_name: str
    domain: str
    endpoint_overrides: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Witness:
    endpoint: str
    region: str
    bucket: str


@dataclass(frozen=True, kw_only=True)
class Vrack:
    vlan: int
    cidr: str
    mtu: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Flavors:
    db: str
    cache: str
    app: str
    control: str

    def of(self, role: str) -> str:
        """Flavor id of one kind of host."""
        return str(getattr(self, role))


@dataclass(frozen=True, kw_only=True)
class Region:
    compute_region: str  # GRA11
    storage_region: str  # GRA
    s3_endpoint: str
    s3_region: str  # gra
    ext_net_id: str
    image_id: str
    flavors: Flavors
    lb_flavor_id: str | None  # None: the region's default size
    front_cidr: str
    vrack_offset: int
    volume_type: str | None  # None: the region's default type
    db_volume_gb: int
    dns_servers: tuple[str, ...]
    balancer_generation: int  # raised to have the load balancer replaced
    host_generation: Mapping[str, int]  # host name -> the same for one server


@dataclass(frozen=True, kw_only=True)
class Postgres:
    version: int
    parameters: Mapping[str, str]
    max_slot_wal_keep_size: str | None  # None: a part of the data volume
    mode: str  # async | sync | degrade
    degrade_after_s: int  # seconds without the standby after which `degrade` stops waiting for it
    preload: tuple[str, ...]  # shared_preload_libraries
    extensions: tuple[str, ...]  # in the shop's database
    logical: bool  # logical replication slots, kept on both sides


@dataclass(frozen=True, kw_only=True)
class Archive:
    """WAL and backups in both regions. Schedules are calendar events of systemd."""

    endpoints: Mapping[str, str]  # by site, always https
    ca: str | None  # PEM of a private CA of the S3 servers
    retention_full: int  # full backups that are kept
    full: str
    incremental: str
    process_max: int
    queue_max: str  # WAL that may wait for a repository that does not take it


@dataclass(frozen=True, kw_only=True)
class Redis:
    maxmemory: str
    maxmemory_policy: str
    write_rate: str  # of the replication stream, a second
    bridge_s: int  # outage of the link that a replica should get over without a full copy
    link_mbit: int  # what the link between the regions carries
    min_replicas_to_write: int  # 0 or 1
    cold_cache: bool
    cache_replicas: (
        int  # 0, or 2: three cache hosts in each region, and Sentinel chooses which of the active region's leads
    )


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Seconds. How long a primary that nobody hears goes on, and what others wait for beyond that."""

    lease_s: int
    stop_s: int  # for stopping the service once the lease has run out, by force in the end
    margin_s: int  # on top, for those who rely on it
    heartbeat_s: int


@dataclass(frozen=True, kw_only=True)
class App:
    hosts: int  # per site
    threads: int  # per Puma process
    workers: int  # Puma processes per host


@dataclass(frozen=True, kw_only=True)
class AssetCopying:
    """How the standby gets assets, and what their buckets keep."""

    mode: str  # copy (by the standby's control host), native (by the platform) or both
    interval_s: int  # between two runs
    grace_s: int  # an object is deleted here only so long after it was gone there
    max_deletes: int  # in one run
    keep_old_versions_days: int  # 0: for ever
    abort_uploads_days: int  # unfinished ones; 0: never
    cors_origins: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LossBudget:
    """What an unplanned move may lose without the operator's word."""

    max_lag_bytes: int
    max_lag_s: int


@dataclass(frozen=True, kw_only=True)
class Override:
    """The operator's word (to take over without a proven fence, or to lose more than the budget), for one epoch only; ends up in the report."""

    epoch: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class OvhKeys:
    application_key: str = field(repr=False)
    application_secret: str = field(repr=False)
    consumer_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class SshKey:
    private: str = field(repr=False)  # OpenSSH PEM, ed25519
    public: str  # one authorized_keys line


@dataclass(frozen=True, kw_only=True)
class Certificate:
    cert: str
    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class S3Keys:
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class PostgresPasswords:
    replication: str = field(repr=False)
    app: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class RedisPasswords:
    app: str = field(repr=False)
    replica: str = field(repr=False)
    operator: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Everything of the one secret key. Plain strings: whoever puts one in a resource marks it secret."""

    openstack_password: str = field(repr=False)
    ovh: OvhKeys
    operator: SshKey
    host_keys: Mapping[str, SshKey]  # "db-1.a" -> the host's own key
    ca: str
    shop: Certificate
    host_certificates: Mapping[str, Certificate]
    postgres: PostgresPasswords
    redis: RedisPasswords
    witness: S3Keys
    secret_key_base: str = field(repr=False)
    archive: str | None = field(repr=False)  # passphrase; None: nothing was ever archived


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One stack's configuration: both regions as facts, one site as its own, one request."""

    site: str
    request: str  # `failover_region`: the site that is asked to be active
    project: str  # prefix of every physical name
    service_name: str
    protect: bool
    repair: int  # raised to have every link of the chain run again
    shop: Shop
    dns: Dns
    openstack: OpenStack
    ovh_endpoint: str
    witness: Witness
    vrack: Vrack
    operator_cidrs: tuple[str, ...]
    regions: Mapping[str, Region]
    postgres: Postgres
    redis: Redis
    app: App
    lease: Lease | None  # None: off
    archive: Archive | None  # None: nothing is archived
    asset_sync: AssetCopying
    loss_budget: LossBudget
    override: Override | None
    accepted_loss: Override | None
    secrets: Secrets

    @property
    def peer(self) -> str:
        return naming.peer_of(self.site)

    @property
    def region(self) -> Region:
        """The stack's own region."""
        return self.regions[self.site]

    def hosts_of(self, site: str) -> dict[str, naming.HostAddress]:
        """Hosts of one site by key ("db-1.a")."""
        region = self.regions[site]
        return naming.site_hosts(
            site,
            front=region.front_cidr,
            vrack=self.vrack.cidr,
            offset=region.vrack_offset,
            app_hosts=self.app.hosts,
            cache_replicas=self.redis.cache_replicas,
        )

    @property
    def hosts(self) -> dict[str, naming.HostAddress]:
        """Hosts of both sites by key."""
        return {**self.hosts_of("a"), **self.hosts_of("b")}

    def vrack_of(self, role: str, *sites: str) -> tuple[str, ...]:
        """vRack addresses of all hosts of one kind in the sites named, both when none is."""
        return tuple(
            host.vrack for site in sites or naming.SITES for host in self.hosts_of(site).values() if host.role == role
        )

    def caches(self, site: str) -> list[str]:
        """Keys of a site's cache hosts, the one that leads after a move first."""
        return [key for key, host in self.hosts_of(site).items() if host.role == "cache"]

    def bucket(self, site: str, kind: str) -> str:
        """Name of a site's bucket: kind is `assets` or `wal`."""
        return naming.bucket_name(self.project, self.service_name, site, kind)

    def server_names(self, site: str) -> list[str]:
        """Names at the OpenStack API of a site's servers that write or work, database first. The bastion does neither."""
        hosts = sorted(self.hosts_of(site).values(), key=lambda host: (host.role != "db", host.name))
        return [naming.server_name(self.project, site, host.name) for host in hosts if host.role != "control"]
