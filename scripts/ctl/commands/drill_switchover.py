"""`drctl drill switchover`: the shop moves to the other region, stays there for a while that somebody has chosen, and moves home, with a record of it.

Each way is a switchover like any other: strict, with its own plan, journal and record. Ctrl-C while the shop is away takes it home at once.

Exit codes: 0 there and back; 1 the first move failed, and the shop is where it was; 3 refused, nothing was changed; 4 the shop is away, and the last lines
say how it comes home; 5 nobody can tell.
"""

from __future__ import annotations

import argparse
import datetime
import re
import time
from dataclasses import dataclass, field, replace

from contract.errors import DrError, ExitCode, Partial, Refused, Usage
from contract.plain import phrase, shown
from contract.report import Event, Figure
from contract.sites import other
from scripts.ctl.commands import move
from scripts.ctl.commands.agreement import agreed
from scripts.ctl.moves.engine import Step
from scripts.ctl.moves.plan import Kind, Plan, plan
from scripts.ctl.output import say
from scripts.ctl.reports import writing
from scripts.ctl.reports.recording import PROOF, end_of, of_run
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.checks.row import Finding, State

CAPACITY = ("capacity.standby",)  # warned of before any other move; a drill that nobody needs does not begin over it
LOOK_S, WELL_S = 10.0, 900.0  # between two looks while the shop is away; until nothing stands against its way home
WAY_S = 300  # that one way may take, for the window
MOST_HOLD_S = 86_400
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
METHOD = "the longer of both ways, from the begin of its run until the chain had placed a real order, by this machine's clock"


@dataclass
class Drill:
    """What came of it. `proven_s`: of each way, from its run's begin to its proof; `wrong`: what was not well while the shop was away."""

    told: argparse.Namespace
    plan: Plan
    at: datetime.datetime
    began: float
    proven_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    looks: int = 0

    def seen(self, step: Step) -> None:
        if (step.link, step.state) == (PROOF, "done"):
            self.proven_s.append(step.at_s)

    def event(self, code: ExitCode | None, error: str, epoch: int | None) -> Event:
        """How it ended. `epoch`: in force now, None where nobody knows."""
        it, told = self.plan, self.told
        return replace(
            of_run("switchover-and-back", told, self.at, self.began, code),
            plan=it.digest,
            plan_lines=tuple(it.lines()),
            source=it.source,
            target=it.target,
            epoch_before=it.epoch,
            epoch=epoch,
            rto=Figure(
                measured_s=max(self.proven_s) if self.proven_s else None,
                method=METHOD if self.proven_s else "not known: no order has proven a region",
            ),
            errors=(error,) if error else (),
            warnings=(f"away for {told.hold} s wanted, {self.looks} looks while it was", *self.wrong),
            deviations=tuple(self.wrong),
        )


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    now = clock()
    in_window(chosen.window, chosen.hold, 2 * WAY_S, now)
    pair = move.Pair.chosen(argparse.Namespace(**vars(chosen), region=None))
    home = move.leading(pair)
    found, small = _planned(pair, other(home))
    for line in (
        *found.lines(),
        f"  then: away for {chosen.hold} s, and back the same way",
        *(f"  AGAINST  {it.sentence()}" for it in small),
    ):
        print(f"{' ' * (len(line) - len(line.lstrip()))}{phrase(line, 600)}")
    if chosen.dry_run:
        return ExitCode.DONE
    if found.against or small:
        raise Refused(
            f"drill of a switchover to region {found.target}: found {len(found.against) + len(small)} reasons against it, which are listed above, wanted "
            "none; nothing was changed; mend them, or choose another time"
        )
    agreed(found, chosen)
    in_window(chosen.window, chosen.hold, 2 * WAY_S, clock())
    drill = Drill(told=chosen, plan=found, at=now, began=time.monotonic())
    try:
        code = _there_and_back(pair, drill)
    except BaseException as error:
        _record(pair, drill, *end_of(error))
        raise
    _record(pair, drill, code, "")
    return code


def _there_and_back(pair: move.Pair, drill: Drill) -> ExitCode:
    there, told = drill.plan, drill.told
    code = move.carry_out(_leg(told, there), drill.seen)
    if code is not ExitCode.DONE:
        return _not_begun(pair, there, code)
    say(f"region {there.target} sells; home in {told.hold} s; Ctrl-C goes home at once")
    try:
        _hold(pair, drill)
    except KeyboardInterrupt:
        drill.wrong.append("ended before its time by the operator, and taken home")
        say("home, before its time")
    home = replace(there, source=there.target, target=there.source, epoch=there.epoch + 1, against=(), unsure=0)
    try:
        _wait_until_well(pair, home.target)
        code = move.carry_out(_leg(told, home), drill.seen)
    except DrError as error:
        raise Partial(
            f"{error}; the drill is not over; see `drctl status`, and where region {there.target} is active `drctl failback {there.source}` takes the shop home"
        ) from None
    if code is ExitCode.DONE:
        say(f"there and back: region {there.source} sells, region {there.target} follows")
        return code
    say(f"the way home has not come to its end: `drctl status`, then `drctl failback {there.source}`")
    return ExitCode.UNKNOWN if code is ExitCode.UNKNOWN else ExitCode.PARTIAL


def _not_begun(pair: move.Pair, there: Plan, code: ExitCode) -> ExitCode:
    """The first move has not come to its end, and nothing follows by itself. Raises DrError where nobody can tell where the shop is."""
    if move.leading(pair) == there.source:
        say(f"the drill ends here: region {there.source} is active, and `drctl abort` has it sell")
        return code
    say(
        f"the drill ends here: region {there.target} is active; see `drctl check`, then `drctl failback {there.source}` takes the shop home"
    )
    return code if code is ExitCode.UNKNOWN else ExitCode.PARTIAL


def _hold(pair: move.Pair, drill: Drill) -> None:
    """The shop is looked at while it is away. One that does not sell there goes home: nobody has lost the other region."""
    end = time.monotonic() + drill.told.hold
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(LOOK_S, left))
        survey = look(pair.settings)
        entrance = survey.regions[drill.plan.target].entrance
        drill.looks += 1
        if entrance.value is None or entrance.value.site != drill.plan.target:
            why = entrance.why or "another region answers there"
            drill.wrong.append(phrase(f"region {drill.plan.target}'s entrance while it was active: {why}", 300))
            say(f"warning: {drill.wrong[-1]}; home at once")
            return
        say(
            f"region {drill.plan.target} answers in {entrance.value.seconds:.2f} s; home in {max(end - time.monotonic(), 0):.0f} s"
        )


def _wait_until_well(pair: move.Pair, home: str) -> None:
    """Raises Refused where something stands against the way home for too long. Whether it is still the way home is what its plan's digest says."""
    end = time.monotonic() + WELL_S
    while True:
        found = move.planned(pair, Kind.SWITCHOVER, home)
        if not found.against:
            return
        names = ", ".join(dict.fromkeys(it.id for it in found.against))
        if time.monotonic() > end:
            raise Refused(f"the way home: found {names} against it for {WELL_S:.0f} s, wanted nothing")
        say(f"not yet: {names}")
        time.sleep(LOOK_S)


def _planned(pair: move.Pair, target: str) -> tuple[Plan, list[Finding]]:
    """The first move, and what the standby lacks to bear the shop: what nobody knows is no capacity."""
    survey = look(pair.settings, limit_s=move.PLANNED_S)
    findings = judge(survey, pair.settings)
    small = [it for it in findings if it.id in CAPACITY and it.state is not State.OK]
    return plan(Kind.SWITCHOVER, target, survey, pair.settings, findings), small


def _leg(told: argparse.Namespace, way: Plan) -> argparse.Namespace:
    """One way, as it would be typed: agreed to by its plan's digest."""
    own = {"command": "switchover", "region": way.target, "plan": way.digest, "yes": False, "resume": False}
    reason = " ".join(filter(None, ("drill switchover-and-back", told.reason)))
    return argparse.Namespace(**{**vars(told), **own, "reason": reason})


def clock() -> datetime.datetime:
    """By which windows are judged: asked again once somebody has agreed, who may have left the question on a terminal."""
    return datetime.datetime.now(datetime.UTC)


def in_window(window: str, hold: int, beside_s: int, now: datetime.datetime) -> None:
    """`hold`, `beside_s`: seconds that somebody has chosen, and that all else may take. Raises Usage, Refused where it does not fit."""
    if not 0 <= hold <= MOST_HOLD_S:
        raise Usage(f"--hold: found {hold}, wanted 0 to {MOST_HOLD_S} seconds; nothing was changed")
    if not window:
        return
    told = _WINDOW.fullmatch(window)
    if told is None:
        raise Usage(
            f"--window: found {shown(window)}, wanted two times of a day in UTC, like 02:00-04:00; nothing was changed"
        )
    begin, end = (int(told[at]) * 60 + int(told[at + 1]) for at in (1, 3))
    length, since = (end - begin) % 1440 * 60, (now.hour * 60 + now.minute - begin) % 1440 * 60 + now.second
    if since >= length or since + hold + beside_s > length:
        raise Refused(
            f"window {window}: it is {now:%H:%M} UTC, and this takes up to {hold + beside_s} s, {hold} s of it by --hold, wanted all of it in it; "
            "nothing was changed; begin at its begin, or choose a wider one"
        )


def _record(pair: move.Pair, drill: Drill, code: ExitCode | None, error: str) -> None:
    """However it ends, and no reason for another end; the moves have records of their own."""
    if code is ExitCode.REFUSED and not drill.proven_s:
        return
    epoch: int | None = None
    try:
        newest = pair.newest()
        epoch = None if newest is None else newest.epoch
    except DrError as silent:
        drill.wrong.append(phrase(str(silent), 300))
    writing.undertaking_ended(pair.settings, "drill", drill.event(code, error, epoch), say)
