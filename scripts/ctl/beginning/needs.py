"""What a region takes of the project's quotas, by the sizes that were asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.render import firewall
from components.settings import Settings
from contract.hosts import host_names, kind_of
from contract.platform import Flavor, Quota

PLATFORMS_PORTS = 8  # DHCP of two networks, the router's two, the balancer's address and its machines
NO_LIMIT = -1
UNITS = {"ram": " MB", "gigabytes": " GB"}


def needs(settings: Settings, flavors: Mapping[str, Flavor]) -> dict[str, int]:
    """How many of each, by the quota's name. `settings`: of the site's stack; `flavors`: by kind of host."""
    names = host_names(settings.sizes)
    each = [flavors[kind_of(name)] for name in names]
    return {
        "instances": len(names),
        "cores": sum(it.vcpus for it in each),
        "ram": sum(it.ram for it in each),
        "server_groups": 1,
        "volumes": 1,
        "gigabytes": settings.region.db_volume_gb,
        "network": 2,
        "subnet": 2,
        "router": 1,
        "port": 2 * len(names) + PLATFORMS_PORTS,
        "floatingip": 2,
        "security_group": len(firewall.grouped(settings)),
        "security_group_rule": firewall.count(settings),
        "load_balancer": 1,
    }


def against(region: str, wanted: Mapping[str, int], quotas: Mapping[str, Quota]) -> Iterator[str]:
    """A sentence for each quota that leaves less. One that the platform does not tell is no reason: `unknown` names those."""
    for name, count in wanted.items():
        quota = quotas.get(name)
        if quota is None or quota.limit == NO_LIMIT:
            continue
        left = quota.limit - quota.used - quota.reserved
        if left < count:
            unit = UNITS.get(name, "")
            yield (
                f"quota {name} of region {region}: leaves {max(left, 0)}{unit} of {quota.limit}{unit}, wanted {count}{unit}; a run would stop in its middle; "
                "raise it in the Control Panel (Quota and Regions), or answer with fewer or smaller hosts"
            )


def unknown(wanted: Mapping[str, int], quotas: Mapping[str, Quota]) -> list[str]:
    """Quotas that the platform has not told."""
    return [name for name in wanted if name not in quotas]
