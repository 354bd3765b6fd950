"""Volumes: the record, its views, and the changes of state that Nova and Cinder share. Call all of it under the cloud's lock.

A volume's status: creating -> available -> reserved -> attaching -> in-use -> detaching -> available -> deleting -> gone; `extending`
from available or in-use and back; `error`, `error_extending`, `error_deleting` when the machinery failed.
"""

from __future__ import annotations

from typing import Any

from lab.cloud.config import fixed_id
from lab.cloud.microversion import Version
from lab.cloud.state import Cloud, Record, new_id, public, stamp
from lab.cloud.web import ApiError

DEFAULT_TYPE = "__DEFAULT__"


def volume_types(cloud: Cloud, region: str) -> list[Record]:
    """The types of a region; the first one is what a volume gets when it names none."""
    names = [*cloud.settings(region).volume_types, DEFAULT_TYPE]
    return [
        {
            "id": fixed_id(region, "volume-type", name),
            "name": name,
            "is_public": True,
            "description": "Default Volume Type" if name == DEFAULT_TYPE else None,
            "extra_specs": {},
            "os-volume-type-access:is_public": True,
        }
        for name in names
    ]


def record(
    *,
    volume_id: str,
    size: int,
    zone: str,
    name: str | None,
    description: str | None,
    kind: str,
    metadata: dict[str, str],
    user_id: str,
) -> Record:
    return {
        "id": volume_id,
        "status": "creating",
        "size": size,
        "availability_zone": zone,
        "created_at": stamp(style="micro"),
        "updated_at": None,
        "name": name,
        "description": description,
        "volume_type": kind,
        "snapshot_id": None,
        "source_volid": None,
        "metadata": metadata,
        "user_id": user_id,
        "bootable": "false",
        "encrypted": False,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": False,
        "attachments": [],
    }


def links(root: str, project_id: str, volume_id: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{root}/v3/{project_id}/volumes/{volume_id}"},
        {"rel": "bookmark", "href": f"{root}/{project_id}/volumes/{volume_id}"},
    ]


def view(cloud: Cloud, region: str, volume: Record, version: Version, *, tenant: bool) -> Record:
    """The body for a microversion. `tenant`: with the project's id, as lists and reads have it and changes do not."""
    root, project_id = cloud.settings(region).endpoints["volumev3"].rstrip("/"), cloud.config.project_id
    body = public(volume)
    body["links"] = links(root, project_id, volume["id"])
    if version >= (3, 13):
        body["group_id"] = None
    if version >= (3, 48):
        body["shared_targets"] = False
        body["service_uuid"] = fixed_id(region, "volume-service")
    if version >= (3, 63):
        body["volume_type_id"] = fixed_id(region, "volume-type", volume["volume_type"])
    if version >= (3, 65):
        body["consumes_quota"] = True
    if tenant:
        body["os-vol-tenant-attr:tenant_id"] = project_id
    return body


def touch(volume: Record, status: str) -> None:
    volume["status"] = status
    volume["updated_at"] = stamp(style="micro")


def used_gigabytes(cloud: Cloud, region: str) -> int:
    return sum(int(volume["size"]) for volume in cloud.region(region).volumes.values())


def reserve(cloud: Cloud, region: str, volume_id: str) -> Record:
    """First step of an attachment, on Nova's behalf: 404 for an unknown volume, 400 for one that is not free."""
    volume = cloud.region(region).volumes.get(volume_id)
    if volume is None:
        raise ApiError(404, f"Volume {volume_id} could not be found.", "itemNotFound")
    holders = [
        item["server_id"] for item in cloud.region(region).attachments.values() if item["volume_id"] == volume_id
    ]
    if holders:
        text = f"Invalid volume: volume {volume_id} is already attached to instances: {', '.join(holders)}"
        raise ApiError(400, text, "badRequest")
    if volume["status"] != "available":
        text = f"Invalid volume: status must be available or downloading to reserve, but the current status is {volume['status']}."
        raise ApiError(400, text, "badRequest")
    touch(volume, "reserved")
    return volume


def attached(volume: Record, attachment: Record) -> None:
    """Last step of an attachment."""
    volume["attachments"] = [
        {
            "id": volume["id"],
            "attachment_id": attachment["id"],
            "volume_id": volume["id"],
            "server_id": attachment["server_id"],
            "host_name": None,
            "device": attachment["device"],
            "attached_at": attachment["attached_at"],
        }
    ]
    touch(volume, "in-use")


def released(volume: Record) -> None:
    """Last step of a detachment, also when the server went away."""
    volume["attachments"] = []
    touch(volume, "available")


def new_attachment(volume_id: str, server_id: str, device: str) -> Record:
    return {
        "id": new_id(),
        "volume_id": volume_id,
        "server_id": server_id,
        "device": device,
        "attached_at": stamp(style="micro"),
    }


def quota_set(cloud: Cloud, region: str, *, usage: bool) -> dict[str, Any]:
    """Cinder's quota set, with a row for each volume type."""
    limits, volumes = cloud.region(region).quotas, cloud.region(region).volumes.values()
    rows: dict[str, tuple[int, int]] = {
        "volumes": (limits.get("volumes", -1), len(volumes)),
        "per_volume_gigabytes": (limits.get("per_volume_gigabytes", -1), 0),
        "snapshots": (limits.get("snapshots", -1), 0),
        "gigabytes": (limits.get("gigabytes", -1), used_gigabytes(cloud, region)),
        "backups": (limits.get("backups", -1), 0),
        "backup_gigabytes": (limits.get("backup_gigabytes", -1), 0),
    }
    for kind in volume_types(cloud, region):
        mine = [volume for volume in volumes if volume["volume_type"] == kind["name"]]
        rows[f"volumes_{kind['name']}"] = (-1, len(mine))
        rows[f"gigabytes_{kind['name']}"] = (-1, sum(int(volume["size"]) for volume in mine))
        rows[f"snapshots_{kind['name']}"] = (-1, 0)
    rows["groups"] = (limits.get("groups", -1), 0)
    body: dict[str, Any] = {
        name: {"limit": limit, "in_use": used, "reserved": 0} if usage else limit
        for name, (limit, used) in rows.items()
    }
    body["id"] = cloud.config.project_id
    return body


def limits(cloud: Cloud, region: str) -> dict[str, Any]:
    quotas = cloud.region(region).quotas
    absolute = {
        "maxTotalVolumes": quotas.get("volumes", -1),
        "maxTotalSnapshots": quotas.get("snapshots", -1),
        "maxTotalVolumeGigabytes": quotas.get("gigabytes", -1),
        "maxTotalBackups": quotas.get("backups", -1),
        "maxTotalBackupGigabytes": quotas.get("backup_gigabytes", -1),
        "totalVolumesUsed": len(cloud.region(region).volumes),
        "totalGigabytesUsed": used_gigabytes(cloud, region),
        "totalSnapshotsUsed": 0,
        "totalBackupsUsed": 0,
        "totalBackupGigabytesUsed": 0,
    }
    return {"limits": {"rate": [], "absolute": absolute}}


def version_document(root: str) -> dict[str, Any]:
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": "3.71",
                "min_version": "3.0",
                "updated": "2023-08-31T00:00:00Z",
                "links": [
                    {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                    {"rel": "self", "href": f"{root}/v3/"},
                ],
                "media-types": [
                    {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}
                ],
            }
        ]
    }
