"""Logs: what is configured of the copies of hosts' journals, and of a store that they are sent to as well (`dr:logs`), and what `logs converge` is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..checks import boolean, integer, optional, text
from ..dataclass import dataclass
from ..fields import Contradiction, key, part
from ..hosts import CONTROL
from ..plain import phrase

MOST_UNITS = 30  # that are named
COPIES = "/var/log/dr-logs"  # on a control host: a folder for each host of the other region, by its key
_UNSENT = "no line would reach the store"
# A name, since HAProxy finds no address in a certificate; and no query, which is not handed on.
_STORE = text(
    r"https?://(?=[a-z0-9.-]*[a-z])[a-z0-9.-]{1,253}(:[0-9]{1,5})?(/[A-Za-z0-9._~-]{1,100}){0,8}",
    "an http or https URL of a host by its name, in lower case, without a user, a query or a slash at its end",
)
_USER = text(r"[^\s\"':]{1,200}", "a word without spaces, quotes and colons")
_TENANT = text(r"[0-9]{1,9}:[0-9]{1,9}", "two numbers, like 12:0")
# RFC 6750's letters; HAProxy reads it from a file of words.
TOKEN = text(r"[A-Za-z0-9._~+/-]{1,4000}=*", "a bearer token: letters, digits and . _ ~ + / - with = at its end alone")
PASSWORD = text(r"[^\r\n\0]{1,1000}", "a password of one line")
_PEM = text(
    r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{1,20000}-----END CERTIFICATE-----\n*){1,8}",
    "PEM certificates, eight at most",
)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How much a control host keeps of each host of the other region."""

    days: int = key(
        integer(1, 365),
        "how long lines of the other region's hosts are kept",
        default=14,
        unit="days",
        why="copies would fill the disk",
    )
    host_mb: int = key(
        integer(32, 65_536),
        "how much of the control host's disk the journal of one host of the other region may take; whichever is reached first",
        default=256,
        unit="MiB",
        why="copies would fill the disk",
    )


@dataclass(frozen=True, kw_only=True)
class Store:
    """`dr:logs.store`. Its password is `logs.store_password` of `dr:secrets`, or `store_token` there a token."""

    url: str = key(
        _STORE,
        "takes what systemd-journal-upload sends, at `/upload` below it: VictoriaLogs' `https://HOST/insert/journald`",
        why=_UNSENT,
    )
    user: str | None = key(
        optional(_USER), "as whom, with the password; absent: with the token, or as nobody", default=None, why=_UNSENT
    )
    ca: str | None = key(
        optional(_PEM), "PEM of the store's CA, where it is not a public one", default=None, why=_UNSENT
    )
    tenant: str | None = key(
        optional(_TENANT),
        "VictoriaLogs' account and project, like 12:0; absent: the store's own",
        default=None,
        why=_UNSENT,
    )


@dataclass(frozen=True, kw_only=True)
class Keys(Kept):
    """`dr:logs`. Absent: each host's journal is on that host alone, and is lost with it (docs/logs.md)."""

    enabled: bool = key(
        boolean,
        "false: what was put on hosts is stopped and taken away by the next run; then leave the section out",
        default=True,
        why="it is not clear whether journals are copied",
    )
    store: Store | None = part(
        Store, "a store of the team's own that each journal is sent to beside the copy", optional=True, why=_UNSENT
    )


@dataclass(frozen=True, kw_only=True)
class Forward(Store):
    """What a control host is told of the store beside the keys: by which word it is let in."""

    password: str | None = key(optional(PASSWORD), "of the store's user", default=None, secret=True)
    token: str | None = key(optional(TOKEN), "in place of user and password", default=None, secret=True)

    def contradictions(self) -> Iterator[Contradiction]:
        """A user needs a password."""
        if self.user is not None and self.password is None:
            yield Contradiction(
                "password",
                "nothing",
                f"the password of {self.user} at the store",
                _UNSENT,
                "put it into the part logs of dr:secrets as store_password, in both stacks",
            )


@dataclass(frozen=True, kw_only=True)
class Block:
    """`logs converge`: of every host."""

    enabled: bool = key(boolean, "false: what is there is taken away", default=True)
    kept: Kept | None = part(
        Kept, "of a control host: what it keeps of the other region; null on the others", optional=True
    )
    stored: bool = key(boolean, "whether the journal is sent to a store as well", default=False)
    store: Forward | None = part(
        Forward, "of a control host: where the journals of its region go as well; null on the others", optional=True
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Who leads to a store sends there."""
        if self.store is not None and not self.stored:
            yield Contradiction("stored", "false", "true beside a store", _UNSENT, "tell both or neither")


def packages(kind: str) -> tuple[str, ...]:
    """Of one kind of host; installed by `logs converge`. HAProxy looks at certificates: Debian's systemd-journal-remote cannot."""
    return ("systemd-journal-remote", *(("haproxy",) if kind == CONTROL else ()))


def other_units(asked: Sequence[str], known: Iterable[str]) -> str:
    """What is said where units that were asked for have no line. `known`: those that have any, those that are alike first."""
    words = [it.partition("@")[0].removesuffix(".service").lower() for it in asked]
    names = {phrase(it, 80) for it in known if it.strip()}
    alike = sorted(names, key=lambda name: (not any(word in name.lower() for word in words), name))
    more = f" and {len(alike) - MOST_UNITS} more" if len(alike) > MOST_UNITS else ""
    return f"no line of {', '.join(asked)} there; units that have any: {', '.join(alike[:MOST_UNITS]) or 'none'}{more}"
