"""What a request may say of each Octavia resource, and the words in which a wrong value is refused."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.cloud.loadbalancer import errors
from lab.cloud.web import ApiError, Call

Check = Callable[[str, Any], Any]
_MANDATORY = object()


@dataclass(frozen=True)
class Field:
    check: Check
    default: Any = _MANDATORY
    update: bool = True


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise errors.invalid(name, value, f"Wrong type. Expected '<class 'str'>', got '{type(value)}'")
    if len(value) > 255:
        raise errors.invalid(name, value, "Value should have a maximum character requirement of 255")
    return value


def boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise errors.invalid(name, value, f"Wrong type. Expected '<class 'bool'>', got '{type(value)}'")


def between(least: int, most: int | None = None) -> Check:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise errors.invalid(name, value, f"Wrong type. Expected '<class 'int'>', got '{type(value)}'")
        if value < least:
            raise errors.invalid(name, value, f"Value should be greater or equal to {least}")
        if most is not None and value > most:
            raise errors.invalid(name, value, f"Value should be lower or equal to {most}")
        return value

    return check


def one_of(*allowed: str) -> Check:
    def check(name: str, value: Any) -> str:
        if value not in allowed:
            raise errors.invalid(name, value, f"Value should be one of: {', '.join(allowed)}")
        return str(value)

    return check


def address(name: str, value: Any) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise errors.invalid(name, value, "Value should be IPv4 or IPv6 format") from None


def prefixes(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise errors.invalid(name, value, "Wrong type. Expected '[CidrType]'")
    for prefix in value:
        try:
            ipaddress.ip_network(prefix, strict=False)
        except ValueError:
            raise errors.invalid(name, prefix, "Value should be IPv4 or IPv6 CIDR format") from None
    return list(value)


def texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise errors.invalid(name, value, "Wrong type. Expected '[TagType]'")
    return [text(name, item) for item in value]


def nothing(what: str) -> Check:
    """A field of Octavia's that the lab's balancers cannot follow: only its neutral values are taken."""

    def check(name: str, value: Any) -> Any:
        if value in (None, [], {}, False, "NONE", "normal"):
            return value
        raise errors.not_in_the_lab(what)

    return check


def optional(check: Check) -> Check:
    return lambda name, value: None if value is None else check(name, value)


_TIMEOUT = between(0, 86400000)
_PORT = between(1, 65535)
_COMMON = {"name": Field(text, ""), "tags": Field(texts, []), "admin_state_up": Field(boolean, True)}
_OWNER = {"project_id": Field(optional(text), None, update=False)}


def _only_neutral(what: str, **defaults: Any) -> dict[str, Field]:
    return {name: Field(nothing(what), default) for name, default in defaults.items()}


_TLS = _only_neutral(
    "TLS of their own",
    default_tls_container_ref=None,
    sni_container_refs=[],
    client_ca_tls_container_ref=None,
    client_authentication="NONE",
    client_crl_container_ref=None,
    tls_ciphers=None,
    tls_versions=None,
    alpn_protocols=None,
    hsts_max_age=None,
    hsts_include_subdomains=False,
    hsts_preload=False,
)
_POOL_TLS = _only_neutral(
    "TLS of their own",
    tls_container_ref=None,
    ca_tls_container_ref=None,
    crl_container_ref=None,
    tls_enabled=False,
    tls_ciphers=None,
    tls_versions=None,
    alpn_protocols=None,
)

BALANCER = {
    **_COMMON,
    **_OWNER,
    "description": Field(text, ""),
    "vip_address": Field(optional(address), None, update=False),
    "vip_subnet_id": Field(optional(text), None, update=False),
    "vip_network_id": Field(optional(text), None, update=False),
    "vip_port_id": Field(optional(text), None, update=False),
    "vip_qos_policy_id": Field(nothing("QoS policies"), None),
    "vip_sg_ids": Field(nothing("security groups of their own on the VIP"), []),
    "additional_vips": Field(nothing("additional VIPs"), [], update=False),
    "flavor_id": Field(optional(text), None, update=False),
    "provider": Field(optional(text), None, update=False),
    "availability_zone": Field(optional(text), None, update=False),
    "listeners": Field(nothing("creation as a whole tree"), [], update=False),
    "pools": Field(nothing("creation as a whole tree"), [], update=False),
}

LISTENER_PROTOCOLS = ("HTTPS", "HTTP", "SCTP", "UDP", "TCP", "TERMINATED_HTTPS", "PROMETHEUS")
POOL_PROTOCOLS = ("HTTPS", "HTTP", "SCTP", "PROXY", "UDP", "TCP", "PROXYV2")

LISTENER = {
    **_COMMON,
    **_OWNER,
    **_TLS,
    "loadbalancer_id": Field(text, update=False),
    "protocol": Field(one_of(*LISTENER_PROTOCOLS), update=False),
    "protocol_port": Field(_PORT, update=False),
    "description": Field(text, ""),
    "connection_limit": Field(between(-1), -1),
    "default_pool_id": Field(optional(text), None),
    "default_pool": Field(nothing("creation as a whole tree"), None, update=False),
    "insert_headers": Field(nothing("inserted headers"), {}),
    "l7policies": Field(nothing("L7 policies"), [], update=False),
    "allowed_cidrs": Field(optional(prefixes), None),
    "timeout_client_data": Field(_TIMEOUT, 50000),
    "timeout_member_connect": Field(_TIMEOUT, 5000),
    "timeout_member_data": Field(_TIMEOUT, 50000),
    "timeout_tcp_inspect": Field(_TIMEOUT, 0),
}

POOL = {
    **_COMMON,
    **_OWNER,
    **_POOL_TLS,
    "loadbalancer_id": Field(optional(text), None, update=False),
    "listener_id": Field(optional(text), None, update=False),
    "protocol": Field(one_of(*POOL_PROTOCOLS), update=False),
    "lb_algorithm": Field(one_of("ROUND_ROBIN", "SOURCE_IP", "LEAST_CONNECTIONS", "SOURCE_IP_PORT")),
    "description": Field(text, ""),
    "session_persistence": Field(nothing("session persistence"), None),
    "members": Field(nothing("creation as a whole tree"), [], update=False),
    "healthmonitor": Field(nothing("creation as a whole tree"), None, update=False),
}

MEMBER = {
    **_COMMON,
    **_OWNER,
    "address": Field(address, update=False),
    "protocol_port": Field(_PORT, update=False),
    "weight": Field(between(0, 256), 1),
    "backup": Field(boolean, False),
    "subnet_id": Field(optional(text), None, update=False),
    "monitor_address": Field(optional(address), None),
    "monitor_port": Field(optional(_PORT), None),
    "request_sriov": Field(nothing("SR-IOV"), False, update=False),
}

MONITOR = {
    **_COMMON,
    **_OWNER,
    "pool_id": Field(text, update=False),
    "type": Field(one_of("HTTPS", "HTTP", "SCTP", "TCP", "PING", "TLS-HELLO", "UDP-CONNECT"), update=False),
    "delay": Field(between(0)),
    "timeout": Field(between(0)),
    "max_retries": Field(between(1, 10)),
    "max_retries_down": Field(between(1, 10), 3),
    "http_method": Field(
        optional(one_of("GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "CONNECT")), None
    ),
    "url_path": Field(optional(text), None),
    "expected_codes": Field(optional(text), None),
    "http_version": Field(nothing("HTTP version in monitors"), None),
    "domain_name": Field(nothing("host header in monitors"), None),
}

_ARGUMENTS = {
    "loadbalancer": "load_balancer",
    "listener": "listener_",
    "pool": "pool_",
    "member": "member_",
    "healthmonitor": "health_monitor_",
}


def document(call: Call, kind: str) -> dict[str, Any]:
    """The object under `kind`. Without one Octavia stumbles over itself, with this very text."""
    if call.body is None and call.raw:
        raise ApiError(400, "Request is not in valid JSON format")
    value = call.body.get(kind) if isinstance(call.body, dict) else None
    if not isinstance(value, dict):
        raise ApiError(500, "'UnsetType' object has no attribute 'project_id'")
    return value


def checked(kind: str, schema: dict[str, Field], given: dict[str, Any], *, update: bool = False) -> dict[str, Any]:
    """The values of a request: all of them for a new resource, with defaults; only those named for an update."""
    given = {("project_id" if name == "tenant_id" else name): value for name, value in given.items()}
    argument = f"{_ARGUMENTS[kind]}.{kind}"
    values: dict[str, Any] = {}
    for name in given:
        if name not in schema or (update and not schema[name].update):
            raise errors.unknown_field(argument, name)
    for name, field in schema.items():
        if name in given:
            values[name] = field.check(name, given[name])
        elif not update and field.default is _MANDATORY:
            raise errors.invalid(name, "None", "Mandatory field missing.")
        elif not update:
            values[name] = list(field.default) if isinstance(field.default, list) else field.default
    return values
