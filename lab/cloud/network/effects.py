"""What a change of records means for the machinery. Collected while the lock is held, carried out after it is released.

Each effect reads the records again when its turn has come and is carried out under a lock of its own resource: of two
concurrent changes the second applies the sum of both, and no older state can overtake a newer one.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable

from lab.cloud.backend import BackendError, RouterInterface, RouterSpec
from lab.cloud.network import models, rules
from lab.cloud.state import Cloud, Record, RegionState

log = logging.getLogger("lab.cloud.network")

_guards: defaultdict[tuple[str, str, str], threading.Lock] = defaultdict(threading.Lock)
_guards_lock = threading.Lock()


def guard(kind: str, region: str, name: str) -> threading.Lock:
    """The lock under which one resource of the machinery is changed. Taken before `cloud.lock`, never while holding it."""
    with _guards_lock:
        return _guards[kind, region, name]


def router_spec(state: RegionState, region: str, router: Record) -> RouterSpec:
    """The whole wanted state of a router; one that is administratively down keeps its interfaces but reaches nothing outside."""
    ports = [
        port
        for port in state.ports.values()
        if port["device_id"] == router["id"] and port["device_owner"] == models.INTERFACE
    ]
    interfaces = [
        RouterInterface(
            network_id=port["network_id"],
            address=fixed["ip_address"],
            prefix_length=prefix_length(state, fixed["subnet_id"]),
            mac=port["mac_address"],
        )
        for port in ports
        for fixed in port["fixed_ips"]
    ]
    gateway = router["external_gateway_info"] if router["admin_state_up"] else None
    floating = [
        (f["floating_ip_address"], f["fixed_ip_address"])
        for f in state.floating_ips.values()
        if f["router_id"] == router["id"]
    ]
    return RouterSpec(
        region=region,
        router_id=router["id"],
        external_address=gateway["external_fixed_ips"][0]["ip_address"] if gateway else None,
        interfaces=tuple(sorted(interfaces, key=lambda item: (item.network_id, item.address))),
        floating=tuple(sorted(floating)) if gateway else (),
    )


def prefix_length(state: RegionState, subnet: str) -> int:
    return int(state.subnets[subnet]["cidr"].rpartition("/")[2])


class Effects:
    """The pending effects of one change in one region. Add under `cloud.lock`, then `run()` without it."""

    def __init__(self, cloud: Cloud, region: str) -> None:
        self._cloud, self._region = cloud, region
        self._networks: dict[str, None] = {}
        self._routers: dict[str, None] = {}
        self._ports: dict[str, None] = {}
        self._dropped: list[tuple[str, Record]] = []

    def network(self, network_id: str) -> None:
        self._networks[network_id] = None

    def router(self, router_id: str | None) -> None:
        if router_id is not None:
            self._routers[router_id] = None

    def port(self, port_id: str) -> None:
        self._ports[port_id] = None

    def ports(self, port_ids: Iterable[str]) -> None:
        self._ports.update(dict.fromkeys(sorted(port_ids)))

    def membership(self, state: RegionState, groups: Iterable[str]) -> None:
        """A port joined or left the groups, or has another address."""
        self.ports(rules.ports_watching(state, groups))

    def dropped(self, kind: str, record: Record) -> None:
        """The record has been taken out of its store; what stands behind it goes too."""
        self._dropped.append((kind, record))

    def run(self) -> None:
        """Carry everything out, never while holding `cloud.lock`.

        A network or router that cannot be made is shown in ERROR. `BackendError` when the rules of a port could not be set, or when
        something could not be removed, which then is back in its store, in ERROR.
        """
        for network_id in self._networks:
            self._marked("network", network_id, self._apply_network)
        for router_id in self._routers:
            self._marked("router", router_id, self._apply_router)
        failures = [text for port_id in self._ports if (text := self._rules(port_id)) is not None]
        failures += [text for kind, record in self._dropped if (text := self._drop(kind, record)) is not None]
        if failures:
            raise BackendError("; ".join(failures))

    def _marked(self, kind: str, wanted: str, apply: Callable[[str], bool]) -> None:
        """Apply, and put the outcome on the record's status."""
        try:
            with guard(kind, self._region, wanted):
                if not apply(wanted):
                    return
            status = "ACTIVE"
        except BackendError as error:
            log.error("%s %s of %s is in ERROR: %s", kind, wanted, self._region, error)
            status = "ERROR"
        with self._cloud.lock:
            record = models.store(self._cloud.region(self._region), kind).get(wanted)
            if record is not None:
                record["status"] = status

    def _apply_network(self, network_id: str) -> bool:
        with self._cloud.lock:
            network = self._cloud.region(self._region).networks.get(network_id)
            if network is None:
                return False
            vlan = network["provider:segmentation_id"] if network["provider:network_type"] == "vrack" else None
            mtu = network["mtu"]
        self._cloud.backend.ensure_network(self._region, network_id, vlan, mtu)
        return True

    def _apply_router(self, router_id: str) -> bool:
        with self._cloud.lock:
            state = self._cloud.region(self._region)
            router = state.routers.get(router_id)
            if router is None:
                return False
            spec = router_spec(state, self._region, router)
        self._cloud.backend.ensure_router(spec)
        return True

    def _rules(self, port_id: str) -> str | None:
        """Set the rules of a port; the text of the failure, None when there was none."""
        with guard("port", self._region, port_id):
            with self._cloud.lock:
                state = self._cloud.region(self._region)
                port = state.ports.get(port_id)
                if port is None or not rules.filtered(port):
                    return None
                compiled = rules.compile_port(state, port)
            try:
                self._cloud.backend.set_port_rules(self._region, port_id, compiled)
            except BackendError as error:
                log.error("port %s of %s has not got its rules: %s", port_id, self._region, error)
                return f"port {port_id}: {error}"
        return None

    def _drop(self, kind: str, record: Record) -> str | None:
        wanted = record["id"]
        try:
            with guard(kind, self._region, wanted):
                if kind == "network":
                    self._cloud.backend.delete_network(self._region, wanted)
                elif kind == "router":
                    self._cloud.backend.delete_router(self._region, wanted)
                elif rules.filtered(record):
                    self._cloud.backend.set_port_rules(self._region, wanted, None)  # forget them
        except BackendError as error:
            log.error("%s %s of %s could not be removed: %s", kind, wanted, self._region, error)
            with self._cloud.lock:
                record["status"] = "ERROR"
                models.store(self._cloud.region(self._region), kind)[wanted] = record
            return f"{kind} {wanted}: {error}"
        return None
