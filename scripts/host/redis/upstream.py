"""What a cache's agent mends where a site has several: a standby that hangs on a dead leader, and a leader that is cut off inside its site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contract.errors import Refused

from ..frame import rolefile
from ..frame.layout import Layout
from ..frame.locks import hold
from ..frame.log import Log
from ..frame.rolefile import STANDBY
from .config import ARMED
from .engine import find_engine
from .leader import Access, point, role_of, side_by_side
from .wire import Connection, ErrorReply, Server, Unreachable

LOOKS = 5  # beats without a leader: one that was only restarted is back by then
ALONE_LOOKS = 2  # beats without a follower of the own site
NEAR_S = 10  # a follower that confirmed so lately is there
NEVER = 9  # more followers than there are: such a leader refuses writes

Ask = Callable[..., Any]


class Upstream:
    """Of a standby's head: when its leader is gone, or leads no more, it follows whoever does. One look with each beat."""

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
            self._log.warning(
                f"cache of the other site: this one lost its leader and could not be turned to another ({error}); tried again"
            )

    def _follow(self, access: Access, lost: str | None) -> None:
        candidates = [peer for peer in access.peers if peer.address != lost]
        leaders = [
            peer for peer, role in zip(candidates, side_by_side(role_of, candidates), strict=True) if role == "master"
        ]
        if len(leaders) != 1 or _replica_of(access.local) != lost:
            return
        (leader,) = leaders
        with Connection(access.local) as connection:
            connection.call("REPLICAOF", leader.address, leader.port)
        point(self._layout.at(find_engine(self._layout).etc) / "dr.conf", leader)
        self._log.warning(f"cache: {lost} is lost, and {leader.name} leads in its site by now; this one follows it")


class Company:
    """Of a leader: cut off from the followers of its own site it may have been replaced, whatever the other region still confirms to it."""

    def __init__(self, layout: Layout, log: Log) -> None:
        self._layout, self._log = layout, log
        self._alone, self._closed = 0, True  # as far as is known: an agent before this one may have closed it

    def look(self, info: Mapping[str, str], ask: Ask) -> None:
        """`ask`: one command to the own server. One that asks for no follower, as after a take-over with all others lost, is left alone."""
        access = (
            Access.of_host(self._layout) if info.get("role") == "master" and "min_slaves_good_slaves" in info else None
        )
        if access is None or not access.sentinels:
            self._alone = 0
            return
        own = {member.address for member in access.members} - {access.local.address}
        if any(_near(value) in own for name, value in info.items() if name.startswith("slave") and name[5:].isdigit()):
            self._alone = 0
            if self._closed and ask("CONFIG", "GET", ARMED)[1] == str(NEVER):
                ask("CONFIG", "SET", ARMED, 1)
                self._log.warning("cache: a follower of this site is there again; writes are taken")
            self._closed = False
            return
        self._alone += 1
        if self._alone % ALONE_LOOKS == 0:
            ask("CONFIG", "SET", ARMED, NEVER)
            if not self._closed:
                self._log.warning(
                    f"cache: no follower of this site has confirmed anything for {NEAR_S} s; another may lead by now, so no writes are taken"
                )
            self._closed = True


def _near(line: str) -> str | None:
    """The address of a follower that confirmed lately, from its line of INFO replication; None of another."""
    fields = dict(word.split("=", 1) for word in line.split(",") if "=" in word)
    return (
        fields.get("ip") if fields.get("state") == "online" and int(fields.get("lag", NEAR_S + 1)) <= NEAR_S else None
    )


def _replica_of(server: Server) -> str | None:
    """Whom it follows just now; None when it leads."""
    with Connection(server) as connection:
        found = connection.call("ROLE")
    return str(found[1]) if found[0] == "slave" else None
