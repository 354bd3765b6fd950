"""What the fence link is told; it answers with `contract.epoch.InForce`."""

from __future__ import annotations

from collections.abc import Mapping

from ..accept import Word
from ..access import OpenStack, Ssh
from ..agreement import DAYS, DIGESTS
from ..buckets import Bucket
from ..checks import integer, line, listing, mapping, text
from ..dataclass import dataclass
from ..fields import key, part, parts, table
from ..forms import ENTRANCE, HOST, ID, SERVER
from ..installation import LossBudget
from ..lease import Lease
from ..sites import A_SITE, SITES

_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"


@dataclass(frozen=True, kw_only=True)
class Servers(OpenStack):
    """How the fence stops servers."""

    regions: Mapping[str, str] = table(line, "compute region of each site", names=SITES)
    servers: Mapping[str, tuple[str, ...]] = table(
        listing(SERVER),
        "names of each site's servers that keep a lease, database first: off is proven by these",
        names=SITES,
    )
    workers: Mapping[str, tuple[str, ...]] = table(
        listing(SERVER),
        "names of each site's servers that only work: asked to stop too, and not waited for",
        names=SITES,
    )


@dataclass(frozen=True, kw_only=True)
class Public:
    """Public addresses of a site, as `sites/<site>.json` holds them at the witness."""

    lb: str = key(ENTRANCE, "of the load balancer")
    bastion: str = key(ENTRANCE, "of the bastion")


@dataclass(frozen=True, kw_only=True)
class Document:
    """Stdin of the link."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    site: str = key(A_SITE, "the stack's site")
    peer: str = key(A_SITE, "the other one")
    repair: int = key(integer(0, 999_999), "`dr:repair`", default=0)
    request: str = key(A_SITE, "`failover_region`")
    without_fence: Word | None = part(Word, "`dr:accept.without_fence`", optional=True)
    data_loss: Word | None = part(Word, "`dr:accept.data_loss`", optional=True)
    empty: Word | None = part(Word, "`dr:accept.empty`", optional=True)
    other_configuration: Word | None = part(Word, "`dr:accept.configuration`", optional=True)
    configuration: Mapping[str, str] = key(DIGESTS, "digest of each key in which the regions must agree", default={})
    since: Mapping[str, str] = key(DAYS, "since when the secrets are in use, by kind", default={})
    certificates: Mapping[str, str] = key(
        mapping(r"[A-Za-z0-9._-]+", text(f"({_MOMENT})?", "a time in UTC like 2029-01-31T12:00:00+00:00, or nothing")),
        "when each certificate ends, by its place in `dr:secrets`; empty: cannot be read",
        default={},
    )
    loss_budget: LossBudget = part(LossBudget, "`dr:loss_budget`")
    lease: Lease | None = part(Lease, "null: off", optional=True)
    witness: Bucket = part(Bucket, "the witness bucket")
    host_keys: Mapping[str, Bucket] = parts(
        Bucket,
        "the same with the keys of hosts, by their users (db.a): looked at where no move waits for it",
        names=None,
    )
    ssh: Ssh = part(Ssh, "the way to the hosts")
    openstack: Servers = part(Servers, "the way to the servers")
    apps: tuple[str, ...] = key(listing(HOST), "names of the other site's app hosts")
    caches: tuple[str, ...] = key(listing(HOST, at_least=1), "names of a site's cache hosts, the head first")
    public: Public = part(Public, "addresses of the own site")
    instances: Mapping[str, str] = key(
        mapping(r"[a-z0-9][a-z0-9-]{0,62}", ID), "id of each of the own servers, by its name", default={}
    )
