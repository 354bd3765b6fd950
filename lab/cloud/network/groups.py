"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

from lab.cloud.network import addresses, attributes, errors, models, rules
from lab.cloud.network.resource import Change, Resource
from lab.cloud.state import Record
from lab.cloud.web import ApiError

_WITH_PORTS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}
_WITH_TYPES = {"icmp", "icmpv6", "ipv6-icmp", "1", "58"}
_NAMES = (
    "any", "ah", "dccp", "egp", "esp", "gre", "hopopt", "icmp", "igmp", "ip", "ipip", "ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6",
    "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp",
)  # fmt: skip


def create_group(change: Change, values: Record) -> Record:
    if values["name"] == "default":
        raise errors.default_group("creating")
    change.check_quota("security_group")
    group = models.new_group(change.project, values["name"], values["description"], values["stateful"])
    change.state.security_groups[group["id"]] = group
    for ethertype in ("IPv6", "IPv4"):
        rule = models.new_rule(change.project, group["id"], "egress", ethertype)
        change.state.rules[rule["id"]] = rule
    return group


def update_group(change: Change, group: Record, values: Record) -> None:
    group |= values


def delete_group(change: Change, group: Record) -> None:
    if group["name"] == "default":
        raise errors.default_group("removing")
    if rules.ports_in(change.state, [group["id"]]):
        raise errors.group_in_use(group["id"])
    change.effects.membership(change.state, [group["id"]])
    for rule in list(change.state.rules.values()):
        if group["id"] in (rule["security_group_id"], rule["remote_group_id"]):
            del change.state.rules[rule["id"]]
    del change.state.security_groups[group["id"]]


def _protocol(value: Any) -> str | None:
    """Its name in lower case or its number as a string; None for any."""
    if value is None or str(value).lower() in ("any", ""):
        return None
    text = str(value).lower()
    if text in _NAMES or (text.isdigit() and int(text) <= 255):
        return text
    supported = ", ".join(f"'{name}'" for name in _NAMES)
    raise ApiError(
        400,
        f"Security group rule protocol {value} not supported. Only protocol values (None, {supported}) "
        "and integer representations [0 to 255] are supported.",
        "SecurityGroupRuleInvalidProtocol",
    )


def _check_ports(protocol: str | None, low: int | None, high: int | None) -> None:
    if low is None and high is None:
        return
    if protocol is None:
        raise ApiError(
            400, "Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts"
        )
    if protocol in _WITH_TYPES:
        for field, value in (("type", low), ("code", high)):
            if value is not None and not 0 <= value <= 255:
                text = f"Invalid value for ICMP {field} {value}. It must be 0 to 255."
                raise ApiError(400, text, "SecurityGroupInvalidIcmpValue")
        if low is None:
            raise ApiError(
                400,
                f"ICMP code (port-range-max) {high} is provided but ICMP type is missing.",
                "SecurityGroupMissingIcmpType",
            )
        return
    if protocol not in _WITH_PORTS and protocol not in {str(number) for number in _WITH_PORTS.values()}:
        text = f"Invalid protocol {protocol} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP."
        raise ApiError(400, text, "SecurityGroupInvalidProtocolForPort")
    for value in (low, high):
        if value is not None and not 1 <= value <= 65535:
            raise errors.bad_request(f"Invalid input for port_range. Reason: Invalid port: {value}.")
    if low is None or high is None or low > high:
        text = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
        raise ApiError(400, text, "SecurityGroupInvalidPortRange")


def _key(rule: Record) -> tuple[Any, ...]:
    """What makes two rules of a group the same: no prefix is every prefix, no ports are all ports."""
    remote = None if rule["normalized_cidr"] in ("0.0.0.0/0", "::/0") else rule["normalized_cidr"]
    number = _WITH_PORTS.get(rule["protocol"], rule["protocol"])
    ports = (rule["port_range_min"] or 1, rule["port_range_max"] or 65535) if rule["protocol"] not in _WITH_TYPES else (
        rule["port_range_min"], rule["port_range_max"]
    )  # fmt: skip
    group, direction, ethertype = rule["security_group_id"], rule["direction"], rule["ethertype"]
    return group, direction, ethertype, str(number), ports, remote, rule["remote_group_id"]


def create_rule(change: Change, values: Record) -> Record:
    change.check_quota("security_group_rule")
    group = change.own("security_group", values["security_group_id"], "update")
    protocol = _protocol(values["protocol"])
    _check_ports(protocol, values["port_range_min"], values["port_range_max"])
    prefix, remote = values["remote_ip_prefix"], values["remote_group_id"]
    if prefix is not None and remote is not None:
        text = "Only remote_ip_prefix or remote_group_id may be provided."
        raise ApiError(400, text, "SecurityGroupMultipleRemoteEntites")
    normal = None
    if prefix is not None:
        normal = addresses.normal_prefix(prefix)
        if (":" in normal) != (values["ethertype"] == "IPv6"):
            text = f"Conflicting value ethertype {values['ethertype']} for CIDR {prefix}"
            raise ApiError(400, text, "SecurityGroupRuleParameterConflict")
    if remote is not None:
        change.seen("security_group", remote)
    rule = models.new_rule(
        change.project,
        group["id"],
        values["direction"],
        values["ethertype"],
        protocol=protocol,
        port_range_min=values["port_range_min"],
        port_range_max=values["port_range_max"],
        remote_ip_prefix=prefix,
        normalized_cidr=normal,
        remote_group_id=remote,
        description=values["description"],
    )
    for other in change.state.rules.values():
        if _key(other) == _key(rule):
            raise errors.rule_exists(other["id"])
    change.state.rules[rule["id"]] = rule
    models.touch(group)
    change.effects.ports(rules.ports_in(change.state, [group["id"]]))
    return rule


def delete_rule(change: Change, rule: Record) -> None:
    del change.state.rules[rule["id"]]
    models.touch(change.state.security_groups[rule["security_group_id"]])
    change.effects.ports(rules.ports_in(change.state, [rule["security_group_id"]]))


def update_rule(change: Change, rule: Record, values: Record) -> None:
    """Nothing of a rule can be changed; an update that names nothing is accepted."""


GROUPS = Resource(
    kind="security_group",
    path="security-groups",
    schema=attributes.SECURITY_GROUP,
    create=create_group,
    update=update_group,
    remove=delete_group,
    body=models.group_body,
    listed=models.group_listed,
)
RULES = Resource(
    kind="security_group_rule",
    path="security-group-rules",
    schema=attributes.SECURITY_GROUP_RULE,
    create=create_rule,
    update=update_rule,
    remove=delete_rule,
    tags=False,
)
