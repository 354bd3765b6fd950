"""What two hosts are told while they greet each other by TLS without a connection between them: `certificate greet`, a line each, carried by who asks.

A handshake is made of bytes, and where they come from is nothing to it: certificates, keys, trust, clock and OpenSSL are the hosts' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from .checks import integer, listing, one_of, optional, prose, text
from .dataclass import dataclass
from .fields import Contradiction, key, part
from .forms import DOMAIN, PHRASE, SECONDS


class Place(StrEnum):
    """As whom a host greets, which says where certificate, key and CA lie."""

    HOST = "host"
    DATABASE = "database"  # its server
    STREAM = "stream"  # a standby at the other database
    CACHE = "cache"  # its server, and a replica at it
    SHOP_CACHE = "shop-cache"  # the shop's processes there
    SHOP = "shop"  # the shop's at the database
    WORKER = "worker"  # those of them that work in the active region alone


class Use(StrEnum):
    """Which of two: what a host has, or what would be new; both to be trusted."""

    OWN = "own"
    NEW = "new"
    BOTH = "both"


MOST = 65_536  # characters that one turn may say: a handshake's longest is some 6000
BYTES = text(r"[A-Za-z0-9+/]{0,65532}={0,2}", "bytes in base64")
WAITS, DONE, REFUSED = "waits", "done", "refused"
CERTIFICATE = text(
    r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{1,20000}-----END CERTIFICATE-----\n*){1,8}",
    "PEM certificates, eight at most",
)
PRIVATE = text(
    r"-----BEGIN ((EC|RSA) )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{1,10000}-----END ((EC|RSA) )?PRIVATE KEY-----\n*",
    "a PEM private key",
)


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """A certificate that nothing serves, by a CA that nothing trusts."""

    cert: str = key(CERTIFICATE, "the certificate")
    key: str = key(PRIVATE, "its key", secret=True)


@dataclass(frozen=True, kw_only=True)
class Begin:
    """A new handshake."""

    place: str = key(one_of(*Place), "as whom")
    name: str | None = key(optional(DOMAIN), "whom it asks for, of one that asks; null: it is asked", default=None)
    login: str | None = key(
        optional(text(r"[a-z_0-9]{1,63}", "a role")), "at the database, of `shop` and `worker`", default=None
    )
    shows: str = key(one_of(Use.OWN, Use.NEW), "which certificate")
    trusts: str = key(one_of(*Use), "which CA")
    new: Fresh | None = part(Fresh, "what is new of its own", optional=True)
    ca: str | None = key(optional(CERTIFICATE), "PEM of the new CA of those whom it trusts", default=None)

    def contradictions(self) -> Iterator[Contradiction]:
        """What is to be shown or trusted has to be there."""
        lacking = [
            name
            for name, lacks in (
                ("new", self.shows == Use.NEW and self.new is None),
                ("ca", self.trusts != Use.OWN and self.ca is None),
                ("login", self.place in (Place.SHOP, Place.WORKER) and self.login is None),
            )
            if lacks
        ]
        for name in lacking:
            yield Contradiction(name, "nothing", "what this handshake needs", "nothing was greeted", "pass it")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A line."""

    schema: int = key(integer(1, 1), "form of the line", default=1)
    begin: Begin | None = part(Begin, "of the first line of a handshake", optional=True)
    heard: str = key(BYTES, "what the other end has said", default="")


@dataclass(frozen=True, kw_only=True)
class Said:
    """The answer to each line."""

    said: str = key(BYTES, "to the other end", default="")
    state: str = key(one_of(WAITS, DONE, REFUSED), "of this end's handshake")
    why: str = key(PHRASE, "of a refusal", default="")


@dataclass(frozen=True, kw_only=True)
class Try:
    """`certificate try`, on an app host: a certificate of the shop that is shown to nobody."""

    schema: int = key(integer(1, 1), "form of the document", default=1)
    names: tuple[str, ...] = key(listing(DOMAIN, at_least=1), "the shop's public ones")
    ca: str | None = key(optional(prose), "PEM of the CAs that customers trust; null: the public roots", default=None)
    new: Fresh = part(Fresh, "the pair")


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came of it."""

    ends: float = key(SECONDS, "when it ends, in seconds since 1970")
