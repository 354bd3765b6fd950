"""A record as one HTML page, and all of them as one: for an auditor, on paper as well."""

from __future__ import annotations

import json
from collections.abc import Iterator

from contract.report import Event, Figure, Record, Samples, Signed
from scripts.ctl.reports import drawing, words
from scripts.ctl.reports.book import Book
from scripts.ctl.reports.markup import Markup, listed, page, rows, section, table, tag
from scripts.ctl.reports.table import HEAD, cells

OPEN = "Unsigned, or not whole: what does not hold"


def one(book: Book, it: Signed, event: Event) -> str:
    """Of one event, with what others have recorded of it."""
    record, title = it.record, f"Record {it.number}: {event.scenario} of {event.began}"
    about = book.about(it.number)
    return page(
        title,
        tag("h1", title),
        _summary(book, it, event),
        section("Objectives", _objectives(event)),
        section("Who", _who(event, record)),
        section("Plan", rows({"digest": event.plan}), tag("pre", "\n".join(event.plan_lines)))
        if event.plan
        else Markup(""),
        _times(event),
        *(_met(samples) for samples in event.samples),
        section("Loss", rows(words.losses(event.loss))),
        section("Fence", *_fence(event)),
        section("Deviations", _or_none(event.deviations)),
        section("Errors and warnings", _or_none((*event.errors, *event.warnings))),
        section("Deficiencies", _deficiencies(event, about)),
        section("Sign-off", _signed(about)),
        section("Versions", rows(dict(event.versions))),
        section("Integrity", _integrity(book, it)),
    )


def history(book: Book) -> str:
    """All of them, the newest first."""
    lines = [[_marked(*it) for it in cells(book, signed)] for signed in reversed(book.records) if signed.record.event]
    broken = section(OPEN, listed(book.breaks)) if book.breaks else Markup("")
    title = "Moves, drills, deploys and rotations"
    return page(title, tag("h1", title), broken, table(HEAD, lines), tag("p", f"head {book.head or 'none'}"))


def _marked(text: str, how: str) -> Markup:
    return tag("span", text, class_=how or None)


def _summary(book: Book, it: Signed, event: Event) -> Markup:
    regions = f"region {event.source or '?'} to region {event.target or '?'}"
    epochs = f"epoch {event.epoch_before or '?'} to {event.epoch or '?'}"
    return rows(
        {
            "kind": it.record.kind,
            "what": f"{event.scenario}, {regions}, {epochs}" if event.source or event.target else event.scenario,
            "outcome": _marked(*words.outcome(event)),
            "exit code": "none" if event.exit_code is None else str(event.exit_code),
            "began": event.began,
            "took": words.seconds(event.seconds),
            "signed off by": _marked(*words.signed_by(book, it)),
        }
    )


def _objectives(event: Event) -> Markup:
    figures: tuple[tuple[str, Figure | None], ...] = (
        ("recovery time (RTO)", event.rto),
        ("loss in time (RPO)", event.rpo),
        ("no order was taken for", event.outage),
    )
    return table(
        ("", "declared", "measured", "", "how it was measured"),
        (
            (name, words.declared(it), words.measured(it), _marked(*words.verdict(it)), it.method if it else "")
            for name, it in figures
        ),
    )


def _who(event: Event, record: Record) -> Markup:
    return rows(
        {
            "run by": event.ran_by,
            "approved by": event.approved_by or "nobody was named",
            "witnessed by": event.witnessed_by or "nobody was named",
            "reason": event.reason,
            "ticket": event.ticket,
            "recorded by": f"{record.who}, from {record.place}, at {record.at}",
        }
    )


def _times(event: Event) -> Markup:
    if not event.timeline:
        return section("Links as they ran", tag("p", "none was seen"))
    lines = (
        (
            str(it.run),
            it.site or "?",
            it.link,
            words.seconds(it.begun_s),
            words.seconds(it.ended_s),
            _marked(it.state, _state(it.state)),
        )
        for it in event.timeline
    )
    drawn = drawing.timeline(event.timeline, event.seconds or 0.0)
    return section("Links as they ran", drawn, table(("run", "region", "link", "begun", "ended", ""), lines))


def _state(state: str) -> str:
    return {"done": words.GOOD, "failed": words.BAD}.get(state, words.UNKNOWN)


def _met(it: Samples) -> Markup:
    told = f"{it.count} {it.what}s, {it.failed} of them failed; file with SHA-256 {it.source}"
    return section(f"What customers met: {it.what}s", drawing.rates(it) if it.points else "", tag("p", told))


def _fence(event: Event) -> Iterator[Markup]:
    yield rows({"rung": words.rung(event)})
    if event.fence is not None and event.fence.evidence:
        yield tag("pre", json.dumps(event.fence.evidence, indent=2, sort_keys=True))


def _deficiencies(event: Event, about: list[Record]) -> Markup:
    later = [it.deficiency for it in about if it.deficiency is not None]
    found = [(it.text, it.owner, it.until) for it in (*event.deficiencies, *later)]
    return table(("what", "owner", "until"), found) if found else tag("p", "none was named")


def _signed(about: list[Record]) -> Markup:
    found = [(it.signer, it.at, it.signoff.note) for it in about if it.signoff is not None]
    return table(("who", "when", "note"), found) if found else tag("p", _marked("nobody has signed it off", words.BAD))


def _integrity(book: Book, it: Signed) -> Markup:
    whole = (
        f"{len(book.breaks)} places do not hold, the first: {book.breaks[0]}" if book.breaks else "every record holds"
    )
    told = {
        "number": str(it.number),
        "SHA-256": it.digest,
        "of the record before": it.before or "none: it is the first",
        "signed by the key of": it.record.signer,
        "chain when this was printed": _marked(whole, words.BAD if book.breaks else words.GOOD),
        "head of the chain": book.head,
    }
    return tag("div", rows(told), tag("pre", it.sealed.signature))


def _or_none(lines: tuple[str, ...]) -> Markup:
    return listed(lines) if lines else tag("p", "none")
