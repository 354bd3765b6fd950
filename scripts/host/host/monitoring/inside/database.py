"""What PostgreSQL counts itself."""

from __future__ import annotations

from typing import Any

from ....frame.layout import Layout
from ....frame.systemd import Systemd
from ....postgres.layout import PostgresLayout
from ....postgres.memory import Memory
from ....postgres.server import Server, UnitControl
from ....postgres.status import figured

# Sessions of clients alone, without this one. WAL is what this server has written: a standby writes none of its own.
_DATABASE = """select json_build_object(
  'connections', count(*) filter (where backend_type = 'client backend' and pid <> pg_backend_pid()),
  'max_connections', current_setting('max_connections')::int,
  'waiting', count(*) filter (where wait_event_type = 'Lock'),
  'oldest_transaction_s', coalesce(max(extract(epoch from clock_timestamp() - xact_start))
                          filter (where backend_type = 'client backend' and pid <> pg_backend_pid()), 0),
  'commits', (select sum(xact_commit)::bigint from pg_stat_database),
  'rollbacks', (select sum(xact_rollback)::bigint from pg_stat_database),
  'blocks_hit', (select sum(blks_hit)::bigint from pg_stat_database),
  'blocks_read', (select sum(blks_read)::bigint from pg_stat_database),
  'deadlocks', (select sum(deadlocks)::bigint from pg_stat_database),
  'size', (select sum(pg_database_size(oid))::bigint from pg_database),
  'wal', case when pg_is_in_recovery() then null else pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint end)
  from pg_stat_activity"""


def asked(layout: Layout) -> dict[str, Any] | None:
    """Of the cluster that was converged here: what figures take of its status, with its counters as `inside`."""
    memory = Memory.read(PostgresLayout(layout))
    if memory is None:
        return None
    own = PostgresLayout(layout, memory.version)
    return told(layout, Server(own, memory.port, UnitControl(Systemd(), own.unit)))


def told(layout: Layout, server: Server) -> dict[str, Any]:
    """Of one server: `inside` is None where it does not run or say."""
    return {"inside": None, **figured(layout, server, _DATABASE)}
