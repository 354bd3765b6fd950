"""What a server can be asked for by `POST /servers/<id>/action`, when Nova refuses it, and what comes of it. Called under the cloud's lock."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.cloud.compute import errors, records
from lab.cloud.compute.lifecycle import Change
from lab.cloud.microversion import Version
from lab.cloud.state import Record
from lab.cloud.validation import document, invalid, only, text
from lab.cloud.web import Call, Reply

if TYPE_CHECKING:
    from lab.cloud.compute.routes import ComputeService

log = logging.getLogger("lab.cloud")

_REASON_SINCE: Version = (2, 73)
_UNWRITTEN = frozenset({
    "rebuild", "createImage", "createBackup", "changePassword", "addSecurityGroup", "removeSecurityGroup", "addFloatingIp",
    "removeFloatingIp", "addFixedIp", "removeFixedIp", "os-getConsoleOutput", "os-getVNCConsole", "forceDelete", "trigger_crash_dump",
})  # fmt: skip
_ADMINISTRATORS = {
    "os-resetState": "os-admin-actions:reset_state",
    "migrate": "os-migrate-server:migrate",
    "os-migrateLive": "os-migrate-server:migrate_live",
    "evacuate": "os-evacuate",
    "resetNetwork": "os-admin-actions:reset_network",
}
# A hard reboot may come into a soft one, and into what else has begun about the same memory.
_HARD_REBOOT_TASKS = (
    None, "rebooting", "reboot_pending", "reboot_started", "rebooting_hard", "pausing", "unpausing", "suspending", "resuming",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Action:
    """`name`: as refusals call it. `allowed`: the vm_states in which it may be asked for."""

    name: str
    allowed: tuple[str, ...]
    change: Change


def _action(name: str, allowed: tuple[str, ...], task: str, call: str, end: tuple[str, int]) -> Action:
    return Action(name=name, allowed=allowed, change=Change(task=task, call=call, vm=end[0], power=end[1]))


_UP, _OFF = (records.ACTIVE, records.RUNNING), (records.STOPPED, records.SHUTDOWN)
_AWAY = (records.SHELVED_OFFLOADED, records.SHUTDOWN)
_RUNS = (records.ACTIVE, records.STOPPED, records.PAUSED, records.SUSPENDED)

ACTIONS: Mapping[str, Action] = {
    "os-stop": _action("stop", (records.ACTIVE, records.ERROR), "powering-off", "stop_server", _OFF),
    "os-start": _action("start", (records.STOPPED,), "powering-on", "start_server", _UP),
    "pause": _action("pause", (records.ACTIVE,), "pausing", "freeze_server", (records.PAUSED, records.HALTED)),
    "unpause": _action("unpause", (records.PAUSED,), "unpausing", "thaw_server", _UP),
    "suspend": _action("suspend", (records.ACTIVE,), "suspending", "freeze_server", (records.SUSPENDED, records.SHUTDOWN)),
    "resume": _action("resume", (records.SUSPENDED,), "resuming", "thaw_server", _UP),
    # Another system boots on the server's hardware: its own is off.
    "rescue": _action(
        "rescue", (records.ACTIVE, records.STOPPED, records.ERROR), "rescuing", "stop_server", (records.RESCUED, records.RUNNING)
    ),
    "unrescue": _action("unrescue", (records.RESCUED,), "unrescuing", "start_server", _UP),
    # As Nova is set up from the beginning: a shelved server leaves its hypervisor at once.
    "shelve": _action("shelve", _RUNS, "shelving", "stop_server", _AWAY),
    "shelveOffload": _action("shelveOffload", (records.SHELVED,), "shelving_offloading", "stop_server", _AWAY),
    "unshelve": _action("unshelve", (records.SHELVED, records.SHELVED_OFFLOADED), "unshelving", "start_server", _UP),
    "restore": _action("restore", (records.SOFT_DELETED,), "restoring", "start_server", _UP),
}  # fmt: skip


def act(nova: ComputeService, server: Record, call: Call) -> Reply:
    """Do what the body names. Raises ApiError: 409 in the wrong state, 403 for what is an administrator's."""
    body = call.body
    if not isinstance(body, dict) or not body:
        raise errors.bad_request("Malformed request body")
    name = next(iter(body))
    if name in _ADMINISTRATORS:
        return _administer(nova, server, call, name)
    if name in ("lock", "unlock"):
        return _lock(server, call, nova.version(call), locked=name == "lock")
    if name == "reboot":
        return _reboot(nova, server, body[name])
    if name in ("resize", "confirmResize", "revertResize"):
        return _resize(nova, server, call, name)
    if name in _UNWRITTEN:
        log.error("compute %s: 501, the lab does not know the action %s of a server", nova.region, name)
        raise errors.not_written(f"the action {name}")
    if name not in ACTIONS:
        raise errors.bad_request(f"There is no such action: {name}")
    action = ACTIONS[name]
    need(server, action.name, action.allowed, power=name in ("os-stop", "os-start"))
    nova.lifecycle.change(server, action.change)
    return Reply(200, {"adminPass": "not used by the lab"}) if name == "rescue" else Reply(202)


def need(
    server: Record,
    action: str,
    allowed: tuple[str, ...],
    tasks: tuple[str | None, ...] = (None,),
    *,
    power: bool = False,
) -> None:
    """Refuse in Nova's order: locked, without a hypervisor, wrong vm_state, in a task.

    `power`: stop and start look into the cell's own database, which has no such server while Nova still schedules it, and they alone ask for a
    hypervisor.
    """
    if power and records.unscheduled(server):
        raise errors.unknown_server(server["id"])
    if server["locked"]:
        raise errors.locked(server["id"])
    if power and not records.hosted(server):
        raise errors.not_ready(server["id"])
    if server["vm_state"] not in allowed:
        raise errors.wrong_state(action, server["id"], "vm_state", server["vm_state"])
    if server["task_state"] not in tasks:
        raise errors.wrong_state(action, server["id"], "task_state", server["task_state"])


def _lock(server: Record, call: Call, version: Version, *, locked: bool) -> Reply:
    wanted = call.body["lock" if locked else "unlock"]
    reason = None
    if wanted is not None and locked:
        if version < _REASON_SINCE:
            raise invalid("lock", wanted, f"{wanted!r} is not of type 'null'")
        detail = document(call, "lock")
        only("lock", detail, frozenset({"locked_reason"}))
        reason = text("locked_reason", detail.get("locked_reason"), shortest=1)
    server["locked"], server["locked_reason"] = locked, reason
    return Reply(202)


def _reboot(nova: ComputeService, server: Record, detail: Any) -> Reply:
    kind = detail.get("type") if isinstance(detail, dict) else None
    if str(kind).upper() not in ("SOFT", "HARD"):
        raise invalid("type", kind, f"{kind!r} is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']")
    hard = str(kind).upper() == "HARD"
    if hard:
        need(server, "reboot", (*_RUNS, records.ERROR), _HARD_REBOOT_TASKS)
    else:
        need(server, "reboot", (records.ACTIVE,))
    nova.lifecycle.reboot(server, hard=hard)
    return Reply(202)


def _resize(nova: ComputeService, server: Record, call: Call, name: str) -> Reply:
    if name == "confirmResize":
        need(server, name, (records.RESIZED,))
        nova.lifecycle.change(server, _end_of_resize(server, keep=True))
        return Reply(204)
    if name == "revertResize":
        need(server, name, (records.RESIZED,))
        server["flavor_id"] = server["_old_flavor"] or server["flavor_id"]
        nova.lifecycle.change(server, _end_of_resize(server, keep=False))
        return Reply(202)
    wanted = document(call, "resize").get("flavorRef")
    if records.flavor(nova.cloud, nova.region, str(wanted)) is None:
        raise errors.bad_request(f"Flavor {wanted} could not be found.")
    if wanted == server["flavor_id"]:
        raise errors.bad_request("When resizing, instances must change flavor!")
    need(server, "resize", (records.ACTIVE, records.STOPPED))
    nova.lifecycle.resize(server, str(wanted))
    return Reply(202)


def _end_of_resize(server: Record, *, keep: bool) -> Change:
    """The end of a resize: the server is as it was before, with the new size or the old one. The machine has rebooted already or does."""
    on = server["power_state"] == records.RUNNING
    call = None if keep or not on else "reboot_server"
    vm = records.ACTIVE if on else records.STOPPED
    return Change(task=None if keep else "resize_reverting", call=call, vm=vm, power=server["power_state"])


def _administer(nova: ComputeService, server: Record, call: Call, name: str) -> Reply:
    if "admin" not in call.token.roles:
        raise errors.forbidden(f"Policy doesn't allow os_compute_api:{_ADMINISTRATORS[name]} to be performed.")
    if name != "os-resetState":
        raise errors.not_written(f"the action {name}")
    state = document(call, name).get("state")
    if state not in ("active", "error"):
        raise invalid("state", state, f"{state!r} is not one of ['active', 'error']")
    records.set_state(server, vm=records.ACTIVE if state == "active" else records.ERROR)
    return Reply(202)
