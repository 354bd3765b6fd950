"""Rules between keys: values that are fine alone and wrong together."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from components.naming import SITES, VRACK_POOL
from components.reading import Section
from components.settings import Region, Settings

# OVHcloud uses this range inside Ext-Net for the gateways of floating IPs.
FLOATING_IP_RANGE = "172.31.0.0/17"

# What the hosts' software sets itself, from the role or from keys of its own.
MANAGED_PARAMETERS = frozenset(
    {
        "archive_cleanup_command",
        "archive_command",
        "archive_library",
        "archive_mode",
        "archive_timeout",
        "cluster_name",
        "config_file",
        "data_directory",
        "external_pid_file",
        "fsync",
        "full_page_writes",
        "hba_file",
        "hot_standby",
        "hot_standby_feedback",
        "ident_file",
        "include",
        "include_dir",
        "include_if_exists",
        "listen_addresses",
        "max_slot_wal_keep_size",
        "password_encryption",
        "port",
        "primary_conninfo",
        "primary_slot_name",
        "recovery_end_command",
        "recovery_min_apply_delay",
        "recovery_target_timeline",
        "restore_command",
        "shared_preload_libraries",
        "ssl",
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_key_file",
        "sync_replication_slots",
        "synchronized_standby_slots",
        "synchronous_standby_names",
        "unix_socket_directories",
        "wal_level",
        "wal_log_hints",
    }
)


def readable(settings: Settings) -> bool:
    """Whether the keys that the rules compare were all read; a file with faults elsewhere still gets its contradictions told."""
    if settings.regions is None or any(region is None for region in settings.regions.values()):
        return False
    values: list[object] = [settings.vrack.cidr, settings.dns.zone, settings.dns.subdomain, settings.shop.host]
    values += [settings.operator_cidrs, settings.postgres.parameters, settings.witness.region, settings.app.hosts]
    for region in settings.regions.values():
        values += [
            region.compute_region,
            region.storage_region,
            region.s3_region,
            region.front_cidr,
            region.vrack_offset,
        ]
    return None not in values


def check(settings: Settings, root: Section) -> None:
    """Adds a fault to the section's list for every contradiction."""
    for key, found, wanted, consequence, remedy in (
        *_networks(settings),
        *_offsets(settings),
        *_regions(settings),
        *_witness(settings),
        *_names(settings),
        *_operators(settings),
        *_parameters(settings),
        *_cache(settings),
        *_lease(settings),
        *_archive(settings),
    ):
        root.fault(key, wanted, consequence, remedy, found=found)


_Row = tuple[str, str, str, str, str]  # key, found, wanted, consequence, remedy


def _networks(settings: Settings) -> Iterator[_Row]:
    networks = {"vrack.cidr": settings.vrack.cidr}
    networks |= {f"regions.{site}.front_cidr": settings.regions[site].front_cidr for site in SITES}
    for (one, first), (two, second) in combinations(networks.items(), 2):
        if IPv4Network(first).overlaps(IPv4Network(second)):
            yield (
                one,
                repr(first),
                f"a network apart from dr:{two} ({second})",
                "an address would mean two hosts, and nobody detects it",
                f"give one of them another range, like 10.{_free(networks)}.0.0/24",
            )
    for key, network in networks.items():
        if IPv4Network(network).overlaps(IPv4Network(FLOATING_IP_RANGE)):
            yield (
                key,
                repr(network),
                f"a network outside {FLOATING_IP_RANGE}",
                "OVHcloud uses that range behind floating IPs, which stop working",
                f"use another range, like 10.{_free(networks)}.0.0/24",
            )


def _free(networks: dict[str, str]) -> int:
    """A second octet that none of the networks uses."""
    used = {int(network.split(".")[1]) for network in networks.values()}
    return next(octet for octet in range(1, 256) if octet not in used)


def _offsets(settings: Settings) -> Iterator[_Row]:
    first, second = (settings.regions[site].vrack_offset for site in SITES)
    # The block that one site uses on the shared network reaches from its first host to the end of its pool.
    apart = VRACK_POOL[1] - 10
    if abs(first - second) < apart:
        yield (
            "regions.b.vrack_offset",
            str(second),
            f"{apart} or more away from dr:regions.a.vrack_offset ({first})",
            "hosts or DHCP pools of both regions would share addresses on the vRack",
            "use 0 for a and 100 for b",
        )


def _regions(settings: Settings) -> Iterator[_Row]:
    a, b = settings.regions["a"], settings.regions["b"]
    for field in ("compute_region", "storage_region"):
        value = getattr(b, field)
        if getattr(a, field) == value:
            yield (
                f"regions.b.{field}",
                repr(value),
                f"another region than dr:regions.a.{field}",
                "one failure would take both sites",
                "choose a second region for site b",
            )


def _witness(settings: Settings) -> Iterator[_Row]:
    for site in SITES:
        region: Region = settings.regions[site]
        if settings.witness.region == region.s3_region:
            yield (
                "witness.region",
                repr(settings.witness.region),
                f"a third region, not dr:regions.{site}.s3_region",
                f"when site {site} dies nobody could claim an epoch",
                "put the witness bucket in a region that holds neither site",
            )


def _names(settings: Settings) -> Iterator[_Row]:
    public = f"{settings.dns.subdomain}.{settings.dns.zone}"
    if settings.shop.host != public:
        yield (
            "shop.host",
            repr(settings.shop.host),
            f"{public!r}, the name of dr:dns.subdomain and dr:dns.zone",
            "the record that moves would not be the shop's",
            "make the three keys agree",
        )


def _operators(settings: Settings) -> Iterator[_Row]:
    for network in settings.operator_cidrs:
        if IPv4Network(network).prefixlen < 8:
            yield (
                "operator_cidrs",
                repr(network),
                "networks of /8 or smaller",
                "the bastion's ssh would be open to the world",
                "name the addresses that operators and CI come from",
            )


def _lease(settings: Settings) -> Iterator[_Row]:
    it = settings.lease
    if it is None or None in (it.lease_s, it.stop_s, it.margin_s, it.heartbeat_s):
        return
    if it.stop_s + it.margin_s >= it.lease_s:
        yield (
            "lease.lease_s",
            str(it.lease_s),
            f"more than dr:lease.stop_s + dr:lease.margin_s ({it.stop_s} + {it.margin_s})",
            "a short hiccup would stop the shop, and what is waited for on top of the lease would be the larger part",
            "keep 30, 5 and 5, or raise lease_s",
        )
    if 3 * it.heartbeat_s > it.lease_s:
        yield (
            "lease.heartbeat_s",
            str(it.heartbeat_s),
            f"a third of dr:lease.lease_s ({it.lease_s}) or less",
            "two heartbeats that get lost would stop the shop",
            "keep 2, or raise lease_s",
        )


def _parameters(settings: Settings) -> Iterator[_Row]:
    for name in sorted(MANAGED_PARAMETERS & set(settings.postgres.parameters)):
        yield (
            f"postgres.parameters.{name}",
            repr(settings.postgres.parameters[name]),
            "no entry",
            "the hosts' software sets it itself and the two would fight",
            "remove it",
        )
    if settings.postgres.logical and (settings.postgres.version or 17) < 17:
        yield (
            "postgres.logical",
            f"true with version {settings.postgres.version}",
            "version 17 or newer",
            "older ones lose logical slots with every move",
            "raise the version, or leave logical replication to a subscriber that can start anew",
        )
    if settings.postgres.mode in ("sync", "degrade") and settings.lease is None:
        yield (
            "postgres.mode",
            f"{settings.postgres.mode!r} with dr:lease off",
            "async, or a lease",
            "the agent watches the standby, and without a lease there is none: commits would wait for ever, or for nobody after a move",
            "give dr:lease its object in both stack files, or leave the mode async",
        )


def _cache(settings: Settings) -> Iterator[_Row]:
    redis = settings.redis
    if None in (redis.write_rate, redis.link_mbit):
        return
    written = int(redis.write_rate[:-2]) * {"kb": 1024, "mb": 1024**2}[redis.write_rate[-2:]]
    carried = redis.link_mbit * 125_000
    if 2 * written > carried:
        yield (
            "redis.write_rate",
            repr(redis.write_rate),
            f"at most half of what dr:redis.link_mbit ({redis.link_mbit}) carries",
            "a full copy of the cache would never catch up with what is written meanwhile",
            "correct the two figures, or keep the cache in one region",
        )


def _archive(settings: Settings) -> Iterator[_Row]:
    if (
        settings.archive is not None
        and settings.secrets.secret_key_base is not None
        and settings.secrets.archive is None
    ):
        yield (
            "archive",
            "no passphrase for it in dr:secrets",
            "dr:secrets archive.passphrase",
            "backups hold every row of the shop and would lie readable in two buckets",
            "add {archive: {passphrase: ...}} to the object of dr:secrets in both stacks, and keep it in a third place: without it no backup can be read",
        )
