"""The Neutron service of one region, put together: its collections, quotas, and what clients ask to find their way."""

from __future__ import annotations

from lab.cloud.network import attributes, errors, models
from lab.cloud.network.floating import FLOATING_IPS
from lab.cloud.network.groups import GROUPS, RULES
from lab.cloud.network.networks import NETWORKS, SUBNETS
from lab.cloud.network.port_api import PORTS
from lab.cloud.network.resource import Change, NeutronService
from lab.cloud.network.routers import ROUTERS, add_interface_routes
from lab.cloud.state import Cloud, Record
from lab.cloud.web import ApiError, Call, Reply

RESOURCES = (NETWORKS, SUBNETS, PORTS, ROUTERS, GROUPS, RULES, FLOATING_IPS)
QUOTAS = (
    "network",
    "subnet",
    "subnetpool",
    "port",
    "router",
    "floatingip",
    "rbac_policy",
    "security_group",
    "security_group_rule",
)
EXTENSIONS = {
    "allowed-address-pairs": "Allowed Address Pairs",
    "external-net": "Neutron external network",
    "filter-validation": "Filter parameters validation",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "port-security": "Port Security",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "quotas": "Quota management support",
    "quota_details": "Quota details management support",
    "revision-if-match": "If-Match constraints based on revision_number",
    "router": "Neutron L3 Router",
    "security-group": "security-group",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute: ",
    "standard-attr-timestamp": "Resource timestamps",
    "stateful-security-group": "Stateful security group",
}


def service(cloud: Cloud, region: str) -> NeutronService:
    """Neutron of one region; gives the region its Ext-Net and its default security group."""

    def seed(of: Cloud, name: str) -> None:
        if name == region:
            models.seed(of, name)

    cloud.add_seed(seed)
    neutron = NeutronService(cloud, region)
    for resource in RESOURCES:
        neutron.add(resource)
    add_interface_routes(neutron)
    _add_quotas(neutron)
    _add_discovery(neutron)
    return neutron


def _add_quotas(neutron: NeutronService) -> None:
    def limits() -> dict[str, int]:
        return {name: neutron.cloud.region(neutron.region).quotas.get(name, -1) for name in QUOTAS}

    def used(change: Change) -> dict[str, int]:
        return {name: change.used(name) if name in models.STORES else 0 for name in QUOTAS}

    def check_owner(call: Call, project: str, rule: str) -> None:
        if project != call.token.project_id and "admin" not in call.token.roles:
            raise errors.forbidden(f"rule:{rule}")

    @neutron.route("GET", "/v2.0/quotas/<project>")
    def show(call: Call, project: str) -> Reply:
        check_owner(call, project, "get_quota")
        return Reply(200, {"quota": limits()})

    @neutron.route("GET", "/v2.0/quotas/<project>/details.json")
    @neutron.route("GET", "/v2.0/quotas/<project>/details")
    def details(call: Call, project: str) -> Reply:
        check_owner(call, project, "get_quota")
        counts = used(Change(neutron.cloud, neutron.region, project))
        return Reply(
            200,
            {
                "quota": {
                    name: {"limit": limit, "used": counts[name], "reserved": 0} for name, limit in limits().items()
                }
            },
        )

    @neutron.route("PUT", "/v2.0/quotas/<project>")
    def update(call: Call, project: str) -> Reply:
        if "admin" not in call.token.roles:
            raise errors.forbidden("rule:update_quota")
        schema = {name: attributes.Attribute(attributes.integer, -1) for name in QUOTAS}
        wanted = attributes.on_update(call, "quota", schema)
        counts = used(Change(neutron.cloud, neutron.region, project))
        below = [name for name, limit in wanted.items() if 0 <= limit < counts[name]]
        if below:
            raise ApiError(
                400, f"Change would make usage less than 0 for the following resources: {below}.", "InvalidQuotaValue"
            )
        neutron.cloud.region(neutron.region).quotas.update(wanted)
        return Reply(200, {"quota": limits()})


def _add_discovery(neutron: NeutronService) -> None:
    @neutron.route("GET", "/")
    def versions(call: Call) -> Reply:
        links = [{"rel": "self", "href": f"{neutron.root}/v2.0/"}]
        return Reply(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})

    @neutron.route("GET", "/v2.0")
    @neutron.route("GET", "/v2.0/")
    def resources(call: Call) -> Reply:
        found = [_described(neutron, kind, kind + "s") for kind in ("network", "subnet", "subnetpool", "port")]
        return Reply(200, {"resources": found})

    @neutron.route("GET", "/v2.0/extensions")
    def extensions(call: Call) -> Reply:
        return Reply(200, {"extensions": [_extension(alias) for alias in EXTENSIONS]})

    @neutron.route("GET", "/v2.0/extensions/<alias>")
    def extension(call: Call, alias: str) -> Reply:
        if alias not in EXTENSIONS:
            raise ApiError(404, f"Extension with alias {alias} does not exist", "HTTPNotFound")
        return Reply(200, {"extension": _extension(alias)})

    @neutron.route("GET", "/v2.0/availability_zones")
    def zones(call: Call) -> Reply:
        return Reply(200, {"availability_zones": []})

    @neutron.route("GET", "/v2.0/network-ip-availabilities")
    def availabilities(call: Call) -> Reply:
        return Reply(200, {"network_ip_availabilities": []})


def _described(neutron: NeutronService, name: str, collection: str) -> Record:
    links = [{"rel": "self", "href": f"{neutron.root}/v2.0/{collection}"}]
    return {"name": name, "collection": collection, "links": links}


def _extension(alias: str) -> Record:
    name = EXTENSIONS[alias]
    return {"name": name, "alias": alias, "description": name, "updated": "2025-01-01T00:00:00-00:00", "links": []}
