"""Synchronous replication: when commits wait for the standby, and when they stop waiting.

It is state, not configuration: `conf.d/sync.conf` beside the managed files, empty on a standby, so that the first commit after a promotion
never waits for a host that is gone. A primary in mode `sync` or `degrade` is armed once its standby streams and has caught up.

    async     never waits
    sync      once armed it waits, however long: without its standby the shop takes no order. Only a move or another mode ends that
    degrade   stops waiting when the standby has been gone for `degrade_after_s`, and says so; armed again when it is back

`dr-host agent` is the one that watches: every few seconds `query` over its own connection, `seen` and `step`; when that returns a move,
first its record at the witness (`move.event`, `move.says`), then `apply`. `start` is the state to begin with. `converge` arms and disarms, too.
"""

from __future__ import annotations

import json
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed

from ..frame.files import ManagedFile
from ..frame.wait import until
from .layout import PostgresLayout
from .memory import ASYNC, SYNC
from .server import Server

ARMED, RESTORED, DEGRADED, OFF = "armed", "restored", "degraded", "off"
RELOAD_S = 5.0
_CAUGHT_UP = 16 << 20  # bytes that the standby may still lack


@dataclass(frozen=True)
class Seen:
    """`on`: commits wait. `follows`: the standby streams, replays and has caught up; a copy, or whoever only stores WAL, replays nothing."""

    in_recovery: bool
    on: bool
    follows: bool


@dataclass(frozen=True)
class State:
    """What the watch remembers between two looks; a new one is right after a start. `gone_since`: by the monotonic clock."""

    gone_since: float | None = None
    degraded: bool = False


@dataclass(frozen=True)
class Move:
    """To be done now: commits wait (`on`) or not. `event`: ARMED, RESTORED, DEGRADED or OFF; `says`: for people."""

    on: bool
    event: str
    says: str


def step(mode: str, state: State, seen: Seen | None, now: float, after_s: float) -> tuple[State, Move | None]:
    """Pure. `seen`: None when the server does not answer, which says nothing about its standby."""
    if seen is None:
        return state, None
    if seen.in_recovery or mode == ASYNC:
        return State(), Move(False, OFF, "commits do not wait for a standby") if seen.on else None
    if seen.follows:
        armed = Move(
            True,
            RESTORED if state.degraded else ARMED,
            "commits wait for the standby: no acknowledged one can be lost with this site",
        )
        return State(), None if seen.on else armed
    if not seen.on:
        return State(None, state.degraded), None
    since = now if state.gone_since is None else state.gone_since
    if mode == SYNC or now - since < after_s:
        return State(since, state.degraded), None
    says = f"the standby has been gone for {after_s:g} s: commits wait for it no more, and what is acknowledged from now on is lost if this site dies"
    return State(None, True), Move(False, DEGRADED, says)


def query(peer: str) -> str:
    """SQL for the local server as its superuser; one text. `peer`: the other site, a or b."""
    return _SEEN.replace(":'standby'", f"'dr_{peer}'")


def seen(answer: str | None) -> Seen | None:
    """What `query` brought; None for no answer."""
    if answer is None:
        return None
    found = json.loads(answer)
    return Seen(found["in_recovery"], found["on"], found["follows"])


def start(layout: PostgresLayout) -> State:
    """The watch's state after a start of its own: whether it is degraded is in the file."""
    return State(degraded=recorded(layout) == DEGRADED)


def apply(layout: PostgresLayout, server: Server, peer: str, move: Move) -> None:
    """Do it, and see it in force. Works while commits hang, which are then released. Raises Failed."""
    names = f"FIRST 1 (dr_{peer})" if move.on else ""
    _write(layout, move, names)
    server.sql("select pg_reload_conf()")
    if not until(lambda: server.ask("select to_json(current_setting('synchronous_standby_names'))") == names, RELOAD_S):
        raise Failed(
            f"synchronous_standby_names: found another value {RELOAD_S:g} s after a reload, wanted {names!r}; see `alter system` settings and the log"
        )


def disarm(layout: PostgresLayout) -> None:
    """Before a start as standby: the file alone."""
    if _file(layout).exists():
        _write(layout, Move(False, OFF, "this host is a standby"), "")


def _write(layout: PostgresLayout, move: Move, names: str) -> None:
    text = f"# {move.event}: {move.says}\nsynchronous_standby_names = '{names}'\n"
    ManagedFile(path=_file(layout), content=text, mode=0o640, owner=layout.user).write()


def recorded(layout: PostgresLayout) -> str | None:
    """The event of the last `apply`; None when there was none."""
    try:
        return _file(layout).read_text().split(":", 1)[0].removeprefix("# ")
    except OSError:
        return None


def _file(layout: PostgresLayout) -> Path:
    return layout.conf / "conf.d" / "sync.conf"  # read after dr.conf


FOLLOWS = f"""case when pg_is_in_recovery() then false else exists (select from pg_stat_replication
    where application_name = :'standby' and state = 'streaming' and replay_lsn is not null
      and pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) < {_CAUGHT_UP}) end"""
_SEEN = f"""select json_build_object('in_recovery', pg_is_in_recovery(), 'on', current_setting('synchronous_standby_names') <> '',
  'follows', {FOLLOWS})"""
