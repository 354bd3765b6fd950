"""The operator's word, `dr:accept`: for the epoch in force, and for one hour. One that was forgotten in a stack file lies in wait for nobody."""

from __future__ import annotations

import datetime
import time

from .checks import Check, Unwanted, integer, text
from .dataclass import dataclass
from .fields import key, part
from .sites import A_SITE

HOUR_S = 3600.0
AHEAD_S = 300.0  # what clocks of two machines may differ by
_WHY = "an override without its epoch, its time and its reason would stay in force for ever"
_FORM = text(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z", "a time in UTC, like 2026-11-29T14:05Z")


def _at(value: object) -> str:
    found = _FORM(value)
    try:
        seconds(found)
    except ValueError:
        raise Unwanted(_FORM.wanted) from None
    return found


def seconds(at: str) -> float:
    """Seconds since 1970 of a word's time. Raises ValueError for a day that no calendar has."""
    return datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def spelled(moment: float | None = None) -> str:
    """A word's time, now when no other is given."""
    return time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(moment))


def asked(name: str, epoch: int) -> str:
    """What to write for a word that is wanted now, for the end of a refusal: "accept.empty to {...}"."""
    return f"accept.{name} to {{epoch: {epoch}, at: {spelled()}, reason: ...}} (good for an hour)"


def over(at: str, now: float | None = None) -> bool:
    """Whether a word of that time does not count any more, or not yet."""
    return not -AHEAD_S <= (time.time() if now is None else now) - seconds(at) <= HOUR_S


AT = Check(_FORM.wanted, _at)


@dataclass(frozen=True, kw_only=True)
class Word:
    """The operator's word, good for an hour from its time, for the epoch that is in force then and no other; it is kept with the new epoch."""

    epoch: int = key(
        integer(1, 99_999_999),
        "the epoch that is in force now",
        why=_WHY,
        fix="name the epoch that is in force now: the newest object below epochs/ in the witness bucket",
    )
    at: str = key(
        AT,
        "when it is given, in UTC: `date -u +%Y-%m-%dT%H:%MZ`. An hour later it counts no more",
        why=_WHY,
        fix="take the time of now, `date -u +%Y-%m-%dT%H:%MZ`",
    )
    reason: str = key(
        text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{10,500}", "a reason in one line of 10 to 500 characters"),
        "why, for the record",
        why=_WHY,
    )


@dataclass(frozen=True, kw_only=True)
class Destroy(Word):
    """`dr:destroy`: set for one `pulumi destroy`, or for a run that has to make anew what is protected."""

    site: str = key(
        A_SITE,
        "the site that it is about: the stack's own",
        why="a word without a site could be meant for the other one",
    )


@dataclass(frozen=True, kw_only=True)
class Accept:
    """`dr:accept`: set for one run, and removed after it."""

    without_fence: Word | None = part(
        Word, "take over from a site that nothing can prove stopped", optional=True, why="the override names nothing"
    )
    data_loss: Word | None = part(
        Word,
        "an unplanned move that loses more than `dr:loss_budget`, or an unknown amount",
        optional=True,
        why="the override names nothing",
    )
    configuration: Word | None = part(
        Word,
        "a move although the other region ran last with another configuration",
        optional=True,
        why="the override names nothing",
    )
    empty: Word | None = part(
        Word,
        "an empty database on the active site although the shop had one, when no data can be brought back",
        optional=True,
        why="the override names nothing",
    )
