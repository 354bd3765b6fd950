"""From what stands at the store and what this region has seen to the next document. Pure.

Each writer exchanges its own view and keeps the other's while that is fresh, so both make the same page of the same two views, and neither undoes what
the other has seen. A region that is dead says nothing any more, and soon does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from contract.dataclass import dataclass
from contract.monitoring.rules import HOUR
from contract.monitoring.status_page import (
    BAD,
    KEPT_S,
    MOST_INCIDENTS,
    Document,
    Incident,
    Move,
    Part,
    Standing,
    State,
    View,
    bound_s,
    fresh_s,
)

SKEW_S = 60  # by which a document may be ahead of its store before it is none
AHEAD_S = 3600  # the same of a revision, which is one more with each writing of a second
AGAIN_S = 300  # after which the same is another incident
AROUND_S = 600  # of a planned move, in which what is not well goes with it
_ORDER = (State.WORKS, State.IMPAIRED, State.DOWN)


@dataclass(frozen=True)
class Writer:
    """Who writes, and how often."""

    site: str
    every_s: int


def merged(old: Document | None, writer: Writer, own: View, now: int, move: Move | None = None) -> Document:
    """`now`: by the store's clock; `move`: one that is newer than that of `old`."""
    old = past(old, now)
    before = old.seen if old else {}
    fresh = {site: it for site, it in before.items() if 0 <= now - it.at <= fresh_s(writer.every_s)}
    views = {**fresh, writer.site: own}
    states = {part: _state(part, views) for part in Part}
    as_of = min(_as_of(part, states[part], views) for part in Part)
    moved = move or (old.moved if old else None)
    incidents = _incidents(old, states, as_of, moved)
    return Document(
        revision=max(now, old.revision + 1 if old else 0),
        as_of=as_of,
        bound_s=bound_s(writer.every_s),
        every_s=writer.every_s,
        serving=own.serving or next((it.serving for it in fresh.values() if it.serving), None),
        views=views,
        incidents=_kept(_with_move(incidents, move), now),
        moved=moved,
        shop=_standing(old, Part.SHOP, states[Part.SHOP], as_of),
        data=_standing(old, Part.DATA, states[Part.DATA], as_of),
        systems=_standing(old, Part.SYSTEMS, states[Part.SYSTEMS], as_of),
    )


def past(old: Document | None, now: int) -> Document | None:
    """What of a document may be so, whoever has written it: what no writing would ever put right stays out. None where it is not of the past: one of a
    clock that was ahead would be newer than all that come.
    """
    if old is None or not now - KEPT_S <= old.as_of <= now + SKEW_S or old.revision > now + AHEAD_S:
        return None
    latest = now + SKEW_S
    return replace(
        old,
        incidents=_possible(old.incidents, latest),
        moved=old.moved if old.moved is None or _is_seen(old.moved, old, now) else None,
        shop=replace(old.shop, since=min(old.shop.since, latest)),
        data=replace(old.data, since=min(old.data.since, latest)),
        systems=replace(old.systems, since=min(old.systems.since, latest)),
    )


def _possible(found: Mapping[str, Incident], latest: int) -> dict[str, Incident]:
    """Those with an end behind a begin, both in the past; of what is not over, the one of each part that ends when that is well again."""
    over = {name: it for name, it in found.items() if it.ended is not None and it.began <= it.ended <= latest}
    lasting = [it for it in found.items() if it[1].ended is None and it[1].state in BAD and it[1].began <= latest]
    newest = {Part(it.part): (name, it) for name, it in sorted(lasting, key=lambda each: each[1].began)}
    return {**over, **dict(newest.values())}


def _is_seen(it: Move, old: Document, now: int) -> bool:
    """Whether somebody is in that epoch; a move of just now may be ahead of the other region."""
    epochs = [view.epoch for view in old.seen.values() if view.epoch is not None]
    return it.at <= now + SKEW_S and (not epochs or it.epoch <= max(epochs) or now - it.at < HOUR)


def _state(part: Part, views: Mapping[str, View]) -> State:
    """Of all that is known. A shop that answers here and not there answers some."""
    known = {State(getattr(view, part)) for view in views.values()} - {State.UNKNOWN}
    if not known:
        return State.UNKNOWN
    if part is Part.SHOP and len(known) > 1:
        return State.IMPAIRED
    return max(known, key=_ORDER.index)


def _as_of(part: Part, state: State, views: Mapping[str, View]) -> int:
    """When it was last seen so, by those who know of it."""
    ones = [view.at for view in views.values() if getattr(view, part) != State.UNKNOWN]
    return max(ones or [view.at for view in views.values()])


def _lapsed(old: Document, as_of: int) -> bool:
    """Whether the page has been too old to be believed in between."""
    return as_of - old.as_of > old.bound_s


def _standing(old: Document | None, part: Part, state: State, as_of: int) -> Standing:
    if old is not None and old.standing(part).state == state and not _lapsed(old, as_of):
        return old.standing(part)
    return Standing(state=state, since=as_of)


def _incidents(
    old: Document | None, states: Mapping[Part, State], as_of: int, moved: Move | None
) -> dict[str, Incident]:
    found = {_name(it): it for it in old.incidents.values()} if old else {}
    if old is not None and _lapsed(old, as_of):
        lost = Incident(part=Part.SHOP, state=State.UNKNOWN, began=old.as_of + old.bound_s, ended=as_of)
        found[_name(lost)] = lost
    for part, state in states.items():
        last = _last(found, part)
        if state in BAD:
            if last is None or (last.ended is not None and as_of - last.ended > AGAIN_S):
                last = Incident(part=part, state=state, began=as_of, planned=_around(moved, as_of))
            worst = max(State(last.state), state, key=_ORDER.index)
            found[_name(last)] = replace(last, state=worst, ended=None)
        elif state is State.WORKS and last is not None and last.ended is None:
            found[_name(last)] = replace(last, ended=as_of)
    return found


def _name(it: Incident) -> str:
    return f"{it.began}-{it.part}-{'lost' if it.state == State.UNKNOWN else 'seen'}"


def _last(found: Mapping[str, Incident], part: Part) -> Incident | None:
    """The newest that was felt."""
    own = [it for it in found.values() if it.part == part and it.state in BAD]
    return max(own, key=lambda it: it.began, default=None)


def _around(moved: Move | None, at: int) -> bool:
    return moved is not None and moved.planned and abs(at - moved.at) <= AROUND_S


def _with_move(found: Mapping[str, Incident], move: Move | None) -> dict[str, Incident]:
    """What a planned move went with; itself where nothing was felt."""
    if move is None or not move.planned:
        return dict(found)
    with_it = {name for name, it in found.items() if it.state in BAD and _around(move, it.began)}
    marked = {name: replace(it, planned=True) if name in with_it else it for name, it in found.items()}
    if with_it:
        return marked
    quiet = Incident(part=Part.SHOP, state=State.WORKS, began=move.at, ended=move.at, planned=True)
    return {**marked, _name(quiet): quiet}


def _kept(found: Mapping[str, Incident], now: int) -> dict[str, Incident]:
    """The newest, and what is not over."""
    young = {name: it for name, it in found.items() if it.ended is None or now - it.ended <= KEPT_S}
    newest = sorted(young, key=lambda name: (young[name].ended is None, young[name].began), reverse=True)
    return {name: young[name] for name in newest[:MOST_INCIDENTS]}
