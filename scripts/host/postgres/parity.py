"""What has to be alike on both sides before a database moves: it would not start, or sort otherwise, or lack an extension, as the new primary."""

from __future__ import annotations

from typing import Any

from .server import Server

# Those that a standby may not have lower than its primary (PostgreSQL, "Administrator's Overview" of hot standby).
_BOUND = (
    "max_connections",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "max_wal_senders",
    "max_worker_processes",
)


def parity(server: Server) -> dict[str, Any] | None:
    """Of this side; None where the server does not answer."""
    found: dict[str, Any] | None = server.ask(_PARITY)
    return found


_PARITY = f"""select json_build_object(
  'version', current_setting('server_version_num')::int,
  'checksums', current_setting('data_checksums') = 'on',
  'parameters', (select json_object_agg(name, setting) from pg_settings where name in ({", ".join(map(repr, _BOUND))})),
  'collations', (select json_object_agg(datname, coalesce(pg_database_collation_actual_version(oid), '')) from pg_database where datallowconn),
  'extensions', (select json_object_agg(name, default_version) from pg_available_extensions))"""  # noqa: S608
