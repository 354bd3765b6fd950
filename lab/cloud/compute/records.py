"""The record of a server and of what hangs on it. Everything here is called under the cloud's lock."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

from lab.cloud.config import Flavor
from lab.cloud.state import Cloud, Record, RegionState, stamp

ACTIVE, BUILDING, STOPPED, ERROR, DELETED = "active", "building", "stopped", "error", "deleted"
PAUSED, SUSPENDED, RESCUED, RESIZED, SOFT_DELETED = "paused", "suspended", "rescued", "resized", "soft-delete"
SHELVED, SHELVED_OFFLOADED = "shelved", "shelved_offloaded"
NO_STATE, RUNNING, HALTED, SHUTDOWN = 0, 1, 3, 4  # power_state; Nova calls the third PAUSED

_TASK_STATUS = {
    "rebooting": "REBOOT",
    "reboot_pending": "REBOOT",
    "reboot_started": "REBOOT",
    "rebooting_hard": "HARD_REBOOT",
    "reboot_pending_hard": "HARD_REBOOT",
    "reboot_started_hard": "HARD_REBOOT",
    "migrating": "MIGRATING",
}
_RESIZE_TASKS = dict.fromkeys(("resize_prep", "resize_migrating", "resize_migrated", "resize_finish"), "RESIZE")
_TASKS = {
    ACTIVE: {**_TASK_STATUS, **_RESIZE_TASKS},
    STOPPED: {**_TASK_STATUS, **_RESIZE_TASKS},
    PAUSED: {"migrating": "MIGRATING"},
    RESIZED: {"resize_reverting": "REVERT_RESIZE"},
}
_STATUS = {
    ACTIVE: "ACTIVE", BUILDING: "BUILD", STOPPED: "SHUTOFF", ERROR: "ERROR", DELETED: "DELETED", PAUSED: "PAUSED",
    SUSPENDED: "SUSPENDED", RESCUED: "RESCUE", RESIZED: "VERIFY_RESIZE", SOFT_DELETED: "SOFT_DELETED", SHELVED: "SHELVED",
    SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
}  # fmt: skip


def new_server(
    *, server_id: str, name: str, user_id: str, flavor_id: str, image_id: str, wanted: dict[str, Any]
) -> Record:
    """A server in BUILD. `wanted`: the checked rest of the request (see `lab.cloud.compute.requests.Wanted`)."""
    moment = stamp()
    return {
        "id": server_id,
        "name": name,
        "vm_state": BUILDING,
        "task_state": "scheduling",
        "power_state": NO_STATE,
        "created": moment,
        "updated": moment,
        "launched_at": None,
        "terminated_at": None,
        "user_id": user_id,
        "flavor_id": flavor_id,
        "image_id": image_id,
        "zone": "",
        "host": "",
        "fault": None,
        "ports": [],
        "locked": False,
        "locked_reason": None,
        **wanted,
        "_made_ports": [],  # ports that Nova has made for it and deletes with it
        "_shown": False,  # its addresses are known
        "_held": [],  # volumes that a deleted server still shows
        "_crashed": False,  # found stopped without having been asked to
        "_old_flavor": "",  # before a resize that nobody has confirmed
        "_orders": None,  # what waits for a hypervisor that is dead; None while it lives
        "_cell_down": False,  # Nova cannot reach the database that knows it
        "_machine": threading.Lock(),  # one call of the backend about this server at a time
    }


def status(server: Record) -> str:
    """The API's one-word status of a vm_state and a task_state."""
    tasks = _TASKS.get(server["vm_state"], {})
    return tasks.get(server["task_state"] or "", _STATUS[server["vm_state"]])


def unscheduled(server: Record) -> bool:
    """Is it known to Nova's API alone, and to no cell yet?"""
    return server["vm_state"] == BUILDING and not server["host"]


def hosted(server: Record) -> bool:
    """Has a hypervisor taken it? Not before its networking begins, and not while it is shelved away."""
    if server["vm_state"] == BUILDING:
        return bool(server["host"]) and server["task_state"] not in (None, "scheduling")
    return bool(server["host"])


def set_state(server: Record, *, vm: str | None = None, task: str | None = None, power: int | None = None) -> None:
    """Change the states together; `task` None ends the task."""
    server["vm_state"] = vm or server["vm_state"]
    server["task_state"] = task
    server["power_state"] = server["power_state"] if power is None else power
    server["updated"] = stamp()


def set_fault(server: Record, text: str) -> None:
    set_state(server, vm=ERROR, power=NO_STATE)
    note_fault(server, text)


def note_fault(server: Record, text: str) -> None:
    """What the API shows as the reason of an ERROR."""
    server["fault"] = {"code": 500, "created": stamp(), "message": text}


def living(state: RegionState) -> list[Record]:
    """The servers that count against quotas, newest first as in lists."""
    return [server for server in reversed(state.servers.values()) if server["vm_state"] != DELETED]


def group_members(state: RegionState, group_id: str) -> list[Record]:
    return [
        server for server in state.servers.values() if server["group"] == group_id and server["vm_state"] != DELETED
    ]


def attachments(state: RegionState, server_id: str) -> list[Record]:
    return [item for item in state.attachments.values() if item["server_id"] == server_id]


def flavor(cloud: Cloud, region: str, flavor_id: str) -> Flavor | None:
    return next((item for item in cloud.settings(region).flavors if item.id == flavor_id), None)


def usage(cloud: Cloud, region: str) -> dict[str, int]:
    """What the tenant's servers take of the quotas `instances`, `cores` and `ram` (MB)."""
    flavors = [flavor(cloud, region, server["flavor_id"]) for server in living(cloud.region(region))]
    known = [item for item in flavors if item is not None]
    return {
        "instances": len(flavors),
        "cores": sum(item.vcpus for item in known),
        "ram": sum(item.ram for item in known),
    }


def host_id(project_id: str, host: str) -> str:
    """The opaque name of a hypervisor that a tenant sees."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def choose_host(cloud: Cloud, region: str, server: Record) -> str | None:
    """A hypervisor for the server, the emptiest that its group allows; None when there is none."""
    state = cloud.region(region)
    hosts = [f"{region.lower()}-host-{number + 1}" for number in range(cloud.settings(region).hypervisors)]
    load = {host: sum(1 for item in living(state) if item["host"] == host) for host in hosts}
    group = state.server_groups.get(server["group"] or "")
    if group is not None:
        taken = {item["host"] for item in group_members(state, group["id"]) if item["host"] and item is not server}
        if group["policy"] == "anti-affinity":
            hosts = [host for host in hosts if host not in taken]
        elif group["policy"] == "affinity" and taken:
            hosts = [host for host in hosts if host in taken]
    return min(hosts, key=lambda host: load[host], default=None)
