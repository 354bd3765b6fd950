"""The steps of a deploy: the configuration names the release, the standby's app hosts take it and are seen to be well, then the active region's.

Each is a look and an act that may be made again: whatever a deploy that was killed had come to, the same command goes on, and the release before is
brought back by the same steps. A host takes a release only once its own process of it was seen to be well (`dr-host app converge`), and where one does
not, no host behind it is asked: the release before is named again, and the regions that were begun go back to it.

A rollback begins where the customers are, and what it has brought there stays: a standby that is dead meanwhile keeps nobody from the release before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from contract.dataclass import dataclass
from contract.errors import DrError, Failed, Partial
from contract.plain import phrase
from contract.sites import SITES, other
from scripts.ctl.beginning.plan import Step
from scripts.ctl.moves.engine import Outcome
from scripts.ctl.stacks.stack import Stack


@dataclass(frozen=True, kw_only=True)
class World:
    """What the steps work with. `active`: which region is, asked anew before each run; `configured`: what a region's stack names, the same; `up`: a run of
    one with a request for another; `wrong`: of the app hosts of a region which do not run a release, or are not well with it, each in a few words.
    """

    stacks: Mapping[str, Stack]
    active: Callable[[], str]
    configured: Callable[[str], str]
    up: Callable[[str, str], Outcome]
    wrong: Callable[[str, str], Sequence[str]]
    say: Callable[[str], Any]


class Steps:
    """`configured`: what the stacks say now, by site; `before`: what each goes back to; `begun`: regions in which hosts run the release already; `back`: it
    is a rollback.
    """

    def __init__(
        self,
        world: World,
        release: str,
        configured: Mapping[str, str],
        before: Mapping[str, str],
        begun: Collection[str] = (),
        *,
        back: bool = False,
    ) -> None:
        self._world, self._release, self._configured, self._before = world, release, configured, before
        self._begun, self._back, self._done = set(begun), back, set[str]()
        self._first = world.active()  # whom customers are led to, when it is planned

    def all(self) -> Iterator[Step]:
        """In order. A run that finds all as it shall be changes nothing, so both are always made."""
        release, standby = self._release[:12], other(self._first)
        there = set(self._configured.values()) == {self._release}
        yield Step(what=f"dr:shop.release names {release} in both stacks", there=there, act=partial(self._name, None))
        for site in (self._first, standby) if self._back else (standby, self._first):
            migrates = "" if site == standby else "its migrations run, once, then "
            what = f"region {site}: {migrates}each app host takes {release}, seen to be well before it takes requests (pulumi up)"
            yield Step(what=what, there=False, act=partial(self._bring, site))

    def take_back(self, error: DrError) -> DrError:
        """The release before, wherever this one was begun. Returns what is said then; the schema stays as it is."""
        if self._back and self._first in self._done:
            return Partial(
                f"{error}; region {self._first} runs release {self._release[:12]} and is well, and keeps it; the same command goes on with region "
                f"{other(self._first)} once its hosts answer"
            )
        if self._release in self._before.values():
            return Partial(
                f"{error}; nothing says which release it came in the place of, so nothing was taken back: hosts that had a process of it that was well run it, "
                "the others what they ran before; see `drctl status`; the same command goes on, `drctl rollback RELEASE` brings another one"
            )
        self._world.say(f"taken back: {error}")
        try:
            self._name(self._before)
            for site in (it for it in (self._first, other(self._first)) if it in self._begun):
                self._run(site, self._before[site])
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
        self._run(site, self._release)
        if wrong := self._world.wrong(site, self._release):
            raise Failed(
                f"region {site}: {phrase('; '.join(wrong), 900)}; wanted each app host to run release {self._release[:12]} and be well"
            )
        self._done.add(site)
        left = other(site)
        if left in self._done and (wrong := self._world.wrong(left, self._release)):
            raise Partial(
                f"region {left}: {phrase('; '.join(wrong), 900)} by now, wanted release {self._release[:12]}, which it ran and was well with a moment ago; "
                "somebody else may have run it; see `drctl status`, then the same command goes on"
            )

    def _run(self, site: str, release: str) -> None:
        self._still_named(site, release)
        outcome = self._world.up(site, self._world.active())
        if outcome.begun:
            self._begun.add(site)
        for text in outcome.warnings:
            self._world.say(f"warning: {text}")
        if outcome.interrupted:
            raise Partial(
                f"pulumi up of region {site}: was told to end; hosts run either release, and all of them serve; `drctl deploy` goes on, and `drctl rollback` "
                "takes it back"
            )
        if not outcome.ok:
            raise Failed(f"pulumi up of region {site}: failed ({phrase('; '.join(outcome.errors), 1500)})")
        self._still_named(site, release)

    def _still_named(self, site: str, release: str) -> None:
        """Raises Partial: what somebody else has named is theirs, and is not taken back."""
        named = self._world.configured(site)
        if named != release:
            raise Partial(
                f"region {site}: its stack names release {phrase(named[:12], 40)} by now, wanted {release[:12]}, which was named a moment ago: somebody "
                "deploys beside this; nothing more was run; see `drctl status`, wait for the other one, then `drctl deploy` with the one that is wanted"
            )
