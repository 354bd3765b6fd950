"""`drctl rotate KIND`: secrets are renewed in both regions while the shop sells; what was good before opens nothing afterwards.

Exit codes: 0 done; 3 refused, nothing was changed; 4 stopped part-way, both regions let in what the other one shows, the same command goes on.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from components.render.links import ssh
from components.settings import Settings
from contract import fields
from contract.access import Ovh
from contract.answers import PostgresLogins
from contract.buckets import Bucket
from contract.errors import ExitCode, Refused, Usage
from contract.forms import is_id
from contract.hosts import DATABASE, first
from contract.plain import shown
from contract.rotation import KEEP_DAYS, KINDS, OLD_DAYS
from contract.sites import SITES
from scripts.clients.hosts import Hosts, Unreachable
from scripts.clients.ovh import OvhApi
from scripts.ctl.beginning import answers as given
from scripts.ctl.beginning.account import Third
from scripts.ctl.beginning.credentials import INIT_KEY
from scripts.ctl.beginning.plan import Plan
from scripts.ctl.moves.recorded import Undertaking, close_killed, in_force
from scripts.ctl.moves.rotation import Platform, Steps, World
from scripts.ctl.moves.witness_keys import WitnessKeys
from scripts.ctl.output import log, say
from scripts.ctl.persons.reach import bastions
from scripts.ctl.stacks.secrets import names_of
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import judge

LOOK_S, ASK_S = 15.0, 20
ALL_S = 300.0  # of the OVHcloud API, for all that one step asks it
WITNESS = "witness"  # the kind of which the platform makes the keys
# Beside what a move is limited to: keys that a run makes, or takes away.
ALSO: Mapping[str, tuple[str, ...]] = {"buckets": ("**:S3Credential::**",)}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    if not KINDS[chosen.kind].rotated:
        raise Refused(
            f"rotation of {chosen.kind}: is none of this command's, wanted one of {', '.join(name for name, kind in KINDS.items() if kind.rotated)}; nothing "
            f"was changed; it is renewed {KINDS[chosen.kind].how}; see docs/rotation.md, Every kind"
        )
    if chosen.keep_days is not None and not 0 <= chosen.keep_days <= OLD_DAYS:
        raise Usage(
            f"--keep-days: found {chosen.keep_days}, wanted 0 to {OLD_DAYS}; nothing was changed; say for how many days what was signed before is to be good"
        )
    stacks = Stack.both(chosen)
    settings = stacks[SITES[0]].settings()
    close_killed(settings, chosen)
    newest = in_force(settings)
    it = Undertaking(kind="rotation", scenario=f"rotate {chosen.kind}", told=chosen, settings=settings, newest=newest)
    platform = _platform(chosen, settings) if chosen.kind == WITNESS else None
    world = _world(it, stacks, platform)
    steps = Steps.found(chosen.kind, world)
    if platform is not None:
        platform.owners(stacks[SITES[0]].secrets())  # what is refused is refused before anybody agrees
    plan = Plan(steps=tuple(steps.all()), against=_against(settings), warnings=())
    begun = "goes on" if steps.under_way else "begins"
    print(f"rotation of {chosen.kind} {begun}, region {newest.active} is active")
    remedy = "a region that is not reached would be shut out, so nothing was changed; mend them, and run the same again"
    if it.agreed(plan, f"rotation of {chosen.kind}", remedy):
        it.carry_out(plan)
        print(
            f"{chosen.kind} is rotated in both regions; keep a copy of the new set of secrets where the old one lay (docs/beginning.md, What to keep)"
        )
    return ExitCode.DONE


def _against(settings: Settings) -> tuple[str, ...]:
    """Whatever stands against a planned move: the two regions must hear each other, and each its run."""
    return tuple(it.sentence() for it in judge(look(settings, limit_s=LOOK_S), settings) if it.blocks)


def _world(it: Undertaking, stacks: Mapping[str, Stack], platform: Platform | None) -> World:
    kind = it.told.kind

    def active() -> str:
        """By the keys of now: those with which this run has begun may be deleted before it ends, and its record is put behind that."""
        it.settings = stacks[SITES[0]].settings()
        return in_force(it.settings).active

    return World(
        stacks=stacks,
        active=active,
        platform=platform,
        up=lambda site, request: it.up(stacks[site], request, ALSO.get(kind, ())),
        open_logins=lambda site: _open_logins(it.settings, site),
        names=names_of(it.settings),
        keep_days=KEEP_DAYS.get(kind, 0) if it.told.keep_days is None else it.told.keep_days,
        say=say,
    )


def _platform(chosen: argparse.Namespace, settings: Settings) -> WitnessKeys:
    """Raises Usage, Refused."""
    environment, keys = os.environ, settings.secrets.ovh
    if not environment.get(INIT_KEY):
        raise Usage(
            f"{INIT_KEY}: is not set, wanted a consumer key that may make and delete keys of the witness's users: the program's own may not, on purpose; "
            "nothing was changed; `drctl init --rights` prints its rules, and OVH_APPLICATION_KEY and OVH_APPLICATION_SECRET are those of its application, "
            "where that is another one than the program's"
        )
    account = Ovh(
        endpoint=settings.ovh.endpoint,
        application_key=environment.get("OVH_APPLICATION_KEY") or keys.application_key,
        application_secret=environment.get("OVH_APPLICATION_SECRET") or keys.application_secret,
        consumer_key=environment[INIT_KEY],
    )
    log.know(account)
    project = chosen.project or _project(chosen.folder, settings)
    if not is_id(project):
        raise Usage(
            f"--project: found {shown(project)}, wanted the id of a Public Cloud project; nothing was changed; the Control Panel shows it"
        )
    return WitnessKeys(
        third=lambda: Third(OvhApi(account, all_s=ALL_S), project, settings.witness.region),
        place=lambda told: Bucket(**vars(settings.witness), **_pair(told)),
    )


def _pair(told: Mapping[str, str]) -> dict[str, str]:
    return {name: told[name] for name in ("access_key", "secret_key")}


def _project(folder: Path, settings: Settings) -> str:
    """Of the witness's users: as `drctl init` was answered, else the shop's own. Raises Usage."""
    kept = folder / given.FILE
    if not kept.exists():
        return settings.service_name
    answers, faults = given.read(given.given(kept, []))
    if answers is None:
        raise Usage(
            f"file {kept}: {'; '.join(map(str, faults))} Wanted the project of the witness's users from it; nothing was changed; mend it, or name the project "
            "with --project"
        )
    return answers.third_project


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
