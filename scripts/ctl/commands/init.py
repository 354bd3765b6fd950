"""`drctl init`: from nothing to two stacks that `pulumi up` takes. The state of the world first, then a plan, then each step that is missing.

Exit codes: 0 done, or nothing to do; 2 answers or credentials are missing; 3 something stands against it, nothing was changed; 4 stopped part-way, the
same command goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from contract.beginning import Answers
from contract.errors import DrError, ExitCode, Partial, Refused, Usage
from scripts.ctl import output
from scripts.ctl.beginning import answers as given
from scripts.ctl.beginning import credentials as keys
from scripts.ctl.beginning.backend import Backend
from scripts.ctl.beginning.credentials import Credentials
from scripts.ctl.beginning.plan import Plan
from scripts.ctl.beginning.rights import wanted_rules
from scripts.ctl.beginning.steps import Steps, Wanted
from scripts.ctl.beginning.suggestions import suggestions
from scripts.ctl.beginning.world import look
from scripts.ctl.output import say
from scripts.ctl.stacks import configuration


def run(chosen: argparse.Namespace) -> ExitCode:
    """Raises DrError."""
    file = chosen.answers or _kept(chosen.folder)
    told = given.given(file, chosen.answer)
    asked = not chosen.rights and given.at_a_terminal() and _ask(told, chosen)
    answers, credentials = _whole(told, chosen)
    if chosen.rights:
        return _rights(answers)
    assert credentials is not None
    backend = Backend(answers, os.environ, Path.home())
    wanted = Wanted(answers=answers, credentials=credentials, folder=chosen.folder, provider=chosen.secrets_provider)
    plan = _planned(wanted, backend)
    print(f"{answers.host} in {answers.regions['a'].compute_region} and {answers.regions['b'].compute_region}")
    for line in plan.lines():
        print(line)
    _refuse(plan)
    if not plan.pending:
        print("all of it is there; nothing was changed")
        return ExitCode.DONE
    if chosen.dry_run:
        print(f"{len(plan.pending)} of {len(plan.steps)} steps would be made; nothing was changed")
        return ExitCode.DONE
    if not chosen.yes:
        otherwise = "look at the plan above, and agree with --yes"
        output.typed(answers.project, "Type the name of the project", otherwise, what="project")
    if asked:
        configuration.write({chosen.folder / given.FILE: given.text(told)})
    _make(plan)
    print(_next(backend))
    return ExitCode.DONE


def _planned(wanted: Wanted, backend: Backend) -> Plan:
    """Nothing is changed by it. Raises DrError."""
    world = look(wanted.answers, wanted.credentials, wanted.folder)
    backend.judge(world)
    against = tuple(world.against)
    # What is known of half a world is no plan.
    if against:
        return Plan(steps=(), against=against, warnings=tuple(world.warnings))
    steps = Steps(wanted, world, backend, say)
    return Plan(steps=tuple(steps.all()), against=(), warnings=(*world.warnings, *steps.warnings()))


def _kept(folder: Path) -> Path | None:
    """The answers of a former run."""
    found = folder / given.FILE
    return found if found.exists() else None


def _ask(told: dict[str, Any], chosen: argparse.Namespace) -> bool:
    endpoints = told.get("endpoints")
    endpoint = str(endpoints.get("ovh", "ovh-eu")) if isinstance(endpoints, dict) else "ovh-eu"
    credentials, _ = keys.read(os.environ, chosen.clouds, chosen.ovh_conf, endpoint, provider="none is needed yet")
    return given.ask(told, given.questions(suggestions(chosen.folder, endpoint, credentials)), output.hear)


def _whole(told: dict[str, Any], chosen: argparse.Namespace) -> tuple[Answers, Credentials | None]:
    """Both, or one refusal that names whatever is missing or wrong. Raises Usage."""
    answers, faults = given.read(told)
    credentials, missing = None, list[str]()
    if not chosen.rights:
        endpoint = answers.asked.ovh if answers is not None else "ovh-eu"
        credentials, missing = keys.read(
            os.environ, chosen.clouds, chosen.ovh_conf, endpoint, provider=chosen.secrets_provider
        )
    said = [str(fault) for fault in faults]
    if missing:
        said.append(
            f"{', '.join(missing)} not set; wanted the credentials of OpenStack and OVHcloud, and a passphrase of 20 or more characters for Pulumi's "
            "secrets. Export "
            "them, or name files with --clouds and --ovh-conf."
        )
    if answers is None or said:
        count = "an answer or a credential is" if len(said) == 1 else f"{len(said)} answers or credentials are"
        raise Usage("\n".join([f"{count} missing or wrong; nothing was changed:", *(f"  - {each}" for each in said)]))
    return answers, credentials


def _rights(answers: Answers) -> ExitCode:
    """The bodies of `POST /auth/credential` for both keys. Nobody is asked."""
    names = ("OVH_CONSUMER_KEY", "OVH_INIT_CONSUMER_KEY")
    made = {
        name: {"accessRules": [{"method": rule.method, "path": rule.path} for rule in rules]}
        for name, rules in zip(names, wanted_rules(answers), strict=True)
    }
    output.write_json(made, "the rights")
    if sys.stdout.isatty():
        print()
    return ExitCode.DONE


def _refuse(plan: Plan) -> None:
    """Raises Refused."""
    if plan.against:
        raise Refused(
            f"beginning: found {len(plan.against)} reasons against it, which are listed above, wanted none; nothing was changed; mend them and run "
            "the same again"
        )


def _make(plan: Plan) -> None:
    """Raises DrError; what is made stays, and is found by the next run."""
    pending = plan.pending
    for done, step in enumerate(pending):
        say(step.what)
        left = (
            f"(at: {step.what}); {done} of {len(pending)} steps are made and stay; the same command goes on from here"
        )
        try:
            step.act()
        except KeyboardInterrupt:
            raise Partial(f"beginning: was interrupted {left}") from None
        except DrError as error:
            if not done and not isinstance(error, Partial):
                raise
            raise Partial(f"{error} {left}") from None


def _next(backend: Backend) -> str:
    """What to type now."""
    first = ". ./state.env\n  " if backend.made else ""
    return (
        f"done. Next:\n  {first}pulumi preview -s region-a\n  pulumi up -s region-a, then pulumi up -s region-b\nKeep a copy of the secrets where "
        "neither region nor "
        "the state is: docs/beginning.md, What to keep"
    )
