"""What is to be done with the app on this host: facts in, steps out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contract.errors import Refused, say

from ..frame.plan import Step
from .config import FIRST_APP, MIGRATE, NGINX, WEB, WORKER


@dataclass(frozen=True)
class Facts:
    """All that the plan looks at."""

    user: bool  # the shop's user exists
    release_there: bool  # the wanted release lies on this host
    current: str | None  # release that runs, by the link
    migrated: str | None  # release whose migrations this host has run last, in which epoch: "<release> <epoch>"
    stale_web: tuple[str, ...] = ()  # files that differ, by whom they concern
    stale_shown: tuple[str, ...] = ()
    stale_units: tuple[str, ...] = ()
    stale_nginx: tuple[str, ...] = ()
    stale_kernel: tuple[str, ...] = ()
    kernel_set: bool = True  # the running kernel has what its file says
    web: bool = False
    worker: bool = False
    nginx: bool = False
    serves: bool = False  # nginx sends requests to this host's Puma
    web_enabled: bool = False
    nginx_enabled: bool = False
    worker_enabled: bool = False
    unshown: bool = (
        False  # the shop that runs was told of no certificate to show: it has been there since before they were wanted
    )
    due: tuple[str, ...] = ()  # units under which files or release were changed, and that have not begun anew since
    role: str | None = None  # of role.json
    role_epoch: int | None = None

    @property
    def serving(self) -> bool:
        """A release is at work."""
        return self.web and self.current is not None


@dataclass(frozen=True)
class Wanted:
    """The part of the document that decides."""

    active: bool
    epoch: int
    host: str
    release: str
    turn: bool = (
        False  # the role alone: a release that serves is kept, and what is slow is left for the call that follows
    )

    @property
    def migration(self) -> str | None:
        """What `Facts.migrated` shall say; None on a host that does not migrate."""
        return f"{self.release} {self.epoch}" if self.active and self.host == FIRST_APP else None


def plan(facts: Facts, wanted: Wanted) -> Sequence[Step]:
    """Steps in order: whatever answers requests first, workers last. Empty when all is as wanted. Raises Refused.

    A turn brings a release only to the first host, and only where none serves: then there is nothing else to turn.
    """
    if wanted.turn and (facts.serving or wanted.host != FIRST_APP):
        # Database and caches have turned before: they take what is shown from now on and nothing else, and the proof comes next.
        shown = facts.stale_shown if facts.serving else ()
        turned = [*_idle(facts, wanted), *_writes((*shown, *facts.stale_nginx))]
        if facts.unshown:
            turned += [*_writes(facts.stale_web), Step("restart", WEB)]
        turned += [*_role(facts, wanted), *_nginx(facts, wanted)]
        return [*turned, *_begun(facts, wanted)]
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
    steps = [] if facts.user else [Step("user")]
    steps += _idle(facts, wanted)
    stale = facts.stale_web, facts.stale_shown, facts.stale_units, facts.stale_nginx, facts.stale_kernel
    steps += _writes([path for group in stale for path in group])
    if facts.stale_kernel or not facts.kernel_set:
        steps.append(Step("kernel"))
    if facts.stale_units or WEB in facts.due or (wanted.active and WORKER in facts.due):
        steps.append(Step("daemon-reload"))
    steps += _role(facts, wanted)
    new = facts.current != wanted.release
    unborn = new or WEB in facts.due  # the code of the release does not run yet
    migrate = wanted.migration is not None and facts.migrated != wanted.migration
    if new:
        steps.append(Step("link", wanted.release))
    # New code wants its schema first; the same code in a new epoch has it, and requests come before.
    if unborn and migrate:
        steps.append(Step("migrate", MIGRATE))
    if not facts.web_enabled:
        steps.append(Step("enable", WEB))
    if unborn or facts.stale_web or _stale(facts, WEB) or not facts.web:
        steps.append(Step("restart", WEB))
    steps += _nginx(facts, wanted)
    if migrate and not unborn:
        steps.append(Step("migrate", MIGRATE))
    if wanted.active and not facts.worker_enabled:
        steps.append(Step("enable", WORKER))
    if wanted.active and (not facts.worker or new or facts.stale_web or _stale(facts, WORKER) or WORKER in facts.due):
        steps.append(Step("restart", WORKER))
    return steps


def _stale(facts: Facts, unit: str) -> bool:
    """Whether the file of this unit is not as wanted."""
    return any(path.endswith(f"/{unit}") for path in facts.stale_units)


def _idle(facts: Facts, wanted: Wanted) -> list[Step]:
    """No worker runs in the standby site."""
    if wanted.active:
        return []
    return [
        *([Step("stop", WORKER)] if facts.worker else []),
        *([Step("disable", WORKER)] if facts.worker_enabled else []),
    ]


def _begun(facts: Facts, wanted: Wanted) -> list[Step]:
    """Workers take seconds to start, so those of the release that serves begin at once; the call that follows waits for them."""
    if not wanted.active or facts.worker or facts.current != wanted.release or facts.stale_units:
        return []
    return [*([] if facts.worker_enabled else [Step("enable", WORKER)]), Step("begin", WORKER)]


def _writes(paths: Sequence[str]) -> list[Step]:
    return [Step("write", path) for path in paths]


def _role(facts: Facts, wanted: Wanted) -> list[Step]:
    role = "primary" if wanted.active else "standby"
    return [] if (facts.role, facts.role_epoch) == (role, wanted.epoch) else [Step("role", role)]


def _nginx(facts: Facts, wanted: Wanted) -> list[Step]:
    """Where requests go."""
    steps = [] if facts.serves == wanted.active else [Step("serve" if wanted.active else "forward")]
    if not facts.nginx_enabled:
        steps.append(Step("enable", NGINX))
    if not facts.nginx:
        steps.append(Step("restart", NGINX))
    elif facts.stale_nginx or NGINX in facts.due:
        steps.append(Step("reload", NGINX))
    return steps
