"""`drctl deploy RELEASE` and `drctl rollback`: one release in both regions, host by host, and no request fails.

A deploy begins with the standby, and whatever stands against a planned move stands against it. A rollback is wanted while something is wrong: it begins
where the customers are, and is told what is wrong without being refused for it.

Exit codes: 0 done; 1 a host did not get well with it, and it was taken back; 3 refused, nothing was changed; 4 stopped part-way, the same command goes on
and `drctl rollback` takes it back.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from components.render import documents
from components.settings import Settings
from contract.dataclass import dataclass
from contract.errors import ExitCode, Failed, Refused, Usage
from contract.hosts import APP, kind_of
from contract.monitoring.silences import Undertaking as Kind
from contract.plain import phrase, shown
from contract.report import Event
from contract.sites import SITES
from scripts.clients.report_bucket import ReportBucket
from scripts.ctl.beginning.plan import Plan
from scripts.ctl.commands.releases import keys_of
from scripts.ctl.moves.deploy import Steps, World
from scripts.ctl.moves.quiet import quiet
from scripts.ctl.moves.recorded import Undertaking, close_killed, in_force
from scripts.ctl.output import say
from scripts.ctl.releases.candidate import Candidate, candidate, crowded, judged, misfits, missed
from scripts.ctl.releases.migrations import of_release
from scripts.ctl.releases.store import Store
from scripts.ctl.reports import book
from scripts.ctl.reports.recording import why
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import judge

LOOK_S = 15.0
_NAME, _DIGEST = re.compile(r"[0-9a-f]{8,64}"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """`configured`: by site; `at_work`: by app host, None where one does not say; `files`: names of each such release's files, none where it lies in no
    bucket: what a host says it runs is that host's word.
    """

    configured: Mapping[str, str]
    at_work: Mapping[str, str | None]
    files: Mapping[str, Collection[str]]

    @property
    def older(self) -> set[str]:
        """Every release that runs somewhere."""
        return {it for it in self.at_work.values() if it}

    @property
    def known(self) -> set[str]:
        """Migrations that every release at work has; none of one that lies in no bucket."""
        each = [of_release(self.files[it]) for it in self.older]
        return set.intersection(*each) if each else set()

    def before(self, wanted: str) -> Mapping[str, str]:
        """What each region goes back to: the one release that runs beside `wanted`, whatever this checkout of the configuration names; what that names where
        several do, or none that lies in a bucket.
        """
        others = {it for it in self.older - {wanted} if self.files[it]}
        return dict.fromkeys(SITES, others.pop()) if len(others) == 1 else self.configured

    def begun(self, wanted: str) -> set[str]:
        """Regions with a host that runs it."""
        return {host.rpartition(".")[2] for host, release in self.at_work.items() if release == wanted}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    stacks = Stack.both(chosen)
    each = {site: stack.settings() for site, stack in stacks.items()}
    settings = each[SITES[0]]
    close_killed(settings, chosen)
    newest = in_force(settings)
    survey = look(settings, limit_s=LOOK_S)
    store = Store(settings, keys_of(stacks[newest.active]))
    at_work = survey.releases
    seen = Seen(
        configured={site: it.shop.release for site, it in each.items()},
        at_work=at_work,
        files={it: store.files(it) for it in sorted({it for it in at_work.values() if it})},
    )
    stands = [it.sentence() for it in judge(survey, settings) if it.blocks]
    back = chosen.command == "rollback"
    name = _named(chosen.release) if chosen.release else before(seen, settings)
    row, body = store.one(name)
    found = candidate(row, body, settings, seen.known)
    if back:
        against, warnings = _of_rollback(found, stands, _newer(store, seen, found))
        if {*seen.at_work.values(), *seen.configured.values()} == {found.digest}:
            warnings.append(
                "all hosts run it already, since the last deploy was taken back; an older one is named: `drctl rollback RELEASE`"
            )
    else:
        against, warnings = _of_deploy(found, stands, seen, chosen.unsafe)
        against += [*misfits(found, settings), *crowded(found, survey)]
    previous = seen.before(found.digest)
    it = Undertaking(
        kind="deploy",
        scenario=chosen.command,
        told=chosen,
        settings=settings,
        newest=newest,
        versions={"release": found.digest, "release_before": previous[newest.active]},
        warnings=warnings,
    )
    steps = Steps(_world(it, stacks), found.digest, seen.configured, previous, seen.begun(found.digest), back=back)
    it.undo = steps.take_back
    return _agreed(it, Plan(steps=tuple(steps.all()), against=tuple(against), warnings=tuple(warnings)), found)


def _of_deploy(found: Candidate, stands: list[str], seen: Seen, unsafe: str) -> tuple[list[str], list[str]]:
    """Against it, and what is but told."""
    against, passed = judged(found, seen.older - {found.digest}, unsafe)
    warnings = [f"--unsafe, {unsafe}: {text}" for text in passed]
    return [*stands, *found.copies, *found.against, *against], warnings


def _of_rollback(
    found: Candidate, stands: list[str], newer: Mapping[str, Mapping[str, str]]
) -> tuple[list[str], list[str]]:
    """The same: a way back is barred by what makes it impossible alone. Not by what shows under load, nor by a region that is silent."""
    against = [*found.against, *([] if found.there else found.copies)]
    warnings = [*stands, *(found.copies if found.there else ()), *missed(found, newer)]
    return against, [*warnings, "the schema stays as it is"]


def _newer(store: Store, seen: Seen, found: Candidate) -> dict[str, dict[str, str]]:
    """Of each release at work, the migrations that the one which comes back does not have."""
    own = set() if found.manifest is None else of_release(found.manifest.files)
    names = {it: of_release(seen.files[it]) - own for it in sorted(seen.older - {found.digest})}
    return {it: store.texts(it, missing) for it, missing in names.items() if missing}


def _agreed(it: Undertaking, plan: Plan, found: Candidate) -> ExitCode:
    chosen = it.told
    print(
        f"{chosen.command} of release {found.digest[:12]}, region {it.newest.active} is active, {len(found.new)} new migrations"
    )
    remedy = (
        "nothing was changed; mend them (of migrations: expand now, contract with a later release, or --unsafe with the reason), and run the same again; "
        "with a region lost: name the release in dr:shop.release and `pulumi up` of the other one (docs/releases.md)"
    )
    if it.agreed(plan, f"{chosen.command} of release {found.digest[:12]}", remedy):
        it.carry_out(plan, quiet(it.settings, Kind.DEPLOY, it.newest.active, why=why(chosen, found.digest[:12])))
        print(f"release {found.digest[:12]} runs in both regions, and is what both are configured with")
    return ExitCode.DONE


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Usage(
            f"release {shown(name)}: is no digest, wanted 8 to 64 hexadecimal digits of one (`drctl releases list`); nothing was changed; "
            "`drctl releases push FILE` says it of a file"
        )
    return name


def before(seen: Seen, settings: Settings) -> str:
    """The release to go back to. Raises DrError.

    It is the newest record's to say: behind a deploy the release before it, behind a rollback the one that came by it. So the same command, typed again,
    goes on, or finds nothing to do, and never leads back to what was left. A deploy that was killed has no record: where this configuration names it, what
    the one before has left is gone back to. Refused where hosts run what neither knows.
    """
    named = "; nothing was changed; name the one that is wanted: `drctl releases list`, `drctl rollback RELEASE`"
    last = _newest(settings)
    release, earlier = ("", "") if last is None else (last.versions[it] for it in ("release", "release_before"))
    strange = seen.older - {release, earlier}
    if last is not None and strange and strange == {*seen.configured.values()}:
        left = release if last.outcome == "done" else earlier
        if last.outcome in ("done", "failed") and seen.older <= {*strange, left}:
            release, earlier, strange = *strange, left, set[str]()
            last = replace(last, scenario="deploy")
    if last is None or strange:
        running = ", ".join(it[:12] for it in sorted(seen.older)) or "no release that they say"
        known = (
            f"the newest record is of {release[:12]}, and {shown(earlier[:12])} before it"
            if last
            else "none is recorded"
        )
        raise Refused(f"rollback: hosts run {running}, wanted what a deploy has recorded; {known}{named}")
    found = release if last.scenario == "rollback" else earlier
    if not _DIGEST.fullmatch(found):
        raise Refused(
            f"rollback: found {shown(found[:40])} before release {release[:12]}, wanted a digest of one{named}"
        )
    return found


def _newest(settings: Settings) -> Event | None:
    """The newest record of a deploy or a rollback that has changed something. Raises DrError."""
    for signed in reversed(book.opened(ReportBucket(documents.witness(settings)), settings).records):
        event = signed.record.event
        if (
            signed.record.kind == "deploy"
            and event is not None
            and {"release", "release_before"} <= event.versions.keys()
        ):
            return event
    return None


def _world(it: Undertaking, stacks: Mapping[str, Stack]) -> World:
    return World(
        stacks=stacks,
        active=lambda: in_force(it.settings).active,
        configured=lambda site: stacks[site].settings().shop.release,
        up=lambda site, request: it.up(stacks[site], request),
        wrong=lambda site, release: _wrong(it.settings, site, release),
        say=say,
    )


def _wrong(settings: Settings, site: str, release: str) -> list[str]:
    """Each app host is asked what it runs, and asks its own process at the health path."""
    survey, wrong = look(settings, limit_s=LOOK_S, sites=(site,)), list[str]()
    for name, word in survey.regions[site].hosts.items():
        if kind_of(name) != APP:
            continue
        app = word.part(lambda it: it.app)
        if app is None:
            wrong.append(f"{name}.{site} says nothing ({phrase(word.why or 'no word of its app', 200)})")
        elif survey.releases[f"{name}.{site}"] != release:
            wrong.append(f"{name}.{site} runs another release")
        elif not app.healthy:
            wrong.append(f"{name}.{site} is not well")
    if not survey.regions[site].hosts:
        raise Failed(f"region {site}: no host of it is known, wanted its app hosts; see `drctl status`")
    return wrong
