"""A move on paper: from where to where, in which order, what it may lose, and what stands against it. Pure.

Its digest is of what it stands on: another epoch, or another region that is active, is another plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from enum import StrEnum

from components.settings import Settings
from contract import fields
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import Refused
from contract.hosts import CACHE, CONTROL, DATABASE, first
from contract.sites import other
from scripts.ctl.survey.checks.row import Finding, State
from scripts.ctl.survey.seen import Survey
from scripts.links.loss import Granted, Loss, Own, measure, sentence


class Kind(StrEnum):
    """Of a move."""

    SWITCHOVER = "switchover"  # both regions are well, and nothing is lost
    FAILOVER = "failover"  # the active region is lost, and is not asked


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`source` is the region that is active in `epoch`, `target` the one that shall be; `against`: what refuses it; `loss`: what an unplanned one loses."""

    kind: Kind
    shop: str
    source: str
    target: str
    epoch: int
    against: tuple[Finding, ...] = ()
    unsure: int = 0  # checks that are not good and do not stand against it
    loss: str = ""
    expected: str = ""  # how long it takes, by the records of moves of this kind
    releases: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # by site, what its app hosts run; of a host that says nothing `UNKNOWN`

    @property
    def digest(self) -> str:
        told = [self.kind, self.shop, self.source, self.target, self.epoch]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]

    @property
    def running(self) -> dict[str, str]:
        """The releases of each region in words."""
        return {site: " and ".join(each) for site, each in self.releases.items()}

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.kind} of {self.shop}: region {self.source} to region {self.target}, epoch {self.epoch} to {self.epoch + 1}"
        for number, step in enumerate(_STEPS[self.kind], 1):
            yield f"  {number}  {step.format(source=self.source, target=self.target, epoch=self.epoch + 1)}"
        none = "not known" if self.kind is Kind.FAILOVER else "none; it is refused where anything would be lost"
        yield f"  loss: {self.loss or none}"
        yield f"  time: {self.expected or 'not known'}"
        if len({it for each in self.releases.values() for it in each} - {UNKNOWN}) > 1:
            yield f"  releases: {'; '.join(f'region {site} runs {told}' for site, told in sorted(self.running.items()))}"
        if self.unsure:
            yield f"  {self.unsure} checks are not good and do not stand against it (`drctl check`)"
        for it in self.against:
            yield f"  AGAINST  {it.sentence()}"
        yield f"  plan {self.digest}"


UNKNOWN = "what nobody says"
LAST = 5  # moves that say how long the next one takes
_LIKE = {Kind.SWITCHOVER: ("switchover", "failback"), Kind.FAILOVER: ("failover",)}
_STEPS = {
    Kind.SWITCHOVER: (
        "the fence: workers of region {source} go quiet, its database stops cleanly, epoch {epoch} is claimed",
        "region {target}'s database is promoted, its cache and files take over; customers wait meanwhile",
        "app hosts of region {target} serve, the shop is proven to sell, the name leads there",
        "region {source} follows as the standby (its own run)",
    ),
    Kind.FAILOVER: (
        "the fence: region {source} is proven to have stopped, by its platform's API or by its lease, and epoch {epoch} is claimed",
        "region {target}'s database is promoted with what it has, its cache and files take over",
        "app hosts of region {target} serve, the shop is proven to sell, the name leads there",
        "region {source} stays as it is: `drctl rejoin {source}` once it is back",
    ),
}


def bare(kind: Kind, target: str, newest: Epoch | None, settings: Settings, why: str = "") -> Plan:
    """What its digest is of, and no more. `why`: nobody knows which epoch is in force. Raises Refused where there is nothing to move, or that is so."""
    if newest is None:
        found = why or "no epoch: nothing was brought up"
        raise Refused(
            f"witness: {found}, wanted the epoch in force; nobody can tell which region is active, so nothing was changed; see `drctl status`"
        )
    if newest.active == target:
        raise Refused(
            f"{kind} to region {target}: it is active already (epoch {newest.epoch}); nothing was changed; `drctl status` shows both regions"
        )
    return Plan(kind=kind, shop=settings.shop.host, source=newest.active, target=target, epoch=newest.epoch)


def plan(kind: Kind, target: str, survey: Survey, settings: Settings, findings: Sequence[Finding]) -> Plan:
    """All of it. Raises Refused as `bare` does."""
    found = bare(kind, target, survey.newest.value, settings, survey.newest.why)
    blocking = tuple(it for it in findings if it.blocks) if kind is Kind.SWITCHOVER else ()
    return replace(
        found,
        against=blocking,
        unsure=_unsure(kind, findings, blocking),
        loss="" if kind is Kind.SWITCHOVER else sentence(_loss(target, survey, settings)),
        expected=_expected(kind, survey),
        releases=_releases(survey),
    )


def _releases(survey: Survey) -> dict[str, tuple[str, ...]]:
    """In the middle of a deploy there are two, and a move has to bear both: which customers meet afterwards is in its plan and in its record."""
    found = dict[str, set[str]]()
    for host, digest in survey.releases.items():
        found.setdefault(host.rpartition(".")[2], set()).add(digest[:12] if digest else UNKNOWN)
    return {site: tuple(sorted(each)) for site, each in found.items()}


def _expected(kind: Kind, survey: Survey) -> str:
    """The longest of the last moves of this kind, as their records measured them."""
    known = survey.reports
    if known.value is None:
        return f"not known: {known.why or 'there are no records'}"
    of_kind = [
        it for it in known.value.records if it.scenario in _LIKE[kind] and it.outcome == "done" and it.rto_s is not None
    ]
    last = of_kind[-LAST:]
    if not last:
        return "not known: no move of this kind is recorded"
    outages = [it.outage_s for it in last if it.outage_s is not None]
    gap = f", {max(outages):.1f} s of them without an order" if outages else ""
    numbers = ", ".join(str(it.number) for it in last)
    return (
        f"{max(it.rto_s or 0.0 for it in last):.1f} s until a real order was taken{gap}: the longest of the last {len(last)} of this kind "
        f"(record{'s' if len(last) > 1 else ''} {numbers})"
    )


def _unsure(kind: Kind, findings: Sequence[Finding], blocking: Sequence[Finding]) -> int:
    """Of a failover only what is known to be wrong: the region that is lost was not asked."""
    wrong = (State.FAIL, State.WARN) if kind is Kind.FAILOVER else (State.FAIL, State.WARN, State.UNKNOWN)
    return len({it.id for it in findings if it.state in wrong} - {it.id for it in blocking})


def _loss(target: str, survey: Survey, settings: Settings) -> Loss:
    """By the last words of the region that is lost and by what the other one says; what is unknown is told as that. The fence counts it once more."""
    lost, here = survey.regions[other(target)], survey.regions[target]
    database, cache, control = (here.host(first(kind)) for kind in (DATABASE, CACHE, CONTROL))
    own = Own(
        database=fields.write(database.postgres) if database and database.postgres else {},
        offset=cache.redis.offset if cache and cache.redis else None,
        assets=fields.write(control.assets) if control and control.assets else None,
    )
    granted = Granted.read(fields.write(database.agent)) if database and database.agent else None
    beats = {name: word.value for name, word in lost.beats.items()}
    return measure(own, beats, float(settings.lease.unseen_s) if settings.lease else None, granted)
