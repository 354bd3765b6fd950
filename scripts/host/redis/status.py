"""`dr-host redis status`: what the cache of this host and its peers are just now."""

from __future__ import annotations

from ..frame import rolefile
from ..frame.call import Call
from ..frame.result import Result
from . import data as redis_data
from . import takeover as redis_takeover
from .engine import find_engine
from .leader import Access, side_by_side, word
from .look import look
from .machine import disk_warning, warnings
from .state import MASTER, REPLICA, describe


def status(call: Call) -> Result:
    """Verb `status`: live facts; never fails; unknown is null. Reads how to reach the servers from `/etc/dr/redis.json`."""
    return _status(call)


def figured(call: Call) -> Result:
    """For figures: the same without the Sentinels' word, of which no figure is made: each of them is another handshake, twice a minute."""
    return _status(call, sentinels=False)


def _status(call: Call, *, sentinels: bool = True) -> Result:
    role = rolefile.read(call.layout)
    takeover = redis_takeover.read(call.layout, role.epoch) if role else None
    access = Access.of_host(call.layout)
    said = word(access.sentinels) if sentinels and access and access.sentinels else None
    asked = (access.local, *access.peers) if access else ()  # at once: each that hangs costs its whole time-out
    found = dict(zip(asked, (it for it, _ in side_by_side(look, asked)), strict=True))
    local = found.pop(access.local) if access else None
    peer = next((it for it in found.values() if it is not None and it.role == MASTER), next(iter(found.values()), None))
    lag = peer.offset - local.offset if local and peer and local.role == REPLICA and peer.role == MASTER else None
    free = redis_data.free(call.layout, find_engine(call.layout))
    low = disk_warning(free, local.maxmemory if local else 0)
    facts = {
        "running": None if access is None else local is not None,
        **describe(local),
        "lag_bytes": None if lag is None else max(lag, 0),
        "peer": describe(peer),
        "sentinel": {"leader": said.leader, "answers": said.answers, "others": said.others} if said else None,
        "role_file": role.document() if role else None,
        "takeover": takeover.facts() | {"held_ms": takeover.held_ms} if takeover else None,
        "disk_free": free,
        "warnings": [*warnings(call.layout, 0), *([low] if low else [])],
    }
    return Result(facts)
