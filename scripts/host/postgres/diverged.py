"""Whether data of this host can follow the primary, and what makes them follow when they cannot. Pure."""

from __future__ import annotations

from contract.dataclass import dataclass
from contract.errors import Refused, say

from .facts import Cluster
from .peer import Peer
from .text import SHUT_DOWN, SHUT_DOWN_IN_RECOVERY, fork, lsn, segment_start

REWOUND, COPIED = "rewind", "copy"


@dataclass(frozen=True)
class Fault:
    """Why a cluster cannot simply stream. `repair`: REWOUND or COPIED; `fork` (timeline, position): what lies behind it is in no primary."""

    why: str
    repair: str
    fork: tuple[int, str] | None = None


def fault_of(name: str, cluster: Cluster, peer: Peer) -> Fault | None:
    """None when `cluster` can stream from `peer`, the primary, called `name`. Raises Refused for another cluster altogether."""
    _same_cluster(name, cluster, peer)
    if peer.slot == "lost" and not _kept(cluster, peer):
        return Fault(
            "the primary no longer has the WAL that this standby needs",
            COPIED,
            _parted(cluster, peer) if _led(cluster) else None,
        )
    why = _diverged(cluster, peer)
    if why is None:
        return None
    parted = _parted(cluster, peer)
    # A standby that was killed recovers only by following; a rewind needs a clean end.
    clean = _led(cluster) or cluster.state == SHUT_DOWN_IN_RECOVERY
    return Fault(why, REWOUND if parted and cluster.rewindable and clean else COPIED, parted)


def _kept(cluster: Cluster, peer: Peer) -> bool:
    """Whether the primary still has what `cluster` needs next. A slot may be lost for another reason than its WAL, such as idleness."""
    if peer.oldest_wal is None:
        return False
    here = max(lsn(cluster.checkpoint), lsn(cluster.minimum_recovery))
    return here >= segment_start(peer.oldest_wal, cluster.segment)


def timelines(cluster: Cluster, parted: tuple[int, str]) -> tuple[tuple[int, str], ...]:
    """The cluster's timelines from the fork on, each with the position where it begins to be its alone."""
    begin = parted[1]
    found = []
    for timeline, left in cluster.history:
        if timeline >= parted[0]:
            found.append((timeline, begin))
            begin = left
    return (*found, (cluster.timeline, begin))


def _led(cluster: Cluster) -> bool:
    return not cluster.standby_signal and cluster.state not in (SHUT_DOWN_IN_RECOVERY, "in archive recovery")


def _parted(cluster: Cluster, peer: Peer) -> tuple[int, str] | None:
    found = fork(cluster.history, cluster.timeline, peer.history, peer.timeline)
    # On one timeline with the primary nothing tells where they parted.
    return None if cluster.timeline == peer.timeline else found


def _diverged(cluster: Cluster, peer: Peer) -> str | None:
    led = _led(cluster)
    if led and cluster.state != SHUT_DOWN:
        return f"it led and was not shut down (control file: {cluster.state})"
    return _beyond(cluster, peer, led)


def _same_cluster(name: str, cluster: Cluster, peer: Peer) -> None:
    if cluster.system_identifier != peer.system_identifier:
        raise Refused(
            say(
                subject="cluster on this host",
                found=f"system identifier {cluster.system_identifier}",
                wanted=f"{peer.system_identifier} as on {name}",
                consequence="it is another database and may be the only copy of its data, nothing was changed",
                remedy=f"make sure which one holds the shop's data; to follow {name}, move the data directory here away by hand",
            )
        )


def _beyond(cluster: Cluster, peer: Peer, led: bool) -> str | None:
    """Whether it holds anything that is not in the primary's history."""
    if cluster.timeline > peer.timeline:
        return f"timeline {cluster.timeline} here is newer than {peer.timeline} there"
    if cluster.timeline == peer.timeline:
        return f"it led on timeline {cluster.timeline}, on which the primary is, too" if led else None
    left = next((position for timeline, position in peer.history if timeline == cluster.timeline), None)
    if left is None:
        return f"timeline {cluster.timeline} here is no ancestor of {peer.timeline} there"
    # Records do not straddle the switch: one that starts before it was replayed by the new primary.
    here = max(lsn(cluster.checkpoint), 0 if led else lsn(cluster.minimum_recovery) - 1)
    if here >= lsn(left):
        return f"it went on past {left}, where timeline {cluster.timeline} was left"
    return None
