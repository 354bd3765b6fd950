"""The state of the whole rehearsal cloud: every record of every region, one lock, one worker.

Records are plain dicts in the shape of the API's answer; keys that begin with `_` are the lab's own and never leave it
(`public` strips them). A record is found by id in its region's store; stores keep the order of creation. Whoever reads or
changes records holds `cloud.lock` (handlers of `OpenStackService` do so by themselves, jobs of the worker must take it), and
nobody calls the backend while holding it.
"""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lab.cloud.backend import Backend
from lab.cloud.config import CloudConfig, RegionConfig
from lab.cloud.worker import Failed, Worker

if TYPE_CHECKING:
    from lab.cloud.web import Service

__all__ = ["Cloud", "CloudConfig", "Record", "RegionState", "Store", "Token", "new_id", "now", "public", "stamp"]

Record = dict[str, Any]
Store = dict[str, Record]


def new_id() -> str:
    """A UUID with dashes, as all services but Keystone use."""
    return str(uuid.uuid4())


def now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime | None = None, style: str = "z") -> str:
    """A moment as the services write it. `z`: 2026-11-25T03:01:33Z (Nova, Neutron, Glance); `plain`: without the Z (Octavia);
    `micro`: 2026-11-25T03:01:33.000000 (Cinder, Nova's key pairs); `keystone`: with both."""
    text = (moment or now()).strftime("%Y-%m-%dT%H:%M:%S")
    return text + {"z": "Z", "plain": "", "micro": ".000000", "keystone": ".000000Z"}[style]


def public(record: Mapping[str, Any]) -> Record:
    """A deep copy of what a tenant may see of a record."""
    return {key: copy.deepcopy(value) for key, value in record.items() if not key.startswith("_")}


@dataclass(kw_only=True)
class RegionState:
    """The stores of one region, by kind. Key pairs are by name, everything else by id; `members` of all pools lie in one store."""

    servers: Store = field(default_factory=dict)
    keypairs: Store = field(default_factory=dict)
    server_groups: Store = field(default_factory=dict)
    volumes: Store = field(default_factory=dict)
    attachments: Store = field(default_factory=dict)
    images: Store = field(default_factory=dict)
    flavors: Store = field(default_factory=dict)
    networks: Store = field(default_factory=dict)
    subnets: Store = field(default_factory=dict)
    ports: Store = field(default_factory=dict)
    routers: Store = field(default_factory=dict)
    security_groups: Store = field(default_factory=dict)
    rules: Store = field(default_factory=dict)
    floating_ips: Store = field(default_factory=dict)
    load_balancers: Store = field(default_factory=dict)
    listeners: Store = field(default_factory=dict)
    pools: Store = field(default_factory=dict)
    members: Store = field(default_factory=dict)
    monitors: Store = field(default_factory=dict)
    quotas: dict[str, int] = field(default_factory=dict)  # -1: no limit; tests and faults may change it


KINDS = tuple(item.name for item in fields(RegionState) if item.name != "quotas")


@dataclass(frozen=True, kw_only=True)
class Token:
    """What Keystone has issued. `project_id` None: unscoped."""

    id: str
    user_id: str
    user_name: str
    project_id: str | None
    roles: tuple[str, ...]
    issued: datetime
    expires: datetime
    audit_id: str
    methods: tuple[str, ...] = ("password",)

    @property
    def expired(self) -> bool:
        return now() >= self.expires


class Cloud:
    """All regions of one rehearsal cloud. `services` is filled by `lab.cloud.openstack.build`: (service type, region) to service."""

    def __init__(self, config: CloudConfig, backend: Backend) -> None:
        self.config, self.backend = config, backend
        self.lock = threading.RLock()
        self.worker = Worker()
        self.regions: dict[str, RegionState] = {}
        self.tokens: dict[str, Token] = {}
        self.revoked: set[str] = set()
        self.services: dict[tuple[str, str], Service] = {}
        self.seeds: list[
            Callable[[Cloud, str], None]
        ] = []  # what each region has from the beginning (Ext-Net, images, default group)
        self.reset()

    def region(self, name: str) -> RegionState:
        return self.regions[name]

    def settings(self, region: str) -> RegionConfig:
        return self.config.region(region)

    def add_seed(self, seed: Callable[[Cloud, str], None]) -> None:
        """Call `seed(cloud, region)` for every region, now and after each `reset`."""
        with self.lock:
            self.seeds.append(seed)
            for region in self.regions:
                seed(self, region)

    def reset(self) -> None:
        """As on the first day: no token, nothing of the tenant, no pending change. The backend is not asked to clean up."""
        with self.lock:
            self.worker.forget()
            self.tokens.clear()
            self.revoked.clear()
            for item in self.config.regions:
                self.regions[item.name] = RegionState(quotas=dict(item.quotas))
                for seed in self.seeds:
                    seed(self, item.name)

    def later(self, delay: float, job: Callable[[], None], failed: Failed | None = None) -> None:
        """Run `job` in the background after `delay` seconds, without the lock. If it raises: logged, and `failed` gets the text."""
        self.worker.later(delay, job, failed)

    def run(self, job: Callable[[], None], failed: Failed | None = None) -> None:
        """Run `job` in the background as soon as possible."""
        self.worker.later(0, job, failed)

    def settle(self, timeout: float = 10) -> None:
        """Wait until no change is under way. Raises TimeoutError."""
        if not self.worker.settle(timeout):
            raise TimeoutError(f"the cloud's background jobs did not end within {timeout} s")

    def close(self) -> None:
        self.worker.close()

    def over_quota(self, region: str, resource: str, used: int, more: int = 1) -> bool:
        """Would `more` of `resource` on top of `used` go past the quota? Names as in `lab.cloud.config.QUOTAS`."""
        limit = self.regions[region].quotas.get(resource, -1)
        return limit >= 0 and used + more > limit

    def all(self) -> dict[str, dict[str, dict[str, Record]]]:
        """Everything that a tenant could see, by region, kind and id (deep copies): equal before and after means nothing was left behind."""
        with self.lock:
            return {
                name: {
                    kind: {key: public(record) for key, record in sorted(getattr(state, kind).items())}
                    for kind in KINDS
                }
                for name, state in sorted(self.regions.items())
            }
