"""Move the master without losing a write: pause, wait for the offset, promote, turn the old one, go on.

The order is the point. Promoting first and turning afterwards loses every write in between.
"""

from __future__ import annotations

import time

from contract.errors import Failed, OutcomeUnknown, say

from ..frame.wait import until
from .takeover import Loss
from .wire import Caller, Connection, ErrorReply, Server, Unreachable, parse_info

FLOW_S = 60.0  # until the stream flows, while writers go on: after a cut of the link it says that it is up long before it flows again
PAUSE_S = 5.0  # writers wait at most so long if this process dies
CATCH_UP_S = 2.0
POLL_S = 0.002


def hand_over(own: Server, peer_server: Server) -> float:
    """Make `own`, a replica of `peer_server` with its link up, the master, and the peer its replica.

    Returns for how many seconds writers were held. Raises Failed when nothing was changed, OutcomeUnknown when the old master may still take writes.
    """
    try:
        with Connection(own) as local, Connection(peer_server) as peer:
            return exchange(local, peer, own)
    except (Unreachable, ErrorReply) as error:
        raise _failed(f"stopped before the promotion ({error})") from None


def exchange(local: Caller, peer: Caller, own: Server) -> float:
    """The handover on two open connections; returns how long writers waited, in seconds."""
    _catch_up(local, peer, FLOW_S)
    start = time.monotonic()
    peer.call("CLIENT", "PAUSE", int(PAUSE_S * 1000), "WRITE")
    try:
        _catch_up(local, peer, CATCH_UP_S)
    except (Unreachable, ErrorReply, Failed):
        _unpause(peer)
        raise
    if time.monotonic() - start > PAUSE_S / 2:  # what is left has to do for the promotion and the turn
        _unpause(peer)
        raise _failed(
            f"writers are held for {PAUSE_S:g} s, and {time.monotonic() - start:.1f} s of them were over before the promotion: nobody was promoted"
        )
    _promote(local, peer)
    _turn(peer, own)
    return time.monotonic() - start


def cost(held_s: float) -> Loss:
    """What a handover lost. A pause that was over before the old master was turned let writers go on there."""
    if held_s < PAUSE_S:
        return Loss(0)
    return Loss(None, f"writers were held for {PAUSE_S:g} s, and the old master was turned after {held_s:.1f} s")


def _catch_up(local: Caller, peer: Caller, limit_s: float) -> None:
    """Wait until this replica has what the peer has now. Raises Failed."""
    target = _offset(peer)
    if not until(lambda: _offset(local) >= target, limit_s, POLL_S):
        raise _failed(f"this replica did not reach offset {target} within {limit_s:g} s")


def _promote(local: Caller, peer: Caller) -> None:
    try:
        local.call("REPLICAOF", "NO", "ONE")
    except ErrorReply as error:
        _unpause(peer)
        raise _failed(f"REPLICAOF NO ONE was answered with {error.code}") from None
    except Unreachable as error:
        raise _unknown(f"connection to this cache lost at its promotion ({error})") from None


def _turn(peer: Caller, own: Server) -> None:
    try:
        peer.call("REPLICAOF", own.address, own.port)
        peer.call("CLIENT", "UNPAUSE")
    except (ErrorReply, Unreachable) as error:
        raise _unknown(f"the old master was not turned ({error})") from None


def _unpause(peer: Caller) -> None:
    """As far as possible: a pause that cannot be lifted ends by itself after PAUSE_S."""
    try:
        peer.call("CLIENT", "UNPAUSE")
    except (ErrorReply, Unreachable):
        return


def _offset(caller: Caller) -> int:
    """Position in the stream of changes: of a master what it wrote, of a replica what it has applied."""
    info = parse_info(caller.call("INFO", "replication"))
    return int(info["master_repl_offset"] if info["role"] == "master" else info["slave_repl_offset"])


def _failed(found: str) -> Failed:
    return Failed(
        say(
            subject="handover of the cache",
            found=found,
            wanted="master and replica changed places",
            consequence="the old master goes on as before and writers go on",
            remedy="see `dr-host redis status`, then run the same again",
        )
    )


def _unknown(found: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        say(
            subject="handover of the cache",
            found=found,
            wanted="the old master following the new one",
            consequence=f"after {PAUSE_S:g} s it may take writes that will be lost",
            remedy="run the same again at once: it turns the old master",
        )
    )
