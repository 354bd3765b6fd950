"""What the API knows from the start, the quirks it can be told to show, and what it asks of the machinery below."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from contract.consumer_key import Rule
from lab.dns.servers import Record
from lab.s3.stored import Retention, StoredObject

EVERYTHING = tuple(Rule(method, "/*", "whatever there is") for method in ("GET", "POST", "PUT", "DELETE"))
ROLES = (
    "administrator",
    "compute_operator",
    "network_operator",
    "network_security_operator",
    "load-balancer_operator",
    "volume_operator",
    "image_operator",
    "backup_operator",
    "infrastructure_supervisor",
    "key-manager_operator",
    "objectstore_operator",
)


@dataclass(frozen=True, kw_only=True)
class OvhConfig:
    """`service_name` is the Public Cloud project's id, `auth_url` its Keystone, `regions` compute and storage regions (GRA11, GRA)."""

    application_key: str
    application_secret: str = field(repr=False)
    consumer_key: str = field(repr=False)
    service_name: str
    auth_url: str
    project_name: str = "shop"
    account: str = "xx1111-ovh"
    zones: tuple[str, ...] = ("shop.example",)
    name_servers: tuple[str, ...] = ("dns101.ovh.net", "ns101.ovh.net")
    compute_regions: tuple[str, ...] = ("GRA11", "SBG5")
    storage_regions: tuple[str, ...] = ("GRA", "SBG", "DE")
    user_polls: int = 1  # how often a fresh user is seen as `creating`
    clock_window_s: int = 60  # a signature's time stamp may be that far off
    granted: tuple[Rule, ...] = EVERYTHING  # what the consumer key may ask
    further: Mapping[str, tuple[Rule, ...]] = field(
        default_factory=dict, repr=False
    )  # the same of other keys of the account
    vrack: str = "pn-1000001"  # of the project; empty: it has none

    def rules(self, consumer_key: str) -> tuple[Rule, ...] | None:
        """What a key may ask; None for one that nobody knows."""
        known = {self.consumer_key: self.granted, **self.further}
        return next((known[key] for key in known if hmac.compare_digest(key, consumer_key)), None)


@dataclass
class Knobs:
    """Faults and known quirks, off at first. Counters count down with each request that they spoil."""

    refresh: Literal["ok", "refused", "forbidden", "ignored"] = (
        "ok"  # ignored: answers as if done, the servers keep the old zone
    )
    too_many: int = 0  # so many requests get a 429, without Retry-After, as the real API's
    failing: int = 0  # so many requests get a 500
    slow_s: float = 0.0  # every request takes that much longer
    zero_ids: int = 0  # so many created records answer `id: 0`


class StorageBackend(Protocol):
    """`lab.s3.gateway.Storage`, or a fake. Regions in lower case; refusals are `lab.s3.gateway.StorageError`."""

    def endpoint(self, region: str) -> str: ...

    def create_credential(self, user: str, access_key: str, secret_key: str) -> None: ...

    def delete_credential(self, access_key: str) -> None: ...

    def set_policy(self, user: str, document: str) -> None: ...

    def forget_user(self, user: str) -> None: ...

    def create_bucket(
        self,
        region: str,
        name: str,
        *,
        versioning: bool = False,
        object_lock: bool = False,
        retention: Retention | None = None,
        owner: str = "",
    ) -> None: ...

    def set_retention(self, region: str, name: str, retention: Retention | None) -> None: ...

    def set_versioning(self, region: str, name: str, enabled: bool) -> None: ...

    def delete_bucket(self, region: str, name: str) -> None: ...

    def list_buckets(self, region: str) -> list[str]: ...

    def list_objects(
        self, region: str, name: str, *, versions: bool = False, prefix: str = "", marker: str = "", limit: int = 1000
    ) -> list[StoredObject]: ...

    def delete_objects(self, region: str, name: str, objects: Iterable[tuple[str, str]]) -> None: ...


class DnsBackend(Protocol):
    """`lab.dns.servers.Dns`, or a fake: serves what was published last; refusals are `lab.dns.servers.DnsError`."""

    def publish(self, zone: str, records: Iterable[Record], serial: int) -> None: ...
