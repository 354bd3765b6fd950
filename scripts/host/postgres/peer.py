"""The peer's database as the standby sees it, over the connection that replication uses, too."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.services.postgres import REPLICATION_ROLE

from ..frame.commands import CommandFailed
from . import session
from .config import ASK, upstream
from .desired import Desired
from .layout import SLOT, Papers, PostgresLayout
from .restart import STARTS, Running
from .server import LIMITS_IN_FORCE, TIMELINE, psql
from .slot import ENSURE
from .text import history, passfile_line
from .versions import VERSIONS

LIMIT_S = 12.0


@dataclass(frozen=True)
class Peer:
    """`error`: why it could not be asked; then the rest says nothing. `history`: (timeline, position at which it was left).

    `slot`: None, "good" or "lost". `sees`: the state of this site's walsender there, such as "streaming"; None without one.
    `checkpointed`: the timeline of its last checkpoint. `write_lsn`: where it writes. `marker`: see `MARKER`.
    `limits`: `text.LIMITS` as they are in force there.
    """

    error: str | None = None
    in_recovery: bool = False
    system_identifier: str = ""
    timeline: int = 0
    history: tuple[tuple[int, str], ...] = ()
    slot: str | None = None
    sees: str | None = None
    checkpointed: int = 0
    write_lsn: str | None = None
    marker: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    version: int = 0  # as `server_version_num` has it
    starts: Mapping[str, Running] = field(default_factory=dict)  # by name, what it takes at its start alone
    tablespaces: Mapping[str, str] = field(default_factory=dict)  # where they are there, by oid
    oldest_wal: str | None = None  # name of its oldest WAL file, without the timeline


@contextmanager
def _target(desired: Desired) -> Iterator[dict[str, str]]:
    """Connection parameters with files that live as long as the call: the managed ones may not be there yet."""
    with tempfile.TemporaryDirectory(prefix="dr-host-") as name:
        papers = Papers(*(Path(name, file) for file in ("pgpass", "ca.pem", "client.crt", "client.key")))
        line = passfile_line(desired.peer.name, desired.peer_port, REPLICATION_ROLE, desired.passwords.replication)
        for path, text in (
            (papers.passfile, line),
            (papers.ca, desired.envelope.tls.ca),
            (papers.cert, desired.tls.cert),
            (papers.key, desired.tls.key),
        ):
            path.touch(0o600)
            path.write_text(text)
        target = upstream(desired, caller=ASK, papers=papers, database="postgres")
        # One of the connections that are kept for replication: the shop may hold all others.
        yield {**target, **({"replication": "database"} if VERSIONS[desired.version].walsender_sql else {})}


def ask_peer(desired: Desired, layout: PostgresLayout) -> Peer:
    """Never fails: what went wrong is in `error`."""
    variables = {"slot": SLOT, "me": f"dr_{desired.envelope.site}"}
    try:
        with _target(desired) as target:
            found: dict[str, Any] = json.loads(_answer(layout, target, variables))
    except CommandFailed as error:
        return Peer(error=error.done.reason)
    except ValueError:
        return Peer(error="an answer that is no JSON")
    return Peer(
        None,
        found["in_recovery"],
        found["system_identifier"],
        found["timeline"],
        tuple(history(found["history"] or "")),
        found["slot"],
        found["sees"],
        found["checkpointed"],
        found["write_lsn"],
        found["marker"],
        found["limits"] or {},
        found["version"],
        {name: (value, unit, kind) for name, (value, unit, kind) in found["starts"].items()},
        found["tablespaces"] or {},
        found["oldest_wal"],
    )


def _answer(layout: PostgresLayout, target: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """Also of a peer that is older than it should be: that it says by itself. Raises CommandFailed."""
    try:
        return psql(layout, target, _QUERY, variables, limit_s=LIMIT_S)
    except CommandFailed as error:
        if "unrecognized configuration parameter" not in error.done.err:
            raise
        return psql(layout, {**target, "options": session.options(None)}, _QUERY, variables, limit_s=LIMIT_S)


def prepare_slot(desired: Desired, layout: PostgresLayout) -> None:
    """Have a slot there that keeps WAL from now on. One that lost its WAL is made again. Raises Failed."""
    try:
        with _target(desired) as target:
            psql(layout, target, ENSURE, limit_s=LIMIT_S)
    except CommandFailed as error:
        raise Failed(
            f"slot {SLOT} on {desired.peer.name}: found no way to make it ({error.done.reason}), wanted one; without it WAL may vanish during the copy; "
            "nothing was copied; see the peer's log"
        ) from None


# A row that each primary writes when it takes over, the comment on the replication role: a standby that shows it has replayed that
# primary's own WAL. No table of ours in anybody's database is needed for it.
MARKER = f"(select shobj_description(oid, 'pg_authid') from pg_roles where rolname = '{REPLICATION_ROLE}')"  # noqa: S608


def marker(epoch: int, site: str) -> str:
    """What the primary of `epoch` writes there."""
    return f"dr: epoch {epoch}, primary {site}"


_QUERY = f"""select json_build_object(
  'in_recovery', pg_is_in_recovery(), 'timeline', {TIMELINE},
  'system_identifier', (select system_identifier::text from pg_control_system()),
  'history', convert_from(pg_read_binary_file(format('pg_wal/%s.history', lpad(upper(to_hex({TIMELINE})), 8, '0')), 0, 1048576, true), 'UTF8'),
  'slot', (select case when wal_status = 'lost' then 'lost' else 'good' end from pg_replication_slots where slot_name = :'slot'),
  'checkpointed', (pg_control_checkpoint()).timeline_id,
  'write_lsn', case when not pg_is_in_recovery() then pg_current_wal_lsn() end, 'marker', {MARKER}, 'limits', {LIMITS_IN_FORCE},
  'tablespaces', (select json_object_agg(oid, pg_tablespace_location(oid)) from pg_tablespace where pg_tablespace_location(oid) like '/%'),
  'oldest_wal', (select min(substr(name, 9)) from pg_ls_waldir() where name ~ '^[0-9A-F]{{24}}$'),
  'version', current_setting('server_version_num')::int, 'starts', {STARTS},
  'sees', (select min(state) from pg_stat_replication where application_name = :'me'))"""  # noqa: S608
