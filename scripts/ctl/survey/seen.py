"""The forms of what is seen: a region, the name, and both together. Data alone."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from contract.agreement import Record
from contract.audit import Entry
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.heartbeat import Heartbeat
from contract.hosts import APP, kind_of
from contract.sites import other
from contract.survey import HostSurvey
from scripts.clients.check_bucket import LastCheck
from scripts.clients.compute import Sight
from scripts.clients.offer import Room
from scripts.clients.run_bucket import Word
from scripts.clients.server_states import Server, Size
from scripts.clients.witness import Tried
from scripts.ctl.reports.glance import Glance
from scripts.ctl.stacks.state_stored import Lock, State
from scripts.ctl.survey.known import Known

UNASKED = Known[Any](why="was not asked")


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """What a customer meets at a region's public address. `site`: who served the request; `ends`: of the certificate that was shown."""

    site: str
    seconds: float
    ends: datetime.datetime


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one name server says of the shop's name. `serial`: of its zone; None where it does not say, as a resolver."""

    addresses: frozenset[str]  # IPv4
    others: frozenset[str]  # of every other kind that leads somewhere: AAAA, CNAME
    ttl: int | None  # seconds
    serial: int | None


@dataclass(frozen=True, kw_only=True)
class Region:
    """Hosts and heartbeats by their names within the site ("db-1")."""

    site: str
    hosts: Mapping[str, Known[HostSurvey]]
    beats: Mapping[str, Known[Heartbeat]]
    addresses: Known[Mapping[str, str]]  # at the witness: lb, bastion
    entrance: Known[Entrance]
    servers: Known[Sight]
    members: Known[Mapping[str, str]]  # what the balancer says of each of its members
    followed: Known[int]
    record: Known[Record]  # what its last run was configured with
    run: Known[Word]  # the newest run of its stack

    def host(self, name: str) -> HostSurvey | None:
        """What a host says; None where nobody knows."""
        found = self.hosts.get(name)
        return None if found is None else found.value


@dataclass(frozen=True, kw_only=True)
class Names:
    """The shop's public name, as each of the zone's servers says it (by "ip:port"), and as this machine's resolver does."""

    name: str
    servers: Mapping[str, Known[Told]]
    resolver: Known[Told]
    delegation: Known[frozenset[str]]  # addresses of the servers to which the zone is delegated


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Where Pulumi keeps the states. `versioned`: whether it keeps what is stored over; None where it does not say."""

    place: str
    versioned: bool | None


@dataclass(frozen=True, kw_only=True)
class Deep:
    """What `drctl check` asks besides, and nothing else waits for: what the platform could take, and Pulumi's states. Mappings are by site."""

    rooms: Mapping[str, Known[Room]]
    sizes: Mapping[str, Known[Mapping[str, Size | None]]]  # of the configured flavors, by their ids; None: not offered
    images: Mapping[str, Known[str]]  # status of the configured image; empty: not there
    listed: Mapping[str, Known[tuple[Server, ...]]]  # all servers of the project in the region
    backend: Known[Kept]
    witness: Known[Tried]  # what its store does with writes
    locks: Mapping[str, Known[tuple[Lock, ...]]]
    states: Mapping[str, Known[State]]
    copies: Mapping[
        str, Known[float]
    ]  # when the newest copy at the witness was made, in seconds since 1970; a value of None: there is none


@dataclass(frozen=True, kw_only=True)
class Survey:
    """`at`: when it was begun, in seconds since 1970; `took_s`: how long it took; `deep`: None where nobody wanted it."""

    at: float
    took_s: float
    newest: Known[Epoch]  # in force; a value of None: nothing was ever claimed
    unsettled: Known[int]  # moves away from the active site that were begun
    locked: Known[bool]  # the witness
    epochs: Known[int]  # objects of epochs that stand there in several versions
    last: Known[Entry]  # the newest entry of the audit trail
    reports: Known[Glance]  # records of moves, drills, deploys, rotations
    regions: Mapping[str, Region]
    names: Names
    pair: Known[Word] = UNASKED  # who goes over runs of both regions
    checked: Known[LastCheck] = UNASKED  # what the last recorded check has found; a value of None: there was none
    deep: Deep | None = None

    @property
    def active(self) -> Region | None:
        """None where the witness says nothing."""
        return None if self.newest.value is None else self.regions[self.newest.value.active]

    @property
    def releases(self) -> dict[str, str | None]:
        """By app host of both regions, the digest of the release that runs there; None where one does not say."""
        found = dict[str, str | None]()
        for site, region in self.regions.items():
            for name, word in region.hosts.items():
                if kind_of(name) == APP:
                    release = word.part(lambda it: it.app and it.app.release)
                    found[f"{name}.{site}"] = release.rpartition("/")[2] if release else None
        return found

    @property
    def rooms(self) -> dict[str, int | None]:
        """By app host of both regions, bytes that are free on its own disk; None where one does not say."""
        return {
            f"{name}.{site}": word.part(lambda it: it.disk_free)
            for site, region in self.regions.items()
            for name, word in region.hosts.items()
            if kind_of(name) == APP
        }

    @property
    def placed(self) -> dict[str, tuple[str, ...]]:
        """By app host of both regions, digests of the releases that are unpacked there; none where one does not say."""
        return {
            f"{name}.{site}": word.part(lambda it: it.app and it.app.placed) or ()
            for site, region in self.regions.items()
            for name, word in region.hosts.items()
            if kind_of(name) == APP
        }

    @property
    def standby(self) -> Region | None:
        return None if self.newest.value is None else self.regions[other(self.newest.value.active)]
