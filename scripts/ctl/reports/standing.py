"""How records stand to each other: who has signed off which. Pure.

A sign-off counts where it is of an earlier record as that is stored, by a person's key, and that person has neither run nor recorded it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contract.checks import integer, listing, one_of, optional, text
from contract.dataclass import dataclass
from contract.fields import key
from contract.forms import PHRASE, SECONDS
from contract.objectives import PROGRAM
from contract.report import DEFICIENCY, EVENTS, MOST_NUMBER, RECORDS, SHA256, SIGN_OFF, TIME, Signed


@dataclass(frozen=True, kw_only=True)
class Brief:
    """A record whose signature holds, in short."""

    number: int = key(integer(1, MOST_NUMBER), "its place in the chain")
    kind: str = key(one_of(*EVENTS, SIGN_OFF, DEFICIENCY), "what it is of")
    at: str = key(TIME, "when the event began, or the record was made")
    digest: str = key(SHA256, "of its object")
    signer: str = key(PHRASE, "by whose key")
    scenario: str = key(PHRASE, "of an event", default="")
    outcome: str = key(PHRASE, "of an event", default="")
    rto_s: float | None = key(optional(SECONDS), "recovery time that was measured", default=None, unit="s")
    outage_s: float | None = key(optional(SECONDS), "how long no order was taken, by samples", default=None, unit="s")
    runners: tuple[str, ...] = key(listing(PHRASE), "who has run or recorded it, by any of their names", default=())
    of: int | None = key(optional(integer(1, MOST_NUMBER)), "the record that it is about", default=None)
    of_digest: str = key(text(r"([0-9a-f]{64})?", "a SHA-256, or nothing"), "of that one's object", default="")


def brief(it: Signed) -> Brief:
    record, event = it.record, it.record.event
    return Brief(
        number=it.number,
        kind=record.kind,
        at=event.began if event else record.at,
        digest=it.digest,
        signer=record.signer,
        scenario=event.scenario if event else "",
        outcome=event.outcome if event else "",
        rto_s=event.rto.measured_s if event and event.rto else None,
        outage_s=event.outage.measured_s if event and event.outage else None,
        runners=tuple(sorted({*_names(event.ran_by), *_names(record.who)})) if event else (),
        of=record.of,
        of_digest=record.signoff.digest if record.signoff else "",
    )


def _names(said: str) -> set[str]:
    """By which the one who is told of may be known: with and without time, user and machine behind it."""
    name = said.partition(" (")[0].strip().casefold()
    return {name, name.partition("+")[0], name.partition("@")[0]} - {""}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """`signed`: by the number of a record, who has signed it off; `counted`: numbers of the sign-offs that count."""

    signed: Mapping[int, tuple[str, ...]]
    counted: frozenset[int]
    breaks: tuple[str, ...]


def stand(records: Sequence[Brief]) -> Standing:
    """`breaks`: a sentence for each sign-off and deficiency that is of no record, or is none."""
    events = {it.number: it for it in records if it.kind in EVENTS}
    signed, counted, breaks = dict[int, tuple[str, ...]](), set[int](), list[str]()
    for it in records:
        if it.of is None:
            continue
        if why := against(it, events.get(it.of)):
            breaks.append(f"{RECORDS.name_of(it.number)}: found a {it.kind} of record {it.of} {why}; it does not count")
        elif it.kind == SIGN_OFF:
            counted.add(it.number)
            signed[it.of] = (*signed.get(it.of, ()), it.signer)
    return Standing(signed=signed, counted=frozenset(counted), breaks=tuple(breaks))


def against(it: Brief, of: Brief | None) -> str:
    """Why a record about another one is none; empty where it is."""
    if of is None or of.number >= it.number:
        return "which is no event before it, wanted one"
    if it.kind != SIGN_OFF:
        return ""
    if it.of_digest != of.digest:
        return f"with digest {it.of_digest or 'none'}, wanted {of.digest}: one of the two was changed"
    if it.signer == PROGRAM:
        return "by the program's key, wanted a person's"
    if it.signer.casefold() in of.runners:
        return f"by {it.signer}, who has run or recorded it, wanted somebody else"
    return ""
