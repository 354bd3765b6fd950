"""What the forward link is told: the app hosts of the region that was left."""

from __future__ import annotations

from ..access import Ssh
from ..buckets import Bucket
from ..checks import integer, listing
from ..dataclass import dataclass
from ..epoch import InForce
from ..fields import key, part
from ..forms import HOST
from ..sites import A_SITE


@dataclass(frozen=True, kw_only=True)
class Document:
    """Stdin of the link."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "the stack's site")
    repair: int = key(integer(0, 999_999), "`dr:repair`", default=0)
    epoch: InForce = part(InForce, "the epoch in force")
    apps: tuple[str, ...] = key(listing(HOST), "names of the other site's app hosts")
    ssh: Ssh = part(Ssh, "the way to the hosts; bastions: the own one")
    witness: Bucket = part(Bucket, "the witness bucket")
