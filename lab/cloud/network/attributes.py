"""What a request may say of each resource: names, types, defaults. Turns a request body into a full set of values, or refuses it with 400.

Values are checked in the order of Neutron: unknown names, names that may not be set now, missing names, then types.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.cloud.network import errors
from lab.cloud.web import Call

_REQUIRED = object()


@dataclass(frozen=True)
class Attribute:
    """`check(name, value)` returns the converted value; `default` goes in when a create does not name it."""

    check: Callable[[str, Any], Any]
    default: Any = _REQUIRED
    create: bool = True
    update: bool = True


UNSET: Any = object()
"""The default of attributes for which "not given" differs from every value that can be given."""


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' is not a valid string.")
    if len(value) > 255:
        raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' exceeds maximum length of 255.")
    return value


def text_or_none(name: str, value: Any) -> str | None:
    return None if value is None else text(name, value)


def boolean(name: str, value: Any) -> bool:
    lowered = str(value).lower()
    if lowered in ("true", "1"):
        return True
    if lowered in ("false", "0"):
        return False
    raise errors.invalid_input(f"'{value}' cannot be converted to boolean")


def integer(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        return int(value)
    except (TypeError, ValueError):
        raise errors.invalid_input(f"'{value}' is not an integer") from None


def integer_or_none(name: str, value: Any) -> int | None:
    return None if value is None else integer(name, value)


def identifier(name: str, value: Any) -> str:
    """A UUID. What looks like none is refused; whether it exists is another question."""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' is not a valid UUID.") from None


def identifier_or_none(name: str, value: Any) -> str | None:
    return None if value in (None, "") else identifier(name, value)


def mac_address(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(?i)[0-9a-f]{2}([:-][0-9a-f]{2}){5}", value):
        raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' is not a valid MAC address.")
    return value.lower().replace("-", ":")


def strings(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' is not a list of strings.")
    return list(value)


def mappings(name: str, value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' is not a list of dictionaries.")
    return list(value)


def mapping_or_none(name: str, value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' is not a dictionary.")
    return value or None


def anything(name: str, value: Any) -> Any:
    return value


def one_of(*allowed: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if value not in allowed:
            raise errors.bad_request(f"Invalid input for {name}. Reason: '{value}' is not in {list(allowed)}.")
        return str(value)

    return check


_NAMED = {
    "name": Attribute(text, ""),
    "description": Attribute(text, ""),
    "project_id": Attribute(text, UNSET, update=False),
}

NETWORK = {
    **_NAMED,
    "admin_state_up": Attribute(boolean, True),
    "shared": Attribute(boolean, False),
    "router:external": Attribute(boolean, False),
    "port_security_enabled": Attribute(boolean, True),
    "mtu": Attribute(integer, UNSET),
    "provider:network_type": Attribute(text, UNSET, update=False),
    "provider:segmentation_id": Attribute(integer, UNSET, update=False),
    "availability_zone_hints": Attribute(strings, [], update=False),
}

SUBNET = {
    **_NAMED,
    "network_id": Attribute(identifier, update=False),
    "ip_version": Attribute(integer, update=False),
    "cidr": Attribute(anything, update=False),
    "gateway_ip": Attribute(text_or_none, UNSET),
    "allocation_pools": Attribute(anything, UNSET),
    "dns_nameservers": Attribute(strings, []),
    "host_routes": Attribute(mappings, []),
    "service_types": Attribute(strings, []),
    "enable_dhcp": Attribute(boolean, True),
}

PORT = {
    **_NAMED,
    "network_id": Attribute(identifier, update=False),
    "admin_state_up": Attribute(boolean, True),
    "mac_address": Attribute(mac_address, UNSET),
    "fixed_ips": Attribute(mappings, UNSET),
    "security_groups": Attribute(strings, UNSET),
    "allowed_address_pairs": Attribute(mappings, []),
    "extra_dhcp_opts": Attribute(mappings, []),
    "port_security_enabled": Attribute(boolean, UNSET),
    "device_id": Attribute(text, ""),
    "device_owner": Attribute(text, ""),
    "binding:vnic_type": Attribute(one_of("normal"), "normal"),
}

ROUTER = {
    **_NAMED,
    "admin_state_up": Attribute(boolean, True),
    "external_gateway_info": Attribute(mapping_or_none, None),
    "availability_zone_hints": Attribute(strings, [], update=False),
}

SECURITY_GROUP = {**_NAMED, "stateful": Attribute(boolean, True)}

SECURITY_GROUP_RULE = {
    "project_id": Attribute(text, UNSET, update=False),
    "description": Attribute(text_or_none, None, update=False),
    "security_group_id": Attribute(identifier, update=False),
    "direction": Attribute(one_of("ingress", "egress"), update=False),
    "ethertype": Attribute(one_of("IPv4", "IPv6"), "IPv4", update=False),
    "protocol": Attribute(anything, None, update=False),
    "port_range_min": Attribute(integer_or_none, None, update=False),
    "port_range_max": Attribute(integer_or_none, None, update=False),
    "remote_ip_prefix": Attribute(text_or_none, None, update=False),
    "remote_group_id": Attribute(identifier_or_none, None, update=False),
}

FLOATING_IP = {
    "project_id": Attribute(text, UNSET, update=False),
    "description": Attribute(text, ""),
    "floating_network_id": Attribute(identifier, update=False),
    "floating_ip_address": Attribute(text_or_none, None, update=False),
    "subnet_id": Attribute(identifier_or_none, None, update=False),
    "port_id": Attribute(identifier_or_none, None),
    "fixed_ip_address": Attribute(text_or_none, None),
}


def _document(call: Call, resource: str) -> dict[str, Any]:
    if call.body is None and call.raw:
        raise errors.bad_request("Body contains invalid data")
    if not isinstance(call.body, dict) or not isinstance(call.body.get(resource), dict):
        raise errors.bad_request(f"Unable to find '{resource}' in request body")
    values = dict(call.body[resource])
    if "tenant_id" in values:
        values.setdefault("project_id", values.pop("tenant_id"))
    return values


def _known(schema: dict[str, Attribute], given: dict[str, Any]) -> None:
    unknown = sorted(set(given) - set(schema))
    if unknown:
        raise errors.bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)}'")


def on_create(call: Call, resource: str, schema: dict[str, Attribute]) -> dict[str, Any]:
    """All values of a new resource, `UNSET` where nothing was said and nothing is the default."""
    given = _document(call, resource)
    _known(schema, given)
    values: dict[str, Any] = {}
    for name, attribute in schema.items():
        if name in given:
            values[name] = attribute.check(name, given[name])
        elif attribute.default is _REQUIRED:
            raise errors.bad_request(f"Failed to parse request. Required attribute '{name}' not specified")
        else:
            values[name] = list(attribute.default) if isinstance(attribute.default, list) else attribute.default
    return values


def on_update(call: Call, resource: str, schema: dict[str, Attribute]) -> dict[str, Any]:
    """Only what the request names."""
    given = _document(call, resource)
    _known(schema, given)
    for name in given:
        if not schema[name].update:
            raise errors.bad_request(f"Cannot update read-only attribute {name}")
    return {name: schema[name].check(name, value) for name, value in given.items()}
