"""What one host says of itself in one answer, for whoever looks at both regions at once: `host survey`.

It is the live word of each service on that host (`status`), the archive's as its last check has left it, and what belongs to no service. Null is
unknown, and a service that is not on the host is null.
"""

from __future__ import annotations

from collections.abc import Mapping

from .answers import AgentStatus, AssetsStatus, PostgresStatus, RedisStatus, RoleFile
from .checks import boolean, integer, listing, mapping, optional, text
from .dataclass import dataclass
from .fields import key, part
from .forms import COUNT, ID, PHRASE, SECONDS
from .heard import BeatLease
from .monitoring.silences import Watching

NUMBER = integer(-(2**53), 2**53)


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The standby's replication slot on the primary."""

    active: bool | None = key(optional(boolean), "whether somebody is at it", default=None)
    wal_status: str | None = key(
        optional(text(r"[a-z]{1,20}", "a word")), "reserved, extended, unreserved or lost", default=None
    )
    safe_wal_size: int | None = key(optional(NUMBER), "bytes until it may be lost", default=None)


@dataclass(frozen=True, kw_only=True)
class Database(PostgresStatus):
    """`postgres status`, all of it."""

    lag_bytes: int | None = key(optional(COUNT), "of WAL between primary and standby", default=None)
    lag_s: float | None = key(
        optional(SECONDS), "how old what the standby has replayed is, where it is behind", default=None
    )
    mode: str | None = key(optional(text(r"[a-z]{1,20}", "a word")), "of its commits, as configured", default=None)
    sync: str | None = key(optional(text(r"[a-z]{1,20}", "a word")), "on, off, or degraded", default=None)
    slot: Slot | None = part(Slot, "the standby's", optional=True)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What has to be alike in both regions before a database moves."""

    version: int | None = key(optional(COUNT), "server_version_num", default=None)
    checksums: bool | None = key(optional(boolean), "whether pages have any", default=None)
    parameters: Mapping[str, str] | None = key(
        optional(mapping(r"[a-z_]{1,63}", PHRASE)), "those that a standby may not have lower", default=None
    )
    collations: Mapping[str, str] | None = key(
        optional(mapping(r"[\w .@:/+-]{1,63}", PHRASE)),
        "the system's version of each database's collation",
        default=None,
    )
    extensions: Mapping[str, str] | None = key(
        optional(mapping(r"[\w .@:/+-]{1,63}", PHRASE)),
        "the newest version of each extension in use that this host could install",
        default=None,
    )


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One of the archive's, as the last check has seen it."""

    reachable: bool | None = key(optional(boolean), "whether it answered", default=None)
    backups: int | None = key(optional(COUNT), "good ones", default=None)
    newest_backup: int | None = key(optional(COUNT), "when the newest ended, in seconds since 1970", default=None)
    wal_last: str | None = key(optional(PHRASE), "the newest segment there", default=None)
    damaged_backups: int | None = key(optional(COUNT), "with pages that do not fit their checksums", default=None)
    left_out: bool | None = key(optional(boolean), "whether new WAL goes past it", default=None)
    gap: bool | None = key(optional(boolean), "whether it lacks WAL that is still owed", default=None)
    failed_backup: bool | None = key(optional(boolean), "whether the last one failed", default=None)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """As `archive check` has found it."""

    age_s: float | None = key(optional(SECONDS), "since that check", default=None)
    alarm: bool | None = key(optional(boolean), "of two writers", default=None)
    hold: bool | None = key(optional(boolean), "whether a newer epoch is known", default=None)
    dropped: bool | None = key(optional(boolean), "whether there is WAL that nobody has", default=None)
    waiting: int | None = key(optional(COUNT), "segments that the server keeps for it", default=None)
    archived_s: float | None = key(optional(SECONDS), "since the last one was archived, then", default=None)
    follows: bool | None = key(optional(boolean), "whether a standby fetches from it", default=None)
    rehearsed: float | None = key(
        optional(SECONDS), "when a rehearsal on this host last proved a restore, in seconds since 1970", default=None
    )
    a: Repository | None = part(Repository, "the repository in region a", optional=True)
    b: Repository | None = part(Repository, "the repository in region b", optional=True)


@dataclass(frozen=True, kw_only=True)
class Cache(RedisStatus):
    """`redis status`, all that is looked at."""

    running: bool | None = key(optional(boolean), "whether the server runs", default=None)
    role: str | None = key(optional(text(r"[a-z]{1,20}", "a word")), "master or replica", default=None)
    keys: int | None = key(optional(COUNT), "how many it holds", default=None)
    link_up: bool | None = key(optional(boolean), "of a replica, to its master", default=None)
    lag_bytes: int | None = key(optional(COUNT), "behind the master's stream", default=None)
    used_memory: int | None = key(optional(COUNT), "of it", default=None, unit="bytes")
    maxmemory: int | None = key(optional(COUNT), "that it may use", default=None, unit="bytes")
    disk_free: int | None = key(optional(COUNT), "of the data's file system", default=None, unit="bytes")
    leader: str | None = key(optional(PHRASE), "whom Sentinels name; null without a group", default=None)


@dataclass(frozen=True, kw_only=True)
class Files(AssetsStatus):
    """`assets status`, all that is looked at."""

    ok: bool | None = key(optional(boolean), "whether the last run was", default=None)
    error: str | None = key(optional(PHRASE), "what was wrong with it", default=None)
    finished: float | None = key(optional(SECONDS), "when it ended, in seconds since 1970", default=None)
    epoch: int | None = key(optional(COUNT), "in which it ran", default=None)
    reconciled: bool | None = key(optional(boolean), "whether this epoch's reconcile is done", default=None)
    verified: float | None = key(
        optional(SECONDS), "when `verify` here last found both sides alike, in seconds since 1970", default=None
    )


@dataclass(frozen=True, kw_only=True)
class Agent(AgentStatus):
    """`agent status`, all that is looked at."""

    running: bool | None = key(optional(boolean), "whether it is at work", default=None)
    epoch: int | None = key(optional(COUNT), "of its service's role, as it knows it", default=None)
    state: str | None = key(optional(text(r"[a-z]{1,20}", "a word")), "of the lease", default=None)
    silent_s: float | None = key(optional(SECONDS), "since it was heard", default=None)
    beat_s: float | None = key(optional(SECONDS), "since its last beat", default=None)
    witness: str | None = key(optional(PHRASE), "`answers`, or what is wrong", default=None)
    counterpart: str | None = key(optional(PHRASE), "`grants`, or what is wrong", default=None)
    lease: BeatLease | None = part(BeatLease, "its terms", optional=True)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """`app status`."""

    web: bool | None = key(optional(boolean), "whether its requests' service runs", default=None)
    worker: bool | None = key(
        optional(boolean),
        "whether what works in the active region alone does: all of it there, any of it in the other",
        default=None,
    )
    processes: Mapping[str, bool] | None = key(
        optional(mapping(r"[A-Za-z0-9_.-]{1,80}", boolean)),
        "units of its processes but `web`, and whether each runs",
        default=None,
    )
    nginx: bool | None = key(optional(boolean), "whether nginx does", default=None)
    healthy: bool | None = key(optional(boolean), "whether Puma takes requests", default=None)
    release: str | None = key(optional(PHRASE), "folder of the release", default=None)
    placed: tuple[str, ...] = key(
        listing(text(r"[0-9a-f]{64}", "a digest")),
        "releases that are unpacked there, the one that runs among them",
        default=(),
    )
    role: RoleFile | None = part(RoleFile, "of the host", optional=True)


@dataclass(frozen=True, kw_only=True)
class ShopCertificate:
    """`certificate status`: of a bastion what it has ordered, of an app host what it shows."""

    ordered: str | None = key(
        optional(text(r"[0-9a-f]{64}", "a digest")), "SHA-256 of the certificate; null: none yet", default=None
    )
    ends: float | None = key(optional(SECONDS), "when it ends, in seconds since 1970", default=None)
    error: str | None = key(optional(PHRASE), "what the last try came to; null: all is well", default=None)
    tried: float | None = key(optional(SECONDS), "when the CA was last asked, in seconds since 1970", default=None)
    state: str | None = key(optional(PHRASE), "what a bastion's last run came to", default=None)


@dataclass(frozen=True, kw_only=True)
class HostSurvey:
    """`host survey`."""

    at: float | None = key(optional(SECONDS), "the host's clock, in seconds since 1970", default=None)
    up_s: float | None = key(optional(SECONDS), "since the host is up", default=None)
    boot: str | None = key(optional(ID), "the kernel's id of the boot", default=None)
    version: str | None = key(optional(text(r"[0-9A-Za-z.+-]{1,40}", "a version")), "of this software", default=None)
    reboot_due: bool | None = key(optional(boolean), "whether a package wants one", default=None)
    failed: tuple[str, ...] = key(
        listing(text(r"[\w@.:\\-]{1,200}", "the name of a unit")), "units that have failed", default=()
    )
    disk_free: int | None = key(optional(COUNT), "of the root file system", default=None, unit="bytes")
    disk_size: int | None = key(optional(COUNT), "of the root file system", default=None, unit="bytes")
    packages: Mapping[str, str] | None = key(
        optional(mapping(r"[a-z0-9][a-z0-9+.-]{0,80}", PHRASE)), "versions of those that serve the shop", default=None
    )
    silent: tuple[str, ...] = key(
        listing(text(r"[a-z]{1,20}", "the name of a service")), "services that could not be asked", default=()
    )
    role: RoleFile | None = part(RoleFile, "of the host", optional=True)
    postgres: Database | None = part(Database, "the database", optional=True)
    parity: Parity | None = part(Parity, "of the database", optional=True)
    archive: Archive | None = part(Archive, "the archive", optional=True)
    redis: Cache | None = part(Cache, "the cache", optional=True)
    assets: Files | None = part(Files, "the copier", optional=True)
    agent: Agent | None = part(Agent, "the lease's agent", optional=True)
    app: Shop | None = part(Shop, "the shop", optional=True)
    certificate: ShopCertificate | None = part(ShopCertificate, "that of the shop, where it is ordered", optional=True)
    monitoring: Watching | None = part(Watching, "what a control host's Alertmanager is silent about", optional=True)
