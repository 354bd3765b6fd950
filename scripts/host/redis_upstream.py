"""A standby's cache whose leader is dead while another of that site leads by now: the agent has it follow that one."""

from __future__ import annotations

from collections.abc import Mapping

from . import rolefile
from .errors import Refused
from .layout import Layout
from .locks import hold
from .log import Log
from .redis_config import find_engine
from .redis_leader import Access, point, role_of, side_by_side
from .redis_wire import Connection, ErrorReply, Server, Unreachable
from .rolefile import STANDBY

LOOKS = 5  # beats without a link: a leader that was only restarted is back by then


class Upstream:
    """One look with each beat."""

    def __init__(self, layout: Layout, log: Log) -> None:
        self._layout, self._log = layout, log
        self._down = 0

    def look(self, info: Mapping[str, str]) -> None:
        """`info`: INFO replication of the own server. Never fails."""
        self._down = self._down + 1 if info.get("role") == "slave" and info.get("master_link_status") != "up" else 0
        if self._down < LOOKS:
            return
        self._down = 0
        access, role = Access.of_host(self._layout), rolefile.read(self._layout)
        head = access is not None and access.local == access.members[0]
        if access is None or role is None or role.role != STANDBY or not head or len(access.peers) == 1:
            return
        try:
            # Not while a run gives this host another role.
            with hold(self._layout, "redis", 0):
                self._follow(access, info.get("master_host"))
        except (Refused, Unreachable, ErrorReply, OSError) as error:
            self._log.warning(f"cache of the other site: this one lost its leader and could not be turned to another ({error}); tried again")

    def _follow(self, access: Access, lost: str | None) -> None:
        candidates = [peer for peer in access.peers if peer.address != lost]
        leader = next((peer for peer, role in zip(candidates, side_by_side(role_of, candidates), strict=True) if role == "master"), None)
        if leader is None or _replica_of(access.local) != lost:
            return
        with Connection(access.local) as connection:
            connection.call("REPLICAOF", leader.address, leader.port)
        point(self._layout.at(find_engine(self._layout).etc) / "dr.conf", leader)
        self._log.warning(f"cache: {lost} is lost, and {leader.name} leads in its site by now; this one follows it")


def _replica_of(server: Server) -> str | None:
    """Whom it follows just now; None when it leads."""
    with Connection(server) as connection:
        found = connection.call("ROLE")
    return str(found[1]) if found[0] == "slave" else None
