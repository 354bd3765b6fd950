"""Whom this host's cache follows, takes over from or leads, where each site may have several. Pure.

cache-1 of a site is its head: it follows the other site's leader in a standby and takes over from it; the others of a standby follow the
head. In the active site whoever leads may change, for Sentinel chooses: there a host joins the leader it finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .redis_config import Desired
from .redis_plan import MASTER, Instance
from .redis_wire import Server
from .rolefile import PRIMARY, STANDBY


@dataclass(frozen=True)
class Place:
    """`leads`: this host is to be the master. `other`: then whom it takes over from, else whom it follows. `chained`: that one may follow, too."""

    leads: bool
    other: Server
    role: str  # of role.json: PRIMARY also for those who follow in the active site, because they may lead at any moment
    chained: bool = False

    @property
    def joined(self) -> bool:
        """A follower in the active site."""
        return self.role == PRIMARY and not self.leads


Found = Mapping[str, Instance | None]  # by the server's name; None: nobody answers


def others(desired: Desired) -> list[Server]:
    """Everybody whose state this host's place may depend on."""
    siblings = [server for server in desired.members if server != desired.local]
    if not desired.envelope.active and desired.local != desired.head:
        return [desired.head]
    return [*(siblings if desired.envelope.active else []), *desired.peers]


def place(desired: Desired, local: Instance | None, found: Found, *, data: bool) -> Place:
    """`data`: this host has files of an earlier run."""
    leading = local is not None and local.role == MASTER
    if not desired.envelope.active:
        if desired.local != desired.head:
            return Place(False, desired.head, STANDBY, chained=True)
        return Place(False, _leader_of(desired.peers, found) or desired.peers[0], STANDBY)
    siblings = [server for server in desired.members if server != desired.local]
    leader = _leader_of(siblings, found)
    if leader is not None and not leading:
        return Place(False, leader, PRIMARY)
    if not leading and desired.local != desired.head:
        return Place(False, desired.head, PRIMARY)
    holder = _fullest(siblings, found) if local is None and not data else None
    return Place(True, holder or _leader_of(desired.peers, found) or desired.peers[0], PRIMARY)


def _leader_of(servers: list[Server] | tuple[Server, ...], found: Found) -> Server | None:
    return next((server for server in servers if (it := found.get(server.name)) is not None and it.role == MASTER), None)


def _fullest(servers: list[Server], found: Found) -> Server | None:
    """A sibling that holds keys, and of several the one that is furthest: a host without data must not lead it into emptiness."""
    holding = [(it.offset, server.name, server) for server in servers if (it := found.get(server.name)) is not None and it.keys > 0]
    return max(holding, default=(0, "", None), key=lambda one: one[:2])[2]
