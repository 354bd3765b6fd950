"""Images as Glance shows them, and the schema document that some clients ask for."""

from __future__ import annotations

import hashlib
from typing import Any

from lab.cloud.config import ADMIN_PROJECT, Image
from lab.cloud.state import Cloud, Record, now, stamp

SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
STATUSES = (
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
)
_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


def seed(cloud: Cloud, region: str) -> None:
    store = cloud.region(region).images
    for image in cloud.settings(region).images:
        store[image.id] = _record(image)


def _record(image: Image) -> Record:
    moment = stamp(now())
    return {
        "owner_specified.openstack.md5": "",
        "owner_specified.openstack.object": f"images/{image.name}",
        "owner_specified.openstack.sha256": "",
        "name": image.name,
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "public",
        "size": image.size,
        "virtual_size": image.size,
        "status": image.status,
        "checksum": hashlib.md5(image.id.encode(), usedforsecurity=False).hexdigest(),
        "protected": False,
        "min_ram": image.min_ram,
        "min_disk": image.min_disk,
        "owner": ADMIN_PROJECT,
        "os_hidden": False,
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(image.id.encode()).hexdigest(),
        "id": image.id,
        "created_at": moment,
        "updated_at": moment,
        "tags": [],
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
        "stores": "file",
    }


def version_document(root: str) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{root}/v2/"}]
    known = (
        "2.17",
        "2.15",
        "2.13",
        "2.12",
        "2.11",
        "2.10",
        "2.9",
        "2.8",
        "2.7",
        "2.6",
        "2.5",
        "2.4",
        "2.3",
        "2.2",
        "2.1",
        "2.0",
    )
    return {
        "versions": [
            {"id": f"v{item}", "status": "CURRENT" if item == known[0] else "SUPPORTED", "links": links}
            for item in known
        ]
    }


def schema() -> dict[str, Any]:
    """The image schema: names and types of what the lab's images have."""
    text: dict[str, Any] = {"type": "string"}
    nullable: dict[str, Any] = {"type": ["null", "string"]}
    number: dict[str, Any] = {"type": "integer"}
    size: dict[str, Any] = {"type": ["null", "integer"], "readOnly": True}
    flag: dict[str, Any] = {"type": "boolean"}
    read: dict[str, Any] = {"type": "string", "readOnly": True}
    return {
        "name": "image",
        "properties": {
            "id": {"type": "string", "pattern": _UUID},
            "name": {**nullable, "maxLength": 255},
            "status": {**read, "enum": list(STATUSES)},
            "visibility": {**text, "enum": ["community", "public", "private", "shared"]},
            "protected": flag,
            "os_hidden": flag,
            "checksum": {**nullable, "readOnly": True, "maxLength": 32},
            "os_hash_algo": {**nullable, "readOnly": True, "maxLength": 64},
            "os_hash_value": {**nullable, "readOnly": True, "maxLength": 128},
            "owner": {**nullable, "maxLength": 255},
            "size": size,
            "virtual_size": size,
            "container_format": {
                **nullable,
                "enum": [None, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
            },
            "disk_format": {
                **nullable,
                "enum": [None, "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"],
            },
            "created_at": read,
            "updated_at": read,
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
            "min_ram": number,
            "min_disk": number,
            "self": read,
            "file": read,
            "stores": read,
            "schema": read,
        },
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }
