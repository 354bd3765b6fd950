"""`drctl rotate KIND`: secrets are renewed in both regions while the shop sells; what was good before opens nothing afterwards.

Exit codes: 0 done; 3 refused, nothing was changed; 4 stopped part-way, both regions let in what the other one shows, the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from components.render.links import ssh
from components.settings import Settings
from contract import fields
from contract.answers import PostgresLogins
from contract.errors import ExitCode, Refused, Usage
from contract.hosts import DATABASE, first
from contract.rotation import KEEP_DAYS, OLD_DAYS
from contract.sites import SITES
from scripts.clients.hosts import Hosts, Unreachable
from scripts.ctl.beginning.plan import Plan
from scripts.ctl.moves.recorded import Undertaking, close_killed, in_force
from scripts.ctl.moves.rotation import Steps, World
from scripts.ctl.output import say
from scripts.ctl.persons.reach import bastions
from scripts.ctl.stacks.secrets import names_of
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import judge

LOOK_S, ASK_S = 15.0, 20
# Beside what a move is limited to: keys that a run makes, or takes away.
ALSO: Mapping[str, tuple[str, ...]] = {"buckets": ("**:S3Credential::**",)}


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    if chosen.keep_days is not None and not 0 <= chosen.keep_days <= OLD_DAYS:
        raise Usage(
            f"--keep-days: found {chosen.keep_days}, wanted 0 to {OLD_DAYS}; nothing was changed; say for how many days what was signed before is to be good"
        )
    stacks = Stack.both(chosen)
    settings = stacks[SITES[0]].settings()
    close_killed(settings, chosen)
    newest = in_force(settings)
    it = Undertaking(kind="rotation", scenario=f"rotate {chosen.kind}", told=chosen, settings=settings, newest=newest)
    world = _world(it, stacks)
    steps = Steps.found(chosen.kind, world)
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


def _world(it: Undertaking, stacks: Mapping[str, Stack]) -> World:
    kind = it.told.kind
    return World(
        stacks=stacks,
        active=lambda: in_force(it.settings).active,
        up=lambda site, request: it.up(stacks[site], request, ALSO.get(kind, ())),
        open_logins=lambda site: _open_logins(it.settings, site),
        names=names_of(it.settings),
        keep_days=KEEP_DAYS.get(kind, 0) if it.told.keep_days is None else it.told.keep_days,
        say=say,
    )


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
