"""Load balancers as a whole: their creation with a VIP, change, deletion with or without children, and their status tree."""

from __future__ import annotations

from lab.cloud.loadbalancer import errors, fields, health, models, vip
from lab.cloud.loadbalancer.service import OctaviaService
from lab.cloud.state import Record, RegionState
from lab.cloud.web import ApiError, Call, Reply

_PATH = "/v2.0/lbaas/loadbalancers"
_PROVIDERS = (None, "amphora", "octavia")


def _create(octavia: OctaviaService, call: Call) -> Record:
    project = octavia.check_writer(call)
    values = fields.checked("loadbalancer", fields.BALANCER, fields.document(call, "loadbalancer"))
    state = octavia.state
    vip.check(state, values)
    if values["provider"] not in _PROVIDERS:
        raise ApiError(400, f"Provider '{values['provider']}' is not enabled.")
    if values["flavor_id"] is not None and values["flavor_id"] not in {
        f.id for f in octavia.cloud.settings(octavia.region).lb_flavors
    }:
        raise errors.failure("Invalid flavor_id.")
    if values["availability_zone"] is not None:
        raise errors.failure("Invalid availability zone.")
    octavia.check_quota("loadbalancer")
    balancer = models.new_balancer(project, values)
    vip.allocate(octavia.cloud, octavia.region, project, balancer, values)
    state.load_balancers[balancer["id"]] = balancer
    octavia.provisioner.whole(balancer, "PENDING_CREATE")
    return balancer


def _update(octavia: OctaviaService, call: Call, wanted: str) -> Record:
    octavia.check_writer(call)
    balancer = models.find(octavia.state, "loadbalancer", wanted)
    values = fields.checked("loadbalancer", fields.BALANCER, fields.document(call, "loadbalancer"), update=True)
    if balancer["provisioning_status"] != "ACTIVE":
        raise errors.invalid_state(balancer["provisioning_status"], wanted)
    balancer |= values
    octavia.provisioner.whole(balancer, "PENDING_UPDATE")
    return balancer


def _delete(octavia: OctaviaService, call: Call, wanted: str) -> None:
    octavia.check_writer(call)
    balancer = models.find(octavia.state, "loadbalancer", wanted)
    cascade = (call.first("cascade") or "false").lower() in ("true", "1")
    if not cascade and (models.listeners_of(octavia.state, wanted) or models.pools_of(octavia.state, wanted)):
        raise errors.failure(f"Cannot delete Load Balancer {wanted} - it has children")
    if balancer["provisioning_status"] not in ("ACTIVE", "ERROR"):
        raise errors.invalid_state(balancer["provisioning_status"], wanted)
    octavia.provisioner.whole(balancer, "PENDING_DELETE")


def add_routes(octavia: OctaviaService) -> None:
    @octavia.route("GET", _PATH, locked=False)
    def listing(call: Call) -> Reply:
        return octavia.list(call, "loadbalancer", "loadbalancers")

    @octavia.route("GET", _PATH + "/<wanted>", locked=False)
    def show(call: Call, wanted: str) -> Reply:
        return octavia.show("loadbalancer", wanted)

    @octavia.route("POST", _PATH)
    def create(call: Call) -> Reply:
        return Reply(201, {"loadbalancer": octavia.shown("loadbalancer", _create(octavia, call))})

    @octavia.route("PUT", _PATH + "/<wanted>")
    def update(call: Call, wanted: str) -> Reply:
        return Reply(200, {"loadbalancer": octavia.shown("loadbalancer", _update(octavia, call, wanted))})

    @octavia.route("DELETE", _PATH + "/<wanted>")
    def delete(call: Call, wanted: str) -> Reply:
        _delete(octavia, call, wanted)
        return Reply(204)

    @octavia.route("GET", _PATH + "/<wanted>/status", locked=False)
    @octavia.route("GET", _PATH + "/<wanted>/statuses", locked=False)
    def status(call: Call, wanted: str) -> Reply:
        heard = health.ask(octavia.cloud, octavia.region)
        with octavia.cloud.lock:
            balancer = models.find(octavia.state, "loadbalancer", wanted)
            return Reply(200, {"statuses": {"loadbalancer": _tree(octavia.state, heard, balancer)}})

    @octavia.route("GET", _PATH + "/<wanted>/stats")
    def stats(call: Call, wanted: str) -> Reply:
        models.find(octavia.state, "loadbalancer", wanted)
        counters = ("bytes_in", "bytes_out", "active_connections", "total_connections", "request_errors")
        return Reply(200, {"stats": dict.fromkeys(counters, 0)})


def _tree(state: RegionState, heard: health.Health, balancer: Record) -> Record:
    def brief(kind: str, record: Record, *more: str) -> Record:
        shown = {name: record[name] for name in ("id", "name", "provisioning_status", *more)}
        return {**shown, "operating_status": heard.of(state, kind, record)}

    def pool_tree(pool: Record) -> Record:
        members = [
            brief("member", member, "address", "protocol_port") for member in models.members_of(state, pool["id"])
        ]
        shown = {**brief("pool", pool), "members": members}
        monitor = models.monitor_of(state, pool["id"])
        return shown if monitor is None else {**shown, "health_monitor": brief("healthmonitor", monitor, "type")}

    def listener_tree(listener: Record) -> Record:
        pool = state.pools.get(listener["default_pool_id"] or "")
        return {**brief("listener", listener), "pools": [pool_tree(pool)] if pool is not None else []}

    listeners = [listener_tree(listener) for listener in models.listeners_of(state, balancer["id"])]
    return {**brief("loadbalancer", balancer), "listeners": listeners}
