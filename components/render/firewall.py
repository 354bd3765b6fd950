"""Which host may open what on which, as plain data.

By prefix, not by group: a group knows the ports of its own region alone, and half of every rule here is about the other region.
Addresses on the vRack are named one by one, the front network as a whole, because load balancers take any address of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.settings import Settings

SSH, HTTPS, HEALTH, FORWARD, POSTGRES, REDIS, SENTINEL, LEASE = 22, 443, 8080, 8443, 5432, 6379, 26379, 7600
ROLES = ("control", "db", "cache", "app")
LEASED = ("db", "cache")  # hosts whose agent keeps a lease


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
    return (*_common(settings), *{"control": _control, "db": _db, "cache": _cache, "app": _app}[role](settings))


def _tcp(key: str, port: int, addresses: dict[str, str]) -> tuple[Rule, ...]:
    return tuple(
        Rule(key=f"{key}-{name}", protocol="tcp", port=port, prefix=prefix) for name, prefix in addresses.items()
    )


def _hosts(settings: Settings, role: str, *, without: str = "") -> dict[str, str]:
    """vRack addresses as /32 of both sites' hosts of one kind, by a name that is the same in both stacks ("db-1-peer")."""
    return {
        f"{it.name}-{'own' if it.site == settings.site else 'peer'}": f"{it.vrack}/32"
        for key, it in settings.hosts.items()
        if it.role == role and key != without
    }


def _common(settings: Settings) -> tuple[Rule, ...]:
    bastion = settings.hosts_of(settings.site)[f"control-1.{settings.site}"]
    return (
        Rule(key="out", direction="egress"),
        Rule(key="icmp-front", protocol="icmp", prefix=settings.region.front_cidr),
        Rule(key="icmp-vrack", protocol="icmp", prefix=settings.vrack.cidr),
        # From the own bastion, and from the other site's: the way in when this one is lost.
        *_tcp("ssh", SSH, {"front": f"{bastion.front}/32", **_hosts(settings, "control")}),
    )


def _control(settings: Settings) -> tuple[Rule, ...]:
    return _tcp(
        "ssh", SSH, {network.replace(".", "-").replace("/", "-"): network for network in settings.operator_cidrs}
    )


def _db(settings: Settings) -> tuple[Rule, ...]:
    peers = {
        **_hosts(settings, "app"),
        **_hosts(settings, "db", without=f"db-1.{settings.site}"),
        **_hosts(settings, "control"),
    }
    return (*_tcp("postgres", POSTGRES, peers), *_counterpart(settings, "db"))


def _cache(settings: Settings) -> tuple[Rule, ...]:
    caches = _hosts(settings, "cache", without=alone(settings))
    peers = {**_hosts(settings, "app"), **caches, **_hosts(settings, "control")}
    # Also from the other site: who takes over tells them that this site leads no more.
    sentinels = _tcp("sentinel", SENTINEL, caches) if settings.redis.cache_replicas else ()
    return (*_tcp("redis", REDIS, peers), *sentinels, *_counterpart(settings, "cache"))


def alone(settings: Settings) -> str:
    """The only cache host of the site, which has nothing to say to itself; empty where there are several in one group of rules."""
    return "" if settings.redis.cache_replicas else f"cache-1.{settings.site}"


def _counterpart(settings: Settings, role: str) -> tuple[Rule, ...]:
    """The same host of the other site asks whether it may go on."""
    peers = {
        f"{host.name}-peer": f"{host.vrack}/32"
        for host in settings.hosts_of(settings.peer).values()
        if host.role == role
    }
    return _tcp("lease", LEASE, peers)


def _app(settings: Settings) -> tuple[Rule, ...]:
    return (
        *_tcp("https", HTTPS, {"front": settings.region.front_cidr}),
        *_tcp("health", HEALTH, {"front": settings.region.front_cidr}),
        *_tcp("forward", FORWARD, {**_hosts(settings, "app"), **_hosts(settings, "control")}),
    )
