"""Records for a terminal: all of them as a table, one of them in lines."""

from __future__ import annotations

from collections.abc import Iterator

from contract.plain import phrase
from contract.report import Event, Figure, Signed
from scripts.ctl.reports import words
from scripts.ctl.reports.book import Book

HEAD = (
    "record",
    "began",
    "kind",
    "what",
    "outcome",
    "recovery",
    "declared",
    "loss",
    "declared",
    "no orders",
    "run by",
    "signed off by",
)
WIDEST = 24


def cells(book: Book, it: Signed) -> list[tuple[str, str]]:
    """One line of the history: texts, and whether each is good, bad or unknown; empty where it is neither."""
    event = it.record.event
    assert event is not None, "a record of an event"
    return [
        (str(it.number), ""),
        (event.began, ""),
        (it.record.kind, ""),
        (event.scenario, ""),
        words.outcome(event),
        (words.measured(event.rto), words.verdict(event.rto)[1]),
        (words.declared(event.rto), ""),
        (words.measured(event.rpo), words.verdict(event.rpo)[1]),
        (words.declared(event.rpo), ""),
        (words.measured(event.outage), ""),
        (event.ran_by, ""),
        words.signed_by(book, it),
    ]


def history(book: Book) -> Iterator[str]:
    """The oldest first, as a terminal is read from below."""
    lines = [HEAD, *([text for text, _ in cells(book, it)] for it in book.records if it.record.event)]
    shown = [[phrase(cell, WIDEST) for cell in line] for line in lines]
    wide = [max(len(line[column]) for line in shown) for column in range(len(HEAD))]
    for line in shown:
        yield "  ".join(cell.ljust(size) for cell, size in zip(line, wide, strict=True)).rstrip()


def one(book: Book, it: Signed, event: Event) -> Iterator[str]:
    """A record with what others have recorded of it."""
    told = {
        "record": f"{it.number}, {it.record.kind}, signed by the key of {it.record.signer}, SHA-256 {it.digest}",
        "what": f"{event.scenario}, region {event.source or '?'} to region {event.target or '?'}, epoch {event.epoch_before or '?'} to {event.epoch or '?'}",
        "outcome": f"{event.outcome}, exit code {'none' if event.exit_code is None else event.exit_code}",
        "time": f"began {event.began}, took {words.seconds(event.seconds)}",
        "who": f"run by {event.ran_by}, approved by {event.approved_by or 'nobody named'}, witnessed by {event.witnessed_by or 'nobody named'}",
        "why": " ".join(filter(None, (event.reason, event.ticket and f"ticket {event.ticket}"))),
        "plan": event.plan,
        "fence": words.rung(event) if event.fence else "",
    }
    for name, figure in (("recovery", event.rto), ("loss in time", event.rpo), ("no orders", event.outage)):
        told[name] = _figure(figure)
    told["loss"] = ", ".join(f"{name} {text}" for name, text in words.losses(event.loss).items() if name != "method")
    for name, text in told.items():
        if text:
            yield phrase(f"{name:13s} {text}", 600)
    yield from _lists(event)
    for record in book.about(it.number):
        if record.signoff is not None:
            yield phrase(f"signed off    by {record.signer} at {record.at} {record.signoff.note}", 600)
        if record.deficiency is not None:
            yield phrase(_lack(record.deficiency.text, record.deficiency.owner, record.deficiency.until), 600)
    if not book.standing.signed.get(it.number):
        yield f"NOT signed off: `drctl report sign {it.number}`, by somebody who has not run it"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "not known"
    declared, word = words.declared(figure), words.verdict(figure)[0]
    promised = declared if figure.declared_s is None else f"declared {declared}: {word}"
    return f"{words.measured(figure)}, {promised}; {figure.method}"


def _lists(event: Event) -> Iterator[str]:
    for stage in event.timeline:
        ended = f" to {words.seconds(stage.ended_s)}"
        yield phrase(
            f"  run {stage.run} {stage.site or '?'}  {stage.link}: {stage.state}, {words.seconds(stage.begun_s)}{ended}",
            200,
        )
    for name, lines in (("deviation", event.deviations), ("error", event.errors), ("warning", event.warnings)):
        for line in lines:
            yield phrase(f"{name:13s} {line}", 600)
    for it in event.deficiencies:
        yield phrase(_lack(it.text, it.owner, it.until), 600)


def _lack(text: str, owner: str, until: str) -> str:
    return f"deficiency    {text}: {owner} until {until}"
