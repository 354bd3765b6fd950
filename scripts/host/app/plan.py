"""What is to be done with the app on this host: facts in, steps out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from contract.dataclass import dataclass
from contract.errors import Refused, say

from ..frame.plan import Step
from .config import FIRST_APP
from .names import CACHES_UNIT, HAPROXY, NGINX, RELEASE, SPARE, WEB


@dataclass(frozen=True)
class Facts:
    """All that the plan looks at."""

    user: bool  # the shop's user exists
    release_there: bool  # the wanted release lies on this host
    current: str | None  # release that runs, by the link
    migrated: str | None  # release whose migrations this host has run last, in which epoch: "<release> <epoch>"
    stale_env: tuple[str, ...] = ()  # files that differ, by what they are
    stale_shown: tuple[str, ...] = ()
    stale_units: tuple[str, ...] = ()
    stale_caches: tuple[str, ...] = ()
    stale_nginx: tuple[str, ...] = ()
    stale_kernel: tuple[str, ...] = ()
    changed: frozenset[str] = frozenset()  # units that have to begin anew for one of these files
    kernel_set: bool = True  # the running kernel has what its file says
    at_work: frozenset[str] = frozenset()  # units that run, or are about to
    workers: tuple[
        str, ...
    ] = ()  # units on this host that are started in the active site alone, whichever configuration has brought them
    left: tuple[
        str, ...
    ] = ()  # units of the active site alone of which something is at work, what timers start among them
    enabled: frozenset[str] = frozenset()  # units that start with the machine
    surplus: tuple[str, ...] = ()  # units of the shop that the configuration names no more
    serves: bool = False  # nginx sends requests to this host's web process
    spare_leads: bool = False  # nginx sends them to the one beside it
    shown: bool = False  # there is a certificate behind the link that this host turns by itself
    due: tuple[str, ...] = ()  # units under which files or release were changed, and that have not begun anew since
    role: str | None = None  # of role.json
    role_epoch: int | None = None

    @property
    def serving(self) -> bool:
        """A release is at work."""
        return WEB in self.at_work and self.current is not None

    @property
    def bridged(self) -> bool:
        """A run that did not come to its end has left requests with the process beside `web`, and it takes them."""
        return self.spare_leads and SPARE in self.at_work


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The part of document and release that decides."""

    active: bool
    epoch: int
    host: str
    release: str
    acme: bool = False  # nginx shows what lies behind that link
    # The role alone: a release that serves is kept, and what is slow is left for the call that follows.
    turn: bool = False
    others: tuple[str, ...] = ()  # units beside WEB that run in both sites
    workers: tuple[str, ...] = ()  # units that run in the active site alone
    migrates: bool = True  # whether the release has something to do before it runs
    faults: tuple[str, ...] = ()  # why its processes cannot be run

    @property
    def migration(self) -> str | None:
        """What `Facts.migrated` shall say; None on a host that does not migrate."""
        return f"{self.release} {self.epoch}" if self.migrates and self.active and self.host == FIRST_APP else None


def plan(facts: Facts, wanted: Wanted) -> Sequence[Step]:
    """Steps in order: whatever answers requests first, workers last. Empty when all is as wanted. Raises Refused.

    A turn brings a release only to the first host, and only where none serves: then there is nothing else to turn.
    """
    if wanted.turn and (facts.serving or wanted.host != FIRST_APP):
        # Database and caches have turned before: they take what is shown from now on and nothing else, and the proof comes next.
        shown = facts.stale_shown if facts.serving else ()
        turned = [*_idle(facts, wanted), *_show(facts, wanted), *_writes((*shown, *facts.stale_nginx))]
        return [*turned, *_role(facts, wanted), *_nginx(facts, wanted), *_begun(facts, wanted)]
    if not facts.release_there:
        raise Refused(
            say(
                subject=f"release {wanted.release}",
                found="no such folder",
                wanted="the unpacked release",
                consequence="nothing was changed",
                remedy="run `pulumi up` again, it copies the release first",
            )
        )
    if wanted.faults:
        raise Refused(f"{' '.join(wanted.faults)} Nothing was changed")
    new = facts.current != wanted.release
    unborn = new or WEB in facts.due  # the code of the release does not run yet
    migrate = wanted.migration is not None and facts.migrated != wanted.migration
    steps = _prepared(facts, wanted)
    if new:
        steps.append(Step("ready", wanted.release))
    steps += [*_only_ours(facts), *_kept(facts, (CACHES_UNIT,), anew=False)]
    # New code wants its schema first; the same code in a new epoch has it, and requests come before.
    if unborn and migrate:
        steps.append(Step("release", RELEASE))
    steps += _web(facts, wanted, new=new, anew=unborn)
    steps += _nginx(facts, wanted)
    if migrate and not unborn:
        steps.append(Step("release", RELEASE))
    steps += _kept(facts, wanted.others, anew=new)
    if wanted.active:
        steps += _kept(facts, wanted.workers, anew=new)
    return steps


def _prepared(facts: Facts, wanted: Wanted) -> list[Step]:
    """Everything before a process begins: the user, no worker where there shall be none, files, units that are no more, the role."""
    steps = [] if facts.user else [Step("user")]
    steps += [*_idle(facts, wanted), *_show(facts, wanted)]
    stale = facts.stale_env, facts.stale_shown, facts.stale_units, facts.stale_caches, facts.stale_nginx
    steps += _writes([path for group in (*stale, facts.stale_kernel) for path in group])
    if facts.stale_kernel or not facts.kernel_set:
        steps.append(Step("kernel"))
    if facts.surplus:
        steps.append(Step("remove", _all(facts.surplus)))
    ours = {WEB, *wanted.others, *(wanted.workers if wanted.active else ())}
    written = facts.stale_units or facts.stale_caches or facts.surplus or ours & {*facts.due}
    if (
        written or facts.current != wanted.release
    ):  # some units are of a release, and a run before may have ended behind their files
        steps.append(Step("daemon-reload"))
    return [*steps, *_role(facts, wanted)]


def _web(facts: Facts, wanted: Wanted, *, new: bool, anew: bool) -> list[Step]:
    """The process that takes requests: where it runs, the wanted one is seen to be well before it is touched, and the link is turned by then."""
    kept = _kept(facts, (WEB,), anew=anew)
    begins = Step("restart", WEB) in kept
    steps = []
    if facts.spare_leads and not facts.bridged:
        steps.append(Step("unspare", SPARE))
    if begins and facts.serving and not facts.bridged:
        steps.append(Step("spare", SPARE))
    elif not begins and SPARE in facts.at_work:
        steps.append(Step("unspare", SPARE))
    if new:
        steps.append(Step("link", wanted.release))
    return [*steps, *kept]


def _kept(facts: Facts, units: Sequence[str], *, anew: bool) -> list[Step]:
    """These start with the machine and run, by what is on disk now: all that have to begin do so side by side."""
    sleeping = [unit for unit in units if unit not in facts.enabled]
    late = facts.changed | {*facts.due}
    begun = [unit for unit in units if anew or unit in late or unit not in facts.at_work]
    return [
        *([Step("enable", _all(sleeping))] if sleeping else []),
        *([Step("restart", _all(begun))] if begun else []),
    ]


def _only_ours(facts: Facts) -> list[Step]:
    """The package starts a HAProxy of its own, which nobody asked for."""
    if HAPROXY not in facts.at_work | facts.enabled:
        return []
    return [Step("stop", HAPROXY), Step("disable", HAPROXY)]


def _idle(facts: Facts, wanted: Wanted) -> list[Step]:
    """No worker runs in the standby site, whichever configuration has brought it."""
    if wanted.active:
        return []
    enabled = [unit for unit in facts.workers if unit in facts.enabled]
    return [
        *([Step("stop", _all(facts.left))] if facts.left else []),
        *([Step("disable", _all(enabled))] if enabled else []),
    ]


def _show(facts: Facts, wanted: Wanted) -> list[Step]:
    """Before nginx is told of it. What this host has taken by itself is left alone."""
    return [Step("show")] if wanted.acme and not facts.shown else []


def _begun(facts: Facts, wanted: Wanted) -> list[Step]:
    """Workers take seconds to start, so those of the release that serves begin at once; the call that follows waits for them."""
    if not wanted.active or facts.current != wanted.release or facts.stale_units:
        return []
    idle = [unit for unit in wanted.workers if unit not in facts.at_work]
    sleeping = [unit for unit in idle if unit not in facts.enabled]
    return [
        *([Step("enable", _all(sleeping))] if sleeping else []),
        *([Step("begin", _all(idle))] if idle else []),
    ]


def _all(units: Iterable[str]) -> str:
    return " ".join(units)


def _writes(paths: Sequence[str]) -> list[Step]:
    return [Step("write", path) for path in paths]


def _role(facts: Facts, wanted: Wanted) -> list[Step]:
    role = "primary" if wanted.active else "standby"
    return [] if (facts.role, facts.role_epoch) == (role, wanted.epoch) else [Step("role", role)]


def _nginx(facts: Facts, wanted: Wanted) -> list[Step]:
    """Where requests go."""
    steps = [] if facts.serves == wanted.active else [Step("serve" if wanted.active else "forward")]
    if NGINX not in facts.enabled:
        steps.append(Step("enable", NGINX))
    if NGINX not in facts.at_work:
        steps.append(Step("restart", NGINX))
    elif facts.stale_nginx or NGINX in facts.due:
        steps.append(Step("reload", NGINX))
    if facts.shown and not wanted.acme:  # nginx has let go of it
        steps.append(Step("unshow"))
    return steps
