"""Networks: bridges, the links that stretch a VLAN over regions, each region's Ext-Net, and the interfaces that are plugged into them.

All of it lies in the lab's own namespace, which is also "the internet": the gateway of every Ext-Net, and where the APIs, S3 and DNS listen.
Faults of the links are one table, `netdev lab_link`, that drops what arrives over a link from a region; a slow link is a token bucket.
"""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.cloud.backend import BackendError
from lab.machines.shell import drop_link, ip, link_exists, nft, run, short, sysctl

OPERATOR, CLIENT = "192.0.2.100", "192.0.2.101"
INTERNET_MTU = 1500


@dataclass(frozen=True)
class ExtNet:
    """A region's external network: the internet's own address in it (with prefix) and further addresses of the lab there (APIs, S3)."""

    gateway: str
    services: tuple[str, ...] = ()

    @property
    def network(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Interface(self.gateway).network


@dataclass
class Segment:
    """One bridge: a network of one region, or one region's part of a VLAN."""

    bridge: str
    mtu: int
    networks: set[str] = field(default_factory=set)


class Networks:
    """The lab's own namespace: call it from inside. Safe to call from several threads."""

    def __init__(self, external: Mapping[str, ExtNet]) -> None:
        self.external = dict(external)
        self._segments: dict[tuple[str, str], Segment] = {}  # (region, "vlan 100" or the network's id)
        self._by_network: dict[str, tuple[str, str]] = {}
        self._links: dict[str, list[tuple[str, str, str, str]]] = {}  # vlan: (region, end, other region, other end)
        self._cut: set[tuple[str, str]] = set()  # (from region, to region)
        self._rate: str | None = None
        self._isolated: set[str] = set()
        self._lock = threading.RLock()

    def prepare(self) -> None:
        """The internet: addresses of the operator and of every Ext-Net, forwarding between them."""
        # Bridged frames are not the packet filter's business; without br_netfilter there is nothing to switch off.
        kinds = ("iptables", "ip6tables", "arptables") if Path("/proc/sys/net/bridge").exists() else ()
        off = [f"net.bridge.bridge-nf-call-{kind}=0" for kind in kinds]
        sysctl(
            "the lab's namespace",
            ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.arp_announce=2", "net.ipv6.conf.default.disable_ipv6=1", *off],
        )
        lines = ["link set lo up", *(f"address replace {address}/32 dev lo" for address in (OPERATOR, CLIENT))]
        for region, net in self.external.items():
            bridge = ext_bridge(region)
            if not link_exists(bridge):
                lines.append(f"link add {bridge} type bridge forward_delay 0")
            lines += [f"link set {bridge} up", f"address replace {net.gateway} dev {bridge} noprefixroute"]
            lines += [f"address replace {address}/32 dev {bridge}" for address in net.services]
            # Whoever speaks from here is the operator, unless it says otherwise.
            lines.append(f"route replace {net.network} dev {bridge} src {OPERATOR}")
        ip("the lab's namespace", lines)

    def add_addresses(self, addresses: tuple[str, ...]) -> None:
        """Addresses of the internet that lie in no Ext-Net."""
        ip("the lab's namespace", [f"address replace {address}/32 dev lo" for address in addresses])

    def ensure(self, region: str, network_id: str, vlan: int | None, mtu: int) -> None:
        with self._lock:
            key = (region, f"vlan {vlan}" if vlan is not None else network_id)
            segment = self._segments.get(key)
            if segment is None:
                segment = Segment("b" + short(*key), mtu)
                ip(f"network {network_id}", [
                    f"link add {segment.bridge} mtu {mtu} type bridge forward_delay 0",
                    f"link set {segment.bridge} alias \"{region} {key[1]}\"",
                    f"link set {segment.bridge} up",
                ])  # fmt: skip
                self._segments[key] = segment
                if vlan is not None:
                    self._join(key)
            segment.networks.add(network_id)
            self._by_network[network_id] = key

    def delete(self, network_id: str) -> None:
        with self._lock:
            key = self._by_network.pop(network_id, None)
            if key is None:
                return
            segment = self._segments[key]
            segment.networks.discard(network_id)
            if segment.networks:
                return
            del self._segments[key]
            gone = [entry for entry in self._links.get(key[1], []) if key[0] in (entry[0], entry[2])]
            for entry in gone:
                self._links[key[1]].remove(entry)
                ip(f"link of {key[1]}", [f"link delete {entry[1]}"])
            ip(f"network {network_id}", [f"link delete {segment.bridge}"])
            self._apply_cuts()

    def _join(self, new: tuple[str, str]) -> None:
        """A VLAN that another region has too is one segment: join the bridges. One link to one region, or the segment would be a ring."""
        region, vlan = new
        others = [key for key in self._segments if key[1] == vlan and key[0] != region]
        if not others:
            return
        other = others[0]
        ends = ("k" + short(vlan, region, other[0]), "k" + short(vlan, other[0], region))
        mtu = min(self._segments[new].mtu, self._segments[other].mtu)
        ip(f"link of {vlan}", [
            f"link add {ends[0]} mtu {mtu} type veth peer name {ends[1]} mtu {mtu}",
            f"link set {ends[0]} master {self._segments[new].bridge} up",
            f"link set {ends[1]} master {self._segments[other].bridge} up",
        ])  # fmt: skip
        self._links.setdefault(vlan, []).append((region, ends[0], other[0], ends[1]))
        self._apply_cuts()
        self._apply_rate()

    def bridge(self, network_id: str) -> str:
        """The bridge of a network. Raises BackendError when it was never made."""
        with self._lock:
            if network_id not in self._by_network:
                raise BackendError(f"network {network_id}: has no bridge, so nothing can be plugged into it")
            return self._segments[self._by_network[network_id]].bridge

    def plug(
        self,
        what: str,
        bridge: str,
        netns: str,
        name: str,
        *,
        outer: str,
        mac: str | None = None,
        mtu: int | None = None,
    ) -> None:
        """An interface `name` in `netns`, on a bridge; `outer` is the pair's end here. `mtu`: None for what the bridge carries."""
        if mtu is None:
            with self._lock:
                mtu = next((each.mtu for each in self._segments.values() if each.bridge == bridge), INTERNET_MTU)
        address = f" address {mac}" if mac else ""
        drop_link(what, outer)
        ip(what, [
            f"link add {outer} mtu {mtu} type veth peer name {name} netns {netns} mtu {mtu}{address}",
            f"link set {outer} master {bridge} up",
        ])  # fmt: skip

    def forget_neighbours(self, addresses: tuple[str, ...], region: str) -> None:
        """Addresses of an Ext-Net have moved: the internet asks anew who has them."""
        ip("the lab's namespace", [f"neighbor flush to {address} dev {ext_bridge(region)}" for address in addresses])

    # --- faults of the links between regions

    def cut_links(self, source: str, target: str) -> None:
        """Nothing from region `source` arrives in region `target` over any stretched VLAN. The other direction is not touched."""
        with self._lock:
            self._cut.add((source, target))
            self._apply_cuts()

    def join_links(self, source: str, target: str) -> None:
        with self._lock:
            self._cut.discard((source, target))
            self._apply_cuts()

    def cut_uplink(self, region: str, cut: bool) -> None:
        """Nothing passes between a region's Ext-Net and anything else; its hosts run on and reach each other and the stretched VLANs."""
        with self._lock:
            self._isolated = self._isolated | {region} if cut else self._isolated - {region}
            nft("uplinks", uplink_filter([ext_bridge(name) for name in sorted(self._isolated)]))

    def set_rate(self, rate: str | None) -> None:
        """Each direction of each link carries at most `rate` (`1mbit`); None: as fast as the machine."""
        with self._lock:
            self._rate = rate
            self._apply_rate()

    def faults(self) -> dict[str, object]:
        with self._lock:
            return {"cut": sorted(f"{source}->{target}" for source, target in self._cut), "rate": self._rate}

    def _apply_cuts(self) -> None:
        deaf = []
        for entries in self._links.values():
            for region, end, other, other_end in entries:
                deaf += [end] if (other, region) in self._cut else []
                deaf += [other_end] if (region, other) in self._cut else []
        nft("links", link_filter(deaf))

    def _apply_rate(self) -> None:
        for entries in self._links.values():
            for _, end, _, other_end in entries:
                for device in (end, other_end):
                    if self._rate is None:
                        run("links", ["tc", "qdisc", "replace", "dev", device, "root", "pfifo_fast"])
                    else:
                        shape = ["tbf", "rate", self._rate, "burst", "32kb", "latency", "400ms"]
                        run("links", ["tc", "qdisc", "replace", "dev", device, "root", *shape])


def ext_bridge(region: str) -> str:
    return f"x-{region.lower()}"[:15]


def uplink_filter(bridges: list[str]) -> str:
    """The table `inet lab_uplink`, replaced as a whole: drop whatever comes from these bridges or goes there."""
    names = ", ".join(f'"{name}"' for name in bridges)
    rules = {"input": ("iifname",), "output": ("oifname",), "forward": ("iifname", "oifname")}
    chains = [
        f"  chain {hook} {{ type filter hook {hook} priority -190; policy accept; {' '.join(f'{side} {{ {names} }} drop;' for side in sides)} }}"
        for hook, sides in rules.items()
        if bridges
    ]
    return (
        "\n".join(["table inet lab_uplink", "delete table inet lab_uplink", "table inet lab_uplink {", *chains, "}"])
        + "\n"
    )


def link_filter(deaf: list[str]) -> str:
    """The table `lab_link`, replaced as a whole: drop whatever arrives at these interfaces."""
    chains = [
        f'  chain {name} {{ type filter hook ingress device "{name}" priority 0; policy drop; }}' for name in deaf
    ]
    return (
        "\n".join(["table netdev lab_link", "delete table netdev lab_link", "table netdev lab_link {", *chains, "}"])
        + "\n"
    )
