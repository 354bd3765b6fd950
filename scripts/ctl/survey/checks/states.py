"""Checks of Pulumi's states: where they lie, what holds them, what of the platform they miss, and their copies. Asked by `drctl check` alone."""

from __future__ import annotations

from collections.abc import Iterator

from contract.names import server_name
from contract.sites import SITES
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, ago, unknown

WARNS = Severity.WARNS
LOCK_S = 3600.0  # no run is as long
COPY_S = 26 * 3600.0  # one a day, and time to make it


def _drift(at: Sight) -> Iterator[Verdict]:
    """By ids: a server that somebody has made anew under its old name is another one."""
    for site in SITES:
        subject, deep = f"servers of region {site}", at.survey.deep
        if deep is None or (state := deep.states[site]).value is None or (listed := deep.listed[site]).value is None:
            yield unknown(subject, "" if deep is None else deep.states[site].why or deep.listed[site].why)
            continue
        own = {server_name(at.settings.project, site, it.name) for it in at.settings.hosts_of(site).values()}
        there = {it.id: it.name for it in listed.value}
        wrong = [f"{name} ({it}) is not there" for it, name in state.value.servers.items() if it not in there]
        wrong += [
            f"{name} ({it}) is not of the stack"
            for it, name in there.items()
            if name in own and it not in state.value.servers
        ]
        yield Verdict(
            subject=subject, holds=not wrong, found=", ".join(wrong) or f"{len(state.value.servers)} as in the state"
        )


def _backend(at: Sight) -> Iterator[Verdict]:
    kept = None if at.survey.deep is None else at.survey.deep.backend
    if kept is None or kept.value is None:
        yield unknown("backend", "" if kept is None else kept.why)
        return
    told = {
        True: "keeps old versions",
        False: "keeps no old version",
        None: "does not say whether it keeps old versions",
    }
    holds = True if at.settings.lab else kept.value.versioned  # a rehearsal may have it in a folder
    yield Verdict(subject=kept.value.place, holds=holds, found=f"answers, {told[kept.value.versioned]}")


def _locks(at: Sight) -> Iterator[Verdict]:
    for site in SITES:
        subject, deep = f"stack of region {site}", at.survey.deep
        locks = None if deep is None else deep.locks[site]
        if locks is None or locks.value is None:
            yield unknown(subject, "" if locks is None else locks.why)
            continue
        ages = [(it, None if it.since is None else max(at.now - it.since, 0.0)) for it in locks.value]
        told = [f"{it.who}, {'nobody knows since when' if age is None else ago(age)}" for it, age in ages]
        holds = all(age is not None and age <= LOCK_S for _, age in ages)
        yield Verdict(subject=subject, holds=holds, found=f"locked by {'; '.join(told)}" if told else "not locked")


def _copies(at: Sight) -> Iterator[Verdict]:
    """A copy that is younger than the state is all that there is, however old it is."""
    for site in SITES:
        subject, deep = f"state of region {site}", at.survey.deep
        if deep is None or not deep.copies[site].known:
            yield unknown(subject, "" if deep is None else deep.copies[site].why)
            continue
        made, changed = deep.copies[site].value, deep.states[site].part(lambda it: it.changed)
        if made is None:
            yield Verdict(subject=subject, holds=False, found="was never copied")
            continue
        recent = at.now - made <= COPY_S or (None if changed is None else made >= changed)
        since = "" if changed is None or made >= changed else ", and it has changed since"
        yield Verdict(subject=subject, holds=recent, found=f"copied {ago(max(at.now - made, 0.0))}{since}")


ROWS = (
    Row(
        id="stack.drift",
        severity=WARNS,
        about="the platform has the servers of each stack's state, by their ids",
        judge=_drift,
        wanted="those, and no other of their names",
        next="pulumi refresh --preview-only for that stack",
        deep=True,
    ),
    Row(
        id="state.backend",
        severity=WARNS,
        about="Pulumi's backend answers, and keeps what is stored over",
        judge=_backend,
        wanted="a versioned bucket that answers",
        next="docs/configuration.md, Pulumi's state",
        deep=True,
    ),
    Row(
        id="state.lock",
        severity=WARNS,
        about="no run that was killed holds a stack's lock",
        judge=_locks,
        wanted="none older than an hour",
        next="drctl unlock for that site",
        deep=True,
    ),
    Row(
        id="state.backup",
        severity=WARNS,
        about="how old the newest copy of each stack's state at the witness is",
        judge=_copies,
        wanted="within 26 h, or since the state has changed",
        next="drctl state backup",
        deep=True,
    ),
)
