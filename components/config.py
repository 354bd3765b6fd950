"""The only reader of `pulumi.Config`: from a stack file to `Settings`, or every fault of it at once.

`parse` works on a plain mapping and needs no Pulumi, so that `drctl` can check a stack file before a run; `load` takes the same
mapping from the running program. Rules between keys are in `components.rules`, secrets in `components.config_secrets`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from components import reading, rules
from components import settings as s
from components.config_archive import read_archive
from components.config_secrets import read_secrets
from components.naming import MAX_APP_HOSTS, MAX_CACHE_REPLICAS, SITES, host_names
from components.reading import Section
from contract.errors import ConfigError, Fault

NAMESPACE = "dr"
SCALARS = frozenset({"site", "failover_region", "project", "service_name", "protect"})
SECRETS = "secrets"

_NAME = reading.text(r"[a-z][a-z0-9-]{1,20}[a-z0-9]", "3 to 22 lower-case letters, digits and dashes")
_UUID = reading.text(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an OpenStack id (UUID)")
_IDENTIFIER = reading.text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "an id or name without spaces")
_FLAVOR = reading.text(r"[A-Za-z0-9][A-Za-z0-9._-]*", "the id of a flavor of that region")
_WORD = reading.text(r"\S+", "a word without spaces")
_DOMAIN = reading.text(
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,}", "a domain name in lower case, without a dot at its end"
)
_BUCKET = reading.text(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket name of 3 to 63 lower-case letters, digits, dots and dashes"
)
_COMPUTE = reading.text(r"[A-Z][A-Z0-9-]*", "a compute region in upper case, like GRA11")
_STORAGE = reading.text(r"[A-Z][A-Z0-9-]*", "a storage region in upper case, mostly without its number, like GRA")
_S3_REGION = reading.text(r"[a-z][a-z0-9-]*", "an S3 region in lower case, like gra")
_FOLDER = reading.text(r"(?!/)(?!.*\.\.)[\w./-]+", "a folder below the project, as a relative path")
_SUBDOMAIN = reading.text(
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a name in lower case below the zone, like www"
)
_ORIGIN = reading.text(
    r"\*|https?://[a-z0-9*.-]+(:\d+)?", "an origin like https://www.shop.example, without a path, or *"
)
_PG_SIZE = reading.text(r"\d+(MB|GB|TB)", "a size that PostgreSQL knows, like 4GB")
REDIS_POLICIES = (
    *("volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"),
    *("allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"),
)
_EXTENSIONS = reading.listing(reading.text(r"[a-z][a-z0-9_-]*", "a name like pg_stat_statements"), at_least=0)
_REDIS_SIZE = reading.text(r"\d+(mb|gb)", "a size that Redis knows, like 256mb")


def parse(values: Mapping[str, Any]) -> s.Settings:
    """Settings from keys without the namespace. Raises `ConfigError` with every fault found."""
    faults: list[Fault] = []
    with Section(f"{NAMESPACE}:", values, faults) as root:
        settings = _read(root)
    if rules.readable(settings):
        rules.check(settings, root)
    if faults:
        raise ConfigError(faults)
    return settings


def load() -> s.Settings:
    """Settings of the running program. Raises `ConfigError`, also when `dr:secrets` was stored in clear."""
    from pulumi.runtime import config as runtime  # noqa: PLC0415 - `parse` has to work without Pulumi

    stored = {**runtime.get_config_env(), **runtime.CONFIG.get()}
    prefix = f"{NAMESPACE}:"
    raw = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    settings = parse({key: _decoded(key, value) for key, value in raw.items()})
    secret = runtime.is_config_secret(prefix + SECRETS) or prefix + SECRETS in runtime.get_config_secret_keys_env()
    if not secret:
        raise ConfigError(
            [
                Fault(
                    subject=prefix + SECRETS,
                    found="stored in clear",
                    wanted="a secret value",
                    consequence="every password and key of the shop stands readable in the stack file",
                    remedy="change what was exposed, then pipe `drctl secrets` into `pulumi config set --secret secrets`, in both stacks",
                )
            ]
        )
    return settings


def _decoded(key: str, value: object) -> object:
    """Structured keys arrive as JSON text; what does not decode is left for `parse` to refuse by name."""
    if key in SCALARS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _read(root: Section) -> s.Settings:
    app = _app(root)
    redis = _redis(root)
    hosts = host_names(app.hosts or 2, redis.cache_replicas or 0)
    spare = [host for host in host_names(MAX_APP_HOSTS, MAX_CACHE_REPLICAS) if host not in hosts]
    override, accepted_loss = _accepted(root)
    site = root.take("site", reading.one_of(*SITES), "the program does not know which region this stack is")
    return s.Settings(
        site=site,
        request=root.take(
            "failover_region",
            reading.one_of(*SITES),
            "no region is asked for as the active one",
            "`pulumi config set failover_region a` or `b`, in both stacks",
        ),
        project=root.take("project", _NAME, "servers and buckets cannot be named", default="shop"),
        service_name=root.take(
            "service_name",
            reading.text(r"[0-9a-f]{32}", "the Public Cloud project's id: 32 hexadecimal digits"),
            "OVHcloud does not know which project to put buckets and users in",
        ),
        protect=root.take("protect", reading.boolean, "it is not clear whether data may be deleted", default=True),
        repair=root.take(
            "repair", reading.integer(0, 999_999), "it is not clear whether hosts are asked again", default=0
        ),
        shop=_shop(root),
        dns=_dns(root),
        openstack=_openstack(root),
        ovh_endpoint=_ovh(root),
        witness=_witness(root),
        vrack=_vrack(root),
        operator_cidrs=root.take(
            "operator_cidrs", reading.listing(reading.cidr(), at_least=1), "nobody could reach the bastion by ssh"
        ),
        regions=_regions(root, hosts),
        postgres=_postgres(root),
        redis=redis,
        app=app,
        lease=_lease(root),
        archive=read_archive(root),
        asset_sync=_assets(root),
        loss_budget=_loss_budget(root),
        override=override,
        accepted_loss=accepted_loss,
        secrets=read_secrets(root, _everywhere(hosts), _everywhere(spare)),
    )


def _everywhere(hosts: Iterable[str]) -> list[str]:
    """Keys of hosts of these names in both sites."""
    return [f"{host}.{letter}" for letter in SITES for host in hosts]


def _shop(root: Section) -> s.Shop:
    with root.section("shop", "there is no shop to run") as at:
        return s.Shop(
            host=at.take("host", _DOMAIN, "nginx does not know the shop's name"),
            release=at.take(
                "release", _FOLDER, "there is no code to upload", "name the folder that holds the Rails app"
            ),
        )


def _dns(root: Section) -> s.Dns:
    with root.section("dns", "the public name cannot follow the shop") as at:
        return s.Dns(
            zone=at.take("zone", _DOMAIN, "the record has no zone"),
            subdomain=at.take(
                "subdomain",
                _SUBDOMAIN,
                "the record has no name",
                "a name at the zone's own apex is not supported: use www",
            ),
            ttl=at.take(
                "ttl",
                reading.integer(60, 3600),
                "OVHcloud refuses less than 60 s, and more than an hour keeps clients on a dead region",
                default=60,
            ),
            mode=at.take(
                "mode", reading.one_of("single", "dual"), "it is not clear which addresses to publish", default="single"
            ),
            servers=at.take(
                "servers",
                reading.listing(reading.socket, at_least=1),
                "nobody can prove that a new address is served",
                "name the zone's authoritative servers",
            ),
        )


def _openstack(root: Section) -> s.OpenStack:
    with root.section("openstack", "no region can be reached") as at:
        why = "signing in to OpenStack fails"
        return s.OpenStack(
            auth_url=at.take("auth_url", reading.url, why, "OVHcloud: https://auth.cloud.ovh.net/v3"),
            user=at.take("user", _WORD, why),
            project_id=at.take("project_id", reading.text(r"[0-9a-f]{32}", "32 hexadecimal digits"), why),
            project_name=at.take("project_name", _WORD, why),
            domain=at.take("domain", _WORD, why, default="Default"),
            endpoint_overrides=at.take(
                "endpoint_overrides",
                reading.mapping(r"[a-z0-9]+", reading.text(r"https?://\S+/", "a URL that ends in a slash")),
                "requests would go to a wrong address",
                default={},
            ),
        )


def _ovh(root: Section) -> str:
    with root.section("ovh", "buckets and DNS records cannot be made") as at:
        endpoint = reading.text(
            r"ovh-(eu|ca|us)|https?://\S+[^/]", "ovh-eu, ovh-ca, ovh-us or a URL without a slash at its end"
        )
        return at.take("endpoint", endpoint, "the OVHcloud API cannot be reached")


def _witness(root: Section) -> s.Witness:
    with root.section("witness", "no region can prove that it may be active") as at:
        why = "epochs cannot be claimed"
        return s.Witness(
            endpoint=at.take("endpoint", reading.url, why),
            region=at.take("region", _S3_REGION, why),
            bucket=at.take("bucket", _BUCKET, why),
        )


def _vrack(root: Section) -> s.Vrack:
    with root.section("vrack", "the regions cannot replicate") as at:
        return s.Vrack(
            vlan=at.take("vlan", reading.integer(1, 4000), "the networks of both regions do not meet"),
            cidr=at.take("cidr", reading.cidr(24), "hosts have no replication address"),
            mtu=at.take("mtu", reading.integer(1280, 9000), "large packets are lost in silence", default=1500),
        )


def _regions(root: Section, hosts: tuple[str, ...]) -> dict[str, s.Region]:
    with root.section("regions", "neither stack knows where it is") as at:
        return {letter: _region(at, letter, hosts) for letter in SITES}


def _look_up(command: str) -> str:
    return f"look it up once, with that region's `openstack {command}`, and write it into both stack files"


def _region(regions: Section, letter: str, hosts: tuple[str, ...]) -> s.Region:
    with regions.section(letter, "either stack has to know both regions") as at:
        compute = "no server can be created"
        generation = reading.integer(1, 999)
        with at.section("flavors", compute) as sizes:
            flavors = s.Flavors(
                **{
                    role: sizes.take(role, _FLAVOR, compute, _look_up("flavor list -c ID -c Name"))
                    for role in ("db", "cache", "app", "control")
                }
            )
        return s.Region(
            compute_region=at.take("compute_region", _COMPUTE, compute),
            storage_region=at.take("storage_region", _STORAGE, "no bucket can be created"),
            s3_endpoint=at.take("s3_endpoint", reading.url, "the shop cannot reach its assets"),
            s3_region=at.take("s3_region", _S3_REGION, "signatures of S3 requests are refused"),
            ext_net_id=at.take(
                "ext_net_id", _UUID, "the router has no way out", _look_up("network show Ext-Net -f value -c id")
            ),
            image_id=at.take("image_id", _UUID, compute, _look_up("image show 'Debian 13' -f value -c id")),
            flavors=flavors,
            lb_flavor_id=at.take("lb_flavor_id", _IDENTIFIER, "no load balancer can be created", default=None),
            front_cidr=at.take("front_cidr", reading.cidr(24), "hosts have no address"),
            vrack_offset=at.take(
                "vrack_offset", reading.integer(0, 160), "hosts of both regions would take the same addresses"
            ),
            volume_type=at.take("volume_type", _IDENTIFIER, "no data volume can be created", default=None),
            db_volume_gb=at.take("db_volume_gb", reading.integer(1, 12000), "no data volume can be created"),
            dns_servers=at.take(
                "dns_servers", reading.listing(reading.address, at_least=1), "hosts cannot resolve names"
            ),
            balancer_generation=at.take(
                "balancer_generation", generation, "the load balancer cannot be numbered", default=1
            ),
            host_generation=at.take(
                "host_generation",
                reading.mapping("|".join(hosts), generation),
                "a server cannot be numbered",
                default={},
            ),
        )


def _postgres(root: Section) -> s.Postgres:
    with root.section("postgres", "there is no database") as at:
        return s.Postgres(
            version=at.take(
                "version",
                reading.integer(14, 18),
                "13 and older stop a standby instead of pausing it, and rewind no crashed server; newer ones are not known",
                "17 is Debian 13's and the one tested; others need an image with their packages",
                default=17,
            ),
            parameters=at.take(
                "parameters",
                reading.mapping(r"[a-z_]+(\.[a-z_]+)?", _parameter),
                "the server would not start",
                default={},
            ),
            max_slot_wal_keep_size=at.take(
                "max_slot_wal_keep_size",
                _PG_SIZE,
                "a standby that stays away fills the disk of the primary",
                default=None,
            ),
            mode=at.take(
                "mode",
                reading.one_of("async", "sync", "degrade"),
                "it is not clear whether commits wait for the other region",
                default="async",
            ),
            degrade_after_s=at.take(
                "degrade_after_s",
                reading.integer(5, 3600),
                "it is not clear for how long orders wait for a standby that is gone",
                default=10,
            ),
            preload=at.take("preload", _EXTENSIONS, "the server would not start", default=()),
            extensions=at.take("extensions", _EXTENSIONS, "the shop's database would lack them", default=()),
            logical=at.take(
                "logical", reading.boolean, "it is not clear whether logical slots are kept", default=False
            ),
        )


def _parameter(value: object) -> str:
    """A value of postgresql.conf as text. YAML reads a bare `on` as true, which would be written as `True`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int | float)
        or "\n" in str(value)
        or not str(value).strip()
    ):
        raise reading.Unwanted("a number or one line of text (quote on and off)")
    return str(value)


def _redis(root: Section) -> s.Redis:
    with root.section("redis", "there is no cache") as at:
        buffers = "buffers of replication cannot be sized"
        return s.Redis(
            maxmemory=at.take("maxmemory", _REDIS_SIZE, "the cache grows until the kernel kills it"),
            maxmemory_policy=at.take(
                "maxmemory_policy",
                reading.one_of(*REDIS_POLICIES),
                "Redis does not know what to do when it is full",
                default="volatile-lru",
            ),
            write_rate=at.take(
                "write_rate",
                reading.text(r"[1-9]\d*(kb|mb)", "a size, written in one second, like 512kb"),
                buffers,
                default="512kb",
            ),
            bridge_s=at.take("bridge_s", reading.integer(10, 3600), buffers, default=120),
            link_mbit=at.take("link_mbit", reading.integer(1, 100_000), buffers, default=100),
            min_replicas_to_write=at.take(
                "min_replicas_to_write",
                reading.integer(0, 1),
                "the cache would wait for replicas that it does not have",
                default=0,
            ),
            cold_cache=at.take(
                "cold_cache", reading.boolean, "it is not clear whether carts may be given up", default=False
            ),
            cache_replicas=at.take(
                "cache_replicas", _replicas, "Sentinel cannot tell a dead cache from a cut link", default=0
            ),
        )


def _replicas(value: object) -> int:
    """With two cache hosts neither is a majority: one dead host, or one cut link, and none could lead."""
    if value not in (0, MAX_CACHE_REPLICAS) or isinstance(value, bool):
        raise reading.Unwanted(f"0 (one cache host in a region) or {MAX_CACHE_REPLICAS} (three, and Sentinel)")
    return int(str(value))


def _lease(root: Section) -> s.Lease | None:
    if root.has("lease") and root.show("lease") in ("'off'", "False", "'false'"):  # YAML reads a bare `off` as false
        return None
    with root.section(
        "lease",
        "a region that is cut off would go on writing",
        "off, or the times in seconds; see the example stack file",
    ) as at:
        seconds, why = reading.integer(1, 3600), "the agents of the hosts do not know when to stop"
        return s.Lease(
            lease_s=at.take("lease_s", seconds, why, default=30),
            stop_s=at.take("stop_s", seconds, why, default=5),
            margin_s=at.take("margin_s", seconds, why, default=5),
            heartbeat_s=at.take("heartbeat_s", seconds, why, default=2),
        )


def _app(root: Section) -> s.App:
    with root.section("app", "the shop has no hosts") as at:
        return s.App(
            hosts=at.take("hosts", reading.integer(1, MAX_APP_HOSTS), "the shop has no hosts", default=2),
            threads=at.take("threads", reading.integer(1, 64), "Puma does not start", default=5),
            workers=at.take("workers", reading.integer(0, 32), "Puma does not start", default=1),
        )


def _assets(root: Section) -> s.AssetCopying:
    with root.section("assets", "nobody knows how assets reach the other region") as at:
        why = "the copier does not know when to run"
        return s.AssetCopying(
            mode=at.take(
                "mode", reading.one_of("copy", "native", "both"), "nobody knows who copies objects", default="copy"
            ),
            interval_s=at.take("interval_s", reading.integer(5, 86_400), why, default=300),
            grace_s=at.take(
                "grace_s",
                reading.integer(0, 2_592_000),
                "objects would vanish in both regions by one mistake",
                default=3600,
            ),
            max_deletes=at.take(
                "max_deletes",
                reading.integer(0, 1_000_000),
                "objects would vanish in both regions by one mistake",
                default=1000,
            ),
            keep_old_versions_days=at.take(
                "keep_old_versions_days",
                reading.integer(0, 3650),
                "what was overwritten or deleted is paid for, or lost, without a word",
                default=90,
            ),
            abort_uploads_days=at.take(
                "abort_uploads_days",
                reading.integer(0, 365),
                "parts of unfinished uploads are paid for and shown by no listing",
                default=7,
            ),
            cors_origins=at.take(
                "cors_origins",
                reading.listing(_ORIGIN, at_least=0),
                "pages of other origins could not read assets, or any page could",
                default=(),
            ),
        )


def _loss_budget(root: Section) -> s.LossBudget:
    with root.section("loss_budget", "nobody knows what a take-over may lose") as at:
        why = "nobody knows what a take-over may lose"
        return s.LossBudget(
            max_lag_bytes=at.take("max_lag_bytes", reading.integer(0, 999_999_999), why, default=16 * 2**20),
            max_lag_s=at.take("max_lag_s", reading.integer(0, 86_400), why, default=30),
        )


def _accepted(root: Section) -> tuple[s.Override | None, s.Override | None]:
    """The operator's words: without a fence, and over the loss budget."""
    if not root.has("accept"):
        return None, None
    with root.section("accept", "nothing is accepted") as accept:
        return _word(accept, "without_fence"), _word(accept, "data_loss")


def _word(accept: Section, key: str) -> s.Override | None:
    if not accept.has(key):
        return None
    with accept.section(key, "the override names nothing") as at:
        why = "an override without its epoch and reason would stay in force for ever"
        return s.Override(
            epoch=at.take(
                "epoch",
                reading.integer(1, 99_999_999),
                why,
                "name the epoch that is in force now: the newest object below epochs/ in the witness bucket",
            ),
            reason=at.take(
                "reason", reading.text(r"[^\n]{10,500}", "a reason in one line of 10 to 500 characters"), why
            ),
        )
