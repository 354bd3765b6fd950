"""`drctl rotate KIND`: secrets are renewed in both regions while the shop sells; what was good before opens nothing afterwards.

Exit codes: 0 done; 3 refused, nothing was changed; 4 stopped part-way, both regions let in what the other one shows, the same command goes on.
"""

from __future__ import annotations

import argparse
import datetime
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from components.render import documents
from components.render.links import ssh
from components.settings import Settings
from contract import fields
from contract.answers import PostgresLogins
from contract.epoch import Epoch
from contract.errors import DrError, ExitCode, Partial, Refused
from contract.hosts import DATABASE, first
from contract.plain import phrase
from contract.report import Event
from contract.sites import SITES
from contract.version import VERSION
from scripts.clients.hosts import Hosts, Unreachable
from scripts.clients.trail import person
from scripts.clients.witness import Witness
from scripts.ctl import output
from scripts.ctl.beginning.plan import Plan
from scripts.ctl.moves import engine
from scripts.ctl.moves.rotation import Steps, World
from scripts.ctl.output import say
from scripts.ctl.persons.reach import bastions
from scripts.ctl.reports import book, writing
from scripts.ctl.reports.recording import end_of
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import judge

LOOK_S, ASK_S = 15.0, 20


@dataclass
class Rotation:
    """What is noted for its record."""

    told: argparse.Namespace
    settings: Settings
    newest: Epoch
    at: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    began: float = field(default_factory=time.monotonic)
    warnings: list[str] = field(default_factory=list)
    done: int = 0  # steps

    def event(self, plan: Plan, code: ExitCode | None, error: str) -> Event:
        outcome = {ExitCode.DONE: "done", ExitCode.PARTIAL: "partial", ExitCode.UNKNOWN: "unknown"}
        return Event(
            scenario=f"rotate {self.told.kind}",
            outcome="interrupted" if code is None else outcome.get(code, "failed"),
            exit_code=None if code is None else int(code),
            began=book.spelled(self.at),
            seconds=round(time.monotonic() - self.began, 1),
            ran_by=person(os.environ),
            approved_by=self.told.approved_by,
            reason=self.told.reason,
            ticket=self.told.ticket,
            plan_lines=tuple(phrase(step.what, 400) for step in plan.steps),
            source=self.newest.active,
            epoch_before=self.newest.epoch,
            epoch=self.newest.epoch,
            errors=(phrase(error, 900),) if error else (),
            warnings=tuple(phrase(text, 400) for text in self.warnings),
            versions={"drctl": VERSION},
        )


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    stacks = {site: _stack(chosen, site) for site in SITES}
    settings = stacks[SITES[0]].settings()
    newest = _newest(settings)
    it = Rotation(told=chosen, settings=settings, newest=newest)
    world = _world(it, stacks)
    steps = Steps.found(chosen.kind, world)
    plan = Plan(steps=tuple(steps.all()), against=_against(settings), warnings=())
    begun = "goes on" if steps.under_way else "begins"
    print(f"rotation of {chosen.kind} {begun}, region {newest.active} is active")
    for line in plan.lines():
        print(line)
    if chosen.dry_run:
        print(f"{len(plan.pending)} of {len(plan.steps)} steps would be made; nothing was changed")
        return ExitCode.DONE
    if plan.against:
        raise Refused(
            f"rotation of {chosen.kind}: found {len(plan.against)} reasons against it, which are listed above, wanted none; a region that is not reached would "
            "be shut out, so nothing was changed; mend them, and run the same again"
        )
    if not chosen.yes:
        output.typed(newest.active, "Type the letter of the active region", "`--yes` agrees")
    _carry_out(it, plan)
    print(
        f"{chosen.kind} is rotated in both regions; keep a copy of the new set of secrets where the old one lay (docs/beginning.md, What to keep)"
    )
    return ExitCode.DONE


def _carry_out(it: Rotation, plan: Plan) -> None:
    """A record of it is made however it ends. Raises DrError."""
    try:
        _make(it, plan)
    except BaseException as error:
        if it.done:
            _record(it, it.event(plan, *end_of(error)))
        raise
    _record(it, it.event(plan, ExitCode.DONE, ""))


def _make(it: Rotation, plan: Plan) -> None:
    pending = plan.pending
    for step in pending:
        say(step.what)
        left = f"(at: {step.what}); {it.done} of {len(pending)} steps are made and stay; the same command goes on from here"
        try:
            step.act()
        except KeyboardInterrupt:
            raise Partial(f"rotation of {it.told.kind}: was interrupted {left}") from None
        except DrError as error:
            if not it.done and not isinstance(error, Partial):
                raise
            raise Partial(f"{error} {left}") from None
        it.done += 1


def _stack(chosen: argparse.Namespace, site: str) -> Stack:
    name = chosen.stacks.replace("{site}", site)
    file = chosen.config_dir / f"Pulumi.{name}.yaml" if chosen.config_dir else None
    return Stack(name=name, folder=chosen.folder, file=file)


def _newest(settings: Settings) -> Epoch:
    newest = Witness(documents.witness(settings)).newest()
    if newest is None:
        raise Refused(
            "witness: found no epoch, wanted the one in force; nothing was changed; bring region a up first (README.md)"
        )
    return newest


def _against(settings: Settings) -> tuple[str, ...]:
    """Whatever stands against a planned move: the two regions must hear each other, and each its run."""
    return tuple(it.sentence() for it in judge(look(settings, limit_s=LOOK_S), settings) if it.blocks)


def _world(it: Rotation, stacks: Mapping[str, Stack]) -> World:
    def up(site: str, request: str) -> engine.Outcome:
        stacks[site].request(request)
        why = " ".join(
            filter(None, (f"rotate {it.told.kind}", it.told.reason, it.told.ticket and f"ticket {it.told.ticket}"))
        )
        outcome = engine.up(stacks[site], _watch, why=why, limited=True)
        it.warnings += outcome.warnings
        return outcome

    return World(
        stacks=stacks,
        active=lambda: _newest(it.settings).active,
        up=up,
        open_logins=lambda site: _open_logins(it.settings, site),
        say=say,
    )


def _watch(step: engine.Step) -> None:
    say(f"{step.at_s:5.1f} s  {step.link}: {step.state}")


def _open_logins(settings: Settings, site: str) -> Mapping[str, int] | None:
    """Of the shop's logins that a region's database lets in, the sessions. Raises DrError."""
    host = f"{first(DATABASE)}.{site}"
    silent: Unreachable | None = None
    with Hosts(ssh(settings, bastions(settings))) as hosts:
        for via in reversed(hosts.routes(host)):
            try:
                answer = hosts.must(host, via, "postgres logins", {"schema": 1}, ASK_S)
            except Unreachable as error:
                silent = silent or error
                continue
            heard = fields.heard(
                PostgresLogins,
                answer.facts,
                f"host {host}, answer of dr-host postgres logins",
                "nothing is concluded from it",
            )
            return None if heard.in_recovery is not False else heard.logins
    raise silent or Refused(f"host {host}: no bastion is known that leads there; see `drctl status`")


def _record(it: Rotation, event: Event) -> None:
    """No reason for another end."""
    try:
        writing.write(it.settings, book.draft("rotation", event=event), say)
    except (OSError, RuntimeError, DrError) as error:
        say(
            f"warning: the record of this rotation could not be made ({type(error).__name__}); note it by hand, with your name and the time"
        )
