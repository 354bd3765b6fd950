"""Assets: how their copying is configured (`dr:assets`) and what `assets converge` is told."""

from __future__ import annotations

from enum import StrEnum

from ..buckets import Bucket
from ..checks import integer, listing, one_of, text
from ..dataclass import dataclass
from ..fields import key, part
from ..forms import BUCKET


class Mode(StrEnum):
    """Who copies objects to the standby's bucket."""

    COPY = "copy"  # the standby's control host
    NATIVE = "native"  # the platform
    BOTH = "both"


_MISTAKE = "objects would vanish in both regions by one mistake"
_ORIGIN = text(r"\*|https?://[a-z0-9*.-]+(:[0-9]+)?", "an origin like https://www.shop.example, without a path, or *")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`dr:assets`."""

    mode: str = key(
        one_of(*Mode),
        "`copy`: the standby's control host copies, every `interval_s`; the figures are by listing, deletions are carried after `grace_s`, "
        "nothing depends on the platform. `native`: the platform copies by a replication rule, the control host looks how far that is; fewer own "
        "requests, about 15 minutes of lag and no promise; deletions are **not** carried, nor changes that arrived as copies; objects older than "
        "the rule come by a job whose end nothing tells. `both`: whichever is first; deletions, older objects and what the platform gave up are "
        "the copier's, and its figures count",
        default=Mode.COPY,
        why="nobody knows who copies objects",
    )
    interval_s: int = key(
        integer(5, 86_400),
        "how often the standby's control host copies: what was uploaded since its last run is what a lost region takes with it until it is back",
        default=300,
        unit="s",
        why="the copier does not know when to run",
    )
    grace_s: int = key(
        integer(0, 2_592_000),
        "how long after its deletion there an object is deleted here",
        default=3600,
        unit="s",
        why=_MISTAKE,
    )
    max_deletes: int = key(
        integer(0, 1_000_000), "how many are deleted in a run; where more are due, none is", default=1000, why=_MISTAKE
    )
    max_deletes_percent: int = key(
        integer(0, 100),
        "the share of the known objects that may be gone at the other side: where more are, none is deleted here (5 are always few enough, but "
        "for 0: none)",
        default=25,
        unit="%",
        why=_MISTAKE,
    )
    keep_old_versions_days: int = key(
        integer(0, 3650),
        "what was overwritten or deleted is kept as an old version that long, backups that expired too; 0: for ever. The time to undo a mistake, "
        "and to look at what a take-over left in conflict",
        default=90,
        unit="days",
        why="what was overwritten or deleted is paid for, or lost, without a word",
    )
    abort_uploads_days: int = key(
        integer(0, 365),
        "unfinished uploads are thrown away after that; 0: never. Parts of them are paid for and shown by no listing; the copier begins a large "
        "object anew after a longer pause",
        default=7,
        unit="days",
        why="parts of unfinished uploads are paid for and shown by no listing",
    )
    cors_origins: tuple[str, ...] = key(
        listing(_ORIGIN),
        "origins whose pages may read assets, and write with what the shop signed: without its origin here a browser refuses the shop's direct "
        "uploads",
        default=(),
        why="pages of other origins could not read assets, or any page could",
    )


@dataclass(frozen=True, kw_only=True)
class Block(Keys):
    """What `assets converge` is told beside the keys of `dr:assets`: both sites' buckets, by the copier's own user."""

    source: Bucket = part(Bucket, "the other site's asset bucket")
    target: Bucket = part(Bucket, "the own one")
    lifecycle_of: tuple[str, ...] = key(
        listing(BUCKET),
        "further buckets of this site whose old versions expire: what backups that expired leave behind",
        default=(),
    )
    lock_days: int = key(
        integer(0, 99),
        "what is stored in those is to be locked so long (`dr:archive.lock_days`): told where it is not; 0: not looked at",
        default=0,
        unit="days",
    )
