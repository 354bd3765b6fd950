"""The `postgres` block of a desired document, and what of it the host remembers."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import Any

from ..frame.desired import Envelope, Host, Reader
from .layout import PostgresLayout
from .versions import TESTED, VERSIONS, refusal

ASYNC, SYNC, DEGRADE = "async", "sync", "degrade"
DEGRADE_S = 10


@dataclass(frozen=True)
class Memory:
    """Not secret; see `PostgresLayout.memory`."""

    version: int
    port: int
    site: str
    peer: str
    mode: str = ASYNC
    degrade_after_s: int = DEGRADE_S

    def text(self) -> str:
        return json.dumps(self.__dict__, sort_keys=True) + "\n"

    @classmethod
    def read(cls, layout: PostgresLayout) -> Memory | None:
        """None on a host that was never converged."""
        try:
            found = json.loads(layout.memory.read_bytes())
            mode, after = str(found.get("mode", ASYNC)), int(found.get("degrade_after_s", DEGRADE_S))
            return cls(int(found["version"]), int(found["port"]), str(found["site"]), str(found["peer"]), mode, after)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


@dataclass(frozen=True)
class Desired:
    """`own` and `peer` are the two database hosts; `app_clients` CIDR texts; sizes as PostgreSQL writes them, None: by the disk.

    `mode`, `degrade_after_s`: see `sync`. `preload`: shared libraries; `extensions`: in the shop's database; `logical`: logical slots, kept
    on both sides.
    """

    envelope: Envelope
    version: int
    port: int
    peer_port: int
    volume_id: str | None
    database: str
    replication_password: str = field(repr=False)
    app_password: str = field(repr=False)
    app_clients: tuple[str, ...]
    own: Host
    peer: Host
    max_slot_wal_keep_size: str | None
    parameters: dict[str, str]
    archive: bool = False  # WAL goes to the archive (`archive.config`)
    mode: str = ASYNC
    degrade_after_s: int = DEGRADE_S
    preload: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    logical: bool = False

    @property
    def memory(self) -> Memory:
        return Memory(self.version, self.port, self.envelope.site, self.envelope.peer, self.mode, self.degrade_after_s)

    @classmethod
    def read(cls, document: dict[str, Any]) -> Desired:
        """Raises Usage that names every fault."""
        envelope = Envelope.read(document, "postgres")
        subject = "document.postgres"
        reader = Reader(envelope.block, subject)
        version, port = reader.number("version"), reader.number("port", 5432)
        too = refusal(version)
        if too is not None:
            reader.fault(
                "version",
                f"{version} ({too})",
                f"{min(VERSIONS)} to {max(VERSIONS)}, {TESTED} is the one that is tested most",
            )
        mode, logical = reader.text("mode", ASYNC), reader.flag("logical", False)
        if mode not in (ASYNC, SYNC, DEGRADE):
            reader.fault("mode", repr(mode), f"{ASYNC}, {SYNC} or {DEGRADE}")
        if logical and too is None and not VERSIONS[version].failover_slots:
            reader.fault(
                "logical", f"true with PostgreSQL {version}", "17 or newer: older ones lose logical slots in a failover"
            )
        volume = reader.optional_text("volume_id")
        if volume is not None and len(volume) < 20:
            reader.fault("volume_id", repr(volume), "an id of 20 or more characters, or null")
        keep = reader.optional_text("max_slot_wal_keep_size")
        if keep is not None and not re.fullmatch(r"[1-9]\d*(kB|MB|GB|TB)", keep):
            reader.fault(
                "max_slot_wal_keep_size",
                repr(keep),
                'a size such as "4GB", or null for a part of the disk; a dead peer must not fill it',
            )
        secrets = Reader(reader.mapping("passwords"), f"{subject}.passwords")
        found = cls(
            envelope,
            version,
            port,
            reader.number("peer_port", port),
            volume,
            reader.text("database"),
            secrets.secret("replication"),
            secrets.secret("app"),
            tuple(_networks(reader)),
            envelope.at(envelope.own_key),
            envelope.at(reader.text("peer_db")),
            keep,
            _parameters(reader),
            reader.flag("archive", False),
            mode,
            reader.number("degrade_after_s", DEGRADE_S),
            _names(reader, "preload"),
            _names(reader, "extensions"),
            logical,
        )
        reader.done()
        secrets.done()
        return found


def _networks(reader: Reader) -> list[str]:
    clients = reader.texts("app_clients")
    for client in clients:
        try:
            ipaddress.ip_network(client)
        except ValueError:
            reader.fault("app_clients", repr(client), "an address with its prefix length")
    return clients


def _names(reader: Reader, key: str) -> tuple[str, ...]:
    names = reader.texts(key, [])
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
            reader.fault(key, repr(name), "names such as pg_stat_statements")
    return tuple(names)


def _parameters(reader: Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in reader.mapping("parameters", {}).items():
        if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", name) or name in RESERVED:
            reader.fault(
                f"parameters.{name}",
                "a name that is not free",
                "a PostgreSQL parameter that replication does not depend on",
            )
        elif not isinstance(value, (str, int, float)) or "\n" in str(value):
            reader.fault(f"parameters.{name}", "no plain value", "a string or a number")
        else:
            found[name] = str(value)
    return found


# What this software decides itself: another value would break the pair, or open it.
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
