"""`drctl switchover`, `failover`, `rejoin`, `failback`, `abort`: the plan first (beside it, of a failover that was agreed to beforehand), then the very same
`pulumi up` as by hand, then what is so now.

Exit codes: 0 done; 1 it failed, and the shop is where it was; 3 refused, nothing was changed; 4 stopped part-way, the last lines say what is so and what to
run; 5 nobody can tell.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from components.render import documents
from components.settings import Settings
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import DrError, ExitCode, Partial, Refused
from contract.monitoring.silences import Undertaking
from contract.runs import PAIR
from contract.sites import SITES, other
from scripts.clients.run_lease import RunLease
from scripts.clients.witness import Witness
from scripts.ctl.commands.agreement import agreed, show
from scripts.ctl.moves import engine
from scripts.ctl.moves.engine import Outcome, Step
from scripts.ctl.moves.journal import Journal, left
from scripts.ctl.moves.plan import Kind, Plan, bare, plan
from scripts.ctl.moves.quiet import quiet
from scripts.ctl.output import say
from scripts.ctl.reports import writing
from scripts.ctl.reports.recording import Recording, end_of, why
from scripts.ctl.stacks import state_aside
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.stacks.state_aside import Aside
from scripts.ctl.stacks.state_copying import SHORT
from scripts.ctl.survey import screen
from scripts.ctl.survey.asking import LIMIT_S, look
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.checks.row import ago
from scripts.ctl.survey.known import Questions

PLANNED_S = 15.0  # for the look before a planned move: a host that is slow to answer is no reason against one
BACKEND_S = 4.0  # for Pulumi's backend, to say that it is there: beside a failover's look
WELL_S = 900.0  # for a region that has rejoined, until nothing stands against a move ...
LOOK_S = 10.0  # ... and between two looks


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Both stacks, and what the operator has said of this run."""

    stacks: dict[str, Stack]
    settings: Settings
    record: Recording
    journal: Journal
    watch: engine.Watch | None = None

    @classmethod
    def chosen(cls, told: argparse.Namespace, watch: engine.Watch | None = None) -> Pair:
        stacks = Stack.both(told)
        # That of the region that shall lead: where they differ, its run is refused by itself.
        reading = getattr(told, "region", None) or SITES[0]
        settings = stacks[reading].settings()
        journal = Journal(documents.witness(settings), say)
        return cls(stacks=stacks, settings=settings, record=Recording(told, settings), journal=journal, watch=watch)

    def newest(self) -> Epoch | None:
        """In force, by the witness. Raises DrError."""
        return Witness(documents.witness(self.settings)).newest()

    def up(self, site: str, request: str, *, limited: bool = True, stays: bool = False) -> Outcome:
        """Its own run, with the request for `request`; `limited`: to the role chain, unless the operator has all of it run; `stays`: as of `engine.up`."""
        self.stacks[site].request(request)
        say(f"pulumi up of region {site}, which asks for region {request}")
        self.record.begins(site)
        self.journal.run(site)
        limited = limited and not getattr(self.record.told, "with_changes", False)
        outcome = engine.up(self.stacks[site], self._watch, why=why(self.record.told), limited=limited, stays=stays)
        self.record.ran(outcome)
        return outcome

    def _watch(self, step: Step) -> None:
        self.record.step(step)
        self.journal.link(step)
        if self.watch is not None:
            self.watch(step)
        say(f"{step.at_s:5.1f} s  {step.link}: {step.state}")


def run(chosen: argparse.Namespace) -> ExitCode:
    """As typed. Raises DrError."""
    return carry_out(chosen)


def carry_out(chosen: argparse.Namespace, watch: engine.Watch | None = None) -> ExitCode:
    """`watch`: is told of each link as well. Its record is made however it ends, and changes nothing of that. Raises DrError."""
    pair = Pair.chosen(chosen, watch)
    before = left(documents.witness(pair.settings))
    if before is not None and before.code is None and not getattr(chosen, "resume", False):
        say(f"warning: on this machine a {before.told()}; `drctl status` says what is so")
    actions = {"switchover": switchover, "failover": failover, "rejoin": rejoin, "failback": failback, "abort": abort}
    try:
        code = actions[chosen.command](pair, chosen)
    except BaseException as error:
        pair.journal.end(end_of(error)[0])
        writing.move_ended(pair.record, None, error, say)
        raise
    pair.journal.end(code)
    writing.move_ended(pair.record, code, None, say)
    return code


def switchover(pair: Pair, chosen: argparse.Namespace) -> ExitCode:
    """Strict: both regions are well, or it is refused with everything that stands against it."""
    if chosen.resume:
        return _resumed(pair, chosen, Kind.SWITCHOVER)
    return _switch(pair, chosen, planned(pair, Kind.SWITCHOVER, chosen.region))


def _switch(pair: Pair, chosen: argparse.Namespace, found: Plan) -> ExitCode:
    show(found)
    if chosen.dry_run:
        return ExitCode.DONE
    if found.against:
        raise Refused(
            f"switchover to region {found.target}: found {len(found.against)} reasons against it, which are listed above, wanted none; nothing was changed; "
            f"mend them; where region {found.source} is lost, `drctl failover {found.target}`"
        )
    agreed(found, chosen)
    pair.record.agreed(found, typed=not (chosen.yes or chosen.plan))
    return _moved(pair, found)


def failover(pair: Pair, chosen: argparse.Namespace) -> ExitCode:
    """The active region is lost, and nothing of it is needed. What would be lost is told; the fence counts it itself, and refuses above the budget."""
    stack = pair.stacks[chosen.region]
    asked = Questions(BACKEND_S)
    asked.ask("backend", lambda: state_aside.silence(stack))
    aside = None
    if chosen.state_copy:
        witness = documents.witness(pair.settings)
        aside = Aside.chosen(witness, stack, chosen.region, chosen.state_copy, _mute(asked))
    if chosen.resume:
        return _with_state(aside, pair, chosen, lambda it: _resumed(it, chosen, Kind.FAILOVER))
    if (chosen.yes or chosen.plan) and not chosen.dry_run:
        return _at_once(aside, pair, chosen, asked)
    found = planned(pair, Kind.FAILOVER, chosen.region)
    _tell(found, aside, asked)
    if chosen.dry_run:
        return ExitCode.DONE
    agreed(found, chosen)
    pair.record.agreed(found, typed=True)
    return _with_state(aside, pair, chosen, lambda it: _moved(it, found))


def _at_once(aside: Aside | None, pair: Pair, chosen: argparse.Namespace, asked: Questions) -> ExitCode:
    """Agreed to beforehand: it begins by the epoch alone, and what its plan says is told and recorded once the hosts have answered, which takes as long as
    pulumi's start. Nothing of it would have been asked: above the budget the fence refuses by a count of its own.
    """
    newest, why = None, ""
    try:
        newest = pair.newest()
    except DrError as error:
        why = str(error).removeprefix("witness: ")
    found = bare(Kind.FAILOVER, chosen.region, newest, pair.settings, why)
    agreed(found, chosen)
    pair.record.agreed(found, typed=False)
    say(f"{next(found.lines())}; agreed to beforehand, so it begins while the hosts are asked what would be lost")

    def ask() -> None:
        try:
            known = planned(pair, Kind.FAILOVER, chosen.region)
        except DrError as error:  # the epoch may be claimed by now
            say(f"what would be lost is not told beforehand: {error}")
            return
        _tell(known, aside, asked)
        if known.digest == found.digest:
            pair.record.plan = known

    asking = threading.Thread(target=ask, name="plan", daemon=True)
    asking.start()
    try:
        return _with_state(aside, pair, chosen, lambda it: _carried_out(it, found))
    finally:
        asking.join(LIMIT_S + BACKEND_S)


def _tell(found: Plan, aside: Aside | None, asked: Questions) -> None:
    show(found)
    if aside is not None:
        age = ago(max(time.time() - aside.of.at, 0.0))
        print(f"  state: copy {aside.of.digest[:SHORT]}, made {age}, since Pulumi's backend is silent")
    elif mute := _mute(asked):
        say(
            f"warning: {mute}; the run waits for it in vain; `drctl state list --site {found.target}` names copies of its state: with --state-copy and "
            "the digest of the newest one this runs without the backend"
        )


def _mute(asked: Questions) -> str:
    """Why Pulumi's backend gives no state; empty where it does."""
    told = asked.known("backend")
    return told.why or str(told.value)


def _with_state(
    aside: Aside | None, pair: Pair, chosen: argparse.Namespace, act: Callable[[Pair], ExitCode]
) -> ExitCode:
    """By the backend's state, or by one of its own. Raises DrError."""
    if aside is None or chosen.dry_run:
        return act(pair)
    made = aside.make()
    try:
        return act(replace(pair, stacks={**pair.stacks, chosen.region: made}))
    finally:
        aside.keep(say)


def rejoin(pair: Pair, chosen: argparse.Namespace) -> ExitCode:
    """A region that is back follows the one that is active."""
    active = leading(pair)
    if active == chosen.region:
        raise Refused(
            f"rejoin of region {chosen.region}: it is active, and there is nothing to follow; nothing was changed; `drctl abort` finishes or takes back a "
            "move that was begun away from it"
        )
    if chosen.dry_run:
        say(f"pulumi up of region {chosen.region} would make it follow region {active}")
        return ExitCode.DONE
    # All of it: a region that comes back may have lost what its links stand on.
    run = pair.up(chosen.region, active, limited=False)
    return _ended(pair, chosen.region, run, f"region {chosen.region} follows region {active}")


def failback(pair: Pair, chosen: argparse.Namespace) -> ExitCode:
    """Home: the region rejoins, is waited for until nothing stands against it, and takes over."""
    code = rejoin(pair, chosen)
    if code is not ExitCode.DONE or chosen.dry_run:
        return code
    end = time.monotonic() + WELL_S
    while True:
        found = planned(pair, Kind.SWITCHOVER, chosen.region)
        if not found.against or time.monotonic() > end:
            break
        say(f"not yet: {', '.join(dict.fromkeys(it.id for it in found.against))}")
        time.sleep(LOOK_S)
    return _switch(pair, chosen, found)


def abort(pair: Pair, chosen: argparse.Namespace) -> ExitCode:
    """A move that was begun and left is taken back by a run of the active region, or finished where its epoch was claimed."""
    active = leading(pair)
    if chosen.dry_run:
        say(f"pulumi up of region {active} would take back, or finish, what was begun")
        return ExitCode.DONE
    code = _ended(pair, active, pair.up(active, active, stays=True), f"region {active} sells")
    pair.stacks[other(active)].request(active)  # or its next run would begin the move anew
    return code


def planned(pair: Pair, kind: Kind, target: str) -> Plan:
    # Of a region that is lost nothing is waited for.
    sites, limit_s = (SITES, PLANNED_S) if kind is Kind.SWITCHOVER else ((target,), LIMIT_S)
    survey = look(pair.settings, limit_s=limit_s, sites=sites)
    return plan(kind, target, survey, pair.settings, judge(survey, pair.settings))


def _moved(pair: Pair, found: Plan) -> ExitCode:
    newest = pair.newest()
    if newest is None or (newest.epoch, newest.active) != (found.epoch, found.source):
        now = "none" if newest is None else f"{newest.epoch}, region {newest.active} active"
        raise Refused(
            f"epoch: found {now}, wanted {found.epoch}, region {found.source} active, as in the plan: another run was faster; nothing was changed; make "
            "the plan anew"
        )
    return _carried_out(pair, found)


def _resumed(pair: Pair, chosen: argparse.Namespace, kind: Kind) -> ExitCode:
    """The move that was begun here and left: it was agreed to, and its run finishes it whether its epoch was claimed or not. Raises Refused."""
    before = left(documents.witness(pair.settings))
    if before is None or (before.begun.kind, before.begun.target) != (kind, chosen.region):
        there = "nothing that was begun on this machine and left" if before is None else before.told()
        raise Refused(
            f"{kind} to region {chosen.region}: found {there}, wanted one of it to go on with; nothing was changed; run it without --resume"
        )
    it, newest = before.begun, pair.newest()
    if newest is None or (newest.epoch, newest.active) not in ((it.epoch, it.source), (it.epoch + 1, it.target)):
        now = "none" if newest is None else f"{newest.epoch}, region {newest.active} active"
        raise Refused(
            f"epoch: found {now}, wanted {it.epoch} of region {it.source} or {it.epoch + 1} of region {it.target}: the shop was moved since; nothing was "
            "changed; see `drctl status`"
        )
    say(f"goes on with the {before.told()}")
    found = Plan(kind=kind, shop=pair.settings.shop.host, source=it.source, target=it.target, epoch=it.epoch)
    if chosen.dry_run:
        show(found)
        return ExitCode.DONE
    pair.record.agreed(found, typed=False)
    return _carried_out(pair, found)


def _carried_out(pair: Pair, found: Plan) -> ExitCode:
    if found.kind is Kind.FAILOVER:  # nobody is to be quiet about that, and it waits for nobody
        return _both(pair, found)
    with (
        RunLease(documents.witness(pair.settings), PAIR, "switchover", os.environ, tell=say) as lease,
        quiet(pair.settings, Undertaking.SWITCHOVER, found.target, why=why(pair.record.told)),
    ):
        return _both(pair, found, lease)


def _both(pair: Pair, found: Plan, lease: RunLease | None = None) -> ExitCode:
    pair.journal.begin(found)
    run = pair.up(found.target, found.target)
    code = _ended(pair, found.target, run, f"region {found.target} sells")
    if code is not ExitCode.DONE:
        return code
    if found.kind is Kind.FAILOVER:
        pair.stacks[found.source].request(found.target)  # what its next run is to ask for
        return code
    if run.interrupted:
        raise Partial(
            f"region {found.source}: does not follow yet, because this run was told to end; region {found.target} sells; `drctl rejoin {found.source}` has it "
            "follow"
        )
    if lease is not None:
        _still(lease, pair, found)
    return _ended(pair, found.source, pair.up(found.source, found.target), f"region {found.source} follows")


def _still(lease: RunLease, pair: Pair, found: Plan) -> None:
    """Raises Partial where somebody else goes over both regions by now: they may have moved the shop on."""
    try:
        lease.still(documents.witness(pair.settings))
    except Partial as error:
        raise Partial(
            f"region {found.source}: was not told to follow, because {error}; `drctl status` says who is active now; where that is still region "
            f"{found.target}, `drctl rejoin {found.source}` has it follow"
        ) from None


def _ended(pair: Pair, site: str, outcome: Outcome, done: str) -> ExitCode:
    """What came of a run, in one screen; its exit code."""
    for text in outcome.warnings:
        say(f"warning: {text}")
    if outcome.ok:
        say(f"{done}; the run took {outcome.seconds:.1f} s")
        return ExitCode.DONE
    for text in outcome.errors:
        print(f"error: {text}", file=sys.stderr)
    return _left(pair, site)


def _left(pair: Pair, site: str) -> ExitCode:
    """A run has failed: who writes now, what is true, the next command."""
    survey = look(pair.settings)
    newest = survey.newest.value
    for line in screen.head(survey, pair.settings)[:1]:
        print(line)
    writers = []
    for region in survey.regions.values():
        host = region.host("db-1")
        database = host.postgres if host else None
        if database is None or database.running is None:
            print(f"  region {region.site}: nobody knows ({region.hosts['db-1'].why or 'it does not say'})")
        elif not database.running:
            print(f"  region {region.site}: its database is down")
        else:
            print(
                f"  region {region.site}: its database is {'a standby' if database.in_recovery else 'a primary, which writes'}"
            )
            writers += [] if database.in_recovery else [region.site]
    if newest is None:
        print("  next: see whether the witness's region has an outage, then `drctl status`")
        return ExitCode.UNKNOWN
    print(f"  next: the same command again goes on; `drctl abort` has region {newest.active}, which is active, sell")
    return ExitCode.FAILED if writers == [newest.active] and newest.active != site else ExitCode.PARTIAL


def leading(pair: Pair) -> str:
    """The region that is active. Raises DrError."""
    newest = pair.newest()
    if newest is None:
        raise Refused(
            "witness: found no epoch, wanted the one in force; nothing was changed; bring region a up first (README.md)"
        )
    return newest.active
