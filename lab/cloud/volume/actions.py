"""What can be done to a volume: create, rename, grow, delete. Handlers call these under the cloud's lock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lab.cloud.microversion import Version
from lab.cloud.state import Cloud, Record, Token, new_id
from lab.cloud.validation import invalid, is_uuid, strings, text, whole
from lab.cloud.volume import errors, models
from lab.cloud.web import ApiError

log = logging.getLogger("lab.cloud")

ONLINE_EXTEND: Version = (3, 42)
_DELETABLE = frozenset({"available", "error", "error_restoring", "error_extending", "error_managing", "error_deleting"})
_KNOWN_ACTIONS = frozenset({
    "os-attach", "os-detach", "os-reserve", "os-unreserve", "os-begin_detaching", "os-roll_detaching", "os-initialize_connection",
    "os-terminate_connection", "os-retype", "os-set_bootable", "os-update_readonly_flag", "os-volume_upload_image", "os-show_image_metadata",
    "os-set_image_metadata", "os-unset_image_metadata", "os-reset_status", "os-force_delete", "os-force_detach", "os-migrate_volume", "revert",
})  # fmt: skip


def create(cloud: Cloud, region: str, wanted: dict[str, Any], token: Token) -> Record:
    """A new volume in `creating`; unknown fields are no error in Cinder."""
    size = _check(cloud, region, wanted)
    kind = _type(cloud, region, wanted.get("volume_type"))
    _quota(cloud, region, size, volumes=1)
    volume = models.record(
        volume_id=new_id(),
        size=size,
        zone=wanted.get("availability_zone") or cloud.settings(region).zone,
        name=wanted.get("name"),
        description=wanted.get("description"),
        kind=kind,
        metadata=strings("metadata", wanted.get("metadata") or {}),
        user_id=token.user_id,
    )
    volume_id = volume["id"]
    cloud.region(region).volumes[volume_id] = volume
    failed = _failed(cloud, volume, "error")

    def place() -> None:
        with cloud.lock:
            models.touch(volume, "creating")
        cloud.later(cloud.config.delays.volume, make, failed)

    def make() -> None:
        cloud.backend.create_volume(region, volume_id, size)
        with cloud.lock:
            models.touch(volume, "available")

    cloud.later(cloud.config.delays.volume, place, failed)
    return volume


def update(volume: Record, wanted: dict[str, Any]) -> None:
    """Name, description and metadata."""
    for field in ("name", "description"):
        value = wanted.get(field, wanted.get(f"display_{field}"))
        if value is not None:
            volume[field] = text(field, value)
    if wanted.get("metadata") is not None:
        volume["metadata"] = strings("metadata", wanted["metadata"])
    models.touch(volume, volume["status"])


def delete(cloud: Cloud, region: str, volume: Record) -> None:
    volume_id = volume["id"]
    if volume["status"] == "deleting":
        return
    if volume["status"] not in _DELETABLE or volume["attachments"]:
        raise errors.bad_request(errors.NOT_DELETABLE)
    models.touch(volume, "deleting")

    def remove() -> None:
        cloud.backend.delete_volume(region, volume_id)
        with cloud.lock:
            cloud.region(region).volumes.pop(volume_id, None)

    cloud.later(cloud.config.delays.volume, remove, _failed(cloud, volume, "error_deleting"))


def act(cloud: Cloud, region: str, volume: Record, body: Any, version: Version) -> None:
    """The `action` resource: `os-extend`; the others that Cinder has are 501 here, anything else is 400."""
    if not isinstance(body, dict):
        raise errors.bad_request("Malformed request body")
    name = next(iter(body), "")
    if name == "os-extend":
        _extend(cloud, region, volume, body[name], version)
    elif name in _KNOWN_ACTIONS:
        log.error("volumev3 %s: 501, the lab does not know the action %s of a volume", region, name)
        raise ApiError(501, f"the lab's volumev3 API does not know the action {name}", "notImplemented")
    else:
        raise errors.bad_request(
            f"There is no such action: {name}. Verify the request body and Content-Type header and try again."
        )


def _extend(cloud: Cloud, region: str, volume: Record, wanted: Any, version: Version) -> None:
    if not isinstance(wanted, dict) or "new_size" not in wanted:
        raise invalid("os-extend", wanted, "'new_size' is a required property")
    size = whole("new_size", wanted["new_size"], least=1)
    volume_id, before = volume["id"], volume["status"]
    allowed = ("available", "in-use") if version >= ONLINE_EXTEND else ("available",)
    if before not in allowed:
        text_ = f"Invalid volume: Volume {volume_id} status must be '{{'status': 'available'}}' to extend, currently {before}."
        raise errors.bad_request(text_)
    if size <= volume["size"]:
        text_ = f"New size for extend must be greater than current size. (current: {volume['size']}, extended: {size})."
        raise errors.bad_request(f"Invalid input received: {text_}")
    _quota(cloud, region, size - volume["size"], volumes=0)
    models.touch(volume, "extending")

    def grow() -> None:
        cloud.backend.extend_volume(region, volume_id, size)
        with cloud.lock:
            volume["size"] = size
            models.touch(volume, before)

    cloud.later(cloud.config.delays.volume, grow, _failed(cloud, volume, "error_extending"))


def _check(cloud: Cloud, region: str, wanted: dict[str, Any]) -> int:
    """Everything about a new volume but its type and the quota; returns the size."""
    size = None if wanted.get("size") is None else whole("size", wanted["size"], least=1)
    for field in ("name", "description"):
        if wanted.get(field) is not None:
            text(field, wanted[field])
    for field, kind in (("snapshot_id", "Snapshot"), ("source_volid", "Volume")):
        if wanted.get(field) is not None:
            if kind == "Volume" and wanted[field] in cloud.region(region).volumes:
                raise ApiError(501, "the lab's volumev3 API does not clone volumes", "notImplemented")
            raise errors.not_found(f"{kind} {wanted[field]} could not be found.")
    if wanted.get("imageRef") is not None:
        if not is_uuid(wanted["imageRef"]) or wanted["imageRef"] not in cloud.region(region).images:
            raise errors.bad_request("Invalid image identifier or unable to access requested image.")
        raise ApiError(501, "the lab's volumev3 API does not fill volumes from images", "notImplemented")
    if size is None:
        raise errors.bad_request(errors.MALFORMED)
    zone = wanted.get("availability_zone")
    if zone is not None and zone != cloud.settings(region).zone:
        raise errors.bad_request(f"Availability zone '{zone}' is invalid.")
    return size


def _type(cloud: Cloud, region: str, wanted: Any) -> str:
    kinds = models.volume_types(cloud, region)
    if wanted is None:
        return str(kinds[0]["name"])
    for kind in kinds:
        if wanted in (kind["id"], kind["name"]):
            return str(kind["name"])
    if is_uuid(wanted):
        raise errors.not_found(f"Volume type {wanted} could not be found.")
    raise errors.not_found(f"Volume type with name {wanted} could not be found.")


def _quota(cloud: Cloud, region: str, gigabytes: int, *, volumes: int) -> None:
    """413 when `gigabytes` or `volumes` more would be too many."""
    limits, used = cloud.region(region).quotas, models.used_gigabytes(cloud, region)
    if cloud.over_quota(region, "gigabytes", used, gigabytes):
        raise errors.gigabytes_exceeded(gigabytes, limits["gigabytes"], used)
    if volumes and cloud.over_quota(region, "volumes", len(cloud.region(region).volumes), volumes):
        raise errors.volumes_exceeded(limits["volumes"])


def _failed(cloud: Cloud, volume: Record, status: str) -> Callable[[str], None]:
    """What the machinery's failure leaves: the volume in an error status, with the reason beside it for the lab's own log."""

    def note(reason: str) -> None:
        with cloud.lock:
            volume["_fault"] = reason
            models.touch(volume, status)

    return note
