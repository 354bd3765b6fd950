"""From Octavia's records to the whole wanted state of one balancer. Pure, on records."""

from __future__ import annotations

from lab.cloud.backend import BalancerSpec, Listener, Member, Monitor, Pool
from lab.cloud.loadbalancer import models
from lab.cloud.state import Record, RegionState


def _wanted(record: Record) -> bool:
    return bool(record["admin_state_up"]) and record["provisioning_status"] != "PENDING_DELETE"


def _member(record: Record) -> Member:
    return Member(
        member_id=record["id"],
        address=record["address"],
        port=record["protocol_port"],
        weight=record["weight"],
        monitor_address=record["monitor_address"],
        monitor_port=record["monitor_port"],
        backup=record["backup"],
        enabled=record["admin_state_up"],
    )


def _monitor(record: Record | None) -> Monitor | None:
    if record is None or not _wanted(record):
        return None
    return Monitor(
        kind=record["type"],
        delay=record["delay"],
        timeout=record["timeout"],
        max_retries=record["max_retries"],
        max_retries_down=record["max_retries_down"],
        http_method=record["http_method"] or "GET",
        url_path=record["url_path"] or "/",
        expected_codes=record["expected_codes"] or "200",
    )


def _pool(state: RegionState, record: Record | None) -> Pool | None:
    if record is None or not _wanted(record):
        return None
    members = [m for m in models.members_of(state, record["id"]) if m["provisioning_status"] != "PENDING_DELETE"]
    return Pool(
        pool_id=record["id"],
        protocol=record["protocol"],
        algorithm=record["lb_algorithm"],
        members=tuple(_member(member) for member in members),
        monitor=_monitor(models.monitor_of(state, record["id"])),
    )


def _listener(state: RegionState, record: Record) -> Listener:
    return Listener(
        listener_id=record["id"],
        protocol=record["protocol"],
        port=record["protocol_port"],
        pool=_pool(state, state.pools.get(record["default_pool_id"] or "")),
        allowed_cidrs=tuple(record["allowed_cidrs"] or ()),
        timeout_client_ms=record["timeout_client_data"],
        timeout_member_ms=record["timeout_member_data"],
        timeout_connect_ms=record["timeout_member_connect"],
        connection_limit=record["connection_limit"],
    )


def balancer_spec(state: RegionState, region: str, balancer: Record) -> BalancerSpec:
    """What is being deleted or is administratively down is left out; a disabled member stays, disabled, to drain."""
    subnet = state.subnets[balancer["vip_subnet_id"]]
    listeners = models.listeners_of(state, balancer["id"]) if balancer["admin_state_up"] else []
    return BalancerSpec(
        region=region,
        balancer_id=balancer["id"],
        network_id=balancer["vip_network_id"],
        vip=balancer["vip_address"],
        prefix_length=int(subnet["cidr"].rpartition("/")[2]),
        gateway=subnet["gateway_ip"],
        listeners=tuple(_listener(state, listener) for listener in listeners if _wanted(listener)),
    )
