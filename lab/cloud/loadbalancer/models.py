"""Octavia's records, their relations and their bodies.

A record keeps its parent in a field of the lab's own: `_balancer` (listeners, pools), `_pool` (members, monitors). The lists of
children that bodies show are made when they are shown.
"""

from __future__ import annotations

from typing import Any

from lab.cloud.loadbalancer import errors
from lab.cloud.state import Record, RegionState, Store, new_id, public, stamp

STORES = {
    "loadbalancer": "load_balancers",
    "listener": "listeners",
    "pool": "pools",
    "member": "members",
    "healthmonitor": "monitors",
}
QUOTAS = {
    "loadbalancer": "load_balancer",
    "listener": "listener",
    "pool": "pool",
    "member": "member",
    "healthmonitor": "health_monitor",
}


def store(state: RegionState, kind: str) -> Store:
    found: Store = getattr(state, STORES[kind])
    return found


def find(state: RegionState, kind: str, wanted: str) -> Record:
    record = store(state, kind).get(wanted)
    if record is None:
        raise errors.not_found(kind, wanted)
    return record


def _common(project: str, values: Record) -> Record:
    return {
        "id": new_id(),
        "name": values["name"],
        "provisioning_status": "PENDING_CREATE",
        "operating_status": "OFFLINE",
        "admin_state_up": values["admin_state_up"],
        "project_id": project,
        "tenant_id": project,
        "created_at": stamp(style="plain"),
        "updated_at": None,
        "tags": values["tags"],
    }


def _copied(values: Record, *names: str) -> Record:
    return {name: values[name] for name in names}


def new_balancer(project: str, values: Record) -> Record:
    """Without its VIP, which `lab.cloud.loadbalancer.vip` adds."""
    return {
        **_common(project, values),
        **_copied(
            values,
            "description",
            "flavor_id",
            "availability_zone",
            "vip_qos_policy_id",
            "vip_sg_ids",
            "additional_vips",
        ),
        "provider": "amphora",
        "vip_vnic_type": "normal",
    }


_LISTENER = (
    "description", "protocol", "protocol_port", "connection_limit", "default_pool_id", "insert_headers", "allowed_cidrs",
    "timeout_client_data", "timeout_member_connect", "timeout_member_data", "timeout_tcp_inspect", "default_tls_container_ref",
    "sni_container_refs", "client_ca_tls_container_ref", "client_authentication", "client_crl_container_ref", "tls_ciphers", "tls_versions",
    "alpn_protocols", "hsts_max_age", "hsts_include_subdomains", "hsts_preload",
)  # fmt: skip
_POOL = (
    "description", "protocol", "lb_algorithm", "session_persistence", "tls_container_ref", "ca_tls_container_ref", "crl_container_ref",
    "tls_enabled", "tls_ciphers", "tls_versions", "alpn_protocols",
)  # fmt: skip
_MEMBER = ("address", "protocol_port", "weight", "backup", "subnet_id", "monitor_address", "monitor_port")
_MONITOR = (
    "type", "delay", "timeout", "max_retries", "max_retries_down", "http_method", "url_path", "expected_codes", "http_version",
    "domain_name",
)  # fmt: skip


def new_listener(project: str, values: Record) -> Record:
    return {
        **_common(project, values),
        **_copied(values, *_LISTENER),
        "l7policies": [],
        "_balancer": values["loadbalancer_id"],
    }


def new_pool(project: str, values: Record, balancer: str) -> Record:
    return {**_common(project, values), **_copied(values, *_POOL), "_balancer": balancer}


def new_member(project: str, values: Record, pool: str, monitored: bool) -> Record:
    status = "OFFLINE" if monitored else "NO_MONITOR"
    return {
        **_common(project, values),
        **_copied(values, *_MEMBER),
        "operating_status": status,
        "vnic_type": "normal",
        "_pool": pool,
    }


def new_monitor(project: str, values: Record) -> Record:
    return {**_common(project, values), **_copied(values, *_MONITOR), "_pool": values["pool_id"]}


def listeners_of(state: RegionState, balancer: str) -> list[Record]:
    return [listener for listener in state.listeners.values() if listener["_balancer"] == balancer]


def pools_of(state: RegionState, balancer: str) -> list[Record]:
    return [pool for pool in state.pools.values() if pool["_balancer"] == balancer]


def users_of(state: RegionState, pool: str) -> list[Record]:
    """The listeners that send to a pool."""
    return [listener for listener in state.listeners.values() if listener["default_pool_id"] == pool]


def members_of(state: RegionState, pool: str) -> list[Record]:
    return [member for member in state.members.values() if member["_pool"] == pool]


def monitor_of(state: RegionState, pool: str) -> Record | None:
    return next((monitor for monitor in state.monitors.values() if monitor["_pool"] == pool), None)


def _ids(records: list[Record]) -> list[dict[str, Any]]:
    return [{"id": record["id"]} for record in records]


def body(state: RegionState, kind: str, record: Record) -> Record:
    """What the API shows of a record, but for the operating status of the moment (`health.Health` knows it)."""
    shown = public(record)
    if kind == "loadbalancer":
        shown |= {"listeners": _ids(listeners_of(state, record["id"])), "pools": _ids(pools_of(state, record["id"]))}
    elif kind == "listener":
        shown["loadbalancers"] = [{"id": record["_balancer"]}]
    elif kind == "pool":
        shown |= {
            "loadbalancers": [{"id": record["_balancer"]}],
            "listeners": _ids(users_of(state, record["id"])),
            "members": _ids(members_of(state, record["id"])),
        }
        monitor = monitor_of(state, record["id"])
        if monitor is not None:
            shown["healthmonitor_id"] = monitor["id"]
    elif kind == "healthmonitor":
        shown["pools"] = [{"id": record["_pool"]}]
    return shown
