"""`drctl drill standby`: the standby's database and cache lose their power for a while that somebody has chosen, the shop sells on, and they come back, with
a record of it.

Asked of the platform, as a fence does it, so it shows besides that the keys to it are good. Ctrl-C ends the while. Whatever happens, the servers are started
again.

Exit codes: 0 all of it is as it was before; 1 the servers could not be stopped; 3 refused, nothing was changed; 4 a server is not back, or not as it was: the
last line says which.
"""

from __future__ import annotations

import argparse
import datetime
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from components.render import documents
from components.render.links import openstack
from components.settings import Settings
from contract.epoch import Epoch
from contract.errors import ExitCode, Failed, Partial, Refused
from contract.hosts import KINDS
from contract.monitoring.silences import Undertaking
from contract.plain import phrase
from contract.report import Event, Figure
from contract.sites import other
from scripts.clients.compute import Compute
from scripts.clients.openstack import ApiDown
from scripts.clients.run_lease import RunLease
from scripts.clients.server_states import Server
from scripts.ctl.commands import drill_switchover, reboot
from scripts.ctl.moves.quiet import quiet
from scripts.ctl.moves.recorded import as_planned
from scripts.ctl.output import say, typed
from scripts.ctl.reports import writing
from scripts.ctl.reports.recording import end_of, of_run, why
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import Ways, look
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.checks.row import Finding

LOOK_S = 5.0
STOP_S, START_S = 120.0, 300.0  # until they are off, and on again
WELL_S = 900.0  # until all is as it was
MOST_TOLD = 5  # checks that are not good yet, in one line
METHOD = "from the start of the servers until every check that was good before was good again, by this machine's clock"


@dataclass
class Drill:
    """What came of it. `away_s`: how long the servers were off; `back_s`: until all was as before; `wrong`: what was not well meanwhile."""

    told: argparse.Namespace
    newest: Epoch
    servers: Sequence[str]
    at: datetime.datetime
    began: float
    away_s: float = 0.0
    back_s: float | None = None
    looks: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def site(self) -> str:
        return other(self.newest.active)

    def event(self, code: ExitCode | None, error: str) -> Event:
        told = self.told
        return replace(
            of_run("standby-lost", told, self.at, self.began, code),
            source=self.newest.active,
            target=self.site,
            epoch_before=self.newest.epoch,
            epoch=self.newest.epoch,
            rto=Figure(
                measured_s=self.back_s,
                method=METHOD if self.back_s is not None else "not known: it did not come back so far",
            ),
            errors=(error,) if error else (),
            warnings=(
                f"without {', '.join(self.servers)} for {self.away_s:.0f} s, {told.hold} s wanted, {self.looks} looks meanwhile",
                *self.wrong,
            ),
            deviations=tuple(self.wrong),
        )


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    now = drill_switchover.clock()
    drill_switchover.in_window(chosen.window, chosen.hold, int(WELL_S), now)
    settings = Stack.chosen(chosen).settings()
    with Ways() as ways:
        survey = look(settings, limit_s=reboot.SURE_S, ways=ways)
        newest = survey.newest.value
        if newest is None:
            raise Refused(
                f"drill of a lost standby: nobody knows which region is active ({survey.newest.why or 'no epoch was ever claimed'}), wanted that; nothing "
                "was changed; see `drctl status`"
            )
        site = other(newest.active)
        ill = reboot.fit(site, settings, survey)
        names = settings.leased_servers(site)
        watched = settings.monitoring is not None and settings.monitoring.enabled
        for line in (
            f"region {site} loses {', '.join(names)} for {chosen.hold} s: their power is cut by the platform's API, and given again",
            f"region {newest.active} sells on; were it lost meanwhile, nothing would take over before {site} is back",
            "alerts of what is away are silenced meanwhile, all others are told"
            if watched
            else "warning: tell those who watch",
        ):
            print(phrase(line, 600))
        if chosen.dry_run:
            return ExitCode.DONE
        if not chosen.yes:
            typed(site, "Type the region that loses its database and cache", "`--yes` agrees")
        drill_switchover.in_window(chosen.window, chosen.hold, int(WELL_S), drill_switchover.clock())
        drill = Drill(told=chosen, newest=newest, servers=names, at=now, began=time.monotonic())
        try:
            with RunLease(documents.witness(settings), site, "drill standby", os.environ, tell=say):
                as_planned(settings, newest)  # or it cuts the power of the region that sells
                with quiet(
                    settings,
                    Undertaking.STANDBY,
                    site,
                    hosts=[key for key, it in settings.hosts_of(site).items() if KINDS[it.role].leased],
                    seconds=STOP_S + chosen.hold + START_S + WELL_S,
                    why=why(chosen),
                ):
                    _lost_and_back(settings, ways, drill, ill)
        except BaseException as error:
            _record(settings, drill, *end_of(error))
            raise
    _record(settings, drill, ExitCode.DONE, "")
    print(f"region {site}: back and as it was {drill.back_s:.0f} s after its servers were started")
    return ExitCode.DONE


def _lost_and_back(settings: Settings, ways: Ways, drill: Drill, ill: Mapping[reboot.Ill, Finding]) -> None:
    with _off(settings, drill):
        _hold(settings, ways, drill)
    began, until = time.monotonic(), time.monotonic() + WELL_S
    while True:
        survey = look(settings, limit_s=reboot.SURE_S, ways=ways)
        now = reboot.Ill.of(judge(survey, settings))
        worse = [it for at, it in now.items() if at not in ill]
        if not worse:
            drill.back_s = round(time.monotonic() - began, 1)
            return
        if time.monotonic() > until:
            raise Partial(
                f"region {drill.site}: {WELL_S:.0f} s after its servers were started: {phrase('; '.join(it.sentence() for it in worse), 900)}; wanted all "
                f"as it was; region {drill.newest.active} sells on; see `drctl status`, and docs/runbook/standby-behind.md"
            )
        ids = list(dict.fromkeys(it.id for it in worse))
        say(
            f"not yet as it was: {', '.join(ids[:MOST_TOLD])}{f' and {len(ids) - MOST_TOLD} more' if len(ids) > MOST_TOLD else ''}"
        )
        time.sleep(LOOK_S)


@contextmanager
def _off(settings: Settings, drill: Drill) -> Iterator[None]:
    """While it is entered the servers are off. They are started again however it is left, and where one of them would not stop."""
    compute = Compute(openstack(settings), settings.regions[drill.site].compute_region)
    try:
        compute.connect()
        sight = compute.look(drill.servers, {})
    except ApiDown as error:
        raise Failed(f"{error}; the standby's servers cannot be stopped, and nothing was changed") from None
    on = [it for it in sight.servers if it.status == "ACTIVE" and it.task is None and not it.locked]
    if sight.unseen or {it.name for it in on} != set(drill.servers) or len(on) != len(drill.servers):
        found = (
            sight.words() if sight.unseen else ", ".join(f"{it.name or it.id} is {it.words()}" for it in sight.servers)
        )
        raise Refused(
            f"servers of region {drill.site}: found {phrase(found, 600) or 'none'}, wanted each of {', '.join(drill.servers)} once, ACTIVE and unlocked; "
            "nothing was changed; see `drctl status`"
        )
    try:
        off_at = _stopped(compute, drill, on)
        yield
        drill.away_s = time.monotonic() - off_at
    finally:
        _started(compute, drill, on)


def _stopped(compute: Compute, drill: Drill, servers: Sequence[Server]) -> float:
    """When all of them were seen to be off. Raises Failed."""
    until = time.monotonic() + STOP_S
    try:
        for each in servers:
            say(f"{each.name}: stop")
            if refused := compute.act(each, "os-stop"):
                raise Failed(
                    f"server {each.name}: the platform does not stop it ({phrase(refused, 200)}), wanted it off; it is started again"
                )
        ids = {it.name or it.id: it.id for it in servers}
        while not (found := compute.look(drill.servers, ids)).proven:
            if time.monotonic() > until:
                raise Failed(
                    f"{found.words()} {STOP_S:.0f} s after it was told to stop, wanted it off; it is started again"
                )
            time.sleep(1.0)
    except ApiDown as error:
        raise Failed(f"{error}; what was stopped is started again") from None
    return time.monotonic()


def _started(compute: Compute, drill: Drill, servers: Sequence[Server]) -> None:
    """Raises Partial where one is not on after `START_S`: whoever presses Ctrl-C meanwhile presses it again for that."""
    until, why = time.monotonic() + START_S, ""
    say(f"{', '.join(drill.servers)}: start")
    while True:
        try:
            there = {
                it.id: it for it in compute.look(drill.servers, {it.name or it.id: it.id for it in servers}).servers
            }
            off = [there.get(it.id, it) for it in servers if it.id not in there or there[it.id].status != "ACTIVE"]
            if not off:
                return
            said = [compute.act(it, "os-start") for it in off if it.task is None]
            why = "; ".join(filter(None, said)) or ", ".join(f"{it.name} is {it.words()}" for it in off)
        except ApiDown as error:
            why = str(error)
        if time.monotonic() > until:
            raise Partial(
                f"region {drill.site}: {phrase(why, 600)}, wanted {', '.join(drill.servers)} on again {START_S:.0f} s after the start; it has no standby now; "
                f"start them at the platform (`openstack server start`), then `drctl status`"
            )
        time.sleep(2.0)


def _hold(settings: Settings, ways: Ways, drill: Drill) -> None:
    """The active region is looked at. One that does not sell ends it: nobody has the standby's loss cost an order."""
    active, end = drill.newest.active, time.monotonic() + drill.told.hold
    say(f"off; region {active} goes on; started again in {drill.told.hold} s; Ctrl-C starts them at once")
    try:
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(LOOK_S, left))
            entrance = look(settings, ways=ways, sites=(active,)).regions[active].entrance
            drill.looks += 1
            if entrance.value is None or entrance.value.site != active:
                why = entrance.why or "another region answers there"
                drill.wrong.append(phrase(f"region {active}'s entrance while the standby was away: {why}", 300))
                say(f"warning: {drill.wrong[-1]}; the standby is started at once")
                return
    except KeyboardInterrupt:
        drill.wrong.append("ended before its time by the operator")
        say("started again, before its time")


def _record(settings: Settings, drill: Drill, code: ExitCode | None, error: str) -> None:
    """Of one that was refused there is none: nothing was changed."""
    if code is not ExitCode.REFUSED:
        writing.undertaking_ended(settings, "drill", drill.event(code, error), say)
