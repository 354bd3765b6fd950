"""`postgres status`: what the operator's side decides on. Positions as PostgreSQL writes them; null for what cannot be learned."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..frame import rolefile
from ..frame.layout import Layout
from .mark import read_mark
from .server import TIMELINE, Server
from .sync import DEGRADED, recorded

NOTHING: dict[str, Any] = {
    "running": False,
    "in_recovery": None,
    "timeline": None,
    "receive_lsn": None,
    "replay_lsn": None,
    "write_lsn": None,
    "paused": None,
    "streaming": False,
    "lag_bytes": None,
    "lag_s": None,
    "cluster_state": None,
    "checkpoint_lsn": None,
    "system_identifier": None,
    "slot": None,
    "disk_free": None,
    "rejoin": None,
    "mode": None,
    "sync": None,
}


def live_status(layout: Layout, server: Server | None, mode: str | None = None) -> dict[str, Any]:
    """Never fails. `server`: None on a host that was never converged. `mode`: the one it was converged to.

    `sync`: "on" (commits wait for the standby), "off", or "degraded" (off because the standby has been gone).
    """
    role = rolefile.read(layout)
    facts = {**NOTHING, "role": None if role is None else role.document()}
    if server is None:
        return facts
    facts["mode"] = mode
    facts["running"] = server.pid() is not None
    facts["disk_free"] = _free(server.layout.data)
    mark = read_mark(server.layout)
    facts["rejoin"] = None if mark is None else asdict(mark)
    control = server.control_data()
    if control is not None:
        facts |= {
            "cluster_state": control.state,
            "checkpoint_lsn": control.checkpoint,
            "system_identifier": control.system_identifier,
            "timeline": control.timeline,
        }
    return facts | (_said(server, server.ask(_STATUS)) if facts["running"] else {})


def figured(layout: Layout, server: Server, counters: str) -> dict[str, Any]:
    """What of it figures are made of, and as `inside` what `counters` (SQL of one JSON value) finds: in one session, since each is a process of its own
    that costs as much as all the rest. Never fails.
    """
    role = rolefile.read(layout)
    facts = {
        **NOTHING,
        "role": None if role is None else role.document(),
        "running": server.pid() is not None,
        "disk_free": _free(server.layout.data),
    }
    if not facts["running"]:
        return facts
    found = server.ask(f"select json_build_object('status', ({_STATUS}), 'inside', ({counters}))") or {}
    return facts | _said(server, found.get("status")) | {"inside": found.get("inside")}


def _said(server: Server, found: Any) -> dict[str, Any]:
    """The server's own words, and what it was told of its standby."""
    facts = found if isinstance(found, dict) else {}
    degraded = facts.get("sync") == "off" and recorded(server.layout) == DEGRADED
    return facts | ({"sync": DEGRADED} if degraded else {})


def _free(folder: Path) -> int | None:
    """Bytes that its server's user may still write; None where there is no such folder."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


# `streaming`, `lag_bytes`, `lag_s`: on a standby of what it receives, on a primary of the standby that it serves. Seconds are of the last transaction
# that was replayed; nothing waits where nothing is behind, however long ago that was.
_STATUS = f"""select json_build_object(
  'in_recovery', pg_is_in_recovery(), 'timeline', {TIMELINE},
  'receive_lsn', pg_last_wal_receive_lsn(), 'replay_lsn', pg_last_wal_replay_lsn(),
  'write_lsn', case when not pg_is_in_recovery() then pg_current_wal_lsn() end,
  'sync', case when current_setting('synchronous_standby_names') = '' then 'off' else 'on' end,
  'paused', case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() <> 'not paused' else false end,
  'streaming', case when pg_is_in_recovery() then exists (select from pg_stat_wal_receiver where status = 'streaming')
                    else exists (select from pg_stat_replication where application_name ~ '^dr_[a-z]+$' and state = 'streaming') end,
  'lag_bytes', case when pg_is_in_recovery()
                    then (select coalesce(pg_wal_lsn_diff(latest_end_lsn, pg_last_wal_replay_lsn()), 0)::bigint from pg_stat_wal_receiver)
                    else (select max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint from pg_stat_replication
                          where application_name ~ '^dr_[a-z]+$') end,
  'lag_s', case when pg_is_in_recovery()
                then case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                          else greatest(extract(epoch from now() - pg_last_xact_replay_timestamp()), 0) end
                else (select max(case when pg_current_wal_lsn() <= replay_lsn then 0 else extract(epoch from replay_lag) end)
                      from pg_stat_replication where application_name ~ '^dr_[a-z]+$') end,
  'slot', (select json_build_object('active', active, 'wal_status', wal_status, 'safe_wal_size', safe_wal_size)
           from pg_replication_slots where slot_name = 'dr_peer'))"""  # noqa: S608
