"""Subnet arithmetic: CIDRs, allocation pools and the choice of an address. IPv4 only, as the lab is. Knows no store and no API object."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, ip_network
from itertools import pairwise
from typing import Any

from lab.cloud.network import errors
from lab.cloud.web import ApiError

Pools = list[dict[str, str]]


def parse_cidr(text: Any) -> IPv4Network:
    """The network of a CIDR, host bits cleared as Neutron does; 400 when it is none, 501 for IPv6."""
    try:
        if not isinstance(text, str) or "/" not in text:
            raise ValueError(text)
        network = ip_network(text, strict=False)
    except ValueError:
        raise errors.invalid_input(f"{text} is not in a CIDR format") from None
    if not isinstance(network, IPv4Network):
        raise errors.not_in_the_lab(f"IPv6 subnets as {text}")
    return network


def parse_address(text: Any, field: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise errors.bad_request(f"Invalid input for {field}. Reason: '{text}' is not a valid IP address.") from None


def hosts(network: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """First and last usable address."""
    if network.num_addresses <= 2:
        return network.network_address, network.broadcast_address
    return network.network_address + 1, network.broadcast_address - 1


def default_pools(network: IPv4Network, gateway: str | None) -> Pools:
    """Everything but the gateway, in one or two pieces."""
    first, last = hosts(network)
    hole = IPv4Address(gateway) if gateway else None
    if hole is None or not first <= hole <= last:
        return [{"start": str(first), "end": str(last)}]
    pieces = ((first, hole - 1), (hole + 1, last))
    return [{"start": str(start), "end": str(end)} for start, end in pieces if start <= end]


def check_pools(network: IPv4Network, pools: Any) -> Pools:
    """The pools of a request, sorted; refused when one is out of the subnet, upside down, or overlaps another."""
    if not isinstance(pools, list) or not all(
        isinstance(pool, dict) and set(pool) == {"start", "end"} for pool in pools
    ):
        raise errors.bad_request(
            f"Invalid input for allocation_pools. Reason: Invalid data format for IP pool: '{pools}'."
        )
    first, last = hosts(network)
    ranges: list[tuple[IPv4Address, IPv4Address]] = []
    for pool in pools:
        start, end = (parse_address(pool[key], "allocation_pools") for key in ("start", "end"))
        if start > end:
            raise ApiError(400, f"The allocation pool {start}-{end} is not valid.", "InvalidAllocationPool")
        if start < first or end > last:
            raise ApiError(
                400,
                f"The allocation pool {start}-{end} spans beyond the subnet cidr {network}.",
                "OutOfBoundsAllocationPool",
            )
        ranges.append((start, end))
    ranges.sort()
    for (start, end), (next_start, next_end) in pairwise(ranges):
        if next_start <= end:
            text = f"Found overlapping allocation pools: {start}-{end}, {next_start}-{next_end} for subnet {network}."
            raise ApiError(409, text, "OverlappingAllocationPools")
    return [{"start": str(start), "end": str(end)} for start, end in ranges]


def check_gateway(gateway: str, pools: Pools) -> None:
    """409 when a pool would hand out the gateway's address. (A gateway outside of the subnet is accepted, as by Neutron.)"""
    wanted = IPv4Address(gateway)
    for pool in pools:
        if IPv4Address(pool["start"]) <= wanted <= IPv4Address(pool["end"]):
            text = f"Gateway ip {gateway} conflicts with allocation pool {pool['start']}-{pool['end']}."
            raise ApiError(409, text, "GatewayConflictWithAllocationPools")


def _candidates(pools: Sequence[dict[str, str]]) -> Iterator[IPv4Address]:
    for pool in pools:
        for number in range(int(IPv4Address(pool["start"])), int(IPv4Address(pool["end"])) + 1):
            yield IPv4Address(number)


def pick(pools: Sequence[dict[str, str]], taken: Collection[str], after: str | None = None) -> str | None:
    """The lowest free address of the pools; None when they are exhausted.

    With `after` the search begins above that address and wraps around, so that an address given back is not handed out again at once.
    """
    lowest: str | None = None
    floor = IPv4Address(after) if after else IPv4Address(0)
    for candidate in _candidates(pools):
        text = str(candidate)
        if text in taken:
            continue
        if candidate > floor:
            return text
        lowest = lowest or text
    return lowest


def contains(cidr: str, address: str) -> bool:
    """Whether a port may have that address: within the subnet, neither its first nor its last."""
    network, wanted = IPv4Network(cidr), IPv4Address(address)
    return hosts(network)[0] <= wanted <= hosts(network)[1]


def normal_prefix(text: Any) -> str:
    """The canonical form of a rule's prefix (an address alone is a /32 or /128); 400 `InvalidCIDR` when it is none."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ApiError(400, f"Invalid CIDR {text} given as IP prefix.", "InvalidCIDR") from None
