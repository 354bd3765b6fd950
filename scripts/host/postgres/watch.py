"""The agent's watch over synchronous replication: what `sync.step` decides, done in the order that keeps it honest.

Commits stop waiting only after the witness has a heartbeat that says so: a site that reaches neither its standby nor the witness keeps
waiting, and its lease ends it.
"""

from __future__ import annotations

from collections.abc import Callable

from contract.errors import Failed

from ..frame.commands import CommandFailed
from ..frame.log import Log
from . import sync as pg_sync
from .layout import PostgresLayout
from .memory import ASYNC, DEGRADE, Memory
from .server import Server
from .sync import DEGRADED, Move, State


class Nobody:
    """A `Control` of a server that this watch never starts."""

    def start(self, limit_s: float = 0) -> None:
        raise Failed("start of PostgreSQL: asked of the watch, wanted of nobody; nothing was changed")

    def settle(self) -> None:
        return None


class Watch:
    """Of one host. `look` with every beat, `told` when the witness has that beat."""

    def __init__(self, layout: PostgresLayout, log: Log) -> None:
        self._layout, self._log = layout, log
        self._state: State | None = None
        self._due: Move | None = None
        self._memory: Memory | None = None

    def look(self, memory: Memory, ask: Callable[[str], str | None], now: float) -> str:
        """What the beat is to say: the mode, or "degraded". `ask`: one SQL query to the local server; `now`: seconds of a monotonic clock."""
        self._memory, self._due = memory, None
        if memory.mode == ASYNC and pg_sync.recorded(self._layout) in (None, pg_sync.OFF):
            return ASYNC
        seen = pg_sync.seen(ask(pg_sync.query(memory.peer)))
        state = self._state or pg_sync.start(self._layout)
        self._state, move = pg_sync.step(memory.mode, state, seen, now, memory.degrade_after_s)
        if move is not None and move.event == DEGRADED:
            self._due = move
            self._state = state  # degraded once it is done
        elif move is not None:
            self._apply(memory, move)
        degraded = memory.mode == DEGRADE and (self._due is not None or self._state.degraded)
        return DEGRADED if degraded else memory.mode

    def told(self, mode: object) -> None:
        """The witness has a beat that said `mode`. May come from another thread than `look`."""
        if mode != DEGRADED or self._due is None or self._memory is None:
            return
        move, self._due = self._due, None
        if self._apply(self._memory, move):
            self._state = State(degraded=True)

    def _apply(self, memory: Memory, move: Move) -> bool:
        layout = PostgresLayout(self._layout.base, memory.version, self._layout.user, self._layout.programs)
        try:
            pg_sync.apply(layout, Server(layout, memory.port, Nobody()), memory.peer, move)
        except (CommandFailed, Failed, OSError) as error:
            self._log.warning(f"synchronous replication stays as it is: {error}")
            return False
        self._log.warning(f"{move.event}: {move.says}")
        return True
