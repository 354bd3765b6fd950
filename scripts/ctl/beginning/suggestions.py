"""Defaults of the questions: what a former run has written, else what the account has only one of, else two regions that are far apart."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from contract.access import Ovh
from contract.checks import PLACEHOLDER
from contract.errors import Failed
from contract.sites import SITES
from scripts.clients.ovh import OvhApi
from scripts.ctl.beginning.account import listed
from scripts.ctl.beginning.credentials import Credentials
from scripts.ctl.beginning.values import before

REGIONS = {"regions.a.compute_region": "GRA11", "regions.b.compute_region": "SBG5", "witness.storage_region": "DE"}
ANSWER_S = 5.0
OUTSIDE = "213.186.33.99"  # somebody on the other side of this machine's way out


def suggestions(folder: Path, endpoint: str, credentials: Credentials | None) -> dict[str, Any]:
    """By the question's path. Raises Usage for a `Pulumi.yaml` that cannot be read."""
    written = _written(before(folder))
    return written or {**REGIONS, **_own_network(), **(_only(endpoint, credentials) if credentials is not None else {})}


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the file holds, once it is no more that of the repository, whose ids are to be looked up."""
    regions = values.get("dr:regions") or {}
    if any((regions.get(site) or {}).get("image_id", PLACEHOLDER) == PLACEHOLDER for site in SITES):
        return {}
    dns, witness, vrack = (values.get(f"dr:{name}") or {} for name in ("dns", "witness", "vrack"))
    found = {
        "service_name": values.get("dr:service_name"),
        "zone": dns.get("zone"),
        "subdomain": dns.get("subdomain"),
        "witness.storage_region": str(witness.get("region", "")).upper() or None,
        "operator_cidrs": values.get("dr:operator_cidrs"),
        "app_hosts": (values.get("dr:app") or {}).get("hosts"),
        "db_volume_gb": regions[SITES[0]].get("db_volume_gb"),
        "vlan": vrack.get("vlan"),
        **{f"regions.{site}.compute_region": regions[site].get("compute_region") for site in SITES},
    }
    return {path: value for path, value in found.items() if value is not None}


def _own_network() -> dict[str, Any]:
    """That of this machine alone, where it has a public address. Nothing is sent: the kernel says which address it would send from."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((OUTSIDE, 53))
            found = IPv4Address(asking.getsockname()[0])
    except (OSError, ValueError):
        return {}
    return {"operator_cidrs": [f"{found}/32"]} if found.is_global else {}


def _only(endpoint: str, credentials: Credentials) -> dict[str, Any]:
    """A project and a zone, where the account has one of each."""
    told = Ovh(
        endpoint=endpoint,
        application_key=credentials.application_key,
        application_secret=credentials.application_secret,
        consumer_key=credentials.maker,
    )
    api, found = OvhApi(told, 1, answer_s=ANSWER_S), dict[str, Any]()
    for path, question in (("/cloud/project", "service_name"), ("/domain/zone", "zone")):
        try:
            names = listed(api, path)
        except Failed:
            return found  # whoever asks for more says why
        if len(names) == 1:
            found[question] = names[0]
    return found
