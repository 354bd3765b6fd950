"""From security groups to what a port lets through: the records' rules compiled to `backend.Rule`. Pure, on records; IPv4 only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.cloud.backend import Rule
from lab.cloud.network import models
from lab.cloud.state import Record, RegionState

_NUMBERED = {"1": "icmp", "6": "tcp", "17": "udp", "132": "sctp", "112": "vrrp", "47": "gre", "50": "esp", "51": "ah"}


def addresses_of(state: RegionState, group: str) -> list[str]:
    """As /32 prefixes (pairs may be wider), sorted: every address of the ports that are in the group, in this region alone."""
    found: set[str] = set()
    for port in state.ports.values():
        if group in port["security_groups"]:
            found |= {f"{fixed['ip_address']}/32" for fixed in port["fixed_ips"]}
            found |= {_as_prefix(pair["ip_address"]) for pair in port["allowed_address_pairs"]}
    return sorted(found)


def _as_prefix(address: str) -> str:
    return address if "/" in address else f"{address}/32"


def _protocol(value: str | None) -> str | None:
    return None if value is None else _NUMBERED.get(value, value)


def _compile(state: RegionState, rule: Record) -> Iterator[Rule]:
    remotes: Iterable[str | None] = [rule["normalized_cidr"]]
    if rule["remote_group_id"] is not None:
        remotes = addresses_of(state, rule["remote_group_id"])
    for remote in remotes:
        yield Rule(
            direction=rule["direction"],
            protocol=_protocol(rule["protocol"]),
            port_min=rule["port_range_min"],
            port_max=rule["port_range_max"],
            remote=None if remote == "0.0.0.0/0" else remote,
        )


def compile_port(state: RegionState, port: Record) -> tuple[Rule, ...] | None:
    """All that the port's groups allow, without repetition, in a stable order; None: port security is off, everything passes.

    IPv6 rules are left out: the lab speaks IPv4, and a rule for all of IPv6 must not open all of IPv4.
    """
    if not port["port_security_enabled"]:
        return None
    found: set[Rule] = set()
    for rule in state.rules.values():
        if rule["security_group_id"] in port["security_groups"] and rule["ethertype"] == "IPv4":
            found |= set(_compile(state, rule))
    return tuple(sorted(found, key=lambda rule: tuple(str(value) for value in vars(rule).values())))


def filtered(port: Record) -> bool:
    """Whether the backend filters that port at all: routers and load balancers (`_balancer`: their second port) stand behind their own."""
    return port["device_owner"] not in models.FABRIC and "_balancer" not in port


def ports_in(state: RegionState, groups: Iterable[str]) -> set[str]:
    """The ports that wear one of the groups."""
    wanted = set(groups)
    return {port["id"] for port in state.ports.values() if wanted & set(port["security_groups"])}


def ports_watching(state: RegionState, groups: Iterable[str]) -> set[str]:
    """The ports with a rule whose remote is one of the groups: their rules change with the groups' members."""
    wanted = set(groups)
    watching = {rule["security_group_id"] for rule in state.rules.values() if rule["remote_group_id"] in wanted}
    return ports_in(state, watching)
