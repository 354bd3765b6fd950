"""`drctl deploy RELEASE` and `drctl rollback`: one release in both regions, the standby first, host by host, and no request fails.

Exit codes: 0 done; 1 a host did not get well with it, and it was taken back; 3 refused, nothing was changed; 4 stopped part-way, the same command goes on
and `drctl rollback` takes it back.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.render import documents
from components.settings import Settings
from contract.errors import ExitCode, Failed, Refused, Usage
from contract.hosts import APP, kind_of
from contract.monitoring.silences import Undertaking as Kind
from contract.plain import phrase, shown
from contract.sites import SITES
from scripts.clients.report_bucket import ReportBucket
from scripts.ctl.beginning.plan import Plan
from scripts.ctl.commands.releases import keys_of
from scripts.ctl.moves.deploy import Steps, World
from scripts.ctl.moves.quiet import quiet
from scripts.ctl.moves.recorded import Undertaking, in_force
from scripts.ctl.output import say
from scripts.ctl.releases.candidate import Candidate, candidate, judged, misfits
from scripts.ctl.releases.migrations import of_release
from scripts.ctl.releases.store import Store
from scripts.ctl.reports import book
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import judge

LOOK_S = 15.0
_NAME, _DIGEST = re.compile(r"[0-9a-f]{8,64}"), re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """`configured`: by site; `at_work`: by app host, None where one does not say."""

    configured: Mapping[str, str]
    at_work: Mapping[str, str | None]
    against: Sequence[str]

    @property
    def older(self) -> set[str]:
        """Every release that runs somewhere."""
        return {it for it in self.at_work.values() if it}

    def before(self, wanted: str) -> Mapping[str, str]:
        """What each region goes back to: where a deploy of `wanted` was left in its middle, the one that still runs somewhere."""
        others = self.older - {wanted}
        left = others.pop() if len(others) == 1 else wanted
        return {site: left if release == wanted else release for site, release in self.configured.items()}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    stacks = Stack.both(chosen)
    each = {site: stack.settings() for site, stack in stacks.items()}
    settings = each[SITES[0]]
    newest = in_force(settings)
    survey = look(settings, limit_s=LOOK_S)
    seen = Seen(
        configured={site: it.shop.release for site, it in each.items()},
        at_work=survey.releases,
        against=tuple(it.sentence() for it in judge(survey, settings) if it.blocks),
    )
    back = chosen.command == "rollback"
    store = Store(settings, keys_of(stacks[newest.active]))
    name = before(seen, settings) if back else _named(chosen.release)
    row, body = store.one(name)
    found = candidate(row, body, settings, _known(store, seen))
    against, passed = ([], []) if back else judged(found, seen.older - {found.digest}, chosen.unsafe)
    if not back:  # a way back is not barred by what shows under load alone
        against = [*against, *misfits(found, settings)]
    previous = seen.before(found.digest)
    it = Undertaking(
        kind="deploy",
        scenario=chosen.command,
        told=chosen,
        settings=settings,
        newest=newest,
        versions={"release": found.digest, "release_before": previous[newest.active]},
        warnings=[f"--unsafe, {chosen.unsafe}: {text}" for text in passed],
    )
    steps = Steps(_world(it, stacks), found.digest, seen.configured, previous)
    it.undo = steps.take_back
    plan = Plan(
        steps=tuple(steps.all()),
        against=(*seen.against, *found.against, *against),
        warnings=(*it.warnings, *(["the schema stays as it is"] if back else [])),
    )
    return _agreed(it, plan, found)


def _agreed(it: Undertaking, plan: Plan, found: Candidate) -> ExitCode:
    chosen = it.told
    print(
        f"{chosen.command} of release {found.digest[:12]}, region {it.newest.active} is active, {len(found.new)} new migrations"
    )
    remedy = "nothing was changed; mend them (of migrations: expand now, contract with a later release, or --unsafe with the reason), and run the same again"
    if it.agreed(plan, f"{chosen.command} of release {found.digest[:12]}", remedy):
        with quiet(
            it.settings, Kind.DEPLOY, it.newest.active, why=" ".join(filter(None, (found.digest[:12], chosen.reason)))
        ):
            it.carry_out(plan)
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
    """The release to go back to: what else runs where a deploy was left in its middle, and what the last one has recorded otherwise. Raises DrError."""
    now = seen.configured[SITES[0]]
    others = sorted(seen.older - {*seen.configured.values()})
    if len(others) == 1 and _DIGEST.fullmatch(now):
        return others[0]
    if len(others) > 1:
        raise Refused(
            f"rollback: hosts run {', '.join(it[:12] for it in others)} beside what is configured, wanted one; nothing was changed; name the one that is "
            "wanted: `drctl deploy`"
        )
    records = book.opened(ReportBucket(documents.witness(settings)), settings).records
    for signed in reversed(records):
        event = signed.record.event
        if signed.record.kind == "deploy" and event is not None and event.versions.get("release") == now:
            release = event.versions.get("release_before", "")
            if _DIGEST.fullmatch(release) and release != now:
                return release
    raise Refused(
        f"rollback: no deploy of {shown(now[:12])} with a release before it is recorded, wanted one that lies in the buckets; nothing was changed; name it: "
        "`drctl releases list`, `drctl deploy`"
    )


def _known(store: Store, seen: Seen) -> set[str]:
    """Migrations that every release at work has; none of one that lies in no bucket."""
    known: set[str] | None = None
    for digest in seen.older:
        names = of_release(store.files(digest))
        known = names if known is None else known & names
    return known or set()


def _world(it: Undertaking, stacks: Mapping[str, Stack]) -> World:
    return World(
        stacks=stacks,
        active=lambda: in_force(it.settings).active,
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
