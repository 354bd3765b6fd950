"""What can go wrong in the lab, on demand, and how it is mended: each fault has a `kill` and a `return`.

Targets: a site (`a`, `b`) or a region's name for regions; a server's name or its end (`db-1` is refused when two servers end so, `db-1.a` is
not); `compute@a`, `identity`, `ovh` for an API; `a->b` for one direction of the link, `both` for the link; none for `slow-link` and
`dns-refresh`. Faults may be laid over each other, but each of them is in force at most once: killing what is dead says so and changes nothing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab import api_faults
from lab.child import ChildError
from lab.cloud.backend import BackendError
from lab.cloud.ovh import OvhService
from lab.cloud.web import Service
from lab.dns.servers import Dns
from lab.looking import label
from lab.machines import clock, disks
from lab.machines.backend import Machines
from lab.machines.hosts import Host
from lab.machines.power import power_off, power_on, region_dark
from lab.machines.shell import nft
from lab.namespace import LabError
from lab.s3 import liar
from lab.s3.gateway import Storage

UNTARGETED = ("slow-link", "dns-refresh")  # there is only one of each: the word after `kill` is the detail
RATE = re.compile(r"[1-9][0-9]*(bit|kbit|mbit|gbit)")
MINUTES = re.compile(r"[+-]?[1-9][0-9]{0,5}")
DNS_MODES = ("refused", "forbidden", "ignored")


@dataclass(frozen=True)
class Site:
    """A site of the lab: its compute region, its storage region, and the addresses where that region's services listen."""

    name: str
    region: str
    storage: str
    services: tuple[str, ...]


@dataclass
class Fault:
    """A fault in force, and how to end it."""

    kind: str
    target: str
    detail: str
    undo: Callable[[], None]


class Faults:
    """All faults of one lab. Safe to call from several threads; one fault begins or ends at a time."""

    def __init__(
        self,
        sites: Mapping[str, Site],
        machines: Machines,
        *,
        services: Mapping[str, Service],
        storage: Storage,
        ovh: OvhService,
        dns: Dns,
    ) -> None:
        self._sites, self._machines, self._services = dict(sites), machines, dict(services)
        self._storage, self._ovh, self._dns = storage, ovh, dns
        self._active: dict[tuple[str, str], Fault] = {}
        self._unreachable: set[str] = set()
        self._lying: set[str] = set()
        self._lock = threading.RLock()
        self._kinds: dict[str, Callable[[str, str], Fault]] = {
            "host": self._host,
            "region-hosts": self._region_hosts,
            "region": self._region,
            "disk-full": self._disk_full,
            "clock": self._clock,
            "api": self._api,
            "storage": self._storage_region,
            "storage-lies": self._storage_lies,
            "link": self._link,
            "uplink": self._uplink,
            "slow-link": self._slow_link,
            "dns-refresh": self._dns_refresh,
            "name-server": self._name_server,
            "server-state": self._server_state,
            "cell-down": self._cell_down,
            "page-limit": self._page_limit,
        }
        self._spellings: dict[str, Callable[[str], str]] = {
            "host": self._host_name,
            "disk-full": self._host_name,
            "region-hosts": lambda target: self._site(target).name,
            "region": lambda target: self._site(target).name,
            "clock": lambda target: self._site(target).name,
            "storage": self._storage_name,
            "storage-lies": self._storage_name,
            "link": self._direction,
            "uplink": lambda target: self._site(target).name,
            "api": self._api_name,
            "name-server": self._name_server_number,
            "server-state": self._host_name,
            "cell-down": self._host_name,
            "page-limit": lambda target: self._site(target).name,
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(self._kinds)

    def kill(self, kind: str, target: str = "", detail: str = "") -> dict[str, str]:
        """Begin a fault. `detail`: the mode of an API's or the DNS refresh's fault, the rate of a slow link, the minutes of a clock, the state of
        a server, the rows of a page."""
        with self._lock:
            begin = self._known(kind)
            if kind in UNTARGETED:
                target, detail = "", detail or target
            target = self._normal(kind, target)
            if (kind, target) in self._active:
                raise LabError(
                    f"fault {kind} {target}: is in force already, nothing changed; end it with `lab fault {kind} return {target}`",
                    3,
                )
            try:
                fault = begin(target, detail)
            except (BackendError, ChildError) as error:
                raise LabError(f"fault {kind} {target}: {error}") from error
            self._active[kind, target] = fault
            return {"kind": kind, "target": target, "detail": fault.detail}

    def restore(self, kind: str, target: str = "") -> dict[str, str]:
        """End a fault: what was dead comes back as after a power cut, by itself."""
        with self._lock:
            self._known(kind)
            # A fault in force goes by its name also when its target is gone, as a server deleted meanwhile.
            target = target if (kind, target) in self._active else self._normal(kind, target)
            fault = self._active.get((kind, target))
            if fault is None:
                there = ", ".join(" ".join(key) for key in self._active) or "none"
                raise LabError(f"fault {kind} {target}: not in force (in force: {there}), nothing changed", 3)
            try:
                fault.undo()
            except (BackendError, ChildError) as error:
                raise LabError(f"fault {kind} {target}: {error}") from error
            del self._active[kind, target]
            return {"kind": kind, "target": target, "detail": fault.detail}

    def restore_all(self) -> list[dict[str, str]]:
        """End every fault, the latest first. Raises LabError with all that could not be ended, after the others were."""
        ended, troubles = [], []
        with self._lock:
            for kind, target in reversed(list(self._active)):
                try:
                    ended.append(self.restore(kind, target))
                except LabError as error:
                    troubles.append(str(error))
        if troubles:
            raise LabError("\n".join(troubles))
        return ended

    def active(self) -> list[dict[str, str]]:
        with self._lock:
            return [
                {"kind": fault.kind, "target": fault.target, "detail": fault.detail} for fault in self._active.values()
            ]

    # --- names

    def _known(self, kind: str) -> Callable[[str, str], Fault]:
        if kind not in self._kinds:
            raise LabError(f"fault: found {kind!r}, wanted one of {', '.join(self._kinds)}", 2)
        return self._kinds[kind]

    def _normal(self, kind: str, target: str) -> str:
        """One spelling for each target."""
        spell = self._spellings.get(kind)
        return spell(target) if spell is not None else ""

    def _site(self, target: str) -> Site:
        for site in self._sites.values():
            if target in (site.name, site.region):
                return site
        raise LabError(f"site: found {target!r}, wanted one of {', '.join(self._sites)} or a region's name", 2)

    def _storage_name(self, target: str) -> str:
        name = self._sites[target].storage if target in self._sites else target.lower()
        if name not in self._storage.addresses:
            raise LabError(f"storage region: found {target!r}, wanted one of {', '.join(self._storage.addresses)}", 2)
        return name

    def _name_server_number(self, target: str) -> str:
        numbers = [str(number + 1) for number in range(len(self._dns.servers))]
        if target not in numbers:
            raise LabError(f"name server: found {target!r}, wanted one of {', '.join(numbers)}", 2)
        return target

    def _direction(self, target: str) -> str:
        source, arrow, end = target.partition("->")
        if target in ("", "both"):
            return "both"
        if not arrow or source == end:
            raise LabError(f"link: found {target!r}, wanted `both` or one direction as `a->b`", 2)
        return f"{self._site(source).name}->{self._site(end).name}"

    def _api_name(self, target: str) -> str:
        kind, at, site = target.partition("@")
        name = f"{kind}@{self._site(site).name}" if at else kind
        if name not in self._services:
            raise LabError(f"API: found {target!r}, wanted one of {', '.join(self._services)}", 2)
        return name

    def _host_name(self, target: str) -> str:
        return self._find_host(target).spec.name

    def _find_host(self, target: str) -> Host:
        hosts = list(self._machines.hosts.values())
        sites = {site.region: site.name for site in self._sites.values()}
        exact = [
            host
            for (region, _), host in list(self._machines.hosts.items())
            if target in (host.spec.name, host.spec.server_id, label(host.spec.name, sites[region]))
        ]
        found = exact or [host for host in hosts if host.spec.name.endswith(f"-{target}")]
        if len(found) != 1:
            names = ", ".join(sorted(host.spec.name for host in found or hosts)) or "none"
            raise LabError(f"host: {target!r} names {len(found)} servers, wanted one of: {names}", 2)
        return found[0]

    # --- the faults

    def _host(self, target: str, detail: str) -> Fault:
        host = self._find_host(target)
        power_off([host], "its power is cut (lab fault host)")
        return Fault("host", target, detail, lambda: power_on([host], "its power is cut (lab fault host)"))

    def _disk_full(self, target: str, detail: str) -> Fault:
        host = self._find_host(target)
        disks.fill(host)
        return Fault("disk-full", target, detail, lambda: disks.empty(host))

    def _clock(self, target: str, detail: str) -> Fault:
        minutes = detail or "10"
        if not MINUTES.fullmatch(minutes):
            raise LabError(f"clock: found {minutes!r}, wanted whole minutes, as 10 (ahead) or -10 (behind)", 2)
        hosts = [
            host for (region, _), host in list(self._machines.hosts.items()) if region == self._sites[target].region
        ]
        clock.set_off(hosts, 60 * int(minutes))
        return Fault("clock", target, minutes, lambda: clock.set_right(hosts))

    def _region_hosts(self, target: str, detail: str) -> Fault:
        self._refuse_beside("region", target)
        region = self._sites[target].region
        region_dark(self._machines, region, True)
        return Fault("region-hosts", target, detail, lambda: region_dark(self._machines, region, False))

    def _region(self, target: str, detail: str) -> Fault:
        self._refuse_beside("region-hosts", target)
        site = self._sites[target]
        self._reach(site.services, False)
        self._storage.cut(site.storage)
        region_dark(self._machines, site.region, True)

        def undo() -> None:
            self._reach(site.services, True)
            if ("storage", site.storage) not in self._active:
                self._storage.restore(site.storage)
            region_dark(self._machines, site.region, False)

        return Fault("region", target, detail, undo)

    def _refuse_beside(self, kind: str, target: str) -> None:
        if (kind, target) in self._active:
            raise LabError(
                f"{target}: fault {kind} is in force, nothing changed; end that one first with `lab fault {kind} return {target}`",
                3,
            )

    def _reach(self, addresses: tuple[str, ...], reachable: bool) -> None:
        """Packets to a dead region's services vanish, as they do on the way to a dead site."""
        self._unreachable = self._unreachable - set(addresses) if reachable else self._unreachable | set(addresses)
        nft("regions", unreachable_filter(sorted(self._unreachable)))

    def _storage_region(self, target: str, detail: str) -> Fault:
        self._storage.cut(target)
        return Fault("storage", target, detail, lambda: self._storage.restore(target))

    def _storage_lies(self, target: str, detail: str) -> Fault:
        mode, address = detail or "503", self._storage.addresses[target]
        if mode not in liar.MODES:
            raise LabError(f"lie of a storage region: found {mode!r}, wanted one of {', '.join(liar.MODES)}", 2)
        self._refuse_beside("storage", target)
        # Connections that clients keep would lead past the front: they end.
        self._storage.cut(target)
        self._storage.restore(target)
        front = liar.Liar(address, (address[0], liar.PORT), mode)
        front.start()
        self._redirect(self._lying | {target})

        def undo() -> None:
            self._redirect(self._lying - {target})
            front.stop()

        return Fault("storage-lies", target, mode, undo)

    def _redirect(self, lying: set[str]) -> None:
        nft("storage", liar.redirection(self._storage.addresses[region] for region in sorted(lying)))
        self._lying = lying

    def _link(self, target: str, detail: str) -> Fault:
        names = list(self._sites.values())
        pairs = [(x.region, y.region) for x in names for y in names if x != y]
        if target != "both":
            source, _, end = target.partition("->")
            pairs = [(self._sites[source].region, self._sites[end].region)]
        for pair in pairs:
            self._machines.networks.cut_links(*pair)

        def undo() -> None:
            for pair in pairs:
                self._machines.networks.join_links(*pair)

        return Fault("link", target, detail, undo)

    def _uplink(self, target: str, detail: str) -> Fault:
        region = self._sites[target].region
        self._machines.networks.cut_uplink(region, True)
        return Fault("uplink", target, detail, lambda: self._machines.networks.cut_uplink(region, False))

    def _slow_link(self, target: str, detail: str) -> Fault:
        rate = detail or "1mbit"
        if not RATE.fullmatch(rate):
            raise LabError(f"rate of the link: found {rate!r}, wanted a number with kbit, mbit or gbit, as 1mbit", 2)
        self._machines.networks.set_rate(rate)
        return Fault("slow-link", target, rate, lambda: self._machines.networks.set_rate(None))

    def _api(self, target: str, detail: str) -> Fault:
        return Fault("api", target, *api_faults.ill(self._services[target], detail))

    def _dns_refresh(self, target: str, detail: str) -> Fault:
        mode = detail or "refused"
        if mode not in DNS_MODES:
            raise LabError(f"DNS refresh: found {mode!r}, wanted one of {', '.join(DNS_MODES)}", 2)
        knobs: Any = self._ovh.knobs
        knobs.refresh = mode

        def undo() -> None:
            knobs.refresh = "ok"

        return Fault("dns-refresh", target, mode, undo)

    def _name_server(self, target: str, detail: str) -> Fault:
        number = int(target) - 1
        self._dns.stop_server(number)
        return Fault("name-server", target, detail, lambda: self._dns.start_server(number))

    def _server_state(self, target: str, detail: str) -> Fault:
        return Fault("server-state", target, *api_faults.state(*self._at_nova(target), detail))

    def _cell_down(self, target: str, detail: str) -> Fault:
        return Fault("cell-down", target, *api_faults.cell_down(*self._at_nova(target)))

    def _page_limit(self, target: str, detail: str) -> Fault:
        return Fault("page-limit", target, *api_faults.page_limit(self._services[f"compute@{target}"], detail))

    def _at_nova(self, target: str) -> tuple[Service, str]:
        """The compute API of a host, and the server's id there."""
        spec = self._find_host(target).spec
        return self._services[f"compute@{self._site(spec.region).name}"], spec.server_id


def unreachable_filter(addresses: list[str]) -> str:
    """The table `lab_region` of the lab's own namespace, replaced as a whole."""
    rule = f"ip daddr {{ {', '.join(addresses)} }} drop" if addresses else ""
    chain = f"  chain input {{ type filter hook input priority -200; policy accept; {rule}\n  }}"
    return f"table inet lab_region\ndelete table inet lab_region\ntable inet lab_region {{\n{chain}\n}}\n"
