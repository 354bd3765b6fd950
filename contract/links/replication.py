"""What the replication link is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..access import Ovh
from ..buckets import Bucket
from ..checks import integer, one_of
from ..dataclass import dataclass
from ..epoch import InForce
from ..fields import Contradiction, key, part, parts
from ..forms import BUCKET, ID, REGION
from ..services.assets import Mode
from ..sites import A_SITE, SITES


@dataclass(frozen=True, kw_only=True)
class Place:
    """A site's asset bucket at the platform's API."""

    region: str = key(REGION, "storage region, like GRA")
    bucket: str = key(BUCKET, "its name")


@dataclass(frozen=True, kw_only=True)
class Document:
    """Stdin of the link. In mode `copy` there is no direction to turn, and no epoch: no move makes it run."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "the stack's site")
    repair: int = key(integer(0, 999_999), "`dr:repair`", default=0)
    epoch: InForce | None = part(InForce, "the epoch in force; null in mode `copy`", optional=True)
    mode: str = key(one_of(*Mode), "`dr:assets.mode`")
    service_name: str = key(ID, "`dr:service_name`")
    buckets: Mapping[str, Place] = parts(Place, "asset buckets of both sites", names=SITES)
    witness: Bucket = part(Bucket, "the witness bucket")
    ovh: Ovh = part(Ovh, "the API that holds the buckets")

    def contradictions(self) -> Iterator[Contradiction]:
        """A direction is told by an epoch."""
        if self.mode != Mode.COPY and self.epoch is None:
            yield Contradiction(
                "epoch", "null", f"an epoch in mode {self.mode}", "no direction is known", "correct the document"
            )
