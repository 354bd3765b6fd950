"""Members of a pool, one by one and as a whole list, and its health monitor."""

from __future__ import annotations

from typing import Any

from lab.cloud.loadbalancer import errors, fields, models
from lab.cloud.loadbalancer.lifecycle import Step
from lab.cloud.loadbalancer.listeners import around_pool
from lab.cloud.loadbalancer.service import OctaviaService
from lab.cloud.state import Record
from lab.cloud.web import ApiError, Call

_HTTP_ONLY = ("http_method", "url_path", "expected_codes")
_HTTP_DEFAULTS = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
MONITORS = ("HTTP", "HTTPS", "TCP", "TLS-HELLO")  # what the lab's balancers can check with, of all that Octavia knows


def _balancer(octavia: OctaviaService, pool: Record) -> Record:
    """The pool's balancer, which must be open to changes."""
    balancer = octavia.state.load_balancers[pool["_balancer"]]
    octavia.mutable(balancer, "pool", pool["id"])
    return balancer


def _start(octavia: OctaviaService, pool: Record, *steps: Step) -> None:
    touched = [("pool", pool), *around_pool(octavia, pool)]
    octavia.provisioner.child(octavia.state.load_balancers[pool["_balancer"]], steps, touched)


def _checked(octavia: OctaviaService, given: Any) -> Record:
    """The values of a new member."""
    if not isinstance(given, dict):
        raise errors.invalid("members", given, "Wrong type. Expected a member")
    values = fields.checked("member", fields.MEMBER, given)
    if values["subnet_id"] is not None and values["subnet_id"] not in octavia.state.subnets:
        raise errors.not_found("Subnet", values["subnet_id"], status=400)
    return values


def _pool(octavia: OctaviaService, wanted: str) -> Record:
    return models.find(octavia.state, "pool", wanted)


def find_member(octavia: OctaviaService, pool: str, wanted: str) -> Record:
    _pool(octavia, pool)
    member = models.find(octavia.state, "member", wanted)
    if member["_pool"] != pool:
        raise errors.not_found("member", wanted)
    return member


def create_member(octavia: OctaviaService, call: Call, pool_id: str) -> Record:
    project = octavia.check_writer(call)
    values = _checked(octavia, fields.document(call, "member"))
    pool = _pool(octavia, pool_id)
    octavia.check_quota("member")
    _balancer(octavia, pool)
    for other in models.members_of(octavia.state, pool_id):
        if (other["address"], other["protocol_port"]) == (values["address"], values["protocol_port"]):
            text = f"Another member on this pool is already using ip {other['address']} on protocol_port {other['protocol_port']}"
            raise ApiError(409, text)
    member = models.new_member(project, values, pool_id, models.monitor_of(octavia.state, pool_id) is not None)
    octavia.state.members[member["id"]] = member
    _start(octavia, pool, Step("member", member, "PENDING_CREATE"))
    return member


def update_member(octavia: OctaviaService, call: Call, pool_id: str, wanted: str) -> Record:
    octavia.check_writer(call)
    member = find_member(octavia, pool_id, wanted)
    values = fields.checked("member", fields.MEMBER, fields.document(call, "member"), update=True)
    pool = _pool(octavia, pool_id)
    _balancer(octavia, pool)
    member |= values
    _start(octavia, pool, Step("member", member, "PENDING_UPDATE"))
    return member


def delete_member(octavia: OctaviaService, call: Call, pool_id: str, wanted: str) -> None:
    octavia.check_writer(call)
    member = find_member(octavia, pool_id, wanted)
    pool = _pool(octavia, pool_id)
    _balancer(octavia, pool)
    _start(octavia, pool, Step("member", member, "PENDING_DELETE"))


def replace_members(octavia: OctaviaService, call: Call, pool_id: str) -> None:
    """Make the pool's members those of the list; one with the same address and port keeps its id. `additive_only`: none is taken away."""
    project = octavia.check_writer(call)
    if not isinstance(call.body, dict) or not isinstance(call.body.get("members"), list):
        raise errors.invalid("members", call.body, "Mandatory field missing.")
    pool = _pool(octavia, pool_id)
    have = {
        (member["address"], member["protocol_port"]): member for member in models.members_of(octavia.state, pool_id)
    }
    wanted: dict[tuple[str, int], tuple[Record, set[str]]] = {}
    for given in call.body["members"]:
        values = _checked(octavia, given)
        key = (values["address"], values["protocol_port"])
        if key in wanted:
            text = f"Another member on this pool is already using ip {key[0]} on protocol_port {key[1]}"
            raise ApiError(409, text)
        wanted[key] = (values, set(given))
    octavia.check_quota("member", sum(key not in have for key in wanted))
    _balancer(octavia, pool)
    monitored = models.monitor_of(octavia.state, pool_id) is not None
    steps: list[Step] = []
    for key, (values, named) in wanted.items():
        member = have.get(key)
        if member is None:
            member = models.new_member(project, values, pool_id, monitored)
            octavia.state.members[member["id"]] = member
            steps.append(Step("member", member, "PENDING_CREATE"))
        else:
            member |= {name: values[name] for name in named if name in values and fields.MEMBER[name].update}
            steps.append(Step("member", member, "PENDING_UPDATE"))
    if (call.first("additive_only") or "false").lower() != "true":
        steps += [Step("member", member, "PENDING_DELETE") for key, member in have.items() if key not in wanted]
    _start(octavia, pool, *steps)


def _check_monitor(kind: str, values: Record) -> None:
    if kind in ("HTTP", "HTTPS"):
        return
    for name in _HTTP_ONLY:
        if values.get(name) is not None:
            raise errors.failure(f"'{name}' is not a valid option for health monitors of type {kind}.")


def create_monitor(octavia: OctaviaService, call: Call) -> Record:
    project = octavia.check_writer(call)
    values = fields.checked("healthmonitor", fields.MONITOR, fields.document(call, "healthmonitor"))
    kind = values["type"]
    _check_monitor(kind, values)
    if kind in ("HTTP", "HTTPS"):
        values |= {name: value for name, value in _HTTP_DEFAULTS.items() if values[name] is None}
    pool = models.find(octavia.state, "pool", values["pool_id"])
    if kind not in MONITORS:
        raise errors.not_in_the_lab(f"{kind} monitors")
    octavia.check_quota("healthmonitor")
    _balancer(octavia, pool)
    if models.monitor_of(octavia.state, pool["id"]) is not None:
        raise ApiError(409, "This pool already has a health monitor")
    monitor = models.new_monitor(project, values)
    octavia.state.monitors[monitor["id"]] = monitor
    _start(octavia, pool, Step("healthmonitor", monitor, "PENDING_CREATE"))
    return monitor


def update_monitor(octavia: OctaviaService, call: Call, wanted: str) -> Record:
    octavia.check_writer(call)
    monitor = models.find(octavia.state, "healthmonitor", wanted)
    values = fields.checked("healthmonitor", fields.MONITOR, fields.document(call, "healthmonitor"), update=True)
    _check_monitor(monitor["type"], values)
    pool = _pool(octavia, monitor["_pool"])
    _balancer(octavia, pool)
    monitor |= values
    _start(octavia, pool, Step("healthmonitor", monitor, "PENDING_UPDATE"))
    return monitor


def delete_monitor(octavia: OctaviaService, call: Call, wanted: str) -> None:
    octavia.check_writer(call)
    monitor = models.find(octavia.state, "healthmonitor", wanted)
    pool = _pool(octavia, monitor["_pool"])
    _balancer(octavia, pool)
    _start(octavia, pool, Step("healthmonitor", monitor, "PENDING_DELETE"))
