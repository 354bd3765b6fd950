"""What a move does, noted while it does it, and the record that comes of it. What nobody has seen stays unknown."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import time
from dataclasses import dataclass, field, replace

from components.settings import Settings
from contract.agreement import digests
from contract.epoch import Epoch
from contract.errors import DrError, ExitCode
from contract.plain import phrase
from contract.report import MOST_STAGES, Event, Fence, Figure, Stage
from contract.version import VERSION
from scripts.clients.trail import person
from scripts.ctl.moves.engine import LINKS, Outcome, Step
from scripts.ctl.moves.plan import Plan
from scripts.ctl.reports import lost, samples
from scripts.ctl.reports.book import spelled

PROOF = LINKS["verify-order"]
_ENDS = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "refused",
    ExitCode.REFUSED: "refused",
    ExitCode.PARTIAL: "partial",
}


@dataclass
class Recording:
    """Of one move. Times are this machine's; `proven_s`: since its beginning, when an order has proven the region that was to lead."""

    told: argparse.Namespace
    settings: Settings
    plan: Plan | None = None
    began: float = 0.0  # seconds since 1970
    _began: float = 0.0
    _agreed_s: float = 0.0
    proven_s: float | None = None
    runs: list[str] = field(default_factory=list)  # whose each is, as they began
    _outcomes: list[Outcome] = field(default_factory=list)
    _stages: dict[tuple[int, str], Stage] = field(default_factory=dict)
    ended_s: float = 0.0

    def __post_init__(self) -> None:
        self._from_here()

    def agreed(self, found: Plan, *, typed: bool) -> None:
        """From when the recovery time is counted: now where somebody has typed it, else from the command's begin, or from here behind another run."""
        if typed:
            self._from_here()
        self.plan, self._agreed_s = found, self._now() if typed or self.runs else 0.0

    def begins(self, site: str) -> None:
        """A run is let begin."""
        if self.plan is None:
            self._from_here()
        self.runs.append(site)

    def _from_here(self) -> None:
        """What was looked at and typed before the first run is no part of it."""
        if not self.runs:
            self.began, self._began = time.time(), time.monotonic()

    def step(self, step: Step) -> None:
        """A link of the run that was begun last has begun, ended or failed."""
        number, at = len(self.runs), self._now()
        one = self._stages.get((number, step.link)) or Stage(
            run=number, site=self.runs[-1], link=step.link, state="begun"
        )
        begun = step.state == "begun"
        self._stages[number, step.link] = replace(
            one, state=step.state, begun_s=at if begun else one.begun_s, ended_s=None if begun else at
        )
        if self.plan is not None and (step.link, step.state, self.runs[-1]) == (PROOF, "done", self.plan.target):
            self.proven_s = at

    def ran(self, outcome: Outcome) -> None:
        """The run has ended."""
        self._outcomes.append(outcome)

    def ended(self) -> None:
        """All of it has."""
        self.ended_s = self._now()

    def event(self, code: ExitCode | None, error: str, newest: Epoch | None, taken: samples.Taken | None) -> Event:
        """`code`: how the command ends, None where it was ended; `newest`: the epoch in force now, None where nobody knows."""
        told, plan, interrupted = self.told, self.plan, any(it.interrupted for it in self._outcomes)
        ended = (
            "interrupted" if code is None or (interrupted and code is not ExitCode.DONE) else _ENDS.get(code, "unknown")
        )
        moved = newest if newest and plan and newest.epoch == plan.epoch + 1 and newest.active == plan.target else None
        loss = lost.of(moved)
        objectives = self.settings.reports
        found = Event(
            scenario=told.command,
            outcome=ended,
            exit_code=None if code is None else int(code),
            began=spelled(datetime.datetime.fromtimestamp(self.began, datetime.UTC)),
            seconds=round(self.ended_s, 1),
            ran_by=person(os.environ),
            approved_by=told.approved_by,
            witnessed_by=told.witnessed_by,
            reason=told.reason,
            ticket=told.ticket,
            plan=plan.digest if plan else "",
            plan_lines=tuple(plan.lines()) if plan else (),
            source=plan.source if plan else None,
            target=plan.target if plan else getattr(told, "region", None),
            epoch_before=plan.epoch if plan else None,
            epoch=newest.epoch if newest else None,
            rto=self._rto(objectives.rto_s if objectives else None),
            rpo=lost.rpo(loss, objectives.rpo_s if objectives else None),
            outage=samples.outage(taken, self.began + self._agreed_s, self.began + self.ended_s) if plan else None,
            fence=Fence(rung=moved.fence.get("rung"), evidence=moved.fence.get("evidence") or {}) if moved else None,
            loss=loss,
            timeline=tuple(sorted(self._stages.values(), key=lambda it: (it.run, it.begun_s or 0.0)))[:MOST_STAGES],
            samples=tuple(samples.told(taken, self.began)) if taken else (),
            errors=(*(it for each in self._outcomes for it in each.errors), *((error,) if error else ())),
            warnings=tuple(it for each in self._outcomes for it in each.warnings),
            versions=self._versions(newest),
        )
        return replace(found, deviations=tuple(self._deviations(found)))

    def _rto(self, declared: int | None) -> Figure:
        if self.plan is None:
            return Figure(declared_s=declared, method="not measured: this moved nothing")
        if self.proven_s is None:
            return Figure(declared_s=declared, method="not known: no order has proven the region that was to lead")
        return Figure(
            declared_s=declared,
            measured_s=round(self.proven_s - self._agreed_s, 1),
            method="from the operator's agreement until the chain had proven that the shop sells in the region that was to lead, by this machine's clock",
        )

    def _versions(self, newest: Epoch | None) -> dict[str, str]:
        told = json.dumps(digests(self.settings), sort_keys=True).encode()
        return {
            "drctl": VERSION,
            "release": self.settings.shop.release,
            **{f"release_of_{site}": told for site, told in (self.plan.running if self.plan else {}).items()},
            "configuration": hashlib.sha256(told).hexdigest()[:16],
            **({"epoch": newest.version} if newest and newest.version else {}),
        }

    def _deviations(self, it: Event) -> list[str]:
        found = [f"{name}: {why}" for name, figure in (("RTO", it.rto), ("RPO", it.rpo)) if (why := missed(figure))]
        if any(each.interrupted for each in self._outcomes):
            found.append("somebody wanted it to end before its time")
        if getattr(self.told, "yes", False):
            found.append("agreed to beforehand, whatever the plan would be (--yes)")
        if copy := getattr(self.told, "state_copy", ""):
            found.append(f"Pulumi's backend was silent: it ran with a copy of the state ({phrase(copy, 64)})")
        found += [f"dr:accept.{name} was set" for name, word in self.settings.words.items() if word is not None]
        return found

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 2)


def why(told: argparse.Namespace, *before: str) -> str:
    """What an operator said of it, for the audit trail: the reason, and the ticket where there is one."""
    ticket = getattr(told, "ticket", "")
    return " ".join(filter(None, (*before, told.reason, ticket and f"ticket {ticket}")))


def missed(figure: Figure | None) -> str:
    """How an objective was missed; empty where it was kept, or nobody knows."""
    if (
        figure is None
        or figure.declared_s is None
        or figure.measured_s is None
        or figure.measured_s <= figure.declared_s
    ):
        return ""
    return f"{figure.measured_s:g} s, declared {figure.declared_s:g} s"


def outcome_of(code: ExitCode | None) -> str:
    """Of what is no move. `code`: as `end_of` says it."""
    return {ExitCode.DONE: "done", ExitCode.PARTIAL: "partial", ExitCode.UNKNOWN: "unknown", None: "interrupted"}.get(
        code, "failed"
    )


def of_run(
    scenario: str, told: argparse.Namespace, at: datetime.datetime, began: float, code: ExitCode | None
) -> Event:
    """What every event of what is no move says: what it was, how it ended, who ran it and who stands for it. `at`: when it was begun; `began`: the same by
    `time.monotonic`; `code`: None where somebody ended it.
    """
    return Event(
        scenario=scenario,
        outcome=outcome_of(code),
        exit_code=None if code is None else int(code),
        began=spelled(at),
        seconds=round(time.monotonic() - began, 1),
        ran_by=person(os.environ),
        approved_by=told.approved_by,
        witnessed_by=getattr(told, "witnessed_by", ""),
        reason=told.reason,
        ticket=told.ticket,
        versions={"drctl": VERSION},
    )


def end_of(error: BaseException) -> tuple[ExitCode | None, str]:
    """How a command ends that has raised this: its exit code, None where somebody has ended it, and its sentence."""
    if isinstance(error, DrError):
        return ExitCode(error.code), str(error)
    return (
        (ExitCode.UNKNOWN, f"ended by itself ({type(error).__name__})") if isinstance(error, Exception) else (None, "")
    )
