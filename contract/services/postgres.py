"""The database: what is configured of it (`dr:postgres`) and what `postgres converge` is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..accept import AT
from ..checks import (
    Check,
    Unwanted,
    boolean,
    cidr,
    integer,
    listing,
    mapping,
    one_of,
    optional,
    password,
    password_or_none,
    text,
)
from ..dataclass import dataclass
from ..documents import Trusted
from ..fields import Contradiction, key, part
from ..forms import DATABASE, HOST_KEY
from ..hosts import PORTS
from .commits import Mode

OLDEST, NEWEST, TESTED = 14, 18, 17
# The shop's two names at its database. The second one acts as the first, and is let in from the database's own site alone.
APP_ROLE, WORKER_ROLE = "shop", "shop_worker"
REPLICATION_ROLE = "dr_replication"
PAIRS = (1, 2)  # of logins: the shop uses one, and turns to the other where its password is rotated
# Sessions of a server, and those that the shop may not have: its superusers', as PostgreSQL comes, and ordinary ones of the peer, which rewinds over them.
CONNECTIONS, SUPERUSERS, FOR_PEER = 100, 3, 3
KEEPS_SLOTS = 17  # the first version whose logical slots survive a failover


@dataclass(frozen=True, kw_only=True)
class Logins:
    """By what names the shop and its workers sign in. PostgreSQL knows one password a role, so two that are good at a time are of two roles."""

    app: str
    worker: str

    @classmethod
    def pair(cls, number: int) -> Logins:
        """One of `PAIRS`."""
        behind = "" if number == PAIRS[0] else f"_{number}"
        return cls(app=f"{APP_ROLE}{behind}", worker=f"{WORKER_ROLE}{behind}")


def other_pair(number: int) -> int:
    """That which the shop does not use."""
    return PAIRS[0] if number == PAIRS[1] else PAIRS[1]


def _parameter(value: object) -> str:
    """YAML reads a bare `on` as true, which would be written as `True`."""
    plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    if not plain or any(mark in str(value) for mark in "\r\n\0") or not str(value).strip():
        raise Unwanted(_PARAMETER.wanted)
    return str(value)


# Below which version a server lacks what the pair relies on.
_OLDER = (
    (12, "it is set up by recovery.conf, which a promotion renames"),
    (13, "its pg_rewind cannot recover a crashed server, and a slot of a dead standby fills its disk"),
    (
        14,
        "its standby shuts down, where newer ones pause, when a parameter of the primary is raised; and it says nothing of a paused replay",
    ),
)


def _version(value: object) -> int:
    number = integer(0, 999)(value)
    if number > NEWEST:
        raise Unwanted(f"{VERSION.wanted} (PostgreSQL {number} is newer than this software)")
    if number < OLDEST:
        why = next(why for before, why in _OLDER if number < before)
        raise Unwanted(f"{VERSION.wanted} (PostgreSQL {number} is too old: {why})")
    return number


VERSION = Check(f"{OLDEST} to {NEWEST}, of which {TESTED} is the one that is tested most", _version)
_PARAMETER = Check("a number or one line of text (quote on and off)", _parameter)
_NAMES = listing(text(r"[a-z][a-z0-9_-]*", "a name like pg_stat_statements"))
_SIZE = optional(text(r"[1-9][0-9]*(MB|GB|TB)", "a size that PostgreSQL knows, like 4GB"))


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`dr:postgres`."""

    version: int = key(
        VERSION,
        f"major version; {TESTED} is Debian 13's and the one tested, others need an image with their packages. 13 and older are refused: "
        "their standby ends itself when a parameter of its primary is raised, and nothing says that replay has stopped",
        default=TESTED,
        why="13 and older stop a standby instead of pausing it, and rewind no crashed server; newer ones are not known",
        fix=f"{TESTED} is Debian 13's and the one tested; others need an image with their packages",
    )
    parameters: Mapping[str, str] = key(
        mapping(r"[a-z_]+(\.[a-z_]+)?", _PARAMETER),
        "anything of postgresql.conf that the hosts do not decide themselves. `max_connections`, `max_worker_processes`, `max_wal_senders`, "
        "`max_prepared_transactions`, `max_locks_per_transaction`: raised, the run of the active site is refused until the standby has them; "
        "lowered, the standby holds the old value until it has replayed that its primary went down. What needs a restart is refused on the "
        "active site until a standby that can be reached runs with it, and waits while a promotion is under way; a server that does not start "
        "with it goes on with what it had. The shop and its workers may hold six sessions fewer than `max_connections` (as `superuser_reserved_connections` "
        "comes): three ordinary ones are left for the peer, which rewinds over them. "
        "Refused where processes and threads may want more (docs/your-shop.md, Connections)",
        default={},
        why="the server would not start",
    )  # fmt: skip
    max_slot_wal_keep_size: str | None = key(
        _SIZE,
        "WAL that the primary keeps for a standby that is away; absent: two fifths of the data volume. A standby that stays away longer is "
        "rebuilt by its next run",
        default=None,
        why="a standby that stays away fills the disk of the primary",
    )
    mode: str = key(
        one_of(*Mode),
        "`async`: commits wait for nobody, what had not been received is lost with a region, the loss budget decides. `sync`: commits wait for "
        "the other region once its standby has caught up, so no acknowledged order is lost with a region; with the standby gone no order is "
        "taken, until it is back or the mode is changed, and a cut link alone does that. `degrade`: as `sync`, but a standby that is gone for "
        "`degrade_after_s` is waited for no more; the witness's record and `dr-host postgres status` (`sync: degraded`) say so. Both need a "
        "lease: the agent watches",
        default=Mode.ASYNC,
        why="it is not clear whether commits wait for the other region",
    )
    degrade_after_s: int = key(
        integer(5, 3600),
        "how long commits wait for a standby that is gone, in mode `degrade`",
        default=10,
        unit="s",
        why="it is not clear for how long orders wait for a standby that is gone",
    )
    preload: tuple[str, ...] = key(
        _NAMES,
        "shared libraries. What is not installed on a host is refused before anything changes",
        default=(),
        why="the server would not start",
    )
    extensions: tuple[str, ...] = key(
        _NAMES,
        "extensions in the shop's database; their packages are part of the image",
        default=(),
        why="the shop's database would lack them",
    )
    logical: bool = key(
        boolean,
        "logical replication slots survive a move (17 and newer): make them with `failover => true`; `wal_level` becomes `logical`, which "
        "restarts both servers",
        default=False,
        why="it is not clear whether logical slots are kept",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """What the hosts decide themselves, and slots that the version does not keep."""
        for name in sorted(filter(reserved, self.parameters)):
            ends = _ends_recovery(name)
            yield Contradiction(
                f"parameters.{name}",
                repr(self.parameters[name]),
                "no entry",
                "a standby with it would end its recovery by itself, as a second primary"
                if ends
                else "the hosts' software sets it itself and the two would fight",
                "remove it; `dr-host archive restore` takes a target of its own (docs/restore.md)"
                if ends
                else "remove it",
            )
        if self.logical and self.version < KEEPS_SLOTS:
            yield Contradiction(
                "logical",
                f"true with version {self.version}",
                f"version {KEEPS_SLOTS} or newer",
                "older ones lose logical slots with every move",
                "raise the version, or leave logical replication to a subscriber that can start anew",
            )


@dataclass(frozen=True, kw_only=True)
class Passwords:
    """Of the database's roles."""

    replication: str = key(password, "of the standby", secret=True)
    app: str = key(password, "of the shop", secret=True)
    beside: str | None = key(
        password_or_none,
        "of the shop's other pair of logins, which is let in as well while its password is rotated; null: it is shut out",
        default=None,
        secret=True,
    )
    replication_rotated: bool = key(
        boolean,
        "whether the standby's is another at the other end for a while, and it comes in by its certificate alone",
        default=False,
    )


@dataclass(frozen=True, kw_only=True)
class Block(Keys):
    """What `postgres converge` is told beside the keys of `dr:postgres`."""

    port: int = key(integer(1, 65535), "where the server listens", default=PORTS["postgres"])
    peer_port: int = key(integer(1, 65535), "where the other site's listens", default=PORTS["postgres"])
    volume_id: str | None = key(
        optional(text(r"[A-Za-z0-9-]{20,64}", "an id of 20 to 64 letters, digits and dashes")),
        "the data volume; null: the system's disk",
        default=None,
    )
    volume_gb: int | None = key(
        optional(integer(1, 12_000)), "its size: raised, the file system grows with it", default=None, unit="GB"
    )
    database: str = key(DATABASE, "the shop's database")
    passwords: Passwords = part(Passwords, "of the roles")
    login: int = key(integer(*PAIRS), "which of its two pairs of logins the shop uses", default=PAIRS[0])
    tls: Trusted = part(Trusted, "this host's as a client of the other database, and the CA of the database's clients")
    app_clients: tuple[str, ...] = key(
        listing(cidr()), f"networks from which the shop may sign in, as `{APP_ROLE}`: the app hosts of both sites"
    )
    worker_clients: tuple[str, ...] = key(
        listing(cidr()), f"those from which its workers may, as `{WORKER_ROLE}`: the app hosts of the own site"
    )
    archive: bool = key(boolean, "whether WAL goes to the archive", default=False)
    peer_db: str = key(HOST_KEY, "key of the other site's database host")
    begin_empty: int | None = key(
        optional(integer(1, 99_999_999)),
        "epoch of `dr:accept.empty`: an empty database where one was lost; null: never",
        default=None,
    )
    begin_empty_at: str | None = key(
        optional(AT), "time of `dr:accept.empty`, by which it counts for an hour; null: it was not told", default=None
    )


# What the hosts' software decides itself: another value would break the pair, or open it.
RESERVED = frozenset(
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
        "idle_replication_slot_timeout",
        "include",
        "include_dir",
        "include_if_exists",
        "listen_addresses",
        "max_slot_wal_keep_size",
        "password_encryption",
        "port",
        "promote_trigger_file",
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

# Where a standby follows to, and where it stops following, by whatever name a newer server knows it.
_RECOVERY = ("primary_", "recovery_")
_HARMLESS = frozenset({"recovery_init_sync_method", "recovery_prefetch"})  # how, not whether


def reserved(name: str) -> bool:
    """Whether a parameter, in lower case, is the hosts' own: neither `parameters` nor a leftover of `alter system` may set it."""
    return name in RESERVED or (name.startswith(_RECOVERY) and name not in _HARMLESS)


def _ends_recovery(name: str) -> bool:
    return name == "promote_trigger_file" or (name.startswith("recovery_target") and name != "recovery_target_timeline")
