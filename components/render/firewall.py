"""Which host may open what on which, as plain data.

By prefix, not by group: a group knows the ports of its own region alone, and half of every rule here is about the other region.
Addresses on the vRack are named one by one; of the front network the balancer's own and the pool where its machines have theirs. Platforms count
rules, so neighbours whose addresses fill a block share one. Where a kind of host would still take more than two, blocks may hold addresses that
nobody has, and never one that another kind of host or DHCP may give. What control hosts ask of each other to watch is one range of ports. What
every kind of host has is written once, in a group of all hosts (`grouped`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from urllib.parse import urlsplit

from components.settings import Settings
from contract import hosts
from contract.dataclass import dataclass
from contract.hosts import APP, CONTROL, KINDS, Asker, Port

DNS, HTTP, NTP, HTTPS = 53, 80, 123, 443
ANYWHERE = "0.0.0.0/0"
EVERY = "every"  # the group of all hosts; the others are named after their kind
EXACT_BLOCKS = 2  # so many rules a kind of host may take in a site before blocks hold more than its addresses


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One allowed flow. `key` is stable: it becomes part of the resource's name."""

    key: str
    direction: str = "ingress"
    protocol: str | None = None  # None: any
    port: int | None = None
    last: int | None = None  # of a range of ports that begins with `port`
    prefix: str = "0.0.0.0/0"


def rules(settings: Settings, role: str) -> tuple[Rule, ...]:
    """Every rule of one kind of host, in both directions; groups start with none, so IPv6 has none in either.

    What may go out is said by port: to the vRack, whose hosts let in by address, to the resolvers, and to anybody for clocks, packages and buckets,
    which have names and no addresses.
    """
    ports = hosts.opened(
        role,
        settings.sizes,
        watched=settings.monitoring is not None,
        logged=settings.logs is not None,
        stored=settings.logs is not None and settings.logs.store is not None,
    )
    return (
        Rule(key="icmp-vrack", protocol="icmp", prefix=settings.vrack.cidr),
        *_tcp(hosts.SSH, _bastions(settings, role)),
        *(rule for port in ports if not _shared(role, port) for rule in _of(settings, role, port)),
        *_watching(settings, role, [port for port in ports if _shared(role, port)]),
        *_outgoing(settings, role),
    )


def _shared(role: str, port: Port) -> bool:
    """Whether it is one of those that the control hosts ask of each other to watch, which are one rule."""
    return port.watched and role == CONTROL


def _watching(settings: Settings, role: str, ports: list[Port]) -> Iterator[Rule]:
    """All of them from the first to the last: nothing else listens between them, and who comes is the other control host alone."""
    if ports:
        numbers = [port.number for port in ports]
        for name, prefix in _hosts(settings, CONTROL, without=_alone(settings, role)).items():
            yield Rule(key=f"watch-{name}", protocol="tcp", port=min(numbers), last=max(numbers), prefix=prefix)


def grouped(settings: Settings) -> dict[str, tuple[Rule, ...]]:
    """The same rules by security group: `EVERY`, which each host is in, and one for each kind with what is its own. A host is in two."""
    each = {role: rules(settings, role) for role in KINDS}
    shared = set.intersection(*(set(found) for found in each.values()))
    own = {role: tuple(rule for rule in found if rule not in shared) for role, found in each.items()}
    return {EVERY: tuple(rule for rule in each[CONTROL] if rule in shared), **own}


def count(settings: Settings) -> int:
    """How many rules a whole site takes of the project's quota."""
    return sum(len(found) for found in grouped(settings).values())


def _bastions(settings: Settings, role: str) -> dict[str, str]:
    """From the own bastion, on both networks, and from the other site's: the way in when this one is lost. None comes to itself."""
    own = settings.keys_of(CONTROL, settings.site)
    if role == CONTROL:
        return _hosts(settings, CONTROL, without=own[0])
    return {"front": f"{settings.hosts[own[0]].front}/32", **_hosts(settings, CONTROL)}


def _outgoing(settings: Settings, role: str) -> Iterator[Rule]:
    """What a kind of host may open. Answers, and errors about what was let in, need no rule."""
    for resolver in settings.region.dns_servers:
        for protocol in ("udp", "tcp"):
            yield _out(f"dns-{protocol}-{resolver.replace('.', '-')}", DNS, f"{resolver}/32", protocol)
    if (
        role == CONTROL and settings.shop.acme is not None
    ):  # the zone's own name servers are asked whether they answer the challenge
        for protocol in ("udp", "tcp"):
            yield _out(f"dns-{protocol}", DNS, ANYWHERE, protocol)
    yield _out("ntp", NTP, ANYWHERE, "udp")
    for number in sorted(_world(settings, role)):
        yield _out(str(number), number, ANYWHERE)
    asked = hosts.asked(role, settings.sizes, watched=settings.monitoring is not None)
    for port in asked:
        if not _shared(role, port):
            yield _out(f"vrack-{port.name}", port.number, settings.vrack.cidr)
    if numbers := [port.number for port in asked if _shared(role, port)]:
        yield replace(_out("vrack-watch", min(numbers), settings.vrack.cidr), last=max(numbers))
    if role == CONTROL:
        yield _out("vrack-ssh", hosts.SSH.number, settings.vrack.cidr)
        yield _out("front-ssh", hosts.SSH.number, settings.region.front_cidr)


def _world(settings: Settings, role: str) -> set[int]:
    """TCP ports on which anybody may be reached: packages, the witness and buckets, what the shop needs beside."""
    buckets = [settings.witness.endpoint, *(region.s3_endpoint for region in settings.regions.values())]
    if role == CONTROL and settings.shop.acme is not None:
        buckets += [settings.shop.acme.directory, settings.ovh.endpoint]
    found = {HTTP, HTTPS} | {port for url in buckets if (port := _port_of(url))}
    if role == APP:
        found |= {int(port) for port in settings.app.outgoing_ports}
    return found | (_told(settings) | _stored(settings) if role == CONTROL else set())


def _told(settings: Settings) -> set[int]:
    """Where alerts go: a mail server, and addresses that are secret; where figures do, and where customers read of it."""
    if settings.monitoring is None:
        return set()
    told = settings.secrets.monitoring
    mail = settings.monitoring.email
    ports = {
        _port_of(url) for url in (told.slack, told.webhook, told.watchdog, settings.monitoring.pagerduty_url) if url
    }
    if settings.monitoring.status_page is not None:
        ports.add(_port_of(settings.monitoring.status_page.address or ""))
    if settings.monitoring.remote_write is not None:
        ports.add(_port_of(settings.monitoring.remote_write.url))
    return {port for port in ports if port} | ({int(mail.server.rpartition(":")[2])} if mail else set())


def _stored(settings: Settings) -> set[int]:
    """Where journals go beside the copy."""
    store = settings.logs.store if settings.logs else None
    port = _port_of(store.url) if store else None
    return {port} if port else set()


def _port_of(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:  # no address at all, which whoever asks it will say
        return None


def _out(key: str, port: int, prefix: str, protocol: str = "tcp") -> Rule:
    return Rule(key=f"out-{key}", direction="egress", protocol=protocol, port=port, prefix=prefix)


def _of(settings: Settings, role: str, port: Port) -> tuple[Rule, ...]:
    """The rules of one port of a kind of host."""
    addresses: dict[str, str] = {}
    for asker in port.asked_by:
        if asker == Asker.BALANCER:
            front = settings.region.front_cidr
            networks = hosts.balancer_quarter(front) if port.rough else hosts.balancer_networks(front)
            addresses |= {f"balancer-{number}": prefix for number, prefix in enumerate(networks, 1)}
        elif asker == Asker.OPERATORS:
            addresses |= {it.replace(".", "-").replace("/", "-"): it for it in settings.operator_cidrs}
        elif asker == Asker.OTHERS:
            addresses |= _other_site(settings)
        elif asker == Asker.OWN:
            addresses |= {"own": hosts.host_quarter(settings.region.front_cidr)}
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
    """vRack addresses of both sites' hosts of one kind in few prefixes, by a name that is the same in both stacks: "db-1-peer", "app-2-to-3-own"."""
    found: dict[str, str] = {}
    for site in dict.fromkeys(it.site for it in settings.hosts.values()):
        names = {
            IPv4Address(it.vrack): it.name
            for key, it in settings.hosts.items()
            if (it.role, it.site) == (role, site) and key != without
        }
        side = "own" if site == settings.site else "peer"
        blocks = list(collapse_addresses(IPv4Network(address) for address in sorted(names)))
        for block in blocks if len(blocks) <= EXACT_BLOCKS else _covering(sorted(names), _others(settings, role)):
            inside = [name for address, name in sorted(names.items()) if address in block]
            first, last = inside[0], inside[-1]
            found[f"{first}-{side}" if first == last else f"{first}-to-{last.rpartition('-')[2]}-{side}"] = str(block)
    return found


def _other_site(settings: Settings) -> dict[str, str]:
    """All hosts of the other site in few blocks, which hold nobody of the own site and nothing of DHCP."""
    peers = {IPv4Address(it.vrack): key for key, it in settings.hosts.items() if it.site != settings.site}
    own = {IPv4Address(it.vrack) for it in settings.hosts.values() if it.site == settings.site}
    pools = {
        IPv4Address(hosts.at(settings.vrack.cidr, octet + region.vrack_offset))
        for octet in range(hosts.VRACK_POOL[0], hosts.VRACK_POOL[1] + 1)
        for region in settings.regions.values()
    }
    return {f"others-{number}": str(it) for number, it in enumerate(_covering(sorted(peers), own | pools), 1)}


def _others(settings: Settings, role: str) -> set[IPv4Address]:
    """Addresses on the vRack that something else than a host of this kind may have, in either site and at any size."""
    octets = set(range(hosts.VRACK_POOL[0], hosts.VRACK_POOL[1] + 1))
    for name, kind in KINDS.items():
        octets |= set(range(kind.octet, kind.octet + kind.most)) if name != role else set()
    return {
        IPv4Address(hosts.at(settings.vrack.cidr, octet + region.vrack_offset))
        for octet in octets
        for region in settings.regions.values()
    }


def _covering(addresses: list[IPv4Address], others: Iterable[IPv4Address]) -> Iterator[IPv4Network]:
    """Few blocks, each as small as it can be, that hold all of `addresses` (sorted) and none of `others`."""
    left = list(addresses)
    while left:
        block = IPv4Network(left[0])
        while not any(it in block.supernet() for it in others):
            block = block.supernet()
        held = [it for it in left if it in block]
        small = IPv4Network(held[0])
        while held[-1] not in small:
            small = small.supernet()
        yield small
        left = left[len(held) :]


def _tcp(port: Port, addresses: dict[str, str]) -> tuple[Rule, ...]:
    return tuple(
        Rule(key=f"{port.name}-{name}", protocol="tcp", port=port.number, prefix=prefix)
        for name, prefix in addresses.items()
    )
