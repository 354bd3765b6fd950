"""Checks of what is kept of moves, drills, deploys and rotations: whether somebody stands for it, and how long ago the last rehearsal was."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence

from contract.objectives import DRILL_DAYS
from contract.report import CERTIFICATES, EVENTS
from scripts.ctl.reports.glance import Glance
from scripts.ctl.reports.standing import Brief
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, ago, unknown

WARNS = Severity.WARNS
RECENT_DAYS, DAY_S = 90, 86_400
MOVES = ("switchover", "failover", "failback")  # what has been moved and proven; `rejoin` and `abort` prove no move
ALONE = ("restore", CERTIFICATES)  # rehearsals that prove no move: each has an age of its own
MOST_NAMED = 5


def _of(judge: Callable[[Sight, Glance], Iterable[Verdict]], subject: str) -> Callable[[Sight], Iterable[Verdict]]:
    """A judge of the records, which knows nothing where nobody knows them."""

    def known(at: Sight) -> Iterable[Verdict]:
        word = at.survey.reports
        return [unknown(subject, word.why)] if word.value is None else judge(at, word.value)

    return known


def _unsigned(at: Sight, it: Glance) -> Iterator[Verdict]:
    recent = [one for one in it.records if one.kind in EVENTS and at.now - _seconds(one.at) <= RECENT_DAYS * DAY_S]
    bare = [one for one in recent if not it.signed.get(one.number)]
    named = ", ".join(f"{one.number} ({one.scenario})" for one in bare[-MOST_NAMED:])
    found = f"{len(bare)} of {len(recent)} not signed off: {named}" if bare else f"{len(recent)}, each signed off"
    yield Verdict(subject=f"records of {RECENT_DAYS} days", holds=not bare, found=found)
    first = it.breaks[0] if it.breaks else ""
    yield Verdict(
        subject="records at the witness",
        holds=not first,
        found=f"{len(it.breaks)} that do not hold: {first}" if first else f"{len(it.records)}, their signatures hold",
    )


def _waiting(at: Sight, it: Glance) -> Iterator[Verdict]:
    del at
    found = f"{it.waiting} wait here" if it.waiting else "none waits here"
    yield Verdict(subject="this machine", holds=not it.waiting, found=found)


def _drilled(at: Sight, it: Glance) -> Iterator[Verdict]:
    yield _aged(at, "rehearsal", [one for one in it.records if _drill(one) or _moved(one)])


def _certificates(at: Sight, it: Glance) -> Iterator[Verdict]:
    yield _aged(at, "certificates", [one for one in it.records if (one.kind, one.scenario) == ("drill", CERTIFICATES)])


def _aged(at: Sight, subject: str, records: Sequence[Brief]) -> Verdict:
    """By the newest of those that came to their end."""
    told = at.settings.reports
    days = told.drill_days if told else DRILL_DAYS
    newest = max((one for one in records if one.outcome == "done"), key=lambda one: _seconds(one.at), default=None)
    if newest is None:
        return Verdict(subject=subject, holds=False, found=f"none is recorded, wanted within {days} d")
    age = max(at.now - _seconds(newest.at), 0.0)
    return Verdict(
        subject=subject, holds=age <= days * DAY_S, found=f"{newest.scenario}, record {newest.number}, {ago(age)}"
    )


def _drill(it: Brief) -> bool:
    return it.kind == "drill" and it.scenario not in ALONE


def _moved(it: Brief) -> bool:
    return it.kind == "move" and it.scenario in MOVES


def _seconds(at: str) -> float:
    return datetime.datetime.fromisoformat(at).timestamp()


ROWS = (
    Row(
        id="report.unsigned",
        severity=WARNS,
        about="somebody else stands for each record of the last 90 days, and its signature holds",
        judge=_of(_unsigned, "records"),
        wanted="each signed off",
        next="drctl report show, then drctl report sign by somebody who has not run it; drctl report verify where one does not hold",
    ),
    Row(
        id="report.waiting",
        severity=WARNS,
        about="records of this machine are at the witness",
        judge=_of(_waiting, "this machine"),
        wanted="none that waits",
        next="drctl report push",
    ),
    Row(
        id="drill.age",
        severity=WARNS,
        about="how long ago the last recorded drill or move has come to its end",
        judge=_of(_drilled, "rehearsal"),
        wanted="within dr:reports.drill_days",
        next="drctl drill switchover, or another drill and drctl report add drill",
    ),
    Row(
        id="certs.rehearsed",
        severity=WARNS,
        about="how long ago it was proven that every certificate could be renewed, and would be taken",
        judge=_of(_certificates, "certificates"),
        wanted="within dr:reports.drill_days",
        next="drctl drill certificates",
    ),
)
