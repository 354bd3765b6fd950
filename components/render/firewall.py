"""Which host may open what on which, as plain data.

By prefix, not by group: a group knows the ports of its own region alone, and half of every rule here is about the other region.
Addresses on the vRack are named one by one, the front network as a whole, because load balancers take any address of it. Neighbours whose
addresses fill a block exactly share a rule, since platforms count rules: it opens nothing that a rule for each would not.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from components.settings import Settings
from contract import hosts
from contract.hosts import CONTROL, KINDS, Asker, Port


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One allowed flow. `key` is stable: it becomes part of the resource's name."""

    key: str
    direction: str = "ingress"
    protocol: str | None = None  # None: any
    port: int | None = None
    prefix: str = "0.0.0.0/0"


def rules(settings: Settings, role: str) -> tuple[Rule, ...]:
    """Every rule of one kind of host, outgoing ones included (the group starts with none)."""
    ports = (port for port in KINDS[role].ports if not port.grouped or KINDS[role].count(settings.sizes) > 1)
    return (*_common(settings), *(rule for port in ports for rule in _of(settings, role, port)))


def count(settings: Settings) -> int:
    """How many rules a whole site takes of the project's quota."""
    return sum(len(rules(settings, role)) for role in KINDS)


def _common(settings: Settings) -> tuple[Rule, ...]:
    bastion = settings.hosts[settings.keys_of(CONTROL, settings.site)[0]]
    return (
        Rule(key="out", direction="egress"),
        Rule(key="icmp-front", protocol="icmp", prefix=settings.region.front_cidr),
        Rule(key="icmp-vrack", protocol="icmp", prefix=settings.vrack.cidr),
        # From the own bastion, and from the other site's: the way in when this one is lost.
        *_tcp(hosts.SSH, {"front": f"{bastion.front}/32", **_hosts(settings, CONTROL)}),
    )


def _of(settings: Settings, role: str, port: Port) -> tuple[Rule, ...]:
    """The rules of one port of a kind of host."""
    addresses: dict[str, str] = {}
    for asker in port.asked_by:
        if asker == Asker.BALANCER:
            networks = hosts.balancer_networks(settings.region.front_cidr)
            addresses |= {f"balancer-{number}": prefix for number, prefix in enumerate(networks, 1)}
        elif asker == Asker.OPERATORS:
            addresses |= {it.replace(".", "-").replace("/", "-"): it for it in settings.operator_cidrs}
        elif asker == Asker.COUNTERPART:
            addresses |= {name: prefix for name, prefix in _hosts(settings, role).items() if name.endswith("-peer")}
        else:
            addresses |= _hosts(
                settings, asker, without=_alone(settings, role) if asker == role and not port.itself else ""
            )
    return _tcp(port, addresses)


def _alone(settings: Settings, role: str) -> str:
    """The only host of a kind in this site, which has nothing to say to itself; empty where there are several in one group of rules."""
    own = settings.keys_of(role, settings.site)
    return own[0] if len(own) == 1 else ""


def _hosts(settings: Settings, role: str, *, without: str = "") -> dict[str, str]:
    """vRack addresses of both sites' hosts of one kind in as few prefixes as they fill, by a name that is the same in both stacks: "db-1-peer",
    "app-2-to-3-own"."""
    found: dict[str, str] = {}
    for site in dict.fromkeys(it.site for it in settings.hosts.values()):
        names = {
            IPv4Address(it.vrack): it.name
            for key, it in settings.hosts.items()
            if (it.role, it.site) == (role, site) and key != without
        }
        side = "own" if site == settings.site else "peer"
        for block in collapse_addresses(IPv4Network(address) for address in sorted(names)):
            first, last = names[block[0]], names[block[-1]]
            found[f"{first}-{side}" if first == last else f"{first}-to-{last.rpartition('-')[2]}-{side}"] = str(block)
    return found


def _tcp(port: Port, addresses: dict[str, str]) -> tuple[Rule, ...]:
    return tuple(
        Rule(key=f"{port.name}-{name}", protocol="tcp", port=port.number, prefix=prefix)
        for name, prefix in addresses.items()
    )
