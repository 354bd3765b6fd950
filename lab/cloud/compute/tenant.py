"""What a tenant may know of its share: limits, quotas, usage."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lab.cloud.compute import records
from lab.cloud.state import Cloud, now

_FIXED = {"injected_file_content_bytes": 10240, "injected_file_path_bytes": 255, "injected_files": 5}
_UNLIMITED = ("fixed_ips", "floating_ips", "security_group_rules", "security_groups")
_OWN = ("cores", "instances", "key_pairs", "metadata_items", "ram", "server_group_members", "server_groups")


def limits(cloud: Cloud, region: str) -> dict[str, Any]:
    quotas, used = cloud.region(region).quotas, records.usage(cloud, region)
    absolute = {
        "maxTotalInstances": quotas["instances"],
        "maxTotalCores": quotas["cores"],
        "maxTotalRAMSize": quotas["ram"],
        "maxServerMeta": quotas["metadata_items"],
        "maxImageMeta": quotas["metadata_items"],
        "maxPersonality": 5,
        "maxPersonalitySize": 10240,
        "maxTotalKeypairs": quotas["key_pairs"],
        "maxServerGroups": quotas["server_groups"],
        "maxServerGroupMembers": quotas["server_group_members"],
        "maxTotalFloatingIps": -1,
        "maxSecurityGroups": -1,
        "maxSecurityGroupRules": -1,
        "totalRAMUsed": used["ram"],
        "totalCoresUsed": used["cores"],
        "totalInstancesUsed": used["instances"],
        "totalFloatingIpsUsed": 0,
        "totalSecurityGroupsUsed": 0,
        "totalServerGroupsUsed": len(cloud.region(region).server_groups),
    }
    return {"limits": {"rate": [], "absolute": absolute}}


def quota_set(cloud: Cloud, region: str, *, detail: bool) -> dict[str, Any]:
    used = {**records.usage(cloud, region), "server_groups": len(cloud.region(region).server_groups)}
    rows = {name: cloud.region(region).quotas[name] for name in _OWN} | _FIXED | dict.fromkeys(_UNLIMITED, -1)
    body: dict[str, Any] = {"id": cloud.config.project_id}
    for name, limit in sorted(rows.items()):
        body[name] = {"limit": limit, "in_use": used.get(name, 0), "reserved": 0} if detail else limit
    return {"quota_set": body}


def usage(cloud: Cloud, region: str) -> dict[str, Any]:
    """os-simple-tenant-usage of the running hour."""
    moment, rows = now(), []
    for server in records.living(cloud.region(region)):
        flavor = records.flavor(cloud, region, server["flavor_id"])
        if flavor is None or server["launched_at"] is None:
            continue
        uptime = int((moment - datetime.fromisoformat(server["launched_at"] + "+00:00")).total_seconds())
        rows.append({
            "hours": uptime / 3600,
            "flavor": flavor.name,
            "instance_id": server["id"],
            "name": server["name"],
            "tenant_id": cloud.config.project_id,
            "memory_mb": flavor.ram,
            "local_gb": flavor.disk,
            "vcpus": flavor.vcpus,
            "started_at": server["launched_at"],
            "ended_at": None,
            "state": server["vm_state"],
            "uptime": uptime,
        })  # fmt: skip
    hours = sum(row["hours"] for row in rows)
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds")
    return {
        "tenant_usage": {
            "tenant_id": cloud.config.project_id,
            "server_usages": rows,
            "total_local_gb_usage": float(sum(row["local_gb"] * row["hours"] for row in rows)),
            "total_vcpus_usage": float(sum(row["vcpus"] * row["hours"] for row in rows)),
            "total_memory_mb_usage": float(sum(row["memory_mb"] * row["hours"] for row in rows)),
            "total_hours": float(hours),
            "start": text,
            "stop": text,
        }
    }
