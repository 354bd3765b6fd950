"""How busy a host's own servers are, by their own counters: PostgreSQL's views, Redis' INFO, nginx' status page. Never fails; unknown is None.

They are asked as `status` asks them, by the accounts that are there already: an exporter beside each would be another account, another process of some
20 MiB, and its own idea of a standby's lag.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from typing import Any

from contract.plain import phrase

from ...app.config import NGINX_STATUS
from ...frame.call import Call
from ...frame.layout import Layout
from ...frame.systemd import Systemd
from ...postgres.desired import Memory
from ...postgres.layout import PostgresLayout
from ...postgres.server import Server, UnitControl
from ...redis.leader import Access
from ...redis.wire import Connection, ErrorReply, Unreachable, parse_info

NGINX_S, NGINX_BYTES = 2.0, 4096
_NGINX = re.compile(r"Active connections: (\d+)\s+server accepts handled requests\s+\d+ \d+ (\d+)")
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
_CACHE = {
    "commands": "total_commands_processed",
    "hits": "keyspace_hits",
    "misses": "keyspace_misses",
    "evicted": "evicted_keys",
    "clients": "connected_clients",
}


def inside(call: Call) -> dict[str, Any]:
    """By server; None for one that is not here, or does not say."""
    asked = {"postgres": database, "redis": cache, "nginx": nginx}
    return {name: _asked(ask, call) for name, ask in asked.items()}


def _asked(ask: Any, call: Call) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = ask(call.layout)
    except Exception as error:
        call.log.warning(f"counters could not be read: {phrase(str(error), 120)}")
        return None
    return found


def database(layout: Layout) -> dict[str, Any] | None:
    """Of the cluster that was converged here."""
    memory = Memory.read(PostgresLayout(layout))
    if memory is None:
        return None
    own = PostgresLayout(layout, memory.version)
    return counters(Server(own, memory.port, UnitControl(Systemd(), own.unit)))


def counters(server: Server) -> dict[str, Any] | None:
    """Of one that runs; None where it does not."""
    if server.pid() is None:
        return None
    found = server.ask(_DATABASE)
    return found if isinstance(found, dict) else None


def cache(layout: Layout) -> dict[str, Any] | None:
    """Of the server of this host."""
    access = Access.of_host(layout)
    if access is None:
        return None
    try:
        with Connection(access.local) as connection:
            return counted(parse_info(connection.call("INFO", "everything")))
    except (Unreachable, ErrorReply):
        return None


def counted(info: Mapping[str, str]) -> dict[str, Any]:
    """What is looked at of it. Pure."""
    return {name: int(info[key]) for name, key in _CACHE.items() if info.get(key, "").isdigit()}


def nginx(layout: Layout) -> dict[str, Any] | None:
    """Of this host's, at its status page on loopback."""
    if not layout.at("/opt/shop/current").is_symlink():
        return None
    host, _, port = NGINX_STATUS.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=NGINX_S)
    try:
        connection.request("GET", "/")
        return said(connection.getresponse().read(NGINX_BYTES).decode(errors="replace"))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def said(page: str) -> dict[str, Any] | None:
    """What its status page says. Pure."""
    found = _NGINX.search(page)
    return None if found is None else {"connections": int(found[1]), "requests": int(found[2])}
