"""Whether the primary still has the WAL that a standby needs next. Without it the standby asks for the same file for ever."""

from __future__ import annotations

from .facts import Live
from .peer import Peer
from .server import Server
from .text import lsn, segment_start

STILL_S = 6.0


class Expiry:
    """Judged over several looks: a standby that has just started replays its own files first, or fetches them from the archive."""

    def __init__(self, server: Server) -> None:
        control = server.control_data()
        self._size = control.segment if control else 16 << 20
        self._replayed: str | None = None
        self._since = 0.0
        self.certain = False

    def holds(self, live: Live | None, peer: Peer, now: float) -> bool:
        """True once it has replayed nothing for STILL_S seconds, below all that the primary has. `now`: seconds of a monotonic clock."""
        if live is None or live.replay_lsn is None or live.paused or peer.error is not None or peer.oldest_wal is None:
            self._replayed = None
            return False
        if lsn(live.replay_lsn) >= segment_start(peer.oldest_wal, self._size):
            self._replayed = None
            return False
        if live.replay_lsn != self._replayed:
            self._replayed, self._since = live.replay_lsn, now
        self.certain = now - self._since >= STILL_S
        return self.certain
