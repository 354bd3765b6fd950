"""The shop's certificate where an ACME CA issues it: what the hosts that order it and those that show it are told, as a part of `setup`."""

from __future__ import annotations

from collections.abc import Mapping

from ..checks import address, integer, listing, mapping, optional, password, prose, text, url
from ..dataclass import dataclass
from ..fields import key, part
from ..forms import DOMAIN

AT_WITNESS = "certificates/{site}/shop.json"  # as the bastion of that site has ordered it
NOT_ORDERED = "the shop's certificate cannot be ordered"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`dr:shop.acme`: what customers see is ordered and renewed by the active site's `control-1`, with the keys `acme` of `dr:secrets`."""

    directory: str = key(
        url, "the CA's ACME directory", default="https://acme-v02.api.letsencrypt.org/directory", why=NOT_ORDERED
    )
    contact: str = key(
        text(
            r"[A-Za-z0-9._+-]{1,64}@([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,}",
            "an address of mail, its domain in lower case",
        ),
        "whom the CA writes to when a certificate is about to end",
        why=NOT_ORDERED,
    )
    zone: str | None = key(
        optional(DOMAIN),
        "a zone of its own in which the challenge is answered, so that the key on the bastions changes no other record: a CNAME leads from "
        "`_acme-challenge.<shop.host>` to `<shop.host>.<this zone>`, made once, by hand; absent: `dns.zone`",
        default=None,
        why=NOT_ORDERED,
    )
    ca: str | None = key(
        optional(
            text(r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n*)+", "PEM certificates")
        ),
        "PEM of the CAs of an ACME server of your own, both of its directory and of what it issues; absent: the public roots",
        default=None,
        why="what the CA issues would be trusted by nobody here",
    )


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """The object at the witness, `certificates/<site>/shop.json`."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    sealed: str = key(
        text(r"-----BEGIN CMS-----\n[A-Za-z0-9+/=\n]{1,200000}-----END CMS-----\n?", "a PEM text of CMS"),
        "a `Pair`, signed by that bastion and encrypted for each host that may open it (CMS, AES-256-GCM)",
    )


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is sealed."""

    schema: int = key(integer(1, 1), "form of the object", default=1)
    shop: str = key(DOMAIN, "the name that it was ordered for")
    cert: str = key(
        text(
            r"(-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]{1,20000}-----END CERTIFICATE-----\n*){1,8}",
            "PEM certificates, eight at most",
        ),
        "the certificate, with its chain",
    )
    key: str = key(
        text(
            r"-----BEGIN ((EC|RSA) )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{1,10000}-----END ((EC|RSA) )?PRIVATE KEY-----\n*",
            "a PEM private key",
        ),
        "its key",
        secret=True,
    )


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Of an order: `dr:shop.acme`, and who opens what comes of it."""

    directory: str = key(url, "the CA's ACME directory")
    contact: str = key(text(r"[^\s@]+@[^\s@]+", "an address of mail"), "whom the CA writes to")
    endpoint: str = key(text(r"[a-z]+-[a-z]+|https?://\S+", "a name of go-ovh's, or a URL"), "the OVHcloud API")
    resolvers: tuple[str, ...] = key(listing(address, at_least=1), "that the host was given")
    opened_by: Mapping[str, str] = key(
        mapping(r"[a-z]{1,20}-[1-9][0-9]?\.[ab]", prose),
        "PEM certificates of the hosts that open what is sealed: app hosts and bastions of both sites, by their keys; two of each while they are rotated",
    )


@dataclass(frozen=True, kw_only=True)
class OvhKeys:
    """`acme` of `dr:secrets`."""

    application_key: str = key(password, "of the application", secret=True)
    application_secret: str = key(password, "its secret", secret=True)
    consumer_key: str = key(
        password, "that may change records of the zone in which the challenge is answered", secret=True
    )


@dataclass(frozen=True, kw_only=True)
class Order(Terms):
    """Of the bastions."""

    keys: OvhKeys = part(OvhKeys, "to the OVHcloud API")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """On bastions and app hosts."""

    shop: str = key(DOMAIN, "the shop's public name")
    ca: str | None = key(
        optional(prose), "PEM of the CAs that are trusted with it; null: the public roots", default=None
    )
    order: Order | None = part(
        Order, "of the hosts that order it; null: it is taken from the witness, and shown", optional=True
    )
