"""Neutron's refusals: one function per fault, each returns the `ApiError` to raise; and the form in which they leave."""

from __future__ import annotations

from lab.cloud.web import ApiError, Reply

_UNKNOWN = {
    "network": ("NetworkNotFound", "Network {} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {} could not be found."),
    "port": ("PortNotFound", "Port {} could not be found."),
    "router": ("RouterNotFound", "Router {} could not be found"),
    "security_group": ("SecurityGroupNotFound", "Security group {} does not exist"),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    "floatingip": ("FloatingIPNotFound", "Floating IP {} could not be found"),
}


def render(error: ApiError) -> Reply:
    """The error document: `NeutronError`, but for 401, which the token check in front of Neutron answers in its own form."""
    if error.status == 401:
        return Reply(401, {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, error.headers)
    return Reply(
        error.status, {"NeutronError": {"type": error.kind, "message": error.message, "detail": ""}}, error.headers
    )


def not_found(kind: str, wanted: str) -> ApiError:
    name, text = _UNKNOWN[kind]
    return ApiError(404, text.format(wanted), name)


def bad_request(message: str) -> ApiError:
    return ApiError(400, message, "HTTPBadRequest")


def not_in_the_lab(what: str) -> ApiError:
    """Neutron can do it, the lab cannot."""
    return ApiError(501, f"the lab has no {what}", "NotImplemented")


def invalid_input(reason: str) -> ApiError:
    return ApiError(400, f"Invalid input for operation: {reason}.", "InvalidInput")


def bad_resource(resource: str, reason: str) -> ApiError:
    """`resource` as Neutron names it in the text: router, floatingip."""
    return ApiError(400, f"Bad {resource} request: {reason}", "BadRequest")


def forbidden(rule: str) -> ApiError:
    return ApiError(403, f"{rule} is disallowed by policy", "PolicyNotAuthorized")


def over_quota(resource: str) -> ApiError:
    return ApiError(409, f"Quota exceeded for resources: ['{resource}'].", "OverQuota")


def stale_revision(wanted: int, current: int) -> ApiError:
    return ApiError(
        412, f"Constrained to {wanted}, but current revision is {current}", "RevisionNumberConstraintFailed"
    )


def vlan_in_use(vlan: int) -> ApiError:
    return ApiError(
        409, f"Unable to create the network. The VLAN {vlan} on physical network vrack is in use.", "VlanIdInUse"
    )


def network_in_use(network: str, ports: list[str]) -> ApiError:
    text = f"Unable to complete operation on network {network}. There are one or more ports still in use on the network, id for these ports is: "
    return ApiError(409, text + ",".join(ports) + ".", "NetworkInUse")


def subnet_in_use(subnet: str) -> ApiError:
    text = f"Unable to complete operation on subnet {subnet}: One or more ports have an IP allocation from this subnet."
    return ApiError(409, text, "SubnetInUse")


def address_in_use(address: str, subnet: str) -> ApiError:
    return ApiError(409, f"IP address {address} already allocated in subnet {subnet}", "IpAddressAlreadyAllocated")


def no_more_addresses(network: str) -> ApiError:
    return ApiError(409, f"No more IP addresses available on network {network}.", "IpAddressGenerationFailure")


def mac_in_use(network: str, mac: str) -> ApiError:
    return ApiError(
        409, f"Unable to complete operation for network {network}. The mac address {mac} is in use.", "MacAddressInUse"
    )


def port_in_use(port: str) -> ApiError:
    return ApiError(409, f"Port {port} is still in use.", "PortInUse")


def service_port(port: str, owner: str) -> ApiError:
    return ApiError(
        409, f"Port {port} cannot be deleted directly via the port API: has device owner {owner}.", "ServicePortInUse"
    )


def router_in_use(router: str, ports: list[str]) -> ApiError:
    return ApiError(409, f"Router {router} has ports still attached: {', '.join(ports)}", "RouterInUse")


def interface_in_use(router: str, subnet: str) -> ApiError:
    text = f"Router interface for subnet {subnet} on router {router} cannot be deleted, as it is required by one or more floating IPs."
    return ApiError(409, text, "RouterInterfaceInUseByFloatingIP")


def no_interface(router: str, subnet: str) -> ApiError:
    return ApiError(404, f"Router {router} has no interface on subnet {subnet}", "RouterInterfaceNotFoundForSubnet")


def gateway_in_use(router: str, network: str) -> ApiError:
    text = f"Gateway cannot be updated for router {router}, since a gateway to external network {network} is required by one or more floating IPs."
    return ApiError(409, text, "RouterExternalGatewayInUseByFloatingIp")


def group_in_use(group: str) -> ApiError:
    return ApiError(409, f"Security Group {group} in use.", "SecurityGroupInUse")


def default_group(action: str) -> ApiError:
    """`action`: what is forbidden, as in "removing"."""
    if action == "removing":
        return ApiError(
            409, "Insufficient rights for removing default security group.", "SecurityGroupCannotRemoveDefault"
        )
    return ApiError(409, "Default security group already exists.", "SecurityGroupDefaultAlreadyExists")


def rule_exists(rule: str) -> ApiError:
    return ApiError(409, f"Security group rule already exists. Rule id is {rule}.", "SecurityGroupRuleExists")


def port_has_floating_ip(floating: str, floating_id: str, port: str, fixed: str, network: str) -> ApiError:
    text = (
        f"Cannot associate floating IP {floating} ({floating_id}) with port {port} using fixed IP {fixed}, "
        f"as that fixed IP already has a floating IP on external network {network}."
    )
    return ApiError(409, text, "FloatingIPPortAlreadyAssociated")


def not_reachable(network: str, subnet: str, port: str) -> ApiError:
    text = f"External network {network} is not reachable from subnet {subnet}.  Therefore, cannot associate Port {port} with a Floating IP."
    return ApiError(404, text, "ExternalGatewayForFloatingIPNotFound")
