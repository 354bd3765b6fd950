"""Whom this host's cache follows, takes over from or leads, where each site may have several. Pure.

cache-1 of a site is its head: it follows the other site's leader in a standby and takes over from it; the others of a standby follow the
head. In the active site whoever leads may change, for Sentinel chooses: there a host joins the leader it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from contract.dataclass import dataclass

from ..frame.rolefile import PRIMARY, STANDBY
from .config import Desired
from .leader import Word
from .state import MASTER, Instance
from .wire import Server


@dataclass(frozen=True)
class Place:
    """`leads`: this host is to be the master. `other`: then whom it takes over from, else whom it follows. `chained`: that one may follow, too.

    `waits`: why nobody can say who leads just now; None when it is known.
    """

    leads: bool
    other: Server
    role: str  # of role.json: PRIMARY also for those who follow in the active site, because they may lead at any moment
    chained: bool = False
    waits: str | None = None

    @property
    def joined(self) -> bool:
        """A follower in the active site."""
        return self.role == PRIMARY and not self.leads


Found = Mapping[str, Instance | None]  # by the server's name; None: nobody answers


def others(desired: Desired) -> list[Server]:
    """Everybody whose state this host's place may depend on."""
    if not desired.envelope.active and desired.local != desired.head:
        return [desired.head]
    return [*(siblings(desired) if desired.envelope.active else ()), *desired.peers]


def siblings(desired: Desired) -> list[Server]:
    """The other caches of this site."""
    return [server for server in desired.members if server != desired.local]


def place(desired: Desired, local: Instance | None, found: Found, *, data: bool, said: Word | None = None) -> Place:
    """`data`: this host has files of an earlier run. `said`: Sentinel's word, where it runs and nobody is seen to lead."""
    if not desired.envelope.active:
        if desired.local != desired.head:
            return Place(False, desired.head, STANDBY, chained=True)
        leaders = _leading(desired.peers, found)
        return Place(False, (*leaders, *desired.peers)[0], STANDBY, waits=_divided(leaders))
    leads, near = local is not None and local.role == MASTER, _leading(siblings(desired), found)
    if near:
        return Place(leads, near[0], PRIMARY, waits=_divided([*near, *([desired.local] if leads else [])]))
    if not leads:
        follower = _follower(desired, local, said)
        if follower is not None:
            return follower
    leaders = _leading(desired.peers, found)
    holder = _fullest(siblings(desired), found) if local is None and not data else ()
    return Place(True, (*holder, *leaders, *desired.peers)[0], PRIMARY, waits=_divided(leaders))


def _follower(desired: Desired, local: Instance | None, said: Word | None) -> Place | None:
    """Where no leader is seen: behind whom this host belongs all the same; None when it is to lead."""
    by_address = {server.address: server for server in siblings(desired)}
    if local is not None and local.link_up and local.master in by_address:
        return Place(False, by_address[local.master], PRIMARY)  # it did not answer us, and answers here
    if said is not None and said.leader is None:
        return Place(False, desired.peers[0], PRIMARY, waits="Sentinel has another one chosen")
    if said is not None and said.leader in by_address:
        return Place(False, by_address[said.leader], PRIMARY)
    return None if desired.local == desired.head else Place(False, desired.head, PRIMARY)


def _leading(servers: Iterable[Server], found: Found) -> list[Server]:
    return [server for server in servers if (it := found.get(server.name)) is not None and it.role == MASTER]


def _divided(leaders: Sequence[Server]) -> str | None:
    return f"{' and '.join(server.name for server in leaders)} say that they lead" if len(leaders) > 1 else None


def _fullest(servers: Iterable[Server], found: Found) -> list[Server]:
    """The siblings that hold keys, the furthest first: a host without data must not lead them into emptiness."""
    holding = [
        (it.offset, server.name, server)
        for server in servers
        if (it := found.get(server.name)) is not None and it.keys > 0
    ]
    return [server for *_, server in sorted(holding, key=lambda one: one[:2], reverse=True)]
