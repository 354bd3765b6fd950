"""`drctl reboot SITE`: the hosts of the standby region begin anew, one after the other, those for which an update waits; the shop sells on meanwhile.

Each is asked once all that was well before the one ahead of it is well again, so a host that does not come back ends it with one host lost and no more.
The active region's hosts are not touched: after a switchover they are the standby's.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from components.render import documents
from components.settings import Settings
from contract.dataclass import dataclass
from contract.errors import DrError, ExitCode, Failed, Partial, Refused, Usage
from contract.hosts import APP, CACHE, CONTROL, DATABASE, KINDS, kind_of
from contract.monitoring.silences import Undertaking
from contract.plain import phrase, shown
from contract.services.commits import Mode
from contract.sites import other
from scripts.clients.hosts import Unreachable
from scripts.clients.run_lease import RunLease
from scripts.clients.trail import Note
from scripts.ctl.moves.quiet import quiet
from scripts.ctl.moves.recorded import as_planned
from scripts.ctl.output import say, typed
from scripts.ctl.persons.reach import TRY_S, way
from scripts.ctl.reports.recording import why
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import Ways, look
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.checks.row import Finding, State
from scripts.ctl.survey.seen import Survey

# What the others need comes late: the database's host, and last the one through which all of them are reached.
ORDER = (APP, CACHE, DATABASE, CONTROL)
LOOK_S, NOTED_S = 3.0, 3.0
WITHIN_S = 60.0  # to tell a host, and for the last look
SURE_S = 15.0  # for a look after which hosts are touched: one that is slow to answer is not ill
# `systemctl reboot` answers before the host goes.
REBOOT = "systemctl --no-block reboot"
# What is about the time that has passed, or about the very thing that is done here.
BESIDE = frozenset({"reboot.due", "clock.offset"})
_KIND = {kind: place for place, kind in enumerate((*ORDER, *(it for it in KINDS if it not in ORDER)))}


@dataclass(frozen=True, kw_only=True)
class Ill:
    """Whose finding is not good: a check and its subject."""

    check: str
    subject: str

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Mapping[Ill, Finding]:
        """All of them, with what was found."""
        return {
            cls(check=it.id, subject=it.subject): it
            for it in findings
            if it.state is not State.OK and it.id not in BESIDE
        }


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError; which hosts have begun anew by then was said."""
    stack = Stack.chosen(chosen)
    settings = stack.settings()
    with Ways() as ways:
        survey = look(settings, limit_s=SURE_S, ways=ways)
        hosts = _wanted(chosen, settings, survey)
        if not hosts:
            print(f"region {chosen.site}: no update waits for a reboot of its hosts; nothing was done")
            return ExitCode.DONE
        ill = fit(chosen.site, settings, survey)
        print(f"region {chosen.site}: {', '.join(hosts)} begin anew, one after the other")
        if chosen.dry_run:
            return ExitCode.DONE
        if not chosen.yes:
            typed(chosen.site, "type the region's letter", "`--yes` agrees")
        _tell(settings, chosen.site, why(chosen), hosts)
        with RunLease(documents.witness(settings), chosen.site, "reboot", os.environ, tell=say) as lease:
            each = Round(
                settings=settings,
                ways=ways,
                ill=ill,
                person=chosen.person,
                limit_s=chosen.minutes * 60.0,
                why=why(chosen),
            )
            for number, host in enumerate(hosts):
                _still(lease, settings, survey, hosts[:number])
                began = time.monotonic()
                with each.quiet(host):
                    survey = each.reboot(survey, host)
                say(f"{host}: is back, and all is as it was, after {time.monotonic() - began:.0f} s")
    print(f"region {chosen.site}: {len(hosts)} of {len(hosts)} hosts have begun anew")
    return ExitCode.DONE


def _still(lease: RunLease, settings: Settings, survey: Survey, done: Sequence[str]) -> None:
    """Before each host: whoever sat in front of a question, or was suspended, may find the shop moved to this region. Raises Partial, DrError."""
    planned = survey.newest.value
    assert planned is not None  # `fit` refuses without
    if not done:
        as_planned(settings, planned)
        return
    so_far = f"{', '.join(done)} have begun anew, and no host behind them was touched"
    try:
        lease.still(documents.witness(settings))
        as_planned(settings, planned, so_far)
    except DrError as error:
        raise Partial(str(error) if so_far in str(error) else f"{error}; {so_far}") from None


def _wanted(chosen: argparse.Namespace, settings: Settings, survey: Survey) -> tuple[str, ...]:
    """Full names, in their order. Raises Usage, and Refused where a host does not say whether it is due."""
    region = survey.regions[chosen.site]
    own = sorted(region.hosts, key=lambda name: (_KIND[kind_of(name)], name))
    strange = [name for name in chosen.hosts if name not in own]
    if strange:
        raise Usage(
            f"host {shown(strange[0])}: is none of region {chosen.site}, wanted one of {', '.join(own)}; nothing was done"
        )
    if chosen.hosts or chosen.all:
        return tuple(f"{name}.{chosen.site}" for name in own if chosen.all or name in chosen.hosts)
    due = {name: it.value.reboot_due if it.value else None for name, it in region.hosts.items()}
    unknown = [f"{name}.{chosen.site}" for name in own if due[name] is None]
    if unknown:
        raise Refused(
            f"region {chosen.site}: nobody knows whether {', '.join(unknown)} is due, wanted the word of each host; nothing was done; see `drctl status`, "
            "or name the hosts"
        )
    return tuple(f"{name}.{chosen.site}" for name in own if due[name])


def fit(site: str, settings: Settings, survey: Survey) -> Mapping[Ill, Finding]:
    """What is not well before, if the shop can do without this region's hosts for a while. Raises Refused with every reason."""
    reasons = []
    epoch = survey.newest.value
    if epoch is None:
        reasons.append(f"nobody knows which region is active ({survey.newest.why or 'no epoch was ever claimed'})")
    elif epoch.active == site:
        reasons.append(
            f"region {site} is the active one, wanted the standby: `drctl switchover {other(site)}` first, and then the same again"
        )
    if settings.postgres.mode is Mode.SYNC:
        reasons.append(
            "dr:postgres.mode is sync, so no order would be taken while the standby's database is away: set it to degrade for that time"
        )
    ill = Ill.of(judge(survey, settings))
    reasons += [f"{it.check} {it.subject}: {ill[it].found}" for it in ill if ill[it].blocks]
    if reasons:
        raise Refused(
            f"region {site}: {'; '.join(phrase(it, 300) for it in reasons)}; a host that does not come back would be missed, so nothing was done"
        )
    return ill


def _tell(settings: Settings, site: str, reason: str, hosts: Sequence[str]) -> None:
    facts = {"hosts": phrase(", ".join(hosts), 200)}
    note = Note(documents.witness(settings), "reboot", site, why=reason, facts=facts)
    if lost := note.lost(NOTED_S):
        say(f"warning: {lost}")


@dataclass(frozen=True, kw_only=True)
class Round:
    """What each host of it is held to. `ill`: what was not well before the first one."""

    settings: Settings
    ways: Ways
    ill: Mapping[Ill, Finding]
    person: str
    limit_s: float
    why: str = ""

    def quiet(self, host: str) -> AbstractContextManager[None]:
        """Nobody is told of that host while it is away; one that does not come back is told of."""
        site, seconds = host.rpartition(".")[2], self.limit_s + WITHIN_S
        return quiet(self.settings, Undertaking.REBOOT, site, hosts=(host,), seconds=seconds, why=self.why)

    def reboot(self, before: Survey, host: str) -> Survey:
        """The survey in which it has another boot, and nothing is worse than it was. Raises Failed."""
        say(f"{host}: begins anew")
        try:
            with way(self.settings, host, self.person) as found:
                done = found.hosts.execute(host, found.via, REBOOT, b"", TRY_S)
            if done.returncode:
                raise Failed(
                    f"host {host}: `{REBOOT}` ended with {done.returncode}, wanted 0; it runs on as it was, and no host behind it was touched; "
                    f"see `drctl ssh {host}`"
                )
        except Unreachable:
            pass  # it went before it had answered, or nobody knows: its next word tells which boot it is
        return self._again(before, host)

    def _again(self, before: Survey, host: str) -> Survey:
        name, _, site = host.partition(".")
        old, until = before.regions[site].host(name), time.monotonic() + self.limit_s
        while True:
            survey = look(self.settings, ways=self.ways)
            new, now = survey.regions[site].host(name), Ill.of(judge(survey, self.settings))
            worse = [now[it] for it in now if it not in self.ill]
            other_boot = new is not None and new.boot is not None and (old is None or new.boot != old.boot)
            if other_boot and not worse:
                return survey
            if time.monotonic() > until:
                missing = [it.sentence() for it in worse] or [f"{host} is still in the boot of before"]
                raise Failed(
                    f"host {host}: after {self.limit_s:.0f} s: {phrase('; '.join(missing), 900)}; wanted it back and all as it was; no host behind it "
                    "was touched; see `drctl status`, and the host's console at the platform; then the same again"
                )
            time.sleep(LOOK_S)
