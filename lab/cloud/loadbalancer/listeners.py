"""Listeners and pools."""

from __future__ import annotations

from lab.cloud.loadbalancer import errors, fields, models
from lab.cloud.loadbalancer.lifecycle import Step
from lab.cloud.loadbalancer.service import OctaviaService
from lab.cloud.state import Record
from lab.cloud.web import ApiError, Call

BALANCED = ("TCP", "HTTP", "HTTPS")  # what the lab's listeners can do, of all that Octavia knows
_POOLS_OF = {
    "TCP": ("HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"),
    "HTTP": ("HTTP", "PROXY", "PROXYV2"),
    "HTTPS": ("HTTPS", "PROXY", "PROXYV2", "TCP"),
}


def _check_match(pool: Record, listener: Record) -> None:
    if pool["protocol"] not in _POOLS_OF[listener["protocol"]]:
        reason = f"The pool protocol '{pool['protocol']}' is invalid while the listener protocol is '{listener['protocol']}'."
        raise errors.failure(reason)


def _default_pool(octavia: OctaviaService, listener: Record, wanted: str | None) -> Record | None:
    """The pool that a listener shall send to; it must be of the same balancer and speak a protocol that fits."""
    if wanted is None:
        return None
    pool = models.find(octavia.state, "pool", wanted)
    if pool["_balancer"] != listener["_balancer"]:
        raise errors.failure(f"Pool {wanted} belongs to another load balancer than the listener.")
    _check_match(pool, listener)
    return pool


def create_listener(octavia: OctaviaService, call: Call) -> Record:
    project = octavia.check_writer(call)
    values = fields.checked("listener", fields.LISTENER, fields.document(call, "listener"))
    if values["protocol"] not in BALANCED:
        raise errors.not_in_the_lab(f"{values['protocol']} listeners")
    balancer = models.find(octavia.state, "loadbalancer", values["loadbalancer_id"])
    listener = models.new_listener(project, values)
    pool = _default_pool(octavia, listener, values["default_pool_id"])
    octavia.check_quota("listener")
    octavia.mutable(balancer, "loadbalancer", balancer["id"])
    for other in models.listeners_of(octavia.state, balancer["id"]):
        if other["protocol_port"] == listener["protocol_port"]:
            text = f"Another Listener on this Load Balancer is already using protocol {other['protocol']} and protocol_port "
            raise ApiError(409, text + str(listener["protocol_port"]))
    octavia.state.listeners[listener["id"]] = listener
    octavia.provisioner.child(
        balancer, [Step("listener", listener, "PENDING_CREATE")], [("pool", pool)] if pool else []
    )
    return listener


def update_listener(octavia: OctaviaService, call: Call, wanted: str) -> Record:
    octavia.check_writer(call)
    listener = models.find(octavia.state, "listener", wanted)
    values = fields.checked("listener", fields.LISTENER, fields.document(call, "listener"), update=True)
    pool = _default_pool(octavia, listener, values.get("default_pool_id"))
    balancer = octavia.state.load_balancers[listener["_balancer"]]
    octavia.mutable(balancer, "loadbalancer", balancer["id"])
    listener |= values
    octavia.provisioner.child(
        balancer, [Step("listener", listener, "PENDING_UPDATE")], [("pool", pool)] if pool else []
    )
    return listener


def delete_listener(octavia: OctaviaService, call: Call, wanted: str) -> None:
    octavia.check_writer(call)
    listener = models.find(octavia.state, "listener", wanted)
    balancer = octavia.state.load_balancers[listener["_balancer"]]
    octavia.mutable(balancer, "loadbalancer", balancer["id"])
    octavia.provisioner.child(balancer, [Step("listener", listener, "PENDING_DELETE")], [])


def create_pool(octavia: OctaviaService, call: Call) -> Record:
    project = octavia.check_writer(call)
    values = fields.checked("pool", fields.POOL, fields.document(call, "pool"))
    if values["listener_id"] is None and values["loadbalancer_id"] is None:
        raise errors.failure("Must provide at least one of: loadbalancer_id, listener_id")
    listener = None
    if values["listener_id"] is not None:
        listener = octavia.state.listeners.get(values["listener_id"])
        if listener is None:  # Octavia stumbles here
            raise ApiError(500, "'NoneType' object has no attribute 'load_balancer_id'")
        if values["loadbalancer_id"] not in (None, listener["_balancer"]):
            raise errors.failure("The listener belongs to another load balancer.")
        if listener["default_pool_id"] is not None:
            raise ApiError(409, "This listener already has a default pool")
        _check_match(values, listener)
    if values["protocol"] in ("UDP", "SCTP") or values["lb_algorithm"] == "SOURCE_IP_PORT":
        raise errors.not_in_the_lab(f"{values['protocol']} pools with {values['lb_algorithm']}")
    balancer = models.find(
        octavia.state, "loadbalancer", listener["_balancer"] if listener else values["loadbalancer_id"]
    )
    octavia.check_quota("pool")
    octavia.mutable(balancer, "loadbalancer", balancer["id"])
    pool = models.new_pool(project, values, balancer["id"])
    octavia.state.pools[pool["id"]] = pool
    if listener is not None:
        listener["default_pool_id"] = pool["id"]
    octavia.provisioner.child(
        balancer, [Step("pool", pool, "PENDING_CREATE")], [("listener", listener)] if listener else []
    )
    return pool


def around_pool(octavia: OctaviaService, pool: Record) -> list[tuple[str, Record]]:
    """The listeners that are touched with a pool."""
    return [("listener", listener) for listener in models.users_of(octavia.state, pool["id"])]


def update_pool(octavia: OctaviaService, call: Call, wanted: str) -> Record:
    octavia.check_writer(call)
    pool = models.find(octavia.state, "pool", wanted)
    values = fields.checked("pool", fields.POOL, fields.document(call, "pool"), update=True)
    balancer = octavia.state.load_balancers[pool["_balancer"]]
    octavia.mutable(balancer, "loadbalancer", balancer["id"])
    pool |= values
    octavia.provisioner.child(balancer, [Step("pool", pool, "PENDING_UPDATE")], around_pool(octavia, pool))
    return pool


def delete_pool(octavia: OctaviaService, call: Call, wanted: str) -> None:
    octavia.check_writer(call)
    pool = models.find(octavia.state, "pool", wanted)
    balancer = octavia.state.load_balancers[pool["_balancer"]]
    octavia.mutable(balancer, "loadbalancer", balancer["id"])
    octavia.provisioner.child(balancer, [Step("pool", pool, "PENDING_DELETE")], around_pool(octavia, pool))
