"""Which alerts an undertaking causes itself, so that nobody is told of them while it lasts; and what `dr-host monitoring silence` is told.

A host knows kinds of undertaking and takes no matcher: whoever asks it silences what stands here, on the hosts that it names, for a time, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from ..checks import integer, listing, one_of, text
from ..dataclass import dataclass
from ..fields import Contradiction, key
from ..forms import COUNT, HOST_KEY, PHRASE
from ..sites import A_SITE

HOUR = 3600
MOST_S = 26 * HOUR  # of any: a drill may keep the standby away for a day
AFTERMATH_S = 60  # figures are up to 40 s old when a rule sees them
MOST_AFTER_S = 300
ID = text(r"[0-9a-f]{12}", "12 hexadecimal digits")


class Undertaking(StrEnum):
    """What somebody does on purpose. An unplanned failover is none: nobody is to be quiet about that."""

    SWITCHOVER = "switchover"
    DEPLOY = "deploy"
    REBOOT = "reboot"
    STANDBY = "standby"  # `drctl drill standby`


@dataclass(frozen=True, kw_only=True)
class Causes:
    """Names of alerts: `hosts`, of those hosts alone that it stops; `site`, of its region; `other`, of the other one. `most_s`: how long, at most."""

    hosts: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    most_s: int


# A host that is away, and what it says of itself until all of it is up again.
_AWAY = ("HostDown", "DatabaseHostDown", "DatabaseDown", "CacheDown", "AgentDown", "FiguresMissing", "FiguresOld", "ServiceSilent")  # fmt: skip
# What the active region says of a standby that is not there.
_ALONE = ("StandbyMissing", "CommitsDoNotWait", "CounterpartSilent")
_TURNED = ("DatabaseDown", "CacheDown", "CacheLinkDown", "AppUnhealthy", *_ALONE)
CAUSES: Mapping[Undertaking, Causes] = {
    Undertaking.SWITCHOVER: Causes(site=_TURNED, other=_TURNED, most_s=HOUR // 2),
    Undertaking.DEPLOY: Causes(site=("AppUnhealthy", "WorkerDown"), other=("AppUnhealthy", "WorkerDown"), most_s=HOUR),
    Undertaking.REBOOT: Causes(
        hosts=(*_AWAY, "WatcherDown"),
        site=("CacheLinkDown", "EntranceDown"),
        other=(*_ALONE, "AlertmanagersApart"),
        most_s=HOUR,
    ),
    Undertaking.STANDBY: Causes(hosts=_AWAY, site=("CacheLinkDown",), other=_ALONE, most_s=MOST_S),
}
# Two that write, data that is lost or would be, what customers see, and that nobody watches: told whoever does what.
NEVER = frozenset(
    (
        *("TwoWriters", "TwoCacheLeaders", "ArchiveSplitBrain", "EpochsDiffer", "NoWriter", "LeaseStopped", "LeaseNearlyOut"),
        *("ReplicationLagBytes", "ReplicationLagSeconds", "SlotLost", "SlotNearLimit", "ArchiveDropped", "ArchiveGap", "BackupDamaged"),
        *("DiskFull", "DatabaseVolumeFull", "RegionGone", "RegionNotWatched", "Watchdog", "MessagesFail", "MailHangs", "AlertsDropped", "RulesFail"),
        *("ShopDown", "ShopNotAsked", "NoAppHealthy", "ErrorBudgetBurnsFast", "ErrorBudgetBurns", "ShopSlow"),
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Silence:
    """`monitoring silence`."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    id: str = key(ID, "of the undertaking: by it its silences are found again")
    undertaking: str = key(one_of(*Undertaking), "what is done")
    site: str = key(A_SITE, "the region that it is about; of a move either")
    hosts: tuple[str, ...] = key(listing(HOST_KEY), "that it stops, like db-1.b", default=())
    seconds: int = key(integer(1, MOST_S), "after which the silence ends by itself", unit="s")
    who: str = key(PHRASE, "who does it, and where")
    why: str = key(PHRASE, "for people", default="")

    def contradictions(self) -> Iterator[Contradiction]:
        """Hosts belong to the region, are named where there is something of theirs, and no kind lasts longer than it may."""
        causes = CAUSES[Undertaking(self.undertaking)]
        strange = [it for it in self.hosts if not it.endswith(f".{self.site}")]
        if strange or bool(self.hosts) != bool(causes.hosts):
            wanted = (
                f"those of region {self.site} that it stops" if causes.hosts else f"none: {self.undertaking} stops none"
            )
            yield Contradiction(
                "hosts", ", ".join(strange or self.hosts) or "none", wanted, "others would be silenced", "name them"
            )
        if self.seconds > causes.most_s:
            most = f"{causes.most_s} at most, of {self.undertaking}"
            yield Contradiction("seconds", str(self.seconds), most, "what goes wrong meanwhile would be told late", "take less")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Unsilence:
    """`monitoring unsilence`: the undertaking is over."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    id: str = key(ID, "of the undertaking")
    after_s: int = key(
        integer(0, MOST_AFTER_S), "until its silences end: figures are not of now", default=AFTERMATH_S, unit="s"
    )


@dataclass(frozen=True, kw_only=True)
class Silenced:
    """What both of them answer."""

    silences: int = key(COUNT, "that were set, or are about to end")


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What a control host's Alertmanager says for `host survey`."""

    silences: tuple[str, ...] = key(listing(PHRASE), "that are open: what is done, by whom, until when", default=())
