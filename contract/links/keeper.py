"""What the keeper is told by each run, and goes by when somebody destroys the stack."""

from __future__ import annotations

from ..accept import Destroy
from ..buckets import Bucket
from ..checks import integer
from ..dataclass import dataclass
from ..fields import key, part
from ..forms import ENTRANCE
from ..installation import Dns
from ..sites import A_SITE


@dataclass(frozen=True, kw_only=True)
class Document:
    """Stdin of the link."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "the stack's site")
    destroy: Destroy | None = part(Destroy, "`dr:destroy`, where it counted in that run", optional=True)
    dns: Dns = part(Dns, "`dr:dns`")
    address: str = key(ENTRANCE, "public address of the own load balancer")
    witness: Bucket = part(Bucket, "the witness bucket")
