"""The public page: what its document holds, in its form, and what of an alert is a customer's business. The document is an object of a bucket in the
third region, written over by the control hosts of both regions; times are whole seconds since 1970, by that store's clock.

The page shows no host, no version and no alert's name: what it says of a part is one of four words.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ..checks import boolean, integer, one_of, optional
from ..dataclass import dataclass
from ..fields import key, part, parts
from ..forms import COUNT, EPOCH
from ..sites import A_SITE, SITES
from .rules import DAY, HOUR

DOCUMENT, PAGE = "status.json", "index.html"  # the only names that the page's key may put
MOST_INCIDENTS, KEPT_S = 20, 90 * DAY
MAINTENANCE_S = HOUR // 2  # one that was planned and lasts longer is none any more
# Figures of a host are up to 40 s old, and judged over a minute.
LATE_S, RUN_S = 100, 20


class State(StrEnum):
    """Of a part, the best one first. Unknown is none of good or bad."""

    WORKS = "works"
    IMPAIRED = "impaired"
    DOWN = "down"
    UNKNOWN = "unknown"


BAD = (State.IMPAIRED, State.DOWN)


class Part(StrEnum):
    """What a customer can tell apart."""

    SHOP = "shop"  # whether it answers
    DATA = "data"  # whether what it takes is in both regions
    SYSTEMS = "systems"  # whether people were called for anything else


def bound_s(every_s: int) -> int:
    """The longest for which the page may be wrong: older than that, it says that nothing is known."""
    return 3 * every_s + LATE_S - 10


def fresh_s(every_s: int) -> int:
    """The longest for which what one region has seen counts in what the other one writes."""
    return 2 * every_s + 10


# Every rule that pages: of which part it tells. None: of what the page sees by itself at once, or of an hour that is over.
OF_ALERTS: Mapping[str, Part | None] = {
    "RegionGone": Part.SYSTEMS,
    "DatabaseHostDown": Part.SYSTEMS,
    "DiskFull": Part.SYSTEMS,
    "HostCertificateEndsSoon": Part.SYSTEMS,
    "TwoWriters": Part.DATA,
    "NoWriter": Part.SHOP,
    "DatabaseDown": Part.SYSTEMS,
    "ArchiveSplitBrain": Part.DATA,
    "TwoCacheLeaders": Part.SYSTEMS,
    "StandbyMissing": Part.DATA,
    "ReplicationLagBytes": Part.DATA,
    "SlotLost": Part.DATA,
    "ArchiveDropped": Part.DATA,
    "BackupDamaged": Part.DATA,
    "LeaseNearlyOut": Part.SYSTEMS,
    "LeaseStopped": Part.SHOP,
    "ShopDown": None,
    "NoAppHealthy": Part.SHOP,
    "ErrorBudgetBurnsFast": None,
}

_STATE = one_of(*State)


@dataclass(frozen=True, kw_only=True)
class View:
    """What one region has seen."""

    at: int = key(COUNT, "when, of the oldest figure that it rests on")
    shop: str = key(_STATE, "see `Part`", default=State.UNKNOWN)
    data: str = key(_STATE, "the same", default=State.UNKNOWN)
    systems: str = key(_STATE, "the same", default=State.UNKNOWN)
    serving: str | None = key(optional(A_SITE), "the region that takes orders; null: unknown", default=None)
    epoch: int | None = key(optional(EPOCH), "the newest that any host is in; null: unknown", default=None)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a part is, and since when."""

    state: str = key(_STATE, "see `State`", default=State.UNKNOWN)
    since: int = key(COUNT, "since when, as far as this page knows", default=0)


@dataclass(frozen=True, kw_only=True)
class Incident:
    """A time in which a part was not well. `state`: the worst of it."""

    part: str = key(one_of(*Part), "of what")
    state: str = key(_STATE, "unknown: nobody has kept the page; works: planned work that nobody has felt")
    began: int = key(COUNT, "when")
    ended: int | None = key(optional(COUNT), "when; null: it is not over", default=None)
    planned: bool = key(boolean, "whether a planned move goes with it", default=False)


@dataclass(frozen=True, kw_only=True)
class Move:
    """The newest epoch that was seen to begin."""

    epoch: int = key(EPOCH, "its number")
    at: int = key(COUNT, "when it was seen")
    planned: bool = key(boolean, "whether it was a planned one", default=False)


@dataclass(frozen=True, kw_only=True)
class Document:
    """`status.json`: what the page is made from, by whichever region."""

    schema: int = key(integer(1, 1), "form of this document", default=1)
    revision: int = key(COUNT, "higher with each writing; never less than the second in which it was written")
    as_of: int = key(COUNT, "when all of it was so")
    bound_s: int = key(integer(1, 3600), "how long it may be believed from then on", unit="s")
    every_s: int = key(integer(1, 3600), "how often it is written", unit="s")
    serving: str | None = key(optional(A_SITE), "the region that takes orders; null: unknown", default=None)
    shop: Standing = part(Standing, "see `Part`")
    data: Standing = part(Standing, "the same")
    systems: Standing = part(Standing, "the same")
    views: Mapping[str, View] = parts(View, "what each region has seen, by site", names=None, optional=True)
    incidents: Mapping[str, Incident] = parts(Incident, "by second and part", names=None, optional=True)
    moved: Move | None = part(Move, "the last move", optional=True)

    def standing(self, of: Part) -> Standing:
        found = getattr(self, of)
        assert isinstance(found, Standing)
        return found

    @property
    def seen(self) -> dict[str, View]:
        """By the sites that there are."""
        return {site: self.views[site] for site in SITES if site in self.views}
