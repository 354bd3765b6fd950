"""States that a server comes to without its tenant's doing, put from outside: by `lab fault`, and by tests.

Each function returns how to take it back, which does nothing when somebody has changed the server's state meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.cloud.compute import records
from lab.cloud.state import Record

if TYPE_CHECKING:
    from lab.cloud.compute.routes import ComputeService

Undo = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class State:
    """`machine`: what the machine behind does on the way there and back (calls of the backend); None: it goes on as it is."""

    vm: str
    task: str | None = None
    power: int = records.RUNNING
    machine: tuple[str, str] | None = None
    host: bool = True  # does a hypervisor have it?


_FROZEN, _OFF = ("freeze_server", "thaw_server"), ("stop_server", "start_server")
LOCKED, HYPERVISOR_DOWN = "LOCKED", "HYPERVISOR_DOWN"
_STATES: Mapping[str, State] = {
    "PAUSED": State(vm=records.PAUSED, power=records.HALTED, machine=_FROZEN),
    "SUSPENDED": State(vm=records.SUSPENDED, power=records.SHUTDOWN, machine=_FROZEN),
    "RESCUE": State(vm=records.RESCUED, machine=_OFF),
    "SHELVED": State(vm=records.SHELVED, power=records.SHUTDOWN, machine=_OFF),
    "SHELVED_OFFLOADED": State(vm=records.SHELVED_OFFLOADED, power=records.SHUTDOWN, host=False, machine=_OFF),
    "SOFT_DELETED": State(vm=records.SOFT_DELETED, power=records.SHUTDOWN, machine=_OFF),
    # The machine runs on: whoever takes one of these for a machine that is off loses writes.
    "VERIFY_RESIZE": State(vm=records.RESIZED),
    "RESIZE": State(vm=records.ACTIVE, task="resize_migrating"),
    "MIGRATING": State(vm=records.ACTIVE, task="migrating"),
    "REBOOT": State(vm=records.ACTIVE, task="rebooting"),
    "HARD_REBOOT": State(vm=records.ACTIVE, task="rebooting_hard"),
    "BUILD": State(vm=records.BUILDING, task="spawning", power=records.NO_STATE),
    "SCHEDULING": State(vm=records.BUILDING, task="scheduling", power=records.NO_STATE, host=False),
    "ERROR": State(vm=records.ERROR),
}
STATES = (*_STATES, LOCKED, HYPERVISOR_DOWN)


def put(nova: ComputeService, server_id: str, state: str) -> Undo:
    """Put a server into one of `STATES`. LOCKED: an administrator has locked it. HYPERVISOR_DOWN: what it is told is taken and not done.

    Raises ApiError for an unknown server, BackendError when the machine does not follow.
    """
    with nova.cloud.lock:
        server = nova.known(server_id)
        if state == LOCKED:
            return _lock(nova, server)
        if state == HYPERVISOR_DOWN:
            return _deafen(nova, server)
        wanted = _STATES[state]
        names = ("vm_state", "task_state", "power_state", "host", "fault")
        before = {name: server[name] for name in names}
    _tell(nova, server, wanted.machine and wanted.machine[0])
    with nova.cloud.lock:
        records.set_state(server, vm=wanted.vm, task=wanted.task, power=wanted.power)
        server["host"] = server["host"] if wanted.host else ""
        if wanted.vm == records.ERROR:
            records.note_fault(server, "put into ERROR by `lab fault server-state`")
        after = _states(server)

    def undo() -> None:
        with nova.cloud.lock:
            if server["vm_state"] == records.DELETED or _states(server) != after:
                return
        _tell(nova, server, wanted.machine and wanted.machine[1])
        with nova.cloud.lock:
            server.update(before)

    return undo


def cell_down(nova: ComputeService, server_id: str) -> Undo:
    """The database of the server's cell is out of Nova's reach. The machine runs on."""
    with nova.cloud.lock:
        server = nova.known(server_id)
        server["_cell_down"] = True

    def undo() -> None:
        with nova.cloud.lock:
            server["_cell_down"] = False

    return undo


def page_limit(nova: ComputeService, rows: int) -> Undo:
    """No list of servers shows more than that on a page, whatever limit is asked for."""
    with nova.cloud.lock:
        before, nova.page_limit = nova.page_limit, rows

    def undo() -> None:
        with nova.cloud.lock:
            nova.page_limit = before

    return undo


def _states(server: Record) -> tuple[object, ...]:
    return server["vm_state"], server["task_state"], server["power_state"]


def _tell(nova: ComputeService, server: Record, call: str | None) -> None:
    if call is not None:
        with server["_machine"]:
            getattr(nova.cloud.backend, call)(nova.region, server["id"])


def _lock(nova: ComputeService, server: Record) -> Undo:
    server["locked"], server["locked_reason"] = True, "locked by `lab fault server-state`"

    def undo() -> None:
        with nova.cloud.lock:
            server["locked"], server["locked_reason"] = False, None

    return undo


def _deafen(nova: ComputeService, server: Record) -> Undo:
    server["_orders"] = []

    def undo() -> None:
        with nova.cloud.lock:
            nova.lifecycle.revive(server)

    return undo
