"""What a guest is given: its cloud-init seed and the rules of its ports, as texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from lab.cloud.backend import Nic, Rule, ServerSpec

FIRST_INTERFACE = 3  # ens3, ens4: as OVHcloud's guests number them
PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
PROTOCOLS = {
    "ipv6-icmp": "icmpv6",
    "icmpv6": "icmpv6",
    "icmp": "icmp",
    "1": "icmp",
    "6": "tcp",
    "17": "udp",
    "58": "icmpv6",
}


def interface(index: int) -> str:
    """The guest's name of its nth interface."""
    return f"ens{FIRST_INTERFACE + index}"


def network_config(nics: Iterable[Nic]) -> str:
    """Network configuration, version 2: static addresses by interface name, one default route per gateway."""
    ethernets: dict[str, object] = {}
    for index, nic in enumerate(nics):
        entry: dict[str, object] = {
            "match": {"macaddress": nic.mac},
            "dhcp4": False,
            "dhcp6": False,
            "accept-ra": False,
            "link-local": [],
            "mtu": nic.mtu,
            "addresses": [f"{nic.address}/{nic.prefix_length}"],
        }
        if nic.gateway is not None:
            entry["routes"] = [{"to": "0.0.0.0/0", "via": nic.gateway}]
        if nic.dns:
            entry["nameservers"] = {"addresses": list(nic.dns)}
        ethernets[interface(index)] = entry
    return json.dumps({"version": 2, "ethernets": ethernets}, indent=1) + "\n"


def meta_data(spec: ServerSpec) -> str:
    """The NoCloud seed's own part: JSON, which is YAML."""
    document: dict[str, object] = {"instance-id": spec.server_id, "local-hostname": spec.name}
    if spec.key is not None:
        document["public-keys"] = [spec.key]
    return json.dumps(document, indent=1) + "\n"


def seed(spec: ServerSpec) -> dict[str, str]:
    """The files of `/var/lib/cloud/seed/nocloud`."""
    return {
        "meta-data": meta_data(spec),
        "user-data": spec.user_data or "#cloud-config\n{}\n",
        "network-config": network_config(spec.nics),
    }


def resolv_conf(nics: Iterable[Nic]) -> str:
    servers = dict.fromkeys(server for nic in nics for server in nic.dns)
    return "".join(f"nameserver {server}\n" for server in servers) + "options timeout:2 attempts:2\n"


def port_filter(ports: Mapping[str, tuple[Rule, ...] | None]) -> str:
    """The table `lab_port` of a guest's namespace, replaced as a whole. `ports`: interface name to rules, None lets everything through."""
    lines = ["table inet lab_port", "delete table inet lab_port", "table inet lab_port {"]
    filtered = {name: rules for name, rules in ports.items() if rules is not None}
    for hook, match, direction in (("input", "iifname", "ingress"), ("output", "oifname", "egress")):
        lines += [f"  chain {hook} {{", f"    type filter hook {hook} priority -10; policy accept;"]
        lines += [f'    {match} "{name}" goto {direction}_{name}' for name in filtered]
        lines.append("  }")
        for name, rules in filtered.items():
            wanted = dict.fromkeys(statement(rule) for rule in rules if rule.direction == direction)
            lines += [f"  chain {direction}_{name} {{", "    ct state established,related accept"]
            lines += [f"    {text}" for text in wanted]
            lines += ["    drop", "  }"]
    lines.append("}")
    # A chain must be there before a rule names it.
    return "\n".join(_chains_first(lines, filtered)) + "\n"


def _chains_first(lines: list[str], filtered: Iterable[str]) -> list[str]:
    declared = [f"  chain {direction}_{name} {{ }}" for direction in ("ingress", "egress") for name in filtered]
    return [*lines[:3], *declared, *lines[3:]]


def statement(rule: Rule) -> str:
    """One security group rule as an nftables statement that accepts."""
    parts = []
    if rule.remote is not None:
        family = "ip6" if ":" in rule.remote else "ip"
        if rule.remote.endswith("/0"):
            parts.append(f"meta nfproto {'ipv6' if family == 'ip6' else 'ipv4'}")
        else:
            parts.append(f"{family} {'saddr' if rule.direction == 'ingress' else 'daddr'} {rule.remote}")
    if rule.protocol not in (None, "any", "0"):
        parts += _protocol(PROTOCOLS.get(str(rule.protocol), str(rule.protocol)), rule.port_min, rule.port_max)
    return " ".join([*parts, "accept"])


def _protocol(protocol: str, low: int | None, high: int | None) -> list[str]:
    if protocol in ("icmp", "icmpv6"):
        # In an ICMP rule the two numbers are the type and the code.
        named = [] if low is None else [f"{protocol} type {low}"]
        return [
            f"meta l4proto {'ipv6-icmp' if protocol == 'icmpv6' else 'icmp'}",
            *named,
            *([] if high is None or low is None else [f"{protocol} code {high}"]),
        ]
    if protocol in PORTS and low is not None:
        return [f"{protocol} dport {low if high in (None, low) else f'{low}-{high}'}"]
    return [f"meta l4proto {protocol}"]
