"""The forms of what is seen: a region, the name, and both together. Data alone."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from contract.agreement import Record
from contract.audit import Entry
from contract.epoch import Epoch
from contract.heartbeat import Heartbeat
from contract.sites import other
from contract.survey import HostSurvey
from scripts.clients.compute import Sight
from scripts.ctl.reports.glance import Glance
from scripts.ctl.survey.known import Known


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
class Survey:
    """`at`: when it was begun, in seconds since 1970; `took_s`: how long it took."""

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

    @property
    def active(self) -> Region | None:
        """None where the witness says nothing."""
        return None if self.newest.value is None else self.regions[self.newest.value.active]

    @property
    def standby(self) -> Region | None:
        return None if self.newest.value is None else self.regions[other(self.newest.value.active)]
