"""The local PostgreSQL server: SQL over its socket, control data, stop and promotion. Starting goes through a `Control`."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from contract.errors import Failed, OutcomeUnknown, Refused, say

from ..frame.commands import CommandFailed, run
from ..frame.systemd import Units
from ..frame.wait import until
from . import overrides, session
from . import text as pg_text
from .layout import PostgresLayout
from .text import SHUT_DOWN, ControlData

SLOW_S = 2.0  # a transaction that is open for longer does not hold up a hand-over
QUICK_S, STOP_S, PROMOTE_S, START_S = 10.0, 45.0, 60, 600.0
_TICK_S = 0.005


class Control(Protocol):
    """Starts the server the way the machine does, guard included."""

    def start(self, limit_s: float = ...) -> None: ...

    def settle(self) -> None:
        """The server was stopped or is to be stopped: let the service manager know."""
        ...


class UnitControl:
    """`Control` by the cluster's systemd unit."""

    def __init__(self, units: Units, unit: str) -> None:
        self._units, self._unit = units, unit

    def start(self, limit_s: float = START_S) -> None:
        self._units.start(self._unit, limit_s)

    def settle(self) -> None:
        self._units.stop(self._unit, QUICK_S)


class Server:
    """One cluster. Every method that waits is bounded."""

    def __init__(self, layout: PostgresLayout, port: int, control: Control) -> None:
        self.layout, self.port, self._control = layout, port, control

    def sql(
        self,
        script: str,
        variables: Mapping[str, str] | None = None,
        *,
        database: str = "postgres",
        limit_s: float = QUICK_S,
    ) -> str:
        """Run SQL as the superuser, in a session as `session` has it.

        `variables` are bound (`:'name'`, `:"name"`) and travel on stdin. Raises CommandFailed.
        """
        target = {
            "host": str(self.layout.sockets),
            "port": str(self.port),
            "user": "postgres",
            "dbname": database,
            "connect_timeout": "3",
        }
        return psql(self.layout, target, script, variables, limit_s=limit_s, user=self.layout.user)

    def ask(self, query: str, variables: Mapping[str, str] | None = None, *, database: str = "postgres") -> Any:
        """One JSON value, or None when the server does not answer."""
        try:
            return json.loads(self.sql(query, variables, database=database))
        except (CommandFailed, ValueError):
            return None

    def control_data(self) -> ControlData | None:
        done = run([self.layout.program("pg_controldata"), str(self.layout.data)], limit_s=QUICK_S, check=False)
        return pg_text.control_data(done.out) if done.code == 0 else None

    def pid(self) -> int | None:
        """The postmaster's process, when it lives."""
        return alive(self.layout)

    def start(self, limit_s: float | None = None) -> None:
        """Start and wait until it answers; `limit_s`: for both together. Raises Failed."""
        began, limit = time.monotonic(), START_S if limit_s is None else limit_s
        if self.pid() is None:
            overrides.drop(self.layout)
            self._control.start(limit)
        left = START_S / 10 if limit_s is None else limit - (time.monotonic() - began)
        if not until(lambda: self.ask("select to_json(true)") is True, left, 0.02):
            raise Failed(
                say(
                    subject=f"cluster {self.layout.data}",
                    found="a server that does not answer on its socket",
                    wanted=f"an answer within {min(limit, START_S / 10):.0f} s",
                    consequence="it has no part in replication",
                    remedy=f"read /var/log/postgresql and `journalctl -u {self.layout.unit}`",
                )
            )

    def stop(self) -> ControlData:
        """Fast stop; the control file has the last word. Raises Failed when it does not say that the cluster was shut down."""
        pid = self.pid()
        if pid is None:
            self._control.settle()  # a start that its guard has allowed already would write after that word
            pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGINT)
            if not until(lambda: self.pid() != pid, STOP_S, _TICK_S):
                raise self._not_stopped(f"process {pid} still there after {STOP_S:g} s")
        found = self.control_data()
        if found is None or not found.state.startswith(SHUT_DOWN):
            raise self._not_stopped(f"control file {found.state if found else 'unreadable'!r}")
        self._control.settle()
        return found

    def _not_stopped(self, found: str) -> Failed:
        return Failed(
            say(
                subject=f"cluster {self.layout.data}",
                found=found,
                wanted=f"control file {SHUT_DOWN!r}",
                consequence="the site is not proven to be out of service",
                remedy="see `dr-host postgres status`; `resume` undoes a stop",
            )
        )

    def make_ready_to_stop(self, limit_s: float = 20) -> int:
        """Write out what is dirty and end slow clients, so that the stop that follows is short. Returns how many. Raises CommandFailed.

        Others have until the stop itself to finish what they do.
        """
        return int(self.sql(_READY, {"grace": f"{SLOW_S:g} s"}, limit_s=limit_s).strip() or 0)

    def wait_replayed(self, position: str, timeline: int, limit_s: float) -> None:
        """Until a standby has received and replayed strictly past `position`. Raises Refused with both positions."""
        seen: dict[str, Any] = {}
        resumed = False

        def past() -> bool:
            nonlocal resumed
            seen.clear()
            seen.update(self.ask(_REPLAY) or {})
            if seen.get("paused") and not resumed:
                resumed = self.resume_replay()
            return past_checkpoint(seen, position, timeline)

        if not until(past, limit_s, 0.01):
            raise Refused(
                say(
                    subject="standby's replay",
                    found=f"received {seen.get('receive_lsn')}, replayed {seen.get('replay_lsn')} on timeline {seen.get('timeline')}, "
                    f"replay {'paused' if seen.get('paused') else 'running'}",
                    wanted=f"strictly past {position} on timeline {timeline} within {limit_s:g} s",
                    consequence="promoting now would lose orders, nothing was changed",
                    remedy="run `dr-host postgres resume` on the old primary, see why the standby lags, try again",
                )
            )

    def resume_replay(self) -> bool:
        """End a pause that somebody asked for; False when replay stopped by itself: below its primary's limits a server that is resumed would
        end, and at a recovery target it would promote itself.
        """
        control, here = self.control_data(), self.ask(f"select {LIMITS_IN_FORCE}") or {}
        if self.ask(f"select to_json({TARGETED})") is not False:
            return False
        if control is None or any(here.get(name, -1) < value for name, value in control.limits.items()):
            return False
        self.sql("select pg_wal_replay_resume()")
        return True

    def promote(self) -> int:
        """Turn the standby into a primary on a new timeline; returns that timeline. Raises Refused, OutcomeUnknown or Failed."""
        before = self.ask(_REPLAY)
        if before is None:
            raise Failed(
                f"cluster {self.layout.data}: found no answer, wanted a standby; nothing was promoted; see `dr-host postgres status`"
            )
        if before["paused"]:
            raise Refused(
                say(
                    subject="standby's replay",
                    found="paused",
                    wanted="running",
                    consequence="a promotion could shut the server down (parameters below the old primary's), nothing was changed",
                    remedy="run the same again; if it stays so, see its log and raise the parameter that it names",
                )
            )
        try:
            done = self.sql(
                "select pg_promote(true, :limit)", {"limit": str(PROMOTE_S)}, limit_s=PROMOTE_S + 10
            ).strip()
        except CommandFailed as error:
            raise OutcomeUnknown(
                f"promotion of {self.layout.data}: {error}; see `dr-host postgres status` before going on"
            ) from None
        after = self.ask(_REPLAY)
        if done != "t" or after is None or after["in_recovery"]:
            raise OutcomeUnknown(
                f"promotion of {self.layout.data}: not finished within {PROMOTE_S} s; see `dr-host postgres status` before going on"
            )
        if after["timeline"] <= before["timeline"]:
            raise Failed(
                say(
                    subject="promoted cluster",
                    found=f"timeline {after['timeline']}",
                    wanted=f"one after {before['timeline']}",
                    consequence="the old primary could not be told from it",
                    remedy="stop it (`dr-host postgres stop`) and see its log",
                )
            )
        return int(after["timeline"])


def alive(layout: PostgresLayout) -> int | None:
    """The postmaster's process. A file that a crash left behind does not count, whoever has that number now."""
    try:
        pid = int((layout.data / "postmaster.pid").read_text().split("\n")[0])
        name, state = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
        folder = Path(f"/proc/{pid}/cwd").readlink()
    except (OSError, ValueError, IndexError):
        return None
    if name not in ("postgres", "postmaster") or state.split()[0] == "Z":
        return None
    return pid if folder == layout.data.resolve() else None


def past_checkpoint(replay: Mapping[str, Any], position: str, timeline: int) -> bool:
    """Whether replay got strictly past the record that starts at `position`: the end of that record is what counts, and it lies beyond."""
    received, replayed = replay.get("receive_lsn"), replay.get("replay_lsn")
    if replayed is None or replay.get("timeline") != timeline:
        return False
    wanted = pg_text.lsn(position)
    # A standby that was restarted without its primary has received nothing since; then replay alone speaks.
    return pg_text.lsn(replayed) > wanted and (received is None or pg_text.lsn(received) > wanted)


def psql(
    layout: PostgresLayout,
    target: Mapping[str, str],
    script: str,
    variables: Mapping[str, str] | None = None,
    *,
    limit_s: float,
    user: str | None = None,
) -> str:
    """Run a script; unaligned rows on stdout. `target` are libpq's parameters and hold no secret: they are in argv.

    Without `options` in it, the session is one of a server of this host's version.
    """
    bound = "".join(f"\\set {name} {_quoted(value)}\n" for name, value in (variables or {}).items())
    argv = [
        layout.program("psql"),
        "-XAtq",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "VERBOSITY=terse",
        "--no-password",
        "-d",
        pg_text.conninfo({"options": session.options(layout.version), **target}),
    ]
    return run(argv, stdin=f"{bound}{script};\n", limit_s=limit_s, user=user).out


def _quoted(value: str) -> str:
    """An argument of a psql command: in single quotes psql reads C-like escapes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n") + "'"


# Of a standby whose primary is gone: the control file lags behind, so the newest history that it has fetched speaks for it.
TIMELINE = """
case when pg_is_in_recovery()
     then coalesce((select received_tli from pg_stat_wal_receiver),
                   greatest((select max(('x' || substr(name, 1, 8))::bit(32)::int) from pg_ls_waldir() where name ~ '^[0-9A-F]{8}\\.history$'),
                            (pg_control_recovery()).min_recovery_end_timeline, (pg_control_checkpoint()).timeline_id))
     else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end"""

_READY = """checkpoint;
select count(pg_terminate_backend(pid)) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
  and xact_start < now() - :'grace'::interval"""
_NAMES = ", ".join(f"'{name}'" for name in pg_text.LIMITS)
LIMITS_IN_FORCE = f"(select json_object_agg(name, setting::int) from pg_settings where name in ({_NAMES}))"  # noqa: S608

# It would stop somewhere on its way; a timeline is no such place.
TARGETED = """exists (select from pg_settings
  where starts_with(name, 'recovery_target') and name not in ('recovery_target_action', 'recovery_target_inclusive', 'recovery_target_timeline')
    and setting <> '')"""

_REPLAY = f"""select json_build_object(
  'in_recovery', pg_is_in_recovery(), 'timeline', {TIMELINE}, 'receive_lsn', pg_last_wal_receive_lsn(), 'replay_lsn', pg_last_wal_replay_lsn(),
  'paused', case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() <> 'not paused' else false end)"""
