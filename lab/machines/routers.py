"""Routers: a namespace each, with source NAT through the external address and one-to-one NAT for floating IPs."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.cloud.backend import RouterInterface, RouterSpec
from lab.machines.networks import Networks, ext_bridge
from lab.machines.shell import add_netns, drop_netns, ip, mac_of, nft, short, sysctl

EXTERNAL = "ext"
# Dark: the power of the router is gone as seen from outside. ARP still answers, so that packets vanish as they do on the way to a dead site.
DARK = """table inet lab_dark
delete table inet lab_dark
table inet lab_dark {
  chain in { type filter hook prerouting priority -400; policy drop; }
  chain out { type filter hook output priority -400; policy drop; }
}
"""
LIGHT = "table inet lab_dark\ndelete table inet lab_dark\n"


@dataclass
class Router:
    """One router. `ensure` brings the namespace to the wanted state, connections that need not end go on."""

    netns: str
    networks: Networks
    spec: RouterSpec | None = None
    dark: bool = False
    _plugged: dict[str, RouterInterface] = field(default_factory=dict)  # by interface name
    _external: str | None = None
    _floating: set[str] = field(default_factory=set)

    def ensure(self, spec: RouterSpec) -> None:
        what = f"router {spec.router_id}"
        if self.spec is None:
            add_netns(what, self.netns)
            sysctl(
                what,
                ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.conf.all.arp_notify=1"],
                self.netns,
            )
        self.spec = spec
        self._interfaces(what, spec)
        self._outside(what, spec)
        nft(what, nat(spec), self.netns)
        self.set_dark(self.dark)

    def _interfaces(self, what: str, spec: RouterSpec) -> None:
        wanted = {f"in{short(entry.network_id, entry.address)}": entry for entry in spec.interfaces}
        for name in self._plugged.keys() - {name for name, entry in wanted.items() if self._plugged.get(name) == entry}:
            ip(what, [f"link delete {name}"], self.netns)
            del self._plugged[name]
        for name, entry in wanted.items():
            if name in self._plugged:
                continue
            outer = "r" + short(self.netns, name)
            self.networks.plug(
                what, self.networks.bridge(entry.network_id), self.netns, name, outer=outer, mac=entry.mac
            )
            ip(
                what,
                [f"address replace {entry.address}/{entry.prefix_length} dev {name}", f"link set {name} up"],
                self.netns,
            )
            self._plugged[name] = entry

    def _outside(self, what: str, spec: RouterSpec) -> None:
        net = self.networks.external[spec.region]
        if self._external is not None and self._external != spec.external_address:
            ip(what, [f"link delete {EXTERNAL}"], self.netns)
            self._external, self._floating = None, set()
        if spec.external_address is None:
            return
        if self._external is None:
            outer = "e" + short(self.netns)
            self.networks.plug(
                what,
                ext_bridge(spec.region),
                self.netns,
                EXTERNAL,
                outer=outer,
                mac=mac_of(spec.region, spec.external_address),
            )
            ip(what, [
                f"address replace {spec.external_address}/{net.network.prefixlen} dev {EXTERNAL}",
                f"link set {EXTERNAL} up",
                f"route replace default via {net.gateway.partition('/')[0]}",
            ], self.netns)  # fmt: skip
            self._external = spec.external_address
        wanted = {floating for floating, _ in spec.floating}
        lines = [f"address delete {address}/32 dev {EXTERNAL}" for address in sorted(self._floating - wanted)]
        lines += [f"address replace {address}/32 dev {EXTERNAL}" for address in sorted(wanted - self._floating)]
        ip(what, lines, self.netns)
        moved = (*sorted(self._floating ^ wanted), spec.external_address)
        self._floating = wanted
        self.networks.forget_neighbours(moved, spec.region)

    def set_dark(self, dark: bool) -> None:
        self.dark = dark
        if self.spec is not None:
            nft(f"router {self.spec.router_id}", DARK if dark else LIGHT, self.netns)

    def delete(self) -> None:
        drop_netns(self.netns, self.netns)
        self.spec = None


def nat(spec: RouterSpec) -> str:
    """The router's tables, replaced as a whole. From outside only floating IPs lead in."""
    inward = "\n".join(f"    ip daddr {floating} dnat to {fixed}" for floating, fixed in spec.floating)
    outward = "\n".join(
        f'    oifname "{EXTERNAL}" ip saddr {fixed} snat to {floating}' for floating, fixed in spec.floating
    )
    through = (
        f"""    oifname "{EXTERNAL}" snat to {spec.external_address}
    iifname != "{EXTERNAL}" oifname != "{EXTERNAL}" ct status dnat snat to {spec.external_address}"""
        if spec.external_address
        else ""
    )
    return f"""table ip lab_router
delete table ip lab_router
table ip lab_router {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
{inward}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
{outward}
{through}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname "{EXTERNAL}" oifname != "{EXTERNAL}" ct state established,related accept
    iifname "{EXTERNAL}" oifname != "{EXTERNAL}" ct status dnat accept
    iifname "{EXTERNAL}" drop
  }}
}}
"""
