"""Which server runs here, and what it takes while it runs. Pure but for `find_engine`."""

from __future__ import annotations

from contract.dataclass import dataclass

from ..frame.layout import Layout

# What a running server takes by CONFIG SET; a change of anything else is a restart.
RUNTIME = frozenset(
    {
        "appendfsync", "client-output-buffer-limit", "masterauth", "masteruser", "maxmemory", "maxmemory-policy", "min-replicas-max-lag",
        "min-replicas-to-write", "repl-backlog-size", "repl-backlog-ttl", "repl-diskless-load", "repl-diskless-sync", "repl-diskless-sync-delay",
        "repl-timeout",
        "replica-announce-ip", "replica-announce-port", "replica-ignore-disk-write-errors", "replica-ignore-maxmemory", "replica-read-only",
        "replica-serve-stale-data", "save", "shutdown-timeout", "tcp-keepalive", "timeout", "tls-auth-clients",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Engine:
    """One of the two servers that speak this protocol, as Debian packages it."""

    name: str
    binary: str
    unit: str
    user: str
    etc: str
    data: str


ENGINES = (
    Engine("redis", "/usr/bin/redis-server", "redis-server.service", "redis", "/etc/redis", "/var/lib/redis"),
    Engine("valkey", "/usr/bin/valkey-server", "valkey-server.service", "valkey", "/etc/valkey", "/var/lib/valkey"),
)


def find_engine(layout: Layout) -> Engine:
    """The installed one. Redis is assumed where there is none: starting it then says what is missing."""
    return next((engine for engine in ENGINES if layout.at(engine.binary).exists()), ENGINES[0])


def equal(name: str, wanted: str, found: str | None) -> bool:
    """Whether a running server's answer to CONFIG GET means `wanted`."""
    if found is None:
        return False
    if name == "client-output-buffer-limit":
        return wanted.replace("replica", "slave", 1) in found.replace("replica", "slave")
    return wanted == found
