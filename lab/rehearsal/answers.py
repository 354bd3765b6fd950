"""The running lab as the cloud of `drctl init`: an answers file and credentials. The product knows the lab by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.hosts import DATABASE, KINDS
from lab.assembly import OPERATORS, THIRD_BUCKETS, ZONE
from lab.rehearsal.stacks import SITES

SIZES = {kind: "d2-4" if kind == DATABASE else "d2-2" for kind in KINDS}


def answers(lab: Mapping[str, Any]) -> dict[str, Any]:
    """`lab`: its description. No secret is among them."""
    tls = lab["s3_tls"]["endpoints"]
    regions = {
        site: {
            "compute_region": compute,
            "s3_endpoint": lab["s3"][storage]["endpoint"],
            "archive_endpoint": tls[storage],
        }
        for site, (compute, storage) in SITES.items()
    }
    return {
        "service_name": lab["ovh"]["service_name"],
        "zone": ZONE,
        "operator_cidrs": [OPERATORS],
        "regions": regions,
        "witness": {"storage_region": "DE", "s3_endpoint": lab["s3"]["de"]["endpoint"], **THIRD_BUCKETS},
        "flavors": SIZES,
        "db_volume_gb": 10,
        "front_mtu": None,  # its plain networks are tunnels, which carry less than the 1500 of an OVHcloud region
        "resolvers": [lab["dns"]["resolver"].rpartition(":")[0]],
        "rehearsal": True,
        "endpoints": {
            "auth_url": lab["openstack"]["auth_url"],
            "ovh": lab["ovh"]["endpoint"],
            "name_servers": lab["dns"]["servers"],
            "archive_ca": lab["s3_tls"]["ca"],
        },
    }


def credentials(lab: Mapping[str, Any]) -> dict[str, str]:
    """For the environment."""
    return {
        "OS_USERNAME": lab["openstack"]["user"],
        "OS_PASSWORD": lab["openstack"]["password"],
        "OS_USER_DOMAIN_NAME": lab["openstack"]["domain"],
        "OVH_APPLICATION_KEY": lab["ovh"]["application_key"],
        "OVH_APPLICATION_SECRET": lab["ovh"]["application_secret"],
        "OVH_CONSUMER_KEY": lab["ovh"]["consumer_key"],
        "OVH_INIT_CONSUMER_KEY": lab["init"]["consumer_key"],
    }
