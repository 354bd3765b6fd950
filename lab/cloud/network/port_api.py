"""Ports, as tenants make and change them."""

from __future__ import annotations

from typing import Any

from lab.cloud.network import addresses, allocation, attributes, errors, floating, models, rules
from lab.cloud.network.attributes import UNSET
from lab.cloud.network.resource import Change, Resource
from lab.cloud.state import Record
from lab.cloud.web import ApiError

MOST_PAIRS = 10


def _groups(change: Change, wanted: list[str]) -> list[str]:
    """Every group must exist and be the caller's; answered sorted and once each, as Neutron does."""
    for group in wanted:
        change.seen("security_group", group)
    return sorted(set(wanted))


def _pairs(wanted: list[dict[str, Any]], mac: str) -> list[dict[str, str]]:
    if len(wanted) > MOST_PAIRS:
        raise ApiError(
            400, f"The number of allowed address pair exceeds the maximum {MOST_PAIRS}.", "AllowedAddressPairExhausted"
        )
    pairs: list[dict[str, str]] = []
    for entry in wanted:
        unknown = sorted(set(entry) - {"ip_address", "mac_address"})
        if unknown:
            raise errors.bad_request(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
        if "ip_address" not in entry:
            raise ApiError(400, "AllowedAddressPair must contain ip_address", "AllowedAddressPairsMissingIP")
        try:
            addresses.normal_prefix(entry["ip_address"])
        except ApiError:
            text = f"Invalid input for allowed_address_pairs. Reason: '{entry['ip_address']}' is not a valid IP subnet."
            raise errors.bad_request(text) from None
        owner = attributes.mac_address("allowed_address_pairs", entry.get("mac_address") or mac)
        pair = {"ip_address": entry["ip_address"], "mac_address": owner}
        if pair in pairs:
            text = f"Request contains duplicate address pair: mac_address {owner} ip_address {pair['ip_address']}."
            raise ApiError(400, text, "DuplicateAddressPairInRequest")
        pairs.append(pair)
    return pairs


def _check_security(secure: bool, groups: list[str], pairs: list[dict[str, str]]) -> None:
    if not secure and groups:
        text = "Port security must be enabled and port must have an IP address in order to use a security group."
        raise ApiError(400, text, "PortSecurityAndIPRequiredForSecurityGroups")
    if not secure and pairs:
        text = "Port Security must be enabled in order to have allowed address pairs on a port."
        raise ApiError(409, text, "AddressPairAndPortSecurityRequired")


def create_port(change: Change, values: Record) -> Record:
    network = change.seen("network", values["network_id"])
    change.check_quota("port")
    secure = (
        network["port_security_enabled"]
        if values["port_security_enabled"] is UNSET
        else values["port_security_enabled"]
    )
    if values["security_groups"] is UNSET:
        groups = [models.default_group(change.state, change.project)["id"]] if secure else []
    else:
        groups = _groups(change, values["security_groups"])
    mac = allocation.new_mac(change.cloud) if values["mac_address"] is UNSET else values["mac_address"]
    pairs = _pairs(values["allowed_address_pairs"], mac)
    _check_security(secure, groups, pairs)
    port = allocation.create_port(
        change.cloud,
        change.region,
        change.project,
        network["id"],
        wanted=None if values["fixed_ips"] is UNSET else values["fixed_ips"],
        mac=mac,
        security_groups=groups,
        port_security_enabled=secure,
        allowed_address_pairs=pairs,
        **{
            name: values[name]
            for name in ("name", "description", "admin_state_up", "device_id", "device_owner", "extra_dhcp_opts")
        },
    )
    change.effects.port(port["id"])
    change.effects.membership(change.state, groups)
    return port


def update_port(change: Change, port: Record, values: Record) -> None:
    if "mac_address" in values and values["mac_address"] != port["mac_address"]:
        raise errors.forbidden("(rule:update_port and rule:update_port:mac_address)")
    secure = bool(values.get("port_security_enabled", port["port_security_enabled"]))
    groups = _groups(change, values["security_groups"]) if "security_groups" in values else port["security_groups"]
    pairs = port["allowed_address_pairs"]
    if "allowed_address_pairs" in values:
        pairs = _pairs(values["allowed_address_pairs"], port["mac_address"])
    _check_security(secure, groups, pairs)
    fixed = port["fixed_ips"]
    if "fixed_ips" in values:
        fixed = allocation.fixed_ips(
            change.state, change.state.networks[port["network_id"]], values["fixed_ips"], keep=port
        )
    touched = {*port["security_groups"], *groups}
    port |= {**values, "security_groups": groups, "allowed_address_pairs": pairs, "fixed_ips": fixed}
    floating.release(change, port["id"], keep={entry["ip_address"] for entry in fixed})
    change.effects.port(port["id"])
    if {"security_groups", "allowed_address_pairs", "fixed_ips"} & set(values):
        change.effects.membership(change.state, touched)


def delete_port(change: Change, port: Record) -> None:
    if port["device_owner"] == models.INTERFACE:
        raise errors.service_port(port["id"], port["device_owner"])
    remove_port(change, port)


def remove_port(change: Change, port: Record) -> None:
    """Take a port away whoever owns it: its floating IPs come off, those who admit its groups are told."""
    floating.release(change, port["id"])
    del change.state.ports[port["id"]]
    change.effects.membership(change.state, port["security_groups"])
    if rules.filtered(port):
        change.effects.dropped("port", port)


PORTS = Resource(
    kind="port", path="ports", schema=attributes.PORT, create=create_port, update=update_port, remove=delete_port
)
