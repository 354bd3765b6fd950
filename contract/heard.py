"""Documents that the witness hands out, in their forms: any host of either region can have written them.

A key that is not known here is of another version's and is passed over; one of another form is a refusal that names it (`fields.heard`). The epoch
itself is in `epoch.py`, the digests of a configuration in `agreement.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import Check, Unwanted, boolean, integer, mapping, one_of, optional, text
from .dataclass import dataclass
from .fields import key, part
from .forms import COUNT, ENTRANCE, EPOCH, HOST, ID, LSN, PHRASE, SECONDS, SERIAL, TIMELINE
from .sites import A_SITE, Role

LONGEST_TRAIL = 10_000


def _trail(value: object) -> list[list[Any]]:
    if not isinstance(value, list) or len(value) > LONGEST_TRAIL:
        raise Unwanted(TRAIL.wanted)
    for row in value:
        if not isinstance(row, list) or len(row) != 2:
            raise Unwanted(TRAIL.wanted)
        SECONDS(row[0])
        LSN(row[1])
    return value


TRAIL = Check("a list of pairs, seconds and a position in the WAL", _trail)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """`sites/<site>.json`."""

    lb: str | None = key(ENTRANCE, "public address of the load balancer", default=None)
    bastion: str | None = key(ENTRANCE, "public address of the bastion", default=None)


@dataclass(frozen=True, kw_only=True)
class Followed:
    """`followed/<site>.json`."""

    epoch: int = key(EPOCH, "the newest epoch in which the site was seen following")


@dataclass(frozen=True, kw_only=True)
class Servers:
    """`servers/<site>.json`."""

    servers: Mapping[str, str] = key(
        mapping(r"[a-z0-9][a-z0-9-]{0,62}", ID), "ids of a site's servers by name", default={}
    )


@dataclass(frozen=True, kw_only=True)
class Unsettled:
    """`unsettled/<site>.json`."""

    epoch: int = key(EPOCH, "in which moves away from the site were begun")
    count: int = key(integer(0, 9999), "how many")
    used: int = key(
        integer(0, 9999), "the most that a run of the site has gone by, below which the count does not fall", default=0
    )
    by: str = key(text(r"[0-9a-f]{0,32}", "32 hexadecimal digits"), "which change this is the writing of", default="")


@dataclass(frozen=True, kw_only=True)
class BeatLease:
    """Block `lease` of a heartbeat."""

    state: str | None = key(optional(one_of("held", "stopped", "off")), "how it stands", default=None)
    silent_s: float | None = key(optional(SECONDS), "how long nobody has been heard", default=None)
    lease_s: float | None = key(optional(SECONDS), "the host's own term", default=None)
    stop_s: float | None = key(optional(SECONDS), "the host's own term", default=None)
    margin_s: float | None = key(optional(SECONDS), "the host's own term", default=None)
    heartbeat_s: float | None = key(optional(SECONDS), "the host's own term", default=None)


@dataclass(frozen=True, kw_only=True)
class BeatPostgres:
    """Block `postgres` of a heartbeat, and of a counterpart's question for its lease."""

    running: bool | None = key(optional(boolean), "whether the server runs", default=None)
    in_recovery: bool | None = key(optional(boolean), "whether it follows", default=None)
    timeline: int | None = key(optional(TIMELINE), "of its WAL", default=None)
    write_lsn: str | None = key(optional(LSN), "how far it has written", default=None)
    receive_lsn: str | None = key(optional(LSN), "how far it has received", default=None)
    replay_lsn: str | None = key(optional(LSN), "how far it has replayed", default=None)
    streaming: bool | None = key(optional(boolean), "whether it is in a stream", default=None)
    system_identifier: str | None = key(optional(SERIAL), "of the cluster", default=None)
    mode: str | None = key(optional(text(r"[a-z]{1,20}", "a word")), "of its commits", default=None)
    trail: list[list[Any]] | None = key(optional(TRAIL), "positions before this one", default=None)


@dataclass(frozen=True, kw_only=True)
class BeatRedis:
    """Block `redis` of a heartbeat."""

    running: bool | None = key(optional(boolean), "whether the server runs", default=None)
    role: str | None = key(optional(one_of("master", "replica")), "what it is", default=None)
    offset: int | None = key(optional(COUNT), "of its stream", default=None)
    replication_id: str | None = key(optional(ID), "of its stream", default=None)
    keys: int | None = key(optional(COUNT), "how many it holds", default=None)


@dataclass(frozen=True, kw_only=True)
class Beat:
    """`heartbeats/<site>/<host>.json`."""

    site: str | None = key(optional(A_SITE), "of the host", default=None)
    host: str | None = key(optional(HOST), "its name", default=None)
    epoch: int | None = key(optional(EPOCH), "of its role", default=None)
    role: str | None = key(optional(one_of(*Role)), "its role", default=None)
    at: str | None = key(optional(PHRASE), "when it was written, by the host's clock", default=None)
    sequence: int | None = key(optional(COUNT), "which one it is", default=None)
    instance: str | None = key(optional(ID), "the server's id", default=None)
    boot: str | None = key(optional(ID), "the kernel's id of the boot", default=None)
    witness_epoch: int | None = key(
        optional(integer(0, 99_999_999)), "the newest that the host has known", default=None
    )
    trouble: str | None = key(optional(PHRASE), "with the witness's epochs", default=None)
    lease: BeatLease | None = part(BeatLease, "how its lease stands", optional=True)
    postgres: BeatPostgres | None = part(BeatPostgres, "of a database", optional=True)
    redis: BeatRedis | None = part(BeatRedis, "of a cache", optional=True)
