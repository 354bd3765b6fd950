"""The backend of the lab's cloud APIs on one Linux machine: what `lab.cloud.backend.Backend` asks for, made real.

To be used from inside the lab's network namespace, by root.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from lab.cloud.backend import BackendError, BalancerSpec, Nic, RouterSpec, Rule, ServerSpec
from lab.machines import guest, limits, settings
from lab.machines.balancers import Balancer
from lab.machines.hosts import Host, HostPlaces, Volume
from lab.machines.networks import ExtNet, Networks
from lab.machines.routers import Router
from lab.machines.shell import add_netns, drop_netns, ip, nft, short, sysctl
from lab.machines.volumes import Volumes
from lab.namespace import Places

LETTERS = "bcdefghijklmnopqrstuvwxyz"


def outer_end(spec: ServerSpec, nic: Nic) -> str:
    """The end of a server's interface that lies in the lab's namespace, on the bridge of its network."""
    return "h" + short(spec.server_id, nic.port_id)


class Machines:
    """Servers, networks, routers, volumes and balancers of all compute regions. Calls for one resource come one at a time."""

    def __init__(self, places: Places, image: Path, regions: Mapping[str, ExtNet]) -> None:
        self.places, self._image = places, image
        self.networks = Networks(regions)
        self.volumes = Volumes(places.disks / "volumes")
        self.hosts: dict[tuple[str, str], Host] = {}
        self.routers: dict[tuple[str, str], Router] = {}
        self.balancers: dict[tuple[str, str], Balancer] = {}
        self._rules: dict[str, tuple[Rule, ...] | None] = {}
        self._dark: set[str] = set()
        self._lock = threading.RLock()
        self._router_lock = threading.Lock()

    def prepare(self) -> None:
        """Folders, the guests' layer, the internet."""
        for folder in ("hosts", "volumes", "settings"):
            (self.places.disks / folder).mkdir(parents=True, exist_ok=True)
        settings.write(self.places.disks / "settings")
        limits.raise_instances()
        self.networks.prepare()

    def set_dark(self, region: str, dark: bool) -> None:
        """The region's routers and load balancers, also those yet to come, give no sign of life; or they do again. Hosts: `lab.machines.power`."""
        with self._router_lock:
            self._dark = self._dark | {region} if dark else self._dark - {region}
            for (where, _), router in self.routers.items():
                if where == region:
                    router.set_dark(dark)
        with self._lock:
            balancers = [balancer for (where, _), balancer in self.balancers.items() if where == region]
        for balancer in balancers:
            balancer.set_dark(dark)

    # --- networks and routers

    def ensure_network(self, region: str, network_id: str, vlan: int | None, mtu: int) -> None:
        self.networks.ensure(region, network_id, vlan, mtu)

    def delete_network(self, region: str, network_id: str) -> None:
        self.networks.delete(network_id)

    def ensure_router(self, spec: RouterSpec) -> None:
        # Floating IPs and interfaces of one router are different resources to the API, so its calls may come side by side.
        with self._router_lock:
            key = (spec.region, spec.router_id)
            router = self.routers.get(key)
            if router is None:
                router = Router(self.places.inner("r", short(*key)), self.networks, dark=spec.region in self._dark)
                self.routers[key] = router
            router.ensure(spec)

    def delete_router(self, region: str, router_id: str) -> None:
        with self._router_lock:
            router = self.routers.pop((region, router_id), None)
            if router is not None:
                router.delete()

    def set_port_rules(self, region: str, port_id: str, rules: tuple[Rule, ...] | None) -> None:
        with self._lock:
            self._rules[port_id] = rules
            owners = [host for host in self.hosts.values() if any(nic.port_id == port_id for nic in host.spec.nics)]
        for host in owners:
            with host.lock:
                if host.running:
                    self._filter(host.spec, host.places.netns)

    def _filter(self, spec: ServerSpec, netns: str) -> None:
        with self._lock:
            ports = {guest.interface(index): self._rules.get(nic.port_id) for index, nic in enumerate(spec.nics)}
        nft(f"server {spec.name}", guest.port_filter(ports), netns)

    # --- servers

    def boot_server(self, spec: ServerSpec) -> None:
        key = (spec.region, spec.server_id)
        with self._lock:
            host = self.hosts.get(key)
            if host is None:
                host = self.hosts[key] = Host(spec, self._host_places(spec))
        with host.lock:
            if host.running:
                return
            if spec.region in self._dark:
                raise BackendError(f"server {spec.name}: region {spec.region} has no power")
            host.create()
            host.start()

    def _host_places(self, spec: ServerSpec) -> HostPlaces:
        key = short(spec.region, spec.server_id)
        netns = self.places.inner("h", key)
        return HostPlaces(
            folder=self.places.disks / "hosts" / f"{spec.name}.{spec.server_id}",
            cgroup=self.places.cgroup / f"host-{key}",
            netns=netns,
            layers=(self.places.disks / "settings", self._image),
            wire=lambda: self._wire(spec, netns),
            unwire=lambda: drop_netns(f"server {spec.name}", netns),
            hush=lambda silent: self._hush(spec, silent),
        )

    def _wire(self, spec: ServerSpec, netns: str) -> None:
        what = f"server {spec.name}"
        add_netns(what, netns)
        # Anybody may ping, as on a cloud's images.
        sysctl(what, ["net.ipv4.ping_group_range=0 2147483647"], netns)
        self._filter(spec, netns)
        for index, nic in enumerate(spec.nics):
            name, outer = guest.interface(index), outer_end(spec, nic)
            self.networks.plug(
                what, self.networks.bridge(nic.network_id), netns, name, outer=outer, mac=nic.mac, mtu=nic.mtu
            )
            ip(what, [f"link set {name} up"], netns)

    def _hush(self, spec: ServerSpec, silent: bool) -> None:
        """Off their bridges, not down: the guest must not see its carrier go, or it gives up its addresses."""
        where = {outer_end(spec, nic): self.networks.bridge(nic.network_id) for nic in spec.nics}
        ip(
            f"server {spec.name}",
            [f"link set {outer} {'nomaster' if silent else f'master {bridge}'}" for outer, bridge in where.items()],
        )

    def _host(self, region: str, server_id: str) -> Host:
        with self._lock:
            try:
                return self.hosts[region, server_id]
            except KeyError:
                raise BackendError(f"server {server_id}: not a machine of region {region}") from None

    def stop_server(self, region: str, server_id: str) -> None:
        self._host(region, server_id).stop()

    def start_server(self, region: str, server_id: str) -> None:
        self._host(region, server_id).start()

    def reboot_server(self, region: str, server_id: str, hard: bool) -> None:
        self._host(region, server_id).reboot(hard)

    def freeze_server(self, region: str, server_id: str) -> None:
        self._host(region, server_id).freeze(True)

    def thaw_server(self, region: str, server_id: str) -> None:
        self._host(region, server_id).freeze(False)

    def delete_server(self, region: str, server_id: str) -> None:
        with self._lock:
            host = self.hosts.pop((region, server_id), None)
        if host is not None:
            host.delete()
            for volume_id in list(host.volumes):
                self.volumes.detach(region, volume_id)

    def server_running(self, region: str, server_id: str) -> bool:
        return self._host(region, server_id).running

    # --- volumes

    def create_volume(self, region: str, volume_id: str, size_gb: int) -> None:
        self.volumes.create(region, volume_id, size_gb)

    def extend_volume(self, region: str, volume_id: str, size_gb: int) -> None:
        self.volumes.extend(region, volume_id, size_gb)

    def delete_volume(self, region: str, volume_id: str) -> None:
        self.volumes.delete(region, volume_id)

    def attach_volume(self, region: str, server_id: str, volume_id: str) -> str:
        host = self._host(region, server_id)
        with host.lock:
            known = host.volumes.get(volume_id)
            if known is not None:
                return f"/dev/{known.name}"
            taken = {volume.name for volume in host.volumes.values()}
            name = next(f"vd{letter}" for letter in LETTERS if f"vd{letter}" not in taken)
            host.attach(Volume(volume_id, self.volumes.attach(region, volume_id), name))
            return f"/dev/{name}"

    def detach_volume(self, region: str, server_id: str, volume_id: str) -> None:
        host = self._host(region, server_id)
        with host.lock:
            host.detach(volume_id)
            self.volumes.detach(region, volume_id)

    # --- load balancers

    def ensure_balancer(self, spec: BalancerSpec) -> None:
        key = (spec.region, spec.balancer_id)
        with self._lock:
            balancer = self.balancers.get(key)
            if balancer is None:
                name = short(*key)
                balancer = Balancer(
                    self.places.inner("l", name),
                    self.places.run / "lb" / name,
                    self.networks,
                    dark=spec.region in self._dark,
                )
                self.balancers[key] = balancer
        balancer.ensure(spec)

    def delete_balancer(self, region: str, balancer_id: str) -> None:
        with self._lock:
            balancer = self.balancers.pop((region, balancer_id), None)
        if balancer is not None:
            balancer.delete()

    def balancer_health(self, region: str, balancer_id: str) -> dict[str, str]:
        with self._lock:
            balancer = self.balancers.get((region, balancer_id))
        return balancer.health() if balancer is not None else {}
