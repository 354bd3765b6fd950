"""What customers read: every sentence of the public page that is not configured."""

from __future__ import annotations

from contract.monitoring.status_page import MAINTENANCE_S, Incident, Part, State

NAMES = {Part.SHOP: "The shop", Part.DATA: "Orders and accounts", Part.SYSTEMS: "Behind the shop"}
NOW = {
    Part.SHOP: {
        State.WORKS: "Works. The shop answers.",
        State.IMPAIRED: "Disturbed. The shop does not answer everybody, or not each time.",
        State.DOWN: "Down. The shop does not answer.",
        State.UNKNOWN: "Not known.",
    },
    Part.DATA: {
        State.WORKS: "Works. All that the shop takes is kept in two places.",
        State.IMPAIRED: "Disturbed. The shop's data is in one place for now, or the second place is behind.",
        State.DOWN: "Down.",
        State.UNKNOWN: "Not known.",
    },
    Part.SYSTEMS: {
        State.WORKS: "Works. Nothing else needs anybody.",
        State.IMPAIRED: "Disturbed. A part of our systems is not well.",
        State.DOWN: "Down.",
        State.UNKNOWN: "Not known.",
    },
}
SIGNS = {State.WORKS: "\N{CHECK MARK}", State.IMPAIRED: "!", State.DOWN: "\N{MULTIPLICATION SIGN}", State.UNKNOWN: "?"}
_BEFORE = {
    (Part.SHOP, State.IMPAIRED): "The shop did not answer everybody, or not each time.",
    (Part.SHOP, State.DOWN): "The shop did not answer.",
    (Part.SHOP, State.UNKNOWN): "Not known: nobody has kept this page.",
    (Part.DATA, State.IMPAIRED): "The shop's data was in one place, or the second place was behind.",
    (Part.SYSTEMS, State.IMPAIRED): "A part of our systems was not well.",
}
_QUIET, _PLANNED = "Planned work. No interruption was seen.", "Planned work. "


def headline(shop: State, behind: State) -> str:
    """Of the whole page. `behind`: the worse one of the other parts."""
    if shop is State.WORKS:
        return "The shop works" if behind in (State.WORKS, State.UNKNOWN) else "The shop works, parts behind it do not"
    return {
        State.IMPAIRED: "The shop is disturbed",
        State.DOWN: "The shop does not answer",
        State.UNKNOWN: "It is not known whether the shop works",
    }[shop]


def incident(it: Incident, as_of: int) -> str:
    """One line of what has been. What goes on long behind a planned move is no planned work any more."""
    if it.state == State.WORKS:
        return _QUIET
    planned = it.planned and (as_of if it.ended is None else it.ended) - it.began <= MAINTENANCE_S
    return f"{_PLANNED if planned else ''}{_BEFORE.get((Part(it.part), State(it.state)), 'Something was not well.')}"


def span(seconds: int) -> str:
    """How long, as a person says it."""
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
