"""The steps of a deploy: the configuration names the release, the standby's app hosts take it and are seen to be well, then the active region's.

Each is a look and an act that may be made again: whatever a deploy that was killed had come to, the same command goes on, and the release before is
brought back by the same steps. A host takes a release only once its own process of it was seen to be well (`dr-host app converge`), and where one does
not, no host behind it is asked: the release before is named again, and the regions that were begun go back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from contract.errors import DrError, Failed, Partial
from contract.plain import phrase
from contract.sites import SITES, other
from scripts.ctl.beginning.plan import Step
from scripts.ctl.moves.engine import Outcome
from scripts.ctl.stacks.stack import Stack


@dataclass(frozen=True, kw_only=True)
class World:
    """What the steps work with. `active`: which region is, asked anew before each run; `up`: a run of one with a request for another; `wrong`: of the app
    hosts of a region which do not run a release, or are not well with it, each in a few words.
    """

    stacks: Mapping[str, Stack]
    active: Callable[[], str]
    up: Callable[[str, str], Outcome]
    wrong: Callable[[str, str], Sequence[str]]
    say: Callable[[str], Any]


class Steps:
    """`configured`: what the stacks say now, by site; `before`: what each goes back to."""

    def __init__(self, world: World, release: str, configured: Mapping[str, str], before: Mapping[str, str]) -> None:
        self._world, self._release, self._configured, self._before = world, release, configured, before
        self._begun = list[str]()

    def all(self) -> Iterator[Step]:
        """In order. A run that finds all as it shall be changes nothing, so both are always made."""
        release, standby = self._release[:12], other(self._world.active())
        there = set(self._configured.values()) == {self._release}
        yield Step(what=f"dr:shop.release names {release} in both stacks", there=there, act=partial(self._name, None))
        for site in (standby, other(standby)):
            migrates = "" if site == standby else "its migrations run, once, then "
            what = f"region {site}: {migrates}each app host takes {release}, seen to be well before it takes requests (pulumi up)"
            yield Step(what=what, there=False, act=partial(self._bring, site))

    def take_back(self, error: DrError) -> DrError:
        """The release before, wherever this one was begun. Returns what is said then; the schema stays as it is."""
        self._world.say(f"taken back: {error}")
        try:
            self._name(self._before)
            for site in reversed(self._begun):
                self._run(site)
        except DrError as second:
            return Partial(
                f"{error}; taking it back stopped, too ({phrase(str(second), 900)}); hosts that had a process of it that was well run it, the others what they "
                "ran before, and all of them serve; see `drctl status`, then `drctl deploy` with either release goes on from here"
            )
        return Failed(
            f"{error}; it was taken back: both regions run what they ran before; migrations that were made stay"
        )

    def _name(self, releases: Mapping[str, str] | None) -> None:
        for site in SITES:
            self._world.stacks[site].run_release(self._release if releases is None else releases[site])

    def _bring(self, site: str) -> None:
        self._begun.append(site)
        self._run(site)
        if wrong := self._world.wrong(site, self._release):
            raise Failed(
                f"region {site}: {phrase('; '.join(wrong), 900)}; wanted each app host to run release {self._release[:12]} and be well"
            )

    def _run(self, site: str) -> None:
        outcome = self._world.up(site, self._world.active())
        for text in outcome.warnings:
            self._world.say(f"warning: {text}")
        if outcome.interrupted:
            raise Partial(
                f"pulumi up of region {site}: was told to end; hosts run either release, and all of them serve; `drctl deploy` goes on, and `drctl rollback` "
                "takes it back"
            )
        if not outcome.ok:
            raise Failed(f"pulumi up of region {site}: failed ({phrase('; '.join(outcome.errors), 1500)})")
