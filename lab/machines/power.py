"""Power cuts: of single hosts and of everything that a region has behind its APIs."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from lab.machines.backend import Machines
from lab.machines.hosts import Host


def power_off(hosts: Iterable[Host], reason: str) -> None:
    """Cut the power of all of them at once. None can be started until `power_on` with the same reason."""
    hosts = list(hosts)
    for host in hosts:
        host.held.add(reason)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(Host.cut, hosts))


def power_on(hosts: Iterable[Host], reason: str) -> None:
    """Give the power back: those that were on (and were not switched off meanwhile) boot, unless something else holds them."""
    hosts = list(hosts)
    for host in hosts:
        host.held.discard(reason)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_boot, hosts))


def _boot(host: Host) -> None:
    with host.lock:
        if host.wanted and not host.held:
            host.start()


def region_dark(machines: Machines, region: str, dark: bool) -> None:
    """All hosts of a region without power, its routers and load balancers without a sign of life; or all of it back."""
    reason = f"region {region} has no power (lab fault region)"
    machines.set_dark(region, dark)
    hosts = [host for (where, _), host in list(machines.hosts.items()) if where == region]
    if dark:
        power_off(hosts, reason)
    else:
        power_on(hosts, reason)
