"""What is known of a cache and of its place in the pair: what the plan decides from."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from contract.dataclass import dataclass

from .engine import RUNTIME
from .versions import Software

MASTER, REPLICA = "master", "replica"


@dataclass(frozen=True)
class SentinelFacts:
    """Of a host's Sentinel. `present`: a unit is installed; `stale`: paths; `current`: its state is of this epoch and these settings, and it watches the group.

    `rotated`: the site's Sentinels sign in by another password than the one wanted now. `ending`: one was told to end, and has not yet.
    """

    present: bool = False
    stale: tuple[str, ...] = ()
    enabled: bool = False
    active: bool = False
    current: bool = False
    rotated: bool = False
    ending: bool = False


@dataclass(frozen=True)
class Instance:
    """A running server, by its own words."""

    role: str  # MASTER or REPLICA
    keys: int
    offset: int  # position in the stream of changes, bytes
    used_memory: int = 0
    master: str | None = None  # address it follows
    link_up: bool = False
    engine: str = "redis"
    version: str = ""
    stream: str = ""  # id of its replication stream
    former: str = ""  # id of the stream that it went on from, good for positions before `former_end`
    former_end: int = -1
    replicas: int = 0  # attached
    maxmemory: int = 0
    policy: str = ""
    on_disk: bool = True  # a replica's files hold nothing of a full copy until they were rewritten after it
    unwritten: bool = False  # it could not write its files lately; a master refuses writes then
    armed: bool = False  # refuses writes without a replica
    differing: tuple[str, ...] = ()  # directives that run otherwise than wanted; of the local server only

    @property
    def software(self) -> Software:
        return Software(self.engine, self.version)

    @property
    def emptied(self) -> bool:
        """Holds nothing and went on from nobody: it was started empty. A promoted replica may well be empty, because every cart was paid."""
        return self.keys == 0 and self.former_end < 0

    def goes_on_from(self, other: Instance) -> bool:
        """Whether all that `other` holds is in this one's stream, so that it may follow without losing anything."""
        if self.stream == other.stream:
            return other.offset <= self.offset
        return self.former == other.stream and other.offset < self.former_end


@dataclass(frozen=True)
class Facts:
    """All that the plan looks at. `local` and `peer` are None when nobody answers there; `*_error` says why."""

    unit_active: bool
    unit_enabled: bool
    data: bool  # files of an earlier run in the data folder
    role: str | None  # of role.json
    role_epoch: int | None
    held: bool = False  # whether those files may hold keys; asked only of an empty replica without its master
    installed: Software | None = None  # what would be started
    recorded: bool = False  # whether what the takeover of this epoch cost is written down
    had_data: bool = False  # whether the cache of this host ran with files of its own before
    peer_followed: bool | None = (
        False  # whether the peer ever was a standby, by the witness; asked only when it decides
    )
    stale_files: tuple[str, ...] = ()  # not as wanted for this host's role in the epoch
    unloaded: tuple[str, ...] = ()  # of a run that ended before its server had read them
    standby_conf: bool = False  # dr.conf names the peer as master
    sentinel: SentinelFacts = field(default_factory=SentinelFacts)  # of the one on this host
    local: Instance | None = None
    local_error: str | None = None
    peer: Instance | None = None
    peer_error: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The part of the document that decides."""

    active: bool
    planned: bool
    epoch: int
    own: str  # addresses
    peer: str
    peer_name: str
    maxmemory: int  # bytes
    min_replicas: int = 0
    cold: bool = False
    role: str = "standby"  # of role.json, for one that follows: a follower of the active site may lead at any moment
    chained: bool = False  # whether the one that is followed may follow itself
    pair: tuple[str, ...] = ()  # addresses of all caches that this program knows
    peer_keys: int | None = None  # of the lost master, by its last heartbeat
    before: str = ""  # the active site, whose run comes before this one's; empty where this one's is that
    runtime: frozenset[str] = field(default=RUNTIME, repr=False)


def describe(instance: Instance | None) -> dict[str, Any]:
    """Live facts of one server for `status`."""
    if instance is None:
        return {
            "role": None,
            "keys": None,
            "offset": None,
            "master": None,
            "link_up": None,
            "used_memory": None,
            "maxmemory": None,
            "replicas": None,
        }
    return {
        "role": instance.role,
        "keys": instance.keys,
        "offset": instance.offset,
        "master": instance.master,
        "link_up": instance.link_up if instance.role == REPLICA else None,
        "used_memory": instance.used_memory,
        "maxmemory": instance.maxmemory,
        "replicas": instance.replicas,
    }
