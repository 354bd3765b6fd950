"""What a region's OpenStack says: ids by names, the roles of the user, what is there already, and what the quotas leave."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from contract import fields
from contract.beginning import Answers
from contract.errors import Failed
from contract.hosts import KINDS
from contract.names import EXT_NET
from contract.plain import shown
from contract.platform import Flavor, Image, Network, Quota, Role, VolumeType
from scripts.clients.collections import rows
from scripts.clients.openstack import ApiDown, Cloud
from scripts.ctl.beginning.values import Ids

T = TypeVar("T")
_GO_ON = "nothing was changed; see what answers there"
# The user's roles at OVHcloud, and OpenStack's own that hold all of them.
ROLES = {
    "compute_operator": "servers",
    "network_operator": "networks and addresses",
    "network_security_operator": "firewall rules",
    "load-balancer_operator": "the load balancer",
    "volume_operator": "the data volume",
}
NETWORKS = ("network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule")
ALL_ROLES = frozenset({"administrator", "admin", "member"})


@dataclass(kw_only=True)
class Seen:
    """Of one region. `against`: what has to be mended first, a sentence each."""

    site: str
    region: str
    ids: Ids | None = None
    flavors: dict[str, Flavor] = field(default_factory=dict)  # by kind of host
    project_name: str = ""
    built: bool = False  # servers of this site stand there
    quotas: dict[str, Quota] = field(default_factory=dict)
    against: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def look(cloud: Cloud, site: str, answers: Answers, before: Mapping[str, Any]) -> Seen:
    """All that is to be known of one region. `before`: its part of `dr:regions`; an id there that the region still knows stays. Raises nothing that
    the platform says: it is a reason against going on.
    """
    seen = Seen(site=site, region=cloud.region)
    try:
        cloud.connect()
    except ApiDown as error:
        seen.against.append(
            f"{error}; nothing is known of region {cloud.region}; check OS_USERNAME and OS_PASSWORD, and the name of the region"
        )
        return seen
    looks = (_token, _built, _ids, _volume_type, _vlan, _quotas)
    for each in looks:
        try:
            each(cloud, seen, answers, before)
        except Failed as error:
            forbidden = isinstance(error, ApiDown) and error.status == HTTPStatus.FORBIDDEN
            more = "; the user lacks a role for it: README.md names those it needs" if forbidden else ""
            seen.against.append(f"{error}{more}")
    return seen


def _token(cloud: Cloud, seen: Seen, answers: Answers, before: Mapping[str, Any]) -> None:
    told = cloud.token
    project = told.get("project")
    name = project.get("name") if isinstance(project, Mapping) else None
    if not isinstance(name, str) or not name or any(each.isspace() for each in name):
        seen.against.append(
            f"OpenStack project of region {cloud.region}: found the name {shown(name)}, wanted a word; dr:openstack.project_name cannot be written; "
            "rename the project in the Control Panel"
        )
    else:
        seen.project_name = name
    listed = told.get("roles")
    held = {it.name for it in _all(Role, listed if isinstance(listed, list) else [], "a role in the token")}
    lacking = [] if held & ALL_ROLES else [role for role in ROLES if role not in held]
    if lacking:
        what = ", ".join(f"{role} ({ROLES[role]})" for role in lacking)
        seen.against.append(
            f"OpenStack user in region {cloud.region}: lacks {what}, wanted all of {', '.join(ROLES)}; a run would stop in its middle; give it these "
            "roles in the Control Panel"
        )
    if "administrator" in held:
        seen.warnings.append(
            f"OpenStack user in region {cloud.region}: is administrator, wanted no more than {', '.join(ROLES)}; whoever has its password has the whole "
            "project"
        )


def _built(cloud: Cloud, seen: Seen, answers: Answers, before: Mapping[str, Any]) -> None:
    prefix = f"{answers.project}-{seen.site}-"
    servers = rows(cloud, "compute", f"/servers?name={urllib.parse.quote(prefix, safe='')}", "servers")
    seen.built = any(str(each.get("name", "")).startswith(prefix) for each in servers)


def _ids(cloud: Cloud, seen: Seen, answers: Answers, before: Mapping[str, Any]) -> None:
    networks = _networks(cloud, f"/v2.0/networks?router:external=true&name={EXT_NET}")
    ext_net = _one(
        [it.id for it in networks if it.name == EXT_NET],
        before.get("ext_net_id"),
        f"network {EXT_NET} in region {cloud.region}",
        "ask OVHcloud's support which one is the way out",
        seen,
    )
    image = _image(cloud, seen, answers, before)
    known = _all(Flavor, rows(cloud, "compute", "/flavors/detail", "flavors"), f"a flavor of region {cloud.region}")
    old = before.get("flavors") if isinstance(before.get("flavors"), Mapping) else {}
    chosen: dict[str, str] = {}
    for kind in KINDS:
        name = answers.flavor(kind)
        named = {it.id: it for it in known if it.name == name}
        one = _one(
            list(named),
            (old or {}).get(kind),
            f"flavor {name} (hosts of kind {kind}) in region {cloud.region}",
            f"answer flavors.{kind} with one of {', '.join(sorted({it.name for it in known})[:12]) or 'none, as the region has none'}",
            seen,
        )
        if one:
            chosen[kind], seen.flavors[kind] = one, named[one]
    if ext_net and image and len(chosen) == len(KINDS):
        seen.ids = Ids(ext_net=ext_net, image=image, flavors=chosen)


def _image(cloud: Cloud, seen: Seen, answers: Answers, before: Mapping[str, Any]) -> str:
    query = urllib.parse.urlencode({"name": answers.image, "status": "active"})
    images = _all(Image, rows(cloud, "image", f"/v2/images?{query}", "images"), f"an image of region {cloud.region}")
    ids = [it.id for it in images if it.name == answers.image and it.status == "active"]
    wanted = answers.regions[seen.site].image_id
    if wanted is not None and wanted not in ids:
        seen.against.append(
            f"image {wanted} in region {cloud.region}: is not among {len(ids)} active ones called {shown(answers.image)}, wanted one of them; no "
            "server can be "
            f"created; correct regions.{seen.site}.image_id, or the name"
        )
        return ""
    what = f"image {shown(answers.image)} in region {cloud.region}"
    return _one(ids, wanted or before.get("image_id"), what, f"choose one as regions.{seen.site}.image_id", seen)


def _volume_type(cloud: Cloud, seen: Seen, answers: Answers, before: Mapping[str, Any]) -> None:
    if answers.volume_type is None:
        return
    found = _all(VolumeType, rows(cloud, "volumev3", "/types", "volume_types"), f"a volume type of {cloud.region}")
    names = sorted(it.name for it in found)
    if answers.volume_type not in names:
        seen.against.append(
            f"volume type {answers.volume_type} in region {cloud.region}: found only {', '.join(names[:12]) or 'none'}, wanted it among them; no data volume "
            "can be created; answer volume_type with one of those"
        )


def _vlan(cloud: Cloud, seen: Seen, answers: Answers, before: Mapping[str, Any]) -> None:
    own = f"{answers.project}-{seen.site}-vrack"
    for network in _networks(cloud, "/v2.0/networks"):
        if network.vlan == answers.vlan and network.name != own:
            seen.against.append(
                f"VLAN {answers.vlan} in region {cloud.region}: is that of network {network.name} ({network.id}), wanted one that nobody uses: hosts "
                "of both would share addresses; answer vlan with another number"
            )


def _quotas(cloud: Cloud, seen: Seen, answers: Answers, before: Mapping[str, Any]) -> None:
    for each in (_of_servers, _of_volumes, _of_networks, _of_balancers):
        try:
            seen.quotas |= each(cloud, answers.service_name)
        except ApiDown as error:
            if error.status != HTTPStatus.NOT_FOUND:  # a platform that has not this look: nobody says what is left
                raise


def _of_servers(cloud: Cloud, project: str) -> Iterator[tuple[str, Quota]]:
    names = {
        "instances": ("maxTotalInstances", "totalInstancesUsed"),
        "cores": ("maxTotalCores", "totalCoresUsed"),
        "ram": ("maxTotalRAMSize", "totalRAMUsed"),
        "server_groups": ("maxServerGroups", "totalServerGroupsUsed"),
    }
    return _counted(cloud, "compute", names)


def _of_volumes(cloud: Cloud, project: str) -> Iterator[tuple[str, Quota]]:
    names = {
        "volumes": ("maxTotalVolumes", "totalVolumesUsed"),
        "gigabytes": ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    }
    return _counted(cloud, "volumev3", names)


def _of_networks(cloud: Cloud, project: str) -> Iterator[tuple[str, Quota]]:
    told = cloud.ask("GET", "network", f"/v2.0/quotas/{project}/details.json").get("quota")
    for name, each in told.items() if isinstance(told, Mapping) else ():
        if name in NETWORKS:
            yield name, _quota(each, f"{name} in region {cloud.region}")


def _of_balancers(cloud: Cloud, project: str) -> Iterator[tuple[str, Quota]]:
    told = cloud.ask("GET", "load-balancer", f"/v2.0/lbaas/quotas/{project}").get("quota")
    if isinstance(told, Mapping):
        limit = told.get("load_balancer", told.get("loadbalancer"))  # the latter: of an older Octavia
        there = rows(cloud, "load-balancer", "/v2.0/lbaas/loadbalancers", "loadbalancers")
        # Null: the platform's default, which is none.
        plain = {"limit": -1 if limit is None else limit, "used": len(there)}
        yield "load_balancer", _quota(plain, f"load balancers in region {cloud.region}")


def _counted(cloud: Cloud, service: str, names: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, Quota]]:
    limits = cloud.ask("GET", service, "/limits").get("limits")
    told = limits.get("absolute") if isinstance(limits, Mapping) else None
    for name, (limit, used) in names.items():
        if isinstance(told, Mapping) and limit in told:
            yield name, _quota({"limit": told[limit], "used": told.get(used, 0)}, f"{name} in region {cloud.region}")


def _quota(told: object, what: str) -> Quota:
    return fields.heard(Quota, told, f"quota of {what}", _GO_ON)


def _networks(cloud: Cloud, path: str) -> list[Network]:
    listed = rows(cloud, "network", path, "networks")
    told = [{**it, "vlan": it.get("provider:segmentation_id")} for it in listed]
    return _all(Network, told, f"a network of region {cloud.region}")


def _all(cls: type[T], listed: list[Any], what: str) -> list[T]:
    """Raises Failed for a row of another form."""
    return [fields.heard(cls, it, what, _GO_ON) for it in listed]


def _one(ids: list[str], before: object, what: str, remedy: str, seen: Seen) -> str:
    """The only one, or the one that is configured; empty where that is none."""
    if isinstance(before, str) and before in ids:
        return before
    if len(ids) == 1:
        return ids[0]
    found = f"found {len(ids)} of that name ({', '.join(ids[:5])})" if ids else "found none"
    seen.against.append(
        f"{what}: {found}, wanted one; nobody knows which is meant; {remedy}"
        if ids
        else f"{what}: found none, wanted one; no server can be created; {remedy}"
    )
    return ""
