"""Stack files for the lab, made from the repository's examples: endpoints and ids of the running lab, fresh secrets, nothing in the checkout changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from contract.hosts import DATABASE, KINDS
from scripts.ctl.stacks.configuration import load, shared_values, stack_file
from scripts.ctl.stacks.secrets import generate, host_names

SITES = {"a": ("GRA11", "gra"), "b": ("SBG5", "sbg")}
WITNESS_BUCKET = "shop-wit"  # short: it stands in every line of a policy that the gateway keeps in 4 KB


def stack_name(site: str) -> str:
    """As users know it."""
    return f"region-{site}"


def documents(
    project: Path, lab: Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """The stack file of each site, parsed, without `dr:secrets`: what the running lab has otherwise than the project's `Pulumi.yaml`.

    `changes`: keys without the prefix, for both; an object is laid over the one there.
    """
    shared = shared_values(project)
    config = _of_the_lab(copy.deepcopy(shared), lab)
    for key, value in (changes or {}).items():
        config[f"dr:{key}"] = {**config[f"dr:{key}"], **value} if isinstance(value, Mapping) else value
    others = {key: value for key, value in config.items() if shared.get(key) != value}
    return {site: {"config": {**load(stack_file(project, site))["config"], **copy.deepcopy(others)}} for site in SITES}


def whole(project: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a stack file over what the project shares, by full key."""
    return {**shared_values(project), **document["config"]}


def _of_the_lab(config: dict[str, Any], lab: Mapping[str, Any]) -> dict[str, Any]:
    config["dr:service_name"] = lab["ovh"]["service_name"]
    names = ("auth_url", "user", "project_id", "project_name", "domain")
    config["dr:openstack"].update({key: lab["openstack"][key] for key in names})
    config["dr:ovh"] = {"endpoint": lab["ovh"]["endpoint"]}
    config["dr:witness"] = {"endpoint": lab["s3"]["de"]["endpoint"], "region": "de", "bucket": WITNESS_BUCKET}
    endpoints = lab["s3_tls"]["endpoints"]
    config["dr:archive"] |= {
        "endpoints": {site: endpoints[storage] for site, (_, storage) in SITES.items()},
        "ca": lab["s3_tls"]["ca"],
    }
    config["dr:dns"]["servers"] = lab["dns"]["servers"]
    for name, (compute, storage) in SITES.items():
        facts, region = lab["regions"][compute], config["dr:regions"][name]
        region.update({"compute_region": compute, "storage_region": storage.upper(), "s3_region": storage})
        region.update({"ext_net_id": facts["ext_net_id"], "image_id": facts["image_id"]})
        region["front_mtu"] = (
            None  # its plain networks are tunnels, which carry less than the 1500 of an OVHcloud region
        )
        region["s3_endpoint"] = lab["s3"][storage]["endpoint"]
        region["flavors"] = {kind: facts["flavors"]["d2-4" if kind == DATABASE else "d2-2"] for kind in KINDS}
    return config


def secrets(config: Mapping[str, Any], lab: Mapping[str, Any], witness: Mapping[str, Any]) -> dict[str, Any]:
    """A fresh `dr:secrets` for a whole configuration; `witness`: the keys to that (`lab.rehearsal.witness_users`)."""
    outside = {
        "openstack_password": lab["openstack"]["password"],
        "ovh": {key: lab["ovh"][key] for key in ("application_key", "application_secret", "consumer_key")},
        "witness": witness,
    }
    return generate(host_names(config), config["dr:shop"]["host"], outside, config["dr:shop"].get("aliases", ()))


def write(folder: Path, made: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """Write the stack files; returns them by site."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for site, document in made.items():
        files[site] = folder / f"Pulumi.{stack_name(site)}.yaml"
        files[site].write_text(yaml.safe_dump(document, sort_keys=False))
    return files


def to_stdin(value: Mapping[str, Any]) -> bytes:
    """A structured value as `pulumi config set` reads it."""
    return json.dumps(value).encode()
