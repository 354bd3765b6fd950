"""Checks of who is whom: witness, roles, leases, and the configuration that both regions run with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from contract.agreement import ROLLED, digests
from contract.hosts import KINDS
from scripts.clients.run_lease import over, told
from scripts.ctl.survey.checks.row import Row, Severity, Sight, Verdict, ago, each, judged, unknown

BLOCKS, WARNS = Severity.BLOCKS, Severity.WARNS
BEATS = 3  # missed in a row


def _epoch(at: Sight) -> Iterator[Verdict]:
    newest = at.survey.newest
    if not newest.known:
        yield unknown("witness", newest.why)
    elif newest.value is None:
        yield Verdict(subject="witness", holds=False, found="no epoch: nothing was brought up")
    else:
        yield Verdict(
            subject="witness", holds=True, found=f"epoch {newest.value.epoch}, region {newest.value.active} active"
        )


def _known(pick: Any, subject: str, holds: Any, words: Any) -> Any:
    """A judge of one value of the survey."""

    def judge(at: Sight) -> Iterator[Verdict]:
        word = pick(at.survey)
        yield (
            unknown(subject, word.why)
            if not word.known or word.value is None
            else judged(subject, word.value, holds, words)
        )

    return judge


def _tried(holds: Any, words: Any) -> Any:
    """A judge of what the witness's store has done with an object that nobody needs."""

    def judge(at: Sight) -> Iterator[Verdict]:
        word = None if at.survey.deep is None else at.survey.deep.witness
        if word is None or word.value is None or holds(word.value) is None:
            yield unknown("witness", "" if word is None else word.why)
        else:
            yield judged("witness", word.value, holds, words)

    return judge


def _trail(at: Sight) -> Iterator[Verdict]:
    last = at.survey.last
    if not last.known:
        yield unknown("audit trail", last.why)
    else:
        it = last.value
        yield Verdict(
            subject="audit trail",
            holds=it is not None,
            found=f"{it.number} entries, the last: {it.what} at {it.at}" if it else "empty",
        )


def _own_epoch(at: Sight) -> Iterator[Verdict]:
    """Who knows of a newer epoch than the witness has seen one that was lost there."""
    for name, _, word in at.hosts():
        it = word.value
        if at.epoch is None or it is None:
            yield unknown(name, word.why or at.survey.newest.why)
        elif it.role is not None and it.role.epoch is not None:
            found = f"{it.role.role} of epoch {it.role.epoch}"
            yield Verdict(subject=name, holds=it.role.epoch == at.epoch.epoch, found=found)


def _followed(at: Sight) -> Iterator[Verdict]:
    standby = at.survey.standby
    if standby is None or at.epoch is None or not standby.followed.known:
        yield unknown("standby", standby.followed.why if standby else at.survey.newest.why)
    else:
        it = standby.followed.value
        yield Verdict(subject="standby", holds=it == at.epoch.epoch, found="never" if it is None else f"epoch {it}")


def _agents(of: Any, holds: Any, words: Any = str) -> Any:
    """A judge of the agent on each host that keeps a lease."""
    kinds = tuple(name for name, kind in KINDS.items() if kind.leased)

    def judge(at: Sight) -> Iterable[Verdict]:
        if at.settings.lease is None:
            return [Verdict(subject="leases", holds=True, found="off (dr:lease)")]
        return each(at.hosts(*kinds), lambda it: it.agent and of(it.agent), partial(holds, at), words)

    return judge


def _beats(at: Sight) -> Iterator[Verdict]:
    if at.settings.lease is None:
        yield Verdict(subject="heartbeats", holds=True, found="off (dr:lease)")
        return
    for region in at.regions():
        for name, word in region.beats.items():
            if word.value is None:
                yield unknown(f"{name}.{region.site}", word.why or "has never written one")
            else:
                age = word.value.age_s
                yield Verdict(
                    subject=f"{name}.{region.site}",
                    holds=age <= BEATS * at.settings.lease.heartbeat_s + 1,
                    found=ago(age),
                )


def _terms(at: Sight) -> Iterator[Verdict]:
    if at.settings.lease is None:
        yield Verdict(subject="leases", holds=True, found="off (dr:lease)")
        return
    for region in at.regions():
        for name, word in region.beats.items():
            terms = None if word.value is None else word.value.terms
            yield judged(
                f"{name}.{region.site}",
                terms,
                lambda it: it == at.settings.lease,
                lambda it: f"lease_s {it.lease_s}, heartbeat_s {it.heartbeat_s}",
            )


def _granted(at: Sight) -> Iterator[Verdict]:
    """A primary lives on the witness's word or on its counterpart's: both have to be there before one may go."""
    active = at.survey.active
    if at.settings.lease is None or active is None:
        yield (
            unknown("leases", at.survey.newest.why)
            if at.settings.lease
            else Verdict(subject="leases", holds=True, found="off (dr:lease)")
        )
        return
    for name in active.beats:
        it = active.host(name)
        agent = None if it is None else it.agent
        yield judged(f"{name}.{active.site}", agent and agent.counterpart, lambda it: it == "grants")


def _agrees(at: Sight) -> Iterator[Verdict]:
    own = digests(at.settings)
    for region in at.regions():
        word, subject = region.record, f"last run of region {region.site}"
        if word.value is None:
            yield unknown(subject, word.why or "has left no digests")
            continue
        names = {*own, *word.value.keys} - ROLLED  # of which `release.parity` tells
        wrong = sorted(name for name in names if own.get(name) != word.value.keys.get(name))
        yield Verdict(
            subject=subject,
            holds=not wrong,
            found=f"differs in {', '.join(wrong[:6])}" if wrong else f"{len(own)} keys alike",
        )


def _runs(at: Sight) -> Iterator[Verdict]:
    """A run that was killed says nothing at its end: what it has begun is left, and often pulumi's lock."""
    for region in at.regions():
        subject = f"newest run of region {region.site}"
        word = region.run.value
        if word is None:
            yield unknown(subject, region.run.why)
        elif word.run is None or word.run.ended:
            yield Verdict(subject=subject, holds=True, found="has ended")
        else:
            state = "has ended without a word" if over(word) else "is at work"
            yield Verdict(subject=subject, holds=not over(word), found=f"{told(word)} {state}")


def _words(at: Sight) -> Iterator[Verdict]:
    armed = sorted(name for name, word in at.settings.words.items() if word is not None)
    yield Verdict(subject="dr:accept", holds=not armed, found=", ".join(armed) or "none set")


ROWS = (
    Row(
        id="witness.answers",
        severity=BLOCKS,
        about="the witness says which region is active",
        judge=_epoch,
        wanted="an epoch in force",
        next="see whether the third region has an outage",
    ),
    Row(
        id="witness.epochs",
        severity=BLOCKS,
        about="no epoch was written over",
        judge=_known(lambda it: it.epochs, "epochs", lambda it: it == 0, lambda it: f"{it} in several versions"),
        wanted="each written once",
        next="docs/failover.md, `The witness has lost its epochs`",
    ),
    Row(
        id="witness.lock",
        severity=WARNS,
        about="what is written there stays",
        judge=_known(lambda it: it.locked, "witness", bool, lambda it: "locked" if it else "not locked"),
        wanted="object lock in compliance mode",
        next="docs/restore.md, what a stolen key can do",
    ),
    Row(
        id="witness.conditions",
        severity=BLOCKS,
        about="its store takes no write twice, so no epoch has two owners",
        judge=_tried(
            lambda it: it.conditional, lambda it: "refuses a second create" if it.conditional else "TAKES TWO"
        ),
        wanted="a second create refused",
        next="a bucket of a store that honours If-None-Match, for both stacks (dr:witness); no move before that",
        deep=True,
    ),
    Row(
        id="witness.versioning",
        severity=WARNS,
        about="what is stored over there stays as an older version",
        judge=_tried(
            lambda it: it.versioned, lambda it: "keeps old versions" if it.versioned else "keeps no old version"
        ),
        wanted="versions kept",
        next="switch versioning on at the platform (PutBucketVersioning, or the bucket's page)",
        deep=True,
    ),
    Row(
        id="witness.moves",
        severity=WARNS,
        about="no move was begun and left",
        judge=_known(
            lambda it: it.unsettled, "moves away from the active region", lambda it: it == 0, lambda it: f"{it} begun"
        ),
        wanted="none",
        next="pulumi up for the active region",
    ),
    Row(
        id="audit.trail",
        severity=WARNS,
        about="who has done what is kept",
        judge=_trail,
        wanted="entries",
        next="drctl audit verify",
    ),
    Row(
        id="role.epoch",
        severity=BLOCKS,
        about="every host has its role of the epoch in force",
        judge=_own_epoch,
        wanted="the witness's epoch",
        next="pulumi up for that region; where a host knows a newer one than the witness: docs/failover.md, `The witness has lost its epochs`",
    ),
    Row(
        id="role.followed",
        severity=BLOCKS,
        about="the standby was seen following in this epoch",
        judge=_followed,
        wanted="the epoch in force",
        next="pulumi up for the standby",
    ),
    Row(
        id="lease.agent",
        severity=WARNS,
        about="agents are at work",
        judge=_agents(lambda it: it.running, lambda at, it: bool(it), lambda it: "at work" if it else "down"),
        wanted="at work",
        next="systemctl status dr-agent on that host",
    ),
    Row(
        id="lease.heartbeat",
        severity=BLOCKS,
        about="hosts are heard at the witness",
        judge=_beats,
        wanted="a heartbeat of the last seconds",
        next="dr-host agent status on that host",
    ),
    Row(
        id="lease.terms-agree",
        severity=WARNS,
        about="hosts keep the configured terms",
        judge=_terms,
        wanted="those of dr:lease",
        next="pulumi up for that region",
    ),
    Row(
        id="lease.witness",
        severity=WARNS,
        about="agents reach the witness",
        judge=_agents(lambda it: it.witness, lambda at, it: it == "answers"),
        wanted="answers",
        next="dr-host agent status on that host",
    ),
    Row(
        id="lease.counterpart",
        severity=WARNS,
        about="the active region's hosts are granted their lease by the other one's, too",
        judge=_granted,
        wanted="grants",
        next="dr-host agent status on both; see the network between the regions",
    ),
    Row(
        id="config.agrees",
        severity=BLOCKS,
        about="both regions ran last with this configuration",
        judge=_agrees,
        wanted="the same",
        next="pulumi up for that region",
    ),
    Row(
        id="run.ended",
        severity=WARNS,
        about="no run was killed before its end",
        judge=_runs,
        wanted="its own word that it is over, or one that is at work",
        next="drctl unlock for that site, then pulumi up there",
    ),
    Row(
        id="accept.left-over",
        severity=WARNS,
        about="no word of the operator's is left armed",
        judge=_words,
        wanted="none",
        next="pulumi config rm dr:accept",
    ),
)
