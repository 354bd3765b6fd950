"""Which secrets of `dr:secrets` are rotated together, how each kind is renewed, and through which stages one goes that `drctl rotate` knows.

While a kind is rotated its set lies twice in `dr:secrets`: in its place the one that is in use, below `rotation` the one that is let in beside it. Each
stage reaches both regions before the next one begins, so that any two neighbours of them get on with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from .dataclass import dataclass

# For how many days what was signed with the old one is taken, where nobody says otherwise: cookies and links of Rails; links into a bucket.
KEEP_DAYS: Mapping[str, int] = {"sessions": 14, "buckets": 1}
FIRST_KEYS = 1  # number of the keys of the buckets' users where none were ever rotated
OLD_DAYS = 365  # after which a secret is to be renewed


class Stage(StrEnum):
    """What lies below `rotation.<kind>`, and what is being brought to the hosts with it."""

    BESIDE = "beside"  # the new one: servers take both, clients show the old one
    TURNED = "turned"  # the old one: servers take both, clients show the new one
    ENDED = "ended"  # nothing: servers take the new one alone


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`places`: in `dr:secrets`, as in `held.py`; `how`: it is renewed, in words; `rotated`: by `drctl rotate`; `dated`: its day stands in `since` of the
    set, and it is to be renewed within OLD_DAYS.
    """

    places: tuple[str, ...]
    how: str
    rotated: bool = False
    dated: bool = True


KINDS: Mapping[str, Kind] = {
    "database": Kind(
        places=(
            "postgres.app",
            "tls.database.clients.shop.key",
            "tls.database.clients.shop_worker.key",
            "tls.database.clients.dr_replication.key",
        ),
        rotated=True,
        how="`drctl rotate database`: the shop turns to its other pair of logins, with another password and certificates of another CA; the standby shows "
        "another certificate, too",
    ),
    "replication": Kind(
        places=("postgres.replication",),
        rotated=True,
        how="`drctl rotate replication`: PostgreSQL knows one password a role, so databases let the other region's in by its certificate and address alone "
        "while it changes; a stream is cut at no stage",
    ),
    "redis": Kind(
        places=("redis.app", "redis.replica"),
        rotated=True,
        how="`drctl rotate redis`: caches take two passwords of the shop, of its workers and of the replicas for a while; a connection that is open stays",
    ),
    "cache-operator": Kind(
        places=("redis.operator",),
        rotated=True,
        how="`drctl rotate cache-operator`: caches take two passwords of who looks after them. With three caches a region Sentinel signs in by a word that is "
        "made of it, and begins anew",
    ),
    "cache-certificates": Kind(
        places=("tls.cache.hosts.{host}.key", "tls.cache.clients.shop.key"),
        rotated=True,
        how="`drctl rotate cache-certificates`: another CA with certificates of all caches and of the shop at them; a connection that is open stays, and "
        "Sentinel begins anew, where there are three caches a region",
    ),
    "host-certificates": Kind(
        places=("tls.hosts.{host}.key",),
        rotated=True,
        how="`drctl rotate host-certificates`: another CA with certificates of all hosts; databases and nginx read theirs anew, agents begin anew",
    ),
    "shop-certificate": Kind(
        places=("tls.shop.key",), how="by hand, as `A public certificate` in docs/failover.md says"
    ),
    "sessions": Kind(
        places=("rails.secret_key_base",),
        rotated=True,
        how="`drctl rotate sessions`, twice: the shop signs with a new one and reads both, and the old one goes once it has been read for `--keep-days`. "
        "Reading both takes the gem shop_dr, or code of the shop's own; else every session ends with the turn",
    ),
    "operator": Kind(
        places=("ssh.operator.private",),
        rotated=True,
        how="`drctl rotate operator`: hosts let the program in by two keys for a while, and shut out those that it had before; what these have signed "
        "verifies on",
    ),
    "persons": Kind(places=("ssh.ca.private",), how="by hand, as `The ssh CA is renewed` in docs/failover.md says"),
    "hosts": Kind(
        places=("ssh.hosts.{host}.private",),
        dated=False,
        how="with new servers alone (`host_generation`): pulumi knows one key of a host, and one that changes in its run ends that run "
        "([decision 52](decisions/0052-two-keys-to-the-witness-and-two-of-the-program.md))",
    ),
    "variables": Kind(
        places=("app",),
        dated=False,
        how="by hand, as whoever has given them asks for: new values into both stacks, `pulumi up` of both, the standby first",
    ),
    "witness": Kind(
        places=("witness", "witness.hosts.{kind}.{site}"),
        rotated=True,
        how="`drctl rotate witness`, by the consumer key that made its users (`OVH_INIT_CONSUMER_KEY`): each of them has a second key for a while; at the end "
        "every other key of theirs is deleted at the platform",
    ),
    "archive": Kind(
        places=("archive.passphrase",),
        dated=False,
        how="by nobody while anything lies in the archive: pgBackRest reads all of a repository with one passphrase, which is the set's for ever "
        "([decision 52](decisions/0052-two-keys-to-the-witness-and-two-of-the-program.md), [restore.md](restore.md))",
    ),
    "openstack": Kind(
        places=("openstack_password",),
        how="by hand: a second OpenStack user, its name (`dr:openstack.user`) and its password into both stacks, `pulumi up` of both, then the first one is "
        "deleted",
    ),
    "ovh": Kind(
        places=("ovh",),
        how="by hand: another consumer key with the rules of `drctl rights ovh`, into both stacks, `pulumi up` of both, then the first one is revoked",
    ),
    "acme": Kind(
        places=("acme",),
        dated=False,
        how="by hand: another consumer key with the rules of `drctl rights acme`, into both stacks, `pulumi up` of both, then the first one is revoked",
    ),
    "status-page": Kind(
        places=("monitoring.status_page",),
        how="by hand: a second key for the same S3 user, into both stacks, `pulumi up` of both, then the first key is deleted at the platform",
    ),
    "monitoring": Kind(
        places=("monitoring",),
        dated=False,
        how="by hand: another word of that receiver, into both stacks, `pulumi up` of both, then the first one is revoked there",
    ),
    "logs": Kind(
        places=("logs",),
        dated=False,
        how="by hand: another word at the store, into both stacks, `pulumi up` of both, then the first one is revoked there",
    ),
    "buckets": Kind(
        places=("assets-user", "assets-copier", "assets-publisher", "assets-archive"),
        rotated=True,
        how="`drctl rotate buckets`, twice: each user has a second key, hosts turn to it, and the first one goes once links that were signed with it have "
        "been good for `--keep-days`. Who copies from outside has a key that is renewed by hand ([offsite.md](offsite.md))",
    ),
}
