"""What is done in steps that may be made again, with a record of it however it ends: a rotation, a deploy."""

from __future__ import annotations

import argparse
import datetime
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Literal

from components.render import documents
from components.settings import Settings
from contract.epoch import Epoch
from contract.errors import DrError, ExitCode, Partial, Refused
from contract.plain import phrase
from contract.report import Event
from contract.runs import PAIR
from contract.version import VERSION
from scripts.clients.run_lease import RunLease
from scripts.clients.witness import Witness
from scripts.ctl import output
from scripts.ctl.beginning.plan import Plan
from scripts.ctl.moves import engine
from scripts.ctl.output import say
from scripts.ctl.reports import kept, writing
from scripts.ctl.reports.recording import end_of, of_run, why
from scripts.ctl.stacks.stack import Stack


def in_force(settings: Settings) -> Epoch:
    """The newest epoch. Raises DrError, Refused where there is none."""
    newest = Witness(documents.witness(settings)).newest()
    if newest is None:
        raise Refused(
            "witness: found no epoch, wanted the one in force; nothing was changed; bring region a up first (README.md)"
        )
    return newest


def as_planned(settings: Settings, planned: Epoch, so_far: str = "nothing was changed") -> None:
    """Asked once nobody else may begin: a question may have stood on a terminal for an hour. Raises DrError, Refused where the shop was moved since."""
    now = in_force(settings)
    if (now.epoch, now.active) != (planned.epoch, planned.active):
        raise Refused(
            f"epoch: found {now.epoch}, region {now.active} active, wanted {planned.epoch}, region {planned.active} active, as when this was planned: the shop "
            f"was moved since; {so_far}; run the same again, which makes the plan anew"
        )


@dataclass(kw_only=True)
class Undertaking:
    """`kind`: of a record; `scenario`: what was typed; `undo`: takes back what was begun where a step fails, and returns what is said then."""

    kind: Literal["deploy", "rotation"]
    scenario: str
    told: argparse.Namespace
    settings: Settings
    newest: Epoch
    versions: Mapping[str, str] = field(default_factory=dict)
    undo: Callable[[DrError], DrError] | None = None
    at: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    began: float = field(default_factory=time.monotonic)
    warnings: list[str] = field(default_factory=list)
    done: int = 0  # steps
    _noted: bool = True  # as far as it can be
    undone: bool = False
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # of its record

    def carry_out(self, plan: Plan, meanwhile: AbstractContextManager[None] | None = None) -> None:
        """A record of it is made however it ends. `meanwhile`: what is so while it is made, and not before nobody else is at such a thing. Raises DrError;
        Refused, nothing changed, while somebody is.
        """
        try:
            with RunLease(documents.witness(self.settings), PAIR, self.kind, os.environ, tell=say) as lease:
                as_planned(self.settings, self.newest)
                with meanwhile or nullcontext():
                    self._make(plan, lease)
        except BaseException as error:
            if self.done or self.undone:
                self._record(self.event(plan, *end_of(error)))
            else:
                kept.end(documents.witness(self.settings), self.token)
            raise
        self._record(self.event(plan, ExitCode.DONE, ""))

    def agreed(self, plan: Plan, subject: str, remedy: str) -> bool:
        """Shows the plan, and asks. Whether it is to be carried out: not so where it is but looked at. `subject`, `remedy`: of the refusal, before and
        behind the number of reasons against it. Raises Refused, Usage.
        """
        for line in plan.lines():
            print(line)
        if self.told.dry_run:
            print(f"{len(plan.pending)} of {len(plan.steps)} steps would be made; nothing was changed")
            return False
        if plan.against:
            raise Refused(
                f"{subject}: found {len(plan.against)} reasons against it, which are listed above, wanted none; {remedy}"
            )
        if not self.told.yes:
            output.typed(self.newest.active, "Type the letter of the active region", "`--yes` agrees")
        return True

    def up(self, stack: Stack, request: str, also: Sequence[str] = ()) -> engine.Outcome:
        """A run of one region with a request for another, limited to what a move is; `also`: see `engine.up`."""
        stack.request(request)
        outcome = engine.up(stack, _watch, why=why(self.told, self.scenario), limited=True, also=also, stays=True)
        self.warnings += outcome.warnings
        return outcome

    def event(self, plan: Plan, code: ExitCode | None, error: str) -> Event:
        """What its record says. `code`: how it ended, None where somebody ended it."""
        return replace(
            of_run(self.scenario, self.told, self.at, self.began, code),
            plan_lines=tuple(phrase(step.what, 400) for step in plan.steps),
            source=self.newest.active,
            epoch_before=self.newest.epoch,
            epoch=self.newest.epoch,
            errors=(phrase(error, 900),) if error else (),
            warnings=tuple(phrase(text, 400) for text in self.warnings),
            versions={"drctl": VERSION, **self.versions},
        )

    def _make(self, plan: Plan, lease: RunLease) -> None:
        pending = plan.pending
        for step in pending:
            say(step.what)
            left = f"(at: {step.what}); {self.done} of {len(pending)} steps are made and stay; the same command goes on from here"
            self._note(plan, f"{self.scenario}: was killed {left}")
            try:
                lease.still(documents.witness(self.settings))
                step.act()
            except KeyboardInterrupt:
                raise Partial(f"{self.scenario}: was interrupted {left}") from None
            except DrError as error:
                if self.undo is not None and not isinstance(error, Partial):
                    self.undone = True
                    raise self._taken_back(error, self.undo) from None
                if not self.done and not isinstance(error, Partial):
                    raise
                raise Partial(f"{error} {left}") from None
            self.done += 1

    def _taken_back(self, error: DrError, undo: Callable[[DrError], DrError]) -> DrError:
        try:
            return undo(error)
        except KeyboardInterrupt:
            return Partial(
                f"{error}; taking it back was interrupted; see `drctl status`, then the same command goes on"
            )

    def _note(self, plan: Plan, error: str) -> None:
        """Before each step, until it cannot be."""
        if self._noted:
            self._noted = writing.undertaking_begun(
                self.settings, self.kind, self.event(plan, None, error), self.token, say
            )

    def _record(self, event: Event) -> None:
        writing.undertaking_ended(self.settings, self.kind, event, say, self.token)


def close_killed(settings: Settings, told: argparse.Namespace) -> None:
    """What was killed on this machine has its record before anything else is decided by the newest one; not where it is but looked at."""
    if told.dry_run:
        return
    try:
        writing.push(settings, say)
    except DrError as error:
        say(f"warning: {error}; what waits on this machine waits on")


def _watch(step: engine.Step) -> None:
    say(f"{step.at_s:5.1f} s  {step.link}: {step.state}")
