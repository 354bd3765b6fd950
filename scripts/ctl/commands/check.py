"""`drctl check`: whether the shop could be moved now, and whether it could be lost: every check of the table, for people, Nagios and CI."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from components.render import documents
from contract.checked import Checked
from contract.errors import ExitCode
from contract.plain import phrase
from contract.sites import SITES
from contract.version import VERSION
from scripts.clients import trail
from scripts.clients.check_bucket import CheckBucket
from scripts.ctl import output
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey import metrics
from scripts.ctl.survey.asking import look
from scripts.ctl.survey.checks import ROWS, judge
from scripts.ctl.survey.checks.row import Finding, State, counted
from scripts.ctl.survey.deep import Stacks
from scripts.ctl.survey.document import document
from scripts.ctl.survey.seen import Survey

FORMS = ("text", "json", "nagios", "junit")
NAGIOS = {State.OK: 0, State.WARN: 1, State.FAIL: 2, State.UNKNOWN: 3}
_WORST = (State.FAIL, State.UNKNOWN, State.WARN, State.OK)
LONGEST = 400
CHECK_S = 8.0  # it asks for more than a screen does, and what is slow is not to be an alarm


def run(chosen: argparse.Namespace) -> int:
    """Exit code 0 when all is well, 3 when something is not: a planned move would be refused by what blocks. With `nagios` that of a plugin.

    Raises DrError.
    """
    if chosen.list:
        for row in ROWS:
            print(f"{row.id:28s} {row.severity:7s} {row.about}; wanted: {row.wanted}")
        return ExitCode.DONE
    stack = Stack.chosen(chosen)
    settings = stack.settings()
    survey = look(settings, limit_s=CHECK_S, stacks=_stacks(stack, chosen))
    findings = judge(survey, settings)
    _tell(chosen, survey, findings)
    if chosen.metrics:
        metrics.write(chosen.metrics, findings, at=survey.at, took_s=survey.took_s)
    if chosen.record:
        CheckBucket(documents.witness(settings)).record_check(_checked(findings))
    if chosen.form == "nagios":
        return NAGIOS[worst(findings)]
    return ExitCode.DONE if worst(findings) is State.OK else ExitCode.REFUSED


def _stacks(stack: Stack, chosen: argparse.Namespace) -> Stacks:
    """Both, the one that was named under its own name."""
    names = {site: chosen.stacks.replace("{site}", site) for site in SITES}
    return Stacks(project=stack.project, names={**names, chosen.site or SITES[0]: stack.name})


def _tell(chosen: argparse.Namespace, survey: Survey, findings: Sequence[Finding]) -> None:
    if chosen.form == "json":
        output.write_json(document(survey, findings), "the checks")
    else:
        told = {"text": _text, "nagios": _nagios, "junit": _junit}[chosen.form]
        for line in told(findings):
            print(line)


def _checked(findings: Sequence[Finding]) -> Checked:
    """What is left at the witness: counts and ids."""
    found = Counter(it.state for it in findings)
    return Checked(
        who=trail.who(os.environ),
        place=trail.place(os.environ),
        version=VERSION,
        ok=found[State.OK],
        warn=found[State.WARN],
        fail=found[State.FAIL],
        unknown=found[State.UNKNOWN],
        wrong=tuple(dict.fromkeys(it.id for it in findings if it.state is not State.OK)),
    )


def worst(findings: Sequence[Finding]) -> State:
    """Of all of them; unknown is worse than a warning, because nobody knows what it hides."""
    return min((it.state for it in findings), key=_WORST.index, default=State.UNKNOWN)


def _text(findings: Sequence[Finding]) -> Iterator[str]:
    for it in findings:
        if it.state is State.OK:
            yield phrase(f"ok       {it.id}  {it.subject}: {it.found}", LONGEST)
        else:
            blocks = " (blocks a planned move)" if it.blocks else ""
            yield phrase(f"{it.state:8s} {it.sentence(blocks)}", LONGEST)
    yield _counted(findings)


def _counted(findings: Sequence[Finding]) -> str:
    blocking = len({it.id for it in findings if it.blocks})
    return f"{counted(findings)}; {f'a planned move would be refused by {blocking}' if blocking else 'nothing blocks a planned move'}"


def _nagios(findings: Sequence[Finding]) -> Iterator[str]:
    """One line with what is worst, the others below it."""
    state = worst(findings)
    bad = [it for it in findings if it.state is not State.OK]
    word = {State.OK: "OK", State.WARN: "WARNING", State.FAIL: "CRITICAL", State.UNKNOWN: "UNKNOWN"}[state]
    yield phrase(f"DR {word} - {_counted(findings)}".replace("|", "/"), LONGEST)
    for it in bad:
        yield phrase(f"{it.state}: {it.id} {it.subject}: {it.found}; {it.next}".replace("|", "/"), LONGEST)


def _junit(findings: Sequence[Finding]) -> Iterator[str]:
    def attributes(**told: Any) -> str:
        return " ".join(f"{name}={quoteattr(phrase(str(value), LONGEST))}" for name, value in told.items())

    bad = sum(it.state in (State.FAIL, State.WARN) for it in findings)
    unsure = sum(it.state is State.UNKNOWN for it in findings)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<testsuite {attributes(name='drctl check', tests=len(findings), failures=bad, errors=unsure)}>"
    for it in findings:
        case = f"<testcase {attributes(classname=it.id, name=it.subject)}"
        kind = "error" if it.state is State.UNKNOWN else "failure"
        said = f"{it.found}, wanted {it.wanted}; {it.next}"
        yield (
            f"{case}/>"
            if it.state is State.OK
            else f"{case}><{kind} {attributes(type=it.state, message=said)}/></testcase>"
        )
    yield "</testsuite>"
