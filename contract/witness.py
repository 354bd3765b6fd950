"""Who may do what at the witness: one table. The policies of the keys to it (`components/render/policy.py`) and the documents say what stands here.

The operator's key may read all of it. Each kind of host has a key of its own in each site: two regions, four kinds, eight users.
A key may list every name in the bucket or none: a policy of OVHcloud knows no condition that would narrow a listing.
"""

from __future__ import annotations

from .dataclass import dataclass
from .hosts import APP, CACHE, CONTROL, DATABASE
from .sites import SITES

OPERATOR = "operator"
# Of hosts that ask the witness. An app host asks whether its workers may start.
KINDS = (DATABASE, CACHE, APP)
# Of hosts that need no answer of it to do their work. Sets of secrets were made before there was a key for these, so one without it is taken.
TELLING = (CONTROL,)
LOCKED_DAYS = 400  # of what is kept


@dataclass(frozen=True, kw_only=True)
class Row:
    """Objects whose keys fit `keys`, where `{site}` and `{kind}` are those of a host that asks."""

    keys: str
    holds: str
    put_by: tuple[str, ...]  # kinds of hosts, or OPERATOR
    read_by: tuple[str, ...] = ()  # besides the operator
    removed_by: tuple[str, ...] = ()  # leaves a marker; nobody's key removes a version
    kept: bool = False  # whoever puts it may lock it against everybody, where the bucket has object lock


TABLE = (
    Row(
        keys="epochs/*",
        holds="which site is active, and on which proof",
        put_by=(OPERATOR,),
        read_by=(DATABASE, CACHE, APP, CONTROL),
    ),
    # A site that is taken down must not be published any more.
    Row(keys="sites/*", holds="public addresses of a site", put_by=(OPERATOR,), removed_by=(OPERATOR,)),
    Row(keys="servers/*", holds="ids of a site's servers, for the fence", put_by=(OPERATOR,)),
    Row(keys="followed/*", holds="the newest epoch in which a site was seen following", put_by=(OPERATOR,)),
    Row(keys="unsettled/*", holds="moves away from a site that were begun", put_by=(OPERATOR,)),
    Row(
        keys="configurations/*",
        holds="digests of what a site's last run was configured with",
        put_by=(OPERATOR,),
    ),
    Row(keys="runs/*", holds="who works at a site's stack", put_by=(OPERATOR,)),
    Row(keys="audit/*", holds="who has done what, as a chain", put_by=(OPERATOR,), kept=True),
    Row(keys="checks/*", holds="what the last recorded `drctl check` has found", put_by=(OPERATOR,)),
    # As pulumi exports them: what is secret in them is encrypted by the stacks' own secrets provider.
    Row(keys="states/*", holds="copies of Pulumi's states", put_by=(OPERATOR,), kept=True),
    Row(
        keys="reports/*",
        holds="what came of each move, drill, deploy and rotation, signed, as a chain",
        put_by=(OPERATOR,),
        kept=True,
    ),
    Row(keys="watch/*", holds="what watchers have seen and begun, and who has agreed", put_by=(OPERATOR,), kept=True),
    Row(
        keys="logs/{site}/{kind}-*",
        holds="who has signed in to a host, in the words of its sshd, as a chain",
        put_by=(*KINDS, *TELLING),
        kept=True,
    ),
    Row(
        keys="heartbeats/{site}/{kind}-*",
        holds="the newest word of a host's agent",
        put_by=(DATABASE, CACHE),
        read_by=(DATABASE, CACHE),
    ),
    Row(
        keys="certificates/{site}/*",
        holds="the shop's certificate and key as that site's bastion has ordered them, sealed for app hosts and bastions",
        put_by=(CONTROL,),
    ),
    # Of either site: the newer one is shown by both, and the bastion that takes over orders none while it is good.
    Row(keys="certificates/*", holds="the same, whichever site's", put_by=(), read_by=(CONTROL, APP)),
    Row(keys="clusters/*", holds="that there was a database of this id", put_by=(DATABASE,)),
    Row(
        keys="probe/*",
        holds="what proves that the store honours conditions",
        put_by=(OPERATOR,),
        removed_by=(OPERATOR,),
    ),
)


def user_of(kind: str, site: str) -> str:
    """The name of a key's user: `db.a`."""
    return f"{kind}.{site}"


HOST_USERS = tuple(user_of(kind, site) for site in SITES for kind in (*KINDS, *TELLING))
LATER_USERS = tuple(user_of(kind, site) for site in SITES for kind in TELLING)  # whose keys a set of secrets may lack
USERS = (OPERATOR, *HOST_USERS)


@dataclass(frozen=True, kw_only=True)
class Rights:
    """Patterns of the objects that one user may put, read and remove, and lock when they are put."""

    put: tuple[str, ...]
    read: tuple[str, ...]
    remove: tuple[str, ...]
    keep: tuple[str, ...]


def rights(user: str) -> Rights:
    """Of one of `USERS`."""
    kind, _, site = user.partition(".")
    own = [(row, row.keys.format(site=site, kind=kind)) for row in TABLE]
    return Rights(
        put=tuple(keys for row, keys in own if kind in row.put_by),
        read=("*",) if user == OPERATOR else tuple(keys for row, keys in own if kind in row.read_by),
        remove=tuple(keys for row, keys in own if kind in row.removed_by),
        keep=tuple(keys for row, keys in own if row.kept and kind in row.put_by),
    )
