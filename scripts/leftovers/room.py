"""Is there room for a whole site? Asked before anything is made in its region, for what a stock platform counts tightly."""

from __future__ import annotations

from contract.errors import Refused
from scripts.clients.openstack import Cloud

RULES = "security_group_rule"


def check(cloud: Cloud, project: str, rules: int) -> None:
    """Raises ApiDown; Refused when the project's quota has no room for that many security group rules."""
    told = cloud.ask("GET", "network", f"/v2.0/quotas/{project}/details.json")["quota"][RULES]
    limit, used = int(told["limit"]), int(told["used"]) + int(told["reserved"])
    if 0 <= limit < used + rules:
        raise Refused(
            f"region {cloud.region}: the project's quota of security group rules is {limit} with {used} in use, wanted room for {rules} more; the site"
            " would be left half made; nothing was made there; ask the platform for a higher quota, or remove rules that nobody needs"
        )
