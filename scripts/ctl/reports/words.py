"""A record's figures in words: unknown is said as that, and never as good."""

from __future__ import annotations

from contract.report import Event, Figure, Loss, Signed
from scripts.ctl.reports.book import Book

GOOD, BAD, UNKNOWN = "good", "bad", "unknown"
RUNGS = {
    0: "first epoch: there was nobody to fence",
    1: "1, the old primary was stopped cleanly",
    2: "2, its servers were stopped by the platform's API",
    3: "3, its lease ran out",
    4: "4, the operator's word",
}


def seconds(value: float | None) -> str:
    return "not known" if value is None else f"{value:g} s"


def measured(figure: Figure | None) -> str:
    """A figure, for a cell."""
    return "not known" if figure is None else seconds(figure.measured_s)


def declared(figure: Figure | None) -> str:
    return "not declared" if figure is None or figure.declared_s is None else f"{figure.declared_s:g} s"


def verdict(figure: Figure | None) -> tuple[str, str]:
    """A word, and whether it is good, bad or unknown."""
    if figure is None or figure.measured_s is None:
        return "not known", UNKNOWN
    if figure.declared_s is None:
        return "not declared", UNKNOWN
    return ("kept", GOOD) if figure.measured_s <= figure.declared_s else ("missed", BAD)


def outcome(event: Event) -> tuple[str, str]:
    """The same of how it ended."""
    return event.outcome, GOOD if event.outcome == "done" else UNKNOWN if event.outcome == "unknown" else BAD


def signed_by(book: Book, it: Signed) -> tuple[str, str]:
    """Who has signed it off, and whether anybody has."""
    names = book.standing.signed.get(it.number, ())
    return (", ".join(dict.fromkeys(names)), GOOD) if names else ("nobody", BAD)


def losses(loss: Loss | None) -> dict[str, str]:
    """Each part of it."""
    it = loss or Loss(method="not counted")
    return {
        "database": _count(it.bytes, "bytes of WAL"),
        "writes": seconds(it.seconds),
        "unheard for": seconds(it.unseen_s),
        "transactions": _count(it.transactions, "committed and lost"),
        "cache": _count(it.cache_bytes, "bytes of its stream"),
        "cache's offset": _count(it.cache_offset, "on the lost master"),
        "assets": _count(it.assets, "files not brought over"),
        "assets until": it.assets_until or "not known",
        "method": it.method,
    }


def rung(event: Event) -> str:
    return "not known" if event.fence is None or event.fence.rung is None else RUNGS[event.fence.rung]


def _count(value: int | None, of: str) -> str:
    return "not known" if value is None else f"{value} {of}"
