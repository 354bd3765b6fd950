"""Watching: who decides that a region is lost, and what happens then (`dr:watch`); and what watchers and people leave of it at the witness."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from enum import StrEnum

from .checks import integer, listing, one_of, text
from .dataclass import dataclass
from .fields import Contradiction, key
from .forms import EPOCH, PHRASE
from .sites import A_SITE

ALARMS, CONFIRMED, ATTEMPTS = "watch/alarms/", "watch/confirmed/", "watch/attempts/"
ALARM_ID = text(r"[0-9a-f]{12}", "twelve hexadecimal digits")
MOST_SEEN = 20
_WHY = "nobody knows when a region counts as lost"


class Mode(StrEnum):
    """What a watcher does once a region is lost."""

    TELL = "tell"  # people, with what it has seen, what would be lost, and the command
    ASSIST = "assist"  # the same with a plan, which one word of a person carries out
    AUTOMATIC = "automatic"  # the plan is carried out by itself


@dataclass(frozen=True, kw_only=True)
class Watch:
    """`dr:watch`: of `dr-watch`, wherever it runs. Absent: the defaults."""

    mode: str = key(
        one_of(*Mode),
        "`tell`: people are told, with the evidence, what would be lost, and the command. `assist`: a plan is made besides, and `drctl confirm` carries "
        "it out. `automatic`: it is carried out without a person; once in an epoch, and only where the lease is on",
        default=Mode.TELL,
        why=_WHY,
    )
    every_s: int = key(integer(2, 300), "between two looks", default=5, unit="s", why=_WHY)
    lost_after_s: int = key(
        integer(10, 3600),
        "how long all that can be seen of the active region has to be silent, before it counts as lost",
        default=20,
        unit="s",
        why=_WHY,
    )
    part_after_s: int = key(
        integer(10, 86_400),
        "how long a part of it may be silent or wrong, or the watcher itself be cut off, before people are told",
        default=120,
        unit="s",
        why=_WHY,
    )
    calm_s: int = key(
        integer(10, 3600), "how long all is well before that counts as the end of it", default=60, unit="s", why=_WHY
    )
    confirm_within_s: int = key(
        integer(60, 86_400), "how long a plan waits for `drctl confirm`", default=1800, unit="s", why=_WHY
    )
    rest_s: int = key(
        integer(600, 2_592_000),
        "how long after one automatic move no other is begun by itself",
        default=86_400,
        unit="s",
        why="two regions that fail in turn would throw the shop from one to the other",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """A look that is longer than the time it shall see is none."""
        if self.every_s * 3 > self.lost_after_s:
            yield Contradiction(
                "every_s",
                str(self.every_s),
                f"a third of lost_after_s ({self.lost_after_s}) at most",
                "a region would count as lost by less than three looks",
                "look more often, or wait longer",
            )


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """`watch/alarms/<id>.json`, created once by the watcher that has seen it."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    id: str = key(ALARM_ID, "of this alarm")
    site: str = key(A_SITE, "the region that is lost")
    epoch: int = key(EPOCH, "in force when it was seen")
    mode: str = key(one_of(*Mode), "of the watcher")
    plan: str = key(text(r"([0-9a-f]{12})?", "the digest of a plan, or nothing"), "that is carried out", default="")
    who: str = key(PHRASE, "the watcher: as whom it runs")
    place: str = key(PHRASE, "and where")
    at: str = key(PHRASE, "when, RFC 3339, by that machine's clock")
    loss: str = key(PHRASE, "what would be lost, as far as it is known", default="")
    seen: tuple[str, ...] = key(listing(PHRASE), "what was seen, a line each", default=())


@dataclass(frozen=True, kw_only=True)
class Word:
    """`watch/confirmed/<id>.json`, created once: somebody agrees to the alarm's plan."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    id: str = key(ALARM_ID, "of the alarm")
    plan: str = key(text(r"[0-9a-f]{12}", "the digest of a plan"), "that is agreed to")
    who: str = key(PHRASE, "the ssh certificate's name, `DR_WHO`, or user@host")
    place: str = key(PHRASE, "from where")
    at: str = key(PHRASE, "when, RFC 3339, by that machine's clock")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """`watch/attempts/<epoch>.json`, created once before a plan is carried out: no epoch is left twice by watchers, also not by two of them."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    epoch: int = key(EPOCH, "that is to be left")
    alarm: str = key(ALARM_ID, "for which")
    mode: str = key(one_of(Mode.ASSIST, Mode.AUTOMATIC), "of the watcher")
    who: str = key(PHRASE, "the watcher: as whom it runs")
    place: str = key(PHRASE, "and where")
    at: str = key(PHRASE, "when, RFC 3339, by that machine's clock")


def age_s(at: str, now: datetime.datetime) -> float:
    """Seconds since the moment of one of these objects, `now` with its zone. What is no time is infinitely long ago. Pure."""
    try:
        found = datetime.datetime.fromisoformat(at)
    except ValueError:
        return float("inf")
    return (now - (found if found.tzinfo else found.replace(tzinfo=datetime.UTC))).total_seconds()


def attempt_of(epoch: int) -> str:
    """The object's key."""
    return f"{ATTEMPTS}{epoch:08d}.json"
