"""What every desired document of a host says beside the block of its service."""

from __future__ import annotations

from collections.abc import Mapping

from .checks import address, integer, optional, prose
from .dataclass import dataclass
from .epoch import InForce
from .fields import key, part, parts
from .forms import DOMAIN, HOST, ID
from .sites import A_SITE
from .version import SCHEMA


@dataclass(frozen=True, kw_only=True)
class Host:
    """A host of either site."""

    name: str = key(DOMAIN, "its name, which resolves to the vRack address")
    vrack: str = key(address, "address between the regions")
    front: str = key(address, "address in its site's front network")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """PEM texts."""

    cert: str = key(prose, "certificate, with its chain")
    key: str = key(prose, "its key", secret=True)


@dataclass(frozen=True, kw_only=True)
class Trusted(Certificate):
    """PEM texts: a certificate of one purpose, and whom it trusts there."""

    ca: str = key(prose, "the CA, or several, of that purpose alone")


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM texts."""

    ca: str = key(prose, "the CA of the hosts, or several")
    cert: str = key(prose, "this host's certificate")
    key: str = key(prose, "its key", secret=True)


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The service's own block stands beside these keys, under the service's name (`setup` for the service `host`)."""

    schema: int = key(integer(SCHEMA, SCHEMA), "form of the document", default=SCHEMA)
    site: str = key(A_SITE, "the host's site")
    peer: str = key(A_SITE, "the other one")
    host: str = key(HOST, "its name within the site")
    repair: int = key(integer(0, 999_999), "`dr:repair`: raised, every link runs again", default=0)
    instance: str | None = key(optional(ID), "the server's id: another one is another document", default=None)
    tool: str | None = key(optional(ID), "digest of dr-host, for the same reason", default=None)
    hosts: Mapping[str, Host] = parts(Host, "hosts of both sites by key, like db-1.a", names=None)
    tls: Tls = part(Tls, "certificates of this host")
    request: str | None = key(optional(A_SITE), "`failover_region`, of links after the fence", default=None)
    epoch: InForce | None = part(InForce, "the epoch in force, of links after the fence", optional=True)
