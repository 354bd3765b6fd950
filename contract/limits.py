"""How long things may take, in seconds: one table, in which a limit that must fit into another one is computed from it."""

from __future__ import annotations

# A link ends when its work is done; the limit is for a hang. By service on a host, by name on the operator's machine.
LINKS_S = {
    "host": 1200,
    "postgres": 7200,
    "redis": 900,
    "assets": 900,
    "app": 900,
    "archive": 900,
    "fence": 600,
    "verify": 180,
    "pointer": 300,
    "replication": 180,
}
KILL_AFTER_S = 5  # what `timeout -k` waits after its first word
UNPACK_S = 300  # of a release
PREPARE_S = 120  # `archive prepare`
