"""What the verify link is told."""

from __future__ import annotations

from ..buckets import Bucket
from ..checks import boolean, integer, optional, prose
from ..dataclass import dataclass
from ..epoch import InForce
from ..fields import key, part
from ..forms import DOMAIN, ENTRANCE
from ..hosts import MAX_APP_HOSTS
from ..services.web import Health
from ..sites import A_SITE


@dataclass(frozen=True, kw_only=True)
class Document(Health):
    """Stdin of the link. Active: the proof that the shop serves; standby: a forwarded request, and then `followed/<site>.json`."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "the stack's site")
    peer: str = key(A_SITE, "the other one")
    repair: int = key(integer(0, 999_999), "`dr:repair`", default=0)
    epoch: InForce = part(InForce, "the epoch in force")
    shop_host: str = key(DOMAIN, "the shop's public name")
    address: str = key(ENTRANCE, "public address of the own load balancer")
    ca: str | None = key(
        optional(prose), "PEM of the CA that the shop's certificate goes back to; null: the public roots", default=None
    )
    public: bool = key(boolean, "whether the public roots are trusted beside `ca`", default=False)
    hosts: int = key(integer(1, MAX_APP_HOSTS), "how many app hosts are behind it")
    witness: Bucket = part(Bucket, "the witness bucket")
