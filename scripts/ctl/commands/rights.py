"""`drctl rights`: what to allow the keys that the owner of the account makes by hand, in the platform's own forms. It asks nobody and reads no secret."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from components.render.policy import page_policy, witness_policy
from contract.consumer_key import Account, Rule, challenge, rules
from contract.errors import ExitCode, Usage
from contract.names import BUCKETS, bucket_name
from contract.sites import SITES
from contract.witness import USERS
from scripts.ctl import output
from scripts.ctl.stacks.configuration import merged

Config = Mapping[str, Any]  # by full key


def run(chosen: argparse.Namespace) -> ExitCode:
    """Writes JSON. Raises Usage where the configuration does not say what the rights are about."""
    told = merged(chosen.stack_file)
    made = {"witness": witness, "ovh": ovh, "acme": acme, "page": page}[chosen.what](told, chosen)
    output.write_json(made, "the rights")
    if sys.stdout.isatty():
        print()
    return ExitCode.DONE


def witness(config: Config, chosen: argparse.Namespace) -> dict[str, Any]:
    """The S3 policy of one user, or of each by its name."""
    bucket = _told(config, chosen, "witness", "bucket")
    if chosen.user is not None:
        return _policy(bucket, chosen.user)
    return {each: _policy(bucket, each) for each in USERS}


def ovh(config: Config, chosen: argparse.Namespace) -> dict[str, Any]:
    """The body of `POST /auth/credential`, which answers a consumer key."""
    project, service_name = config.get("dr:project", "shop"), _told(config, chosen, "service_name")
    buckets = {
        _told(config, chosen, "regions", site, "storage_region"): tuple(
            bucket_name(project, service_name, site, kind) for kind in BUCKETS
        )
        for site in SITES
    }
    account = Account(
        service_name=service_name,
        zone=_told(config, chosen, "dns", "zone"),
        buckets=buckets,
        protect=config.get("dr:protect") is not False,
    )
    return _body(rules(account))


def acme(config: Config, chosen: argparse.Namespace) -> dict[str, Any]:
    """The same of the key on the bastions: of the challenge's own zone, where there is one."""
    shop = config.get("dr:shop")
    own = (
        (shop.get("acme") or {}).get("zone") if isinstance(shop, dict) and isinstance(shop.get("acme"), dict) else None
    )
    return _body(challenge(own if isinstance(own, str) and own else _told(config, chosen, "dns", "zone")))


def page(config: Config, chosen: argparse.Namespace) -> dict[str, Any]:
    """The S3 policy of the user of `dr:monitoring.status_page`."""
    bucket = _told(config, chosen, "monitoring", "status_page", "bucket")
    public = config["dr:monitoring"]["status_page"].get("public") is True
    made: dict[str, Any] = json.loads(page_policy(bucket, public=public))
    return made


def _body(made: Iterable[Rule]) -> dict[str, Any]:
    return {"accessRules": [{"method": rule.method, "path": rule.path} for rule in made]}


def _policy(bucket: str, user: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(witness_policy(bucket, user))
    return made


def _told(config: Config, chosen: argparse.Namespace, *path: str) -> str:
    """A word of the configuration. Raises Usage."""
    value: Any = config.get(f"dr:{path[0]}")
    for key in path[1:]:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise Usage(
            f"configuration of {chosen.stack_file}: lacks dr:{'.'.join(path)}, wanted its name, which the rights are about; nothing was printed; fill it "
            "in first"
        )
    return value
