"""What the platform answers to `drctl init`: OpenStack's lists, the OVHcloud API, each held to a form before it reaches a configuration or a terminal."""

from __future__ import annotations

from .checks import integer, listing, optional, text
from .dataclass import dataclass
from .fields import key, part
from .forms import BUCKET, COUNT, DOMAIN, ID, PHRASE, S3_KEY

UUID = text(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an id of OpenStack (UUID)")
FLAVOR_ID = text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "the id of a flavor")
LIMIT = integer(-1, 2**63 - 1)  # -1: none
WORD = text(r"[A-Za-z0-9_.-]{1,64}", "a word")


@dataclass(frozen=True, kw_only=True)
class Image:
    """A row of Glance's list."""

    id: str = key(UUID, "its id")
    name: str = key(PHRASE, "its name", default="")
    status: str = key(WORD, "active, or on its way")


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """A row of Nova's list."""

    id: str = key(FLAVOR_ID, "its id")
    name: str = key(PHRASE, "its name")
    vcpus: int = key(COUNT, "cores")
    ram: int = key(COUNT, "memory", unit="MB")


@dataclass(frozen=True, kw_only=True)
class Network:
    """A row of Neutron's list."""

    id: str = key(UUID, "its id")
    name: str = key(PHRASE, "its name", default="")
    vlan: int | None = key(optional(COUNT), "of a network on the vRack", default=None)


@dataclass(frozen=True, kw_only=True)
class VolumeType:
    """A row of Cinder's list."""

    name: str = key(PHRASE, "its name")


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a project may have of something, and has."""

    limit: int = key(LIMIT, "at most; -1: no limit")
    used: int = key(COUNT, "now", default=0)
    reserved: int = key(COUNT, "on its way", default=0)


@dataclass(frozen=True, kw_only=True)
class Route:
    """A call that a consumer key may make."""

    method: str = key(text(r"[A-Z]{1,10}", "a method"), "of HTTP")
    path: str = key(text(r"/[!-~]{0,400}", "a path"), "`*` is any text")


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a region offers."""

    name: str = key(WORD, "its name")
    status: str = key(WORD, "UP or DOWN")


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A DNS zone."""

    servers: tuple[str, ...] = key(listing(DOMAIN, at_least=1), "its authoritative servers")


@dataclass(frozen=True, kw_only=True)
class User:
    """A user of a Public Cloud project."""

    id: int = key(COUNT, "its number")
    description: str = key(PHRASE, "as whoever made it called it", default="")
    status: str = key(WORD, "ok, or on its way")


@dataclass(frozen=True, kw_only=True)
class S3Key:
    """A key of a user, with its secret where that was asked for."""

    access: str = key(S3_KEY, "its id", secret=True)
    secret: str | None = key(optional(S3_KEY), "the key", default=None, secret=True)


@dataclass(frozen=True, kw_only=True)
class State:
    """Whether something of a bucket is on."""

    status: str = key(WORD, "enabled, disabled or suspended", default="disabled")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket as the OVHcloud API shows it."""

    name: str = key(BUCKET, "its name")
    versioning: State | None = part(State, "whether it keeps versions", optional=True)
    lock: State | None = part(State, "whether it locks what is put", optional=True)


@dataclass(frozen=True, kw_only=True)
class Vrack:
    """The vRack of a project."""

    id: str | None = key(optional(ID), "its id", default=None)
    name: str = key(PHRASE, "its name", default="")


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role in a token."""

    name: str = key(WORD, "its name")
