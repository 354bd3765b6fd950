"""From answers and what the platform has said to the values of `Pulumi.yaml`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.beginning import Answers, s3_address
from contract.dataclass import dataclass
from contract.errors import Usage
from contract.hosts import KINDS
from contract.plain import shown
from contract.sites import SITES
from scripts.ctl.stacks.configuration import PROJECT, shared_values

PARTS = (
    "shop",
    "dns",
    "openstack",
    "witness",
    "vrack",
    "regions",
    "archive",
    "app",
    "assets",
    "monitoring",
)  # of what is written to
FRONT = {"a": "10.1.0.0/24", "b": "10.2.0.0/24"}
OFFSET = {"a": 0, "b": 100}


@dataclass(frozen=True, kw_only=True)
class Ids:
    """What a region calls the things that are meant."""

    ext_net: str
    image: str
    flavors: Mapping[str, str]  # by kind of host


@dataclass(frozen=True, kw_only=True)
class Told:
    """Of the whole platform."""

    ids: Mapping[str, Ids]  # by site
    project_name: str  # as Keystone calls it
    user: str
    domain: str
    name_servers: tuple[str, ...]  # address:port


def before(folder: Path) -> dict[str, Any]:
    """What `Pulumi.yaml` holds, by full key. Raises Usage, also where a part that is written to is none."""
    found = shared_values(folder)
    parts = {name: found.get(f"dr:{name}", {}) for name in PARTS}
    regions = parts["regions"]
    parts |= {f"regions.{site}": regions.get(site, {}) for site in SITES} if isinstance(regions, Mapping) else {}
    for name, value in parts.items():
        if not isinstance(value, Mapping):
            raise Usage(
                f"file {folder / PROJECT}: dr:{name} is {shown(value)}, wanted a mapping; nothing was changed; correct it, or take it out"
            )
    return found


def values(answers: Answers, told: Told, before: Mapping[str, Any]) -> dict[str, Any]:
    """By full key. `before`: what stands in the file; whatever nobody is asked about stays as it is there."""
    made = copy.deepcopy(dict(before))
    made["dr:project"], made["dr:service_name"], made["dr:protect"] = (
        answers.project,
        answers.service_name,
        answers.protect,
    )
    asked, old_host = answers.asked, (before.get("dr:shop") or {}).get("host")
    made["dr:shop"] = {**made.get("dr:shop", {}), "host": answers.host, "release": answers.release}
    made["dr:dns"] = {
        **made.get("dr:dns", {}),
        "zone": answers.zone,
        "subdomain": answers.subdomain,
        "servers": _servers(told, made.get("dr:dns", {})),
    }
    made["dr:openstack"] = {
        **made.get("dr:openstack", {}),
        "auth_url": asked.auth_url,
        "user": told.user,
        "project_id": answers.service_name,
        "project_name": told.project_name,
        "domain": told.domain,
    }
    made["dr:ovh"] = {"endpoint": asked.ovh}
    made["dr:witness"] = witness(answers)
    made["dr:vrack"] = {**made.get("dr:vrack", {}), "vlan": answers.vlan, "cidr": answers.vrack_cidr}
    made["dr:operator_cidrs"] = list(answers.operator_cidrs)
    regions = made.get("dr:regions") or {}
    made["dr:regions"] = {site: _region(site, answers, told.ids[site], regions.get(site) or {}) for site in SITES}
    made["dr:archive"] = _archive(answers, made.get("dr:archive") or {})
    if answers.witness.page_bucket is not None:
        watch = made.get("dr:monitoring") or {}
        page = {**(watch.get("status_page") or {}), "bucket": answers.witness.page_bucket}
        made["dr:monitoring"] = {**watch, "status_page": page}
    made["dr:app"] = {**made.get("dr:app", {}), "hosts": answers.app_hosts}
    assets = made.get("dr:assets") or {}
    origins = [
        f"https://{answers.host}" if it == f"https://{old_host}" else it for it in assets.get("cors_origins", [])
    ]
    made["dr:assets"] = {**assets, **({"cors_origins": origins} if origins else {})}
    return made


def _servers(told: Told, before: Mapping[str, Any]) -> list[str]:
    """A resolver gives the same addresses in another order each time."""
    old = before.get("servers")
    return (
        old if isinstance(old, list) and sorted(map(str, old)) == sorted(told.name_servers) else list(told.name_servers)
    )


def witness(answers: Answers) -> dict[str, str]:
    """`dr:witness`."""
    third = answers.witness
    return {
        "endpoint": third.s3_endpoint or s3_address(third.storage_region),
        "region": third.storage_region.lower(),
        "bucket": answers.witness_bucket,
    }


def state_url(answers: Answers) -> str:
    """Pulumi's backend in the third region."""
    place = witness(answers)
    host = place["endpoint"].partition("://")[2]
    plain = "&disableSSL=true" if place["endpoint"].startswith("http://") else ""
    return f"s3://{answers.state_bucket}?endpoint={host}&region={place['region']}&s3ForcePathStyle=true{plain}"


def _region(site: str, answers: Answers, ids: Ids, before: Mapping[str, Any]) -> dict[str, Any]:
    place, storage = answers.regions[site], answers.storage_region(site)
    made = {
        **before,
        "compute_region": place.compute_region,
        "storage_region": storage,
        "s3_endpoint": place.s3_endpoint or s3_address(storage),
        "s3_region": storage.lower(),
        "ext_net_id": ids.ext_net,
        "image_id": ids.image,
        "flavors": {kind: ids.flavors[kind] for kind in KINDS},
        "front_cidr": place.front_cidr or FRONT[site],
        "vrack_offset": OFFSET[site],
        "db_volume_gb": answers.db_volume_gb,
        "dns_servers": list(answers.resolvers),
    }
    # Both have a default: a key that says nothing else than that is not written.
    if answers.front_mtu != 1500 or "front_mtu" in before:
        made["front_mtu"] = answers.front_mtu
    if answers.volume_type is not None or "volume_type" in before:
        made["volume_type"] = answers.volume_type
    return made


def _archive(answers: Answers, before: Mapping[str, Any]) -> dict[str, Any]:
    """On OVHcloud WAL and backups go to the servers of the sites' buckets."""
    endpoints = {
        site: answers.regions[site].archive_endpoint
        or answers.regions[site].s3_endpoint
        or s3_address(answers.storage_region(site))
        for site in SITES
    }
    ca = answers.asked.archive_ca
    made = {name: value for name, value in before.items() if name != "ca"}
    return {**made, "endpoints": endpoints, **({"ca": ca} if ca else {})}
