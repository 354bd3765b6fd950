"""What the pointer link is told."""

from __future__ import annotations

from ..access import Ovh
from ..buckets import Bucket
from ..checks import integer
from ..dataclass import dataclass
from ..epoch import InForce
from ..fields import key, part
from ..forms import ENTRANCE
from ..installation import Dns
from ..sites import A_SITE


@dataclass(frozen=True, kw_only=True)
class Document:
    """Stdin of the link. The other site's address is not the stack's to know: the link reads it from the witness."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "the stack's site")
    repair: int = key(integer(0, 999_999), "`dr:repair`", default=0)
    epoch: InForce = part(InForce, "the epoch in force")
    dns: Dns = part(Dns, "`dr:dns`")
    address: str = key(ENTRANCE, "public address of the own load balancer")
    witness: Bucket = part(Bucket, "the witness bucket")
    ovh: Ovh = part(Ovh, "the API that holds the zone")
