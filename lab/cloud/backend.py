"""What the lab's cloud APIs ask of the machinery below them.

The APIs keep the records and the rules; a backend makes them real (`lab.machines`) or only notes them (`RecordingBackend`).
Every call blocks until the thing is so, may be repeated, and raises `BackendError` when it cannot be done; the API then shows the
resource in ERROR. Calls for different resources come from different threads.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, Protocol


class BackendError(Exception):
    """The machinery could not do what the API promised. The text says which thing and why."""


@dataclass(frozen=True, kw_only=True)
class Nic:
    """One interface of a server, as its port declares it."""

    port_id: str
    network_id: str
    mac: str
    address: str  # IPv4 without prefix
    prefix_length: int
    gateway: str | None  # None: no default route through this interface
    dns: tuple[str, ...] = ()
    mtu: int = 1500


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One security group rule. `direction` ingress or egress; no protocol: any; no ports: all; `remote` a CIDR, None: anywhere."""

    direction: str
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServerSpec:
    """Everything that a boot needs."""

    region: str
    server_id: str
    name: str
    nics: tuple[Nic, ...]
    user_data: str  # decoded; empty when none was given
    key: str | None  # OpenSSH public key of the key pair
    metadata: dict[str, str] = field(default_factory=dict)
    image_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Member:
    member_id: str
    address: str
    port: int
    weight: int
    monitor_address: str | None
    monitor_port: int | None
    backup: bool
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """Octavia's health monitor. `kind`: HTTP, HTTPS, TCP, ... as in the API."""

    kind: str
    delay: int
    timeout: int
    max_retries: int
    max_retries_down: int
    http_method: str
    url_path: str
    expected_codes: str


@dataclass(frozen=True, kw_only=True)
class Pool:
    pool_id: str
    protocol: str  # TCP, PROXY, PROXYV2, HTTP, HTTPS
    algorithm: str  # ROUND_ROBIN, LEAST_CONNECTIONS, SOURCE_IP
    members: tuple[Member, ...]
    monitor: Monitor | None


@dataclass(frozen=True, kw_only=True)
class Listener:
    listener_id: str
    protocol: str
    port: int
    pool: Pool | None
    allowed_cidrs: tuple[str, ...] = ()
    timeout_client_ms: int = 50000
    timeout_member_ms: int = 50000
    timeout_connect_ms: int = 5000
    connection_limit: int = -1


@dataclass(frozen=True, kw_only=True)
class BalancerSpec:
    """The whole wanted state of one load balancer; the backend replaces the running configuration without dropping connections."""

    region: str
    balancer_id: str
    network_id: str
    vip: str
    prefix_length: int
    gateway: str | None
    listeners: tuple[Listener, ...]


@dataclass(frozen=True, kw_only=True)
class RouterInterface:
    network_id: str
    address: str
    prefix_length: int
    mac: str


@dataclass(frozen=True, kw_only=True)
class RouterSpec:
    """The whole wanted state of one router: SNAT through `external_address`, floating IPs as one-to-one NAT."""

    region: str
    router_id: str
    external_address: str | None
    interfaces: tuple[RouterInterface, ...]
    floating: tuple[tuple[str, str], ...]  # (floating IP, fixed IP)


class Backend(Protocol):
    """Region names are the compute regions of the catalogue, as GRA11; ids are the API's UUIDs."""

    def ensure_network(self, region: str, network_id: str, vlan: int | None, mtu: int) -> None:
        """A bridge. Networks with the same `vlan` are one stretched segment over both regions; None: of this region alone."""

    def delete_network(self, region: str, network_id: str) -> None: ...

    def ensure_router(self, spec: RouterSpec) -> None: ...

    def delete_router(self, region: str, router_id: str) -> None: ...

    def set_port_rules(self, region: str, port_id: str, rules: tuple[Rule, ...] | None) -> None:
        """What the port lets through (connections are tracked). None: port security is off. May come before the server boots."""

    def boot_server(self, spec: ServerSpec) -> None:
        """Create the disk and boot. Returns when the machine runs (not: when cloud-init is done)."""

    def stop_server(self, region: str, server_id: str) -> None:
        """An orderly power-off, a hard one after a few seconds. On a stopped or crashed server: nothing."""

    def start_server(self, region: str, server_id: str) -> None: ...

    def reboot_server(self, region: str, server_id: str, hard: bool) -> None: ...

    def freeze_server(self, region: str, server_id: str) -> None:
        """Stop its processes where they are: it computes nothing and answers nothing, and its memory stays. On a stopped one: nothing."""

    def thaw_server(self, region: str, server_id: str) -> None:
        """Let a frozen one go on. On any other: nothing."""

    def delete_server(self, region: str, server_id: str) -> None:
        """Its disk goes with it; volumes that were attached are free afterwards. An unknown server: nothing."""

    def server_running(self, region: str, server_id: str) -> bool: ...

    def create_volume(self, region: str, volume_id: str, size_gb: int) -> None: ...

    def extend_volume(self, region: str, volume_id: str, size_gb: int) -> None: ...

    def delete_volume(self, region: str, volume_id: str) -> None: ...

    def attach_volume(self, region: str, server_id: str, volume_id: str) -> str:
        """Returns the device name that the API shows, /dev/vdb. In the guest also /dev/disk/by-id/virtio-<id, first 20 characters>."""

    def detach_volume(self, region: str, server_id: str, volume_id: str) -> None: ...

    def ensure_balancer(self, spec: BalancerSpec) -> None: ...

    def delete_balancer(self, region: str, balancer_id: str) -> None: ...

    def balancer_health(self, region: str, balancer_id: str) -> dict[str, str]:
        """ONLINE or ERROR by member id; members without a monitor are absent."""


class RecordingBackend:
    """Notes every call and succeeds: for the APIs' own tests. `fail_next[name]` makes the next call of that name raise."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.fail_next: dict[str, str] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any) -> Any:
            with self._lock:
                self.calls.append((name, args))
                failure = self.fail_next.pop(name, None)
            if failure is not None:
                raise BackendError(failure)
            return {"attach_volume": "/dev/vdb", "server_running": True, "balancer_health": {}}.get(name)

        return call
