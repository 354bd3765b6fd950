"""What the turn link is told: a role for hosts of one service, none of which may end a run."""

from __future__ import annotations

from collections.abc import Mapping

from ..access import Ssh
from ..buckets import Bucket
from ..checks import integer, mapping, one_of, prose
from ..dataclass import dataclass
from ..fields import key, part
from ..sites import A_SITE

SERVICES = ("app", "redis")


@dataclass(frozen=True, kw_only=True)
class Document:
    """Stdin of the link."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "the stack's site")
    service: str = key(one_of(*SERVICES), "whose `converge` is asked for")
    program: str = key(prose, "shell that starts it on a host, with the document on stdin")
    documents: Mapping[str, str] = key(
        mapping(r"[a-z]{1,20}-[1-9][0-9]?\.[ab]", prose),
        "what each host is told, a JSON text, by the host's key",
        secret=True,
    )
    ssh: Ssh = part(Ssh, "the way to the hosts")
    witness: Bucket = part(Bucket, "the witness bucket, for the audit trail alone")
