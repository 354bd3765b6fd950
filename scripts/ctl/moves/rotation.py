"""The steps of a rotation, each a look that was made and an act that may be made again: sets in both stacks, then a run of each region, stage by stage.

No stage begins before both regions have the one before, so that any two that meet get on with each other: a run by hand, a planned move and a failover in the
middle find hosts that let in what those of the other region show.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from contract.dataclass import dataclass
from contract.errors import Partial, Refused
from contract.plain import phrase, shown
from contract.rotation import Stage
from contract.services.postgres import Logins, other_pair
from contract.sites import SITES, other
from scripts.ctl.beginning.plan import Step
from scripts.ctl.moves.engine import Outcome
from scripts.ctl.stacks import rotation
from scripts.ctl.stacks.rotation import Names, Secrets
from scripts.ctl.stacks.stack import Stack

BESIDE, TURNED, ENDED = (number for number, _ in enumerate(Stage, 1))
CLOSED = ENDED + 1
DATABASE = "database"  # the kind of which hosts say who still comes in by the old ones
# Kinds of which nobody can say who still comes with the old one, as browsers do for days, and what that is.
KEPT = {"sessions": "sessions of before {day}: are read", "buckets": "links into buckets signed before {day}: are good"}
IDLE_S, LOOK_S = 300.0, 5.0  # until nobody is signed in by the old logins, and between two looks


class Platform(Protocol):
    """Who makes the keys of a kind, takes several of them at a time, and needs to be told of none by a host."""

    def made(self, found: Secrets) -> Secrets:
        """New keys beside those of a set. Raises DrError."""

    def wait_for(self, part: Secrets) -> None:
        """Until new keys are taken where they are shown. Raises DrError."""

    def end(self, found: Secrets, part: Secrets) -> None:
        """Every key is deleted but those of a set; those of `part`, which were in use before, are seen refused. Raises DrError."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What the steps work with. `active`: which region is, asked anew before each run; `up`: a run of one with a request for another; `open_logins`: of
    the active region's database, each with its sessions, None where it does not say; `keep_days`: how long what was signed before is read; `names`: of
    hosts, for their certificates; `platform`: of the kinds of which somebody else makes the keys.
    """

    stacks: Mapping[str, Stack]
    active: Callable[[], str]
    up: Callable[[str, str], Outcome]
    open_logins: Callable[[str], Mapping[str, int] | None]
    say: Callable[[str], Any]
    names: Names
    platform: Platform | None = None
    keep_days: int = 0
    today: Callable[[], datetime.date] = lambda: datetime.datetime.now(datetime.UTC).date()
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep


class Steps:
    """Of one kind. `sets`: of both stacks, as they were found."""

    def __init__(self, kind: str, world: World, sets: Mapping[str, Secrets]) -> None:
        self._kind, self._world, self._sets = kind, world, dict(sets)
        self._refuse_apart()

    @classmethod
    def found(cls, kind: str, world: World) -> Steps:
        """Raises DrError, Refused where the sets of both stacks are no neighbours of one rotation."""
        return cls(kind, world, {site: stack.secrets() for site, stack in world.stacks.items()})

    @property
    def under_way(self) -> bool:
        """Whether a run before has begun it."""
        return any(self._stage(site) for site in SITES)

    def all(self) -> Iterator[Step]:
        """In order. What the runs before have done is there."""
        kind, standby = self._kind, other(self._world.active())
        yield self._written(BESIDE, f"a new set of {kind} lies beside the one in use, in both stacks")
        if self._world.platform is None:
            yield from self._runs(BESIDE, standby, "lets in both")
        else:
            known = f"the new {kind} is known where it is shown"
            yield Step(what=known, there=self._has(TURNED), act=self._wait_for_platform)
        yield self._written(TURNED, f"the new {kind} is in use, and the old one lies beside it, in both stacks")
        yield from self._runs(TURNED, standby, "shows the new one")
        if kind == DATABASE:
            idle = "nobody is signed in by the old logins any more"
            yield Step(what=idle, there=self._has(ENDED), act=self._wait_until_idle)
        if kind in KEPT:
            kept = f"what was signed with the old one has been good for {self._world.keep_days} days"
            yield Step(what=kept, there=self._has(ENDED), act=self._wait_days)
        if self._world.platform is not None:
            gone = f"every other {kind} key is deleted at the platform, and the old ones are refused"
            yield Step(what=gone, there=self._has(ENDED), act=self._end_at_platform)
        yield self._written(ENDED, "the old one is in no stack any more")
        if self._world.platform is None:
            yield from self._runs(ENDED, standby, "lets in the new one alone")
        if kind == DATABASE:
            yield Step(what="the old logins are shut out", there=self._has(CLOSED), act=self._see_shut_out)
        yield self._written(CLOSED, "the sets of both stacks are at rest")

    # --- the sets

    def _stage(self, site: str) -> int:
        """0 at rest; a set that is at rest beside one that has ended is behind it."""
        found = {each: self._read(each) for each in SITES}
        return CLOSED if not found[site] and found[other(site)] == ENDED else found[site]

    def _read(self, site: str) -> int:
        try:
            return rotation.number(self._sets[site], self._kind)
        except (KeyError, ValueError, TypeError, AttributeError):
            raise Refused(
                f"dr:secrets of stack {self._world.stacks[site].name}: found a part rotation.{self._kind} that is no stage of one, wanted it as `drctl rotate` "
                "writes it; nothing was changed; put the object of the other stack there, whole"
            ) from None

    def _has(self, stage: int) -> bool:
        """Whether both sets are there, or further."""
        return all(self._stage(site) >= stage for site in SITES)

    def _written(self, stage: int, what: str) -> Step:
        return Step(what=what, there=self._has(stage), act=partial(self._write, stage))

    def _write(self, stage: int) -> None:
        for site in SITES:
            if self._stage(site) < stage:
                self._keep(site, self._next(site))

    def _next(self, site: str) -> Secrets:
        """The set of a stack one stage further: where the other one's is there, the same as that."""
        found, theirs, kind = self._sets[site], self._sets[other(site)], self._kind
        ahead = self._stage(other(site)) > self._stage(site)
        if self._stage(site) == 0:
            return rotation.beside_as(found, kind, theirs) if ahead else self._begun(found)
        if self._stage(site) == BESIDE:
            return rotation.turned(found, kind, rotation.day(theirs, kind) if ahead else f"{self._world.today()}")
        return rotation.ended(found, kind) if self._stage(site) == TURNED else rotation.closed(found, kind)

    def _begun(self, found: Secrets) -> Secrets:
        if self._world.platform is None:
            return rotation.begun(found, self._kind, self._world.names)
        return rotation.begun_with(found, self._kind, self._world.platform.made(found))

    def _keep(self, site: str, made: Secrets) -> None:
        """Raises Partial where somebody else has written meanwhile."""
        stack = self._world.stacks[site]
        if stack.secrets() != self._sets[site]:
            raise Partial(
                f"dr:secrets of stack {stack.name}: were changed since this run has read them; they stay as they are; look at who works there"
            )
        stack.keep_secrets(made)
        self._sets[site] = made

    def _refuse_apart(self) -> None:
        """Both are one set, or one of them is a stage ahead, which a run that was killed has left. Raises Refused."""
        behind, ahead = sorted(SITES, key=self._stage)
        if self._stage(behind) == self._stage(ahead):
            found = rotation.apart(self._sets[behind], self._sets[ahead])
        elif self._stage(behind) + 1 == self._stage(ahead):
            found = rotation.apart(self._next(behind), self._sets[ahead])
        else:
            found = [f"rotation.{self._kind}"]
        if found:
            names = " and ".join(self._world.stacks[site].name for site in SITES)
            raise Refused(
                f"dr:secrets of stacks {names}: differ in {', '.join(found)}, wanted one set in both; hosts of one region would be refused by the other's, so "
                "nothing was changed; put the right one into both, whole (`pulumi config set --secret secrets < secrets.json`)"
            )

    # --- the hosts

    def _runs(self, stage: int, standby: str, does: str) -> Iterator[Step]:
        """The standby's before the active region's: what does not work is found where no customer is."""
        for site in (standby, other(standby)):
            there = self._stage(site) > stage or (self._stage(site) == stage and self._applied(site))
            yield Step(what=f"region {site} {does} (pulumi up)", there=there, act=partial(self._run, site))

    def _applied(self, site: str) -> bool:
        return rotation.is_applied(self._sets[site], self._kind)

    def _run(self, site: str) -> None:
        outcome = self._world.up(site, self._world.active())
        for text in outcome.warnings:
            self._world.say(f"warning: {text}")
        if not outcome.ok:
            raise Partial(
                f"pulumi up of region {site}: failed ({phrase('; '.join(outcome.errors), 1500)}); both regions let in what the other one shows"
            )
        self._keep(site, rotation.applied(self._sets[site], self._kind, f"{self._world.today()}"))

    # --- the platform

    def _wait_for_platform(self) -> None:
        assert self._world.platform is not None
        self._world.platform.wait_for(rotation.beside(self._sets[SITES[0]], self._kind))

    def _end_at_platform(self) -> None:
        """Where one set has ended already, the other one alone knows what was good before."""
        assert self._world.platform is not None
        site = next(it for it in SITES if self._stage(it) == TURNED)
        self._world.platform.end(self._sets[site], rotation.beside(self._sets[site], self._kind))

    # --- the database

    def _old(self) -> tuple[str, str]:
        """Names that nobody is to come in by, once the new ones are in use."""
        names = Logins.pair(other_pair(rotation.login(self._sets[SITES[0]])))
        return names.app, names.worker

    def _open(self) -> dict[str, int]:
        found = self._world.open_logins(self._world.active())
        if found is None:
            raise Partial(
                "database of the active region: does not say who is signed in, wanted its word; the old logins stay as they are; see `drctl status`"
            )
        return {name: found[name] for name in self._old() if name in found}

    def _wait_until_idle(self) -> None:
        world = self._world
        end = world.clock() + IDLE_S
        while busy := {name: count for name, count in self._open().items() if count}:
            if world.clock() > end:
                told = ", ".join(f"{name} {count}" for name, count in busy.items())
                raise Partial(
                    f"sessions by the old logins: found {told} after {IDLE_S:.0f} s, wanted none; they would be cut off by and by, so the old ones stay let "
                    "in; see in pg_stat_activity who that is (`drctl psql db-1.<region>`)"
                )
            world.rest(LOOK_S)

    def _wait_days(self) -> None:
        """No run waits for days: it ends here, and the same command goes on from that day on. Raises Partial."""
        turned = max(self._shown(site) for site in SITES)
        until = turned + datetime.timedelta(days=self._world.keep_days)
        if self._world.today() < until:
            raise Partial(
                f"{KEPT[self._kind].format(day=turned)} until {until}, as they shall; the new one is in use in both regions, and nothing is open; run the "
                f"same command from {until} on, or with --keep-days 0, which ends them now"
            )

    def _shown(self, site: str) -> datetime.date:
        """Since when a region shows what is new: until then it has signed with the old one. Raises Refused."""
        found = rotation.shown(self._sets[site], self._kind)
        try:
            return datetime.date.fromisoformat(found)
        except ValueError:
            raise Refused(
                f"dr:secrets of stack {self._world.stacks[site].name}: found {shown(found)} as the day since which its {self._kind} are in use, wanted one "
                "like 2026-11-30; nobody knows how long the old one is needed, so it stays; correct `since` in both stacks, and run the same again"
            ) from None

    def _see_shut_out(self) -> None:
        """A run leaves those in by whom somebody has come meanwhile: it is made once more."""
        if self._open():
            self._run(self._world.active())
        if left := self._open():
            raise Partial(
                f"logins {', '.join(left)}: are still let in, wanted them shut out: somebody is signed in by them; see in pg_stat_activity who that is "
                "(`drctl psql db-1.<region>`)"
            )
