"""Volumes on servers: Nova's side of an attachment. The volume's own states are Cinder's (`lab.cloud.volume.models`)."""

from __future__ import annotations

from typing import Any

from lab.cloud.compute import errors, records
from lab.cloud.state import Cloud, Record, new_id
from lab.cloud.validation import document, invalid, is_uuid, only, required
from lab.cloud.volume import models as volumes
from lab.cloud.web import Call

_FIELDS = frozenset({"volumeId", "device", "tag", "delete_on_termination"})
_CANNOT_DETACH = (
    "Invalid volume: Invalid input received: Invalid volume: Unable to detach volume. "
    "Volume status must be 'in-use' and attach_status must be 'attached' to detach. (HTTP 400)"
)


def find(cloud: Cloud, region: str, server: Record, volume_id: str) -> Record:
    for item in records.attachments(cloud.region(region), server["id"]):
        if item["volume_id"] == volume_id:
            return item
    raise errors.not_found(f"Instance {server['id']} is not attached to volume {volume_id}")


def attach(cloud: Cloud, region: str, server: Record, call: Call) -> Record:
    """The answer comes when the volume is reserved; it is in use when the machinery has it in the server."""
    wanted = document(call, "volumeAttachment")
    only("volumeAttachment", wanted, _FIELDS)
    required("volumeAttachment", wanted, ("volumeId",))
    volume_id = wanted["volumeId"]
    if not is_uuid(volume_id):
        raise invalid("volumeId", volume_id, f"{volume_id!r} is not a 'uuid'")
    _check_state("attach_volume", server)
    volume = volumes.reserve(cloud, region, volume_id)
    item = volumes.new_attachment(volume_id, server["id"], _next_device(cloud, region, server))
    cloud.region(region).attachments[item["id"]] = item
    delay = cloud.config.delays.volume

    def connect() -> None:
        with cloud.lock:
            volumes.touch(volume, "attaching")
        cloud.later(delay, plug, failed)

    def plug() -> None:
        device = cloud.backend.attach_volume(region, server["id"], volume_id)
        with cloud.lock:
            if item["id"] in cloud.region(region).attachments:
                item["device"] = device or item["device"]
                volumes.attached(volume, item)

    def failed(text: str) -> None:
        with cloud.lock:
            cloud.region(region).attachments.pop(item["id"], None)
            volume["_fault"] = text
            volumes.released(volume)
            volumes.touch(volume, "error")

    cloud.later(delay, connect, failed)
    return item


def detach(cloud: Cloud, region: str, server: Record, volume_id: str) -> None:
    """202 at once; the attachment is there until the machinery has let go."""
    volume = cloud.region(region).volumes.get(volume_id)
    if volume is None:
        raise errors.not_found(f"Volume {volume_id} could not be found.")
    item = find(cloud, region, server, volume_id)
    if volume["status"] != "in-use":
        raise errors.bad_request(f"{_CANNOT_DETACH} (Request-ID: req-{new_id()})")
    _check_state("detach_volume", server)
    volumes.touch(volume, "detaching")

    def unplug() -> None:
        cloud.backend.detach_volume(region, server["id"], volume_id)
        with cloud.lock:
            if cloud.region(region).attachments.pop(item["id"], None) is not None:
                volumes.released(volume)

    def failed(text: str) -> None:
        with cloud.lock:
            volume["_fault"] = text
            volumes.touch(volume, "in-use")  # Nova rolls a failed detachment back

    cloud.later(cloud.config.delays.volume, unplug, failed)


def listing(cloud: Cloud, region: str, server: Record) -> list[Record]:
    return records.attachments(cloud.region(region), server["id"])


def _check_state(action: str, server: Record) -> None:
    if server["vm_state"] not in (records.ACTIVE, records.STOPPED):
        raise errors.wrong_state(action, server["id"], "vm_state", server["vm_state"])
    if server["task_state"] is not None:
        raise errors.wrong_state(action, server["id"], "task_state", server["task_state"])


def _next_device(cloud: Cloud, region: str, server: Record) -> str:
    """The first free name after the root disk's; the machinery has the last word."""
    taken: set[Any] = {item["device"] for item in records.attachments(cloud.region(region), server["id"])}
    return next(name for letter in "bcdefghijklmnopqrstuvwxyz" if (name := f"/dev/vd{letter}") not in taken)
