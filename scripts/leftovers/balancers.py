"""Octavia: a load balancer and what belongs to it. One that is PENDING takes no change, so each waits first (https://docs.openstack.org/api-ref/load-balancer/v2/)."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from contract.errors import Failed
from scripts.clients.openstack import Cloud
from scripts.leftovers.found import Found, await_gone, pauses

SERVICE, ROOT = "load-balancer", "/v2.0/lbaas/"
SETTLE_S = 300.0


def _get(cloud: Cloud, path: str) -> dict[str, Any]:
    return cloud.ask("GET", SERVICE, f"{ROOT}{path}")


def listed(cloud: Cloud, collection: str, path: str = "", **query: str) -> list[dict[str, Any]]:
    return list(_get(cloud, f"{path or collection}?{urllib.parse.urlencode(query)}")[collection])


def load_balancers(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name; a listener or a pool holds it."""
    found = []
    for item in listed(cloud, "loadbalancers", name=str(inputs["name"])):
        parts = [part["id"] for part in (*item["listeners"], *item["pools"])]
        held = f"it has listeners or pools ({', '.join(parts)})" if parts else None
        found.append(
            Found(f"{item['name']} ({item['id']})", _remover(cloud, item["id"], f"loadbalancers/{item['id']}"), held)
        )
    return found


def listeners(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By port of its load balancer; a pool holds it."""
    balancer, port = str(inputs["loadbalancerId"]), int(inputs["protocolPort"])
    found = []
    for item in listed(cloud, "listeners", load_balancer_id=balancer):
        if item["protocol_port"] == port:
            held = f"it has pool {item['default_pool_id']}" if item.get("default_pool_id") else None
            found.append(
                Found(f"{item['name']} ({item['id']})", _remover(cloud, balancer, f"listeners/{item['id']}"), held)
            )
    return found


def pools(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """The listener's pool; a member or a monitor holds it."""
    found = []
    for item in listed(cloud, "pools", name=str(inputs["name"])):
        if str(inputs["listenerId"]) in [listener["id"] for listener in item["listeners"]]:
            parts = [member["id"] for member in item["members"]] + (
                [item.get("healthmonitor_id")] if item.get("healthmonitor_id") else []
            )
            held = f"it has members or a monitor ({', '.join(parts)})" if parts else None
            found.append(
                Found(f"{item['name']} ({item['id']})", _remover(cloud, _of_pool(item), f"pools/{item['id']}"), held)
            )
    return found


def monitors(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """The pool's monitor: made again a moment later."""
    pool = _get(cloud, f"pools/{inputs['poolId']}")["pool"]
    monitor = pool.get("healthmonitor_id")
    return (
        [Found(f"of pool {pool['id']}", _remover(cloud, _of_pool(pool), f"healthmonitors/{monitor}"))]
        if monitor
        else []
    )


def members(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By address and port in its pool: made again a moment later."""
    pool = _get(cloud, f"pools/{inputs['poolId']}")["pool"]
    same = [
        item
        for item in listed(cloud, "members", f"pools/{pool['id']}/members", address=str(inputs["address"]))
        if item["address"] == inputs["address"] and item["protocol_port"] == int(inputs["protocolPort"])
    ]
    return [
        Found(
            f"{item['name']} ({item['id']})",
            _remover(cloud, _of_pool(pool), f"pools/{pool['id']}/members/{item['id']}"),
        )
        for item in same
    ]


def out_of_error(cloud: Cloud, inputs: Mapping[str, Any]) -> list[str]:
    """Remove our load balancer with all that belongs to it, where it is in ERROR and of another generation than `inputs` wants.

    One in ERROR takes no change: each of its members, and so everything above them, answers 409 to its own removal for ever. Only the whole can
    go, at once. Returns a sentence for each that went. Raises ApiDown, Failed.
    """
    gone = []
    for item in listed(cloud, "loadbalancers", name=str(inputs["name"])):
        identity, label = item["id"], f"{item['name']} ({item['id']})"
        if item["description"] == inputs["description"] or _settled(cloud, identity) != "ERROR":
            continue
        path = f"loadbalancers/{identity}"
        cloud.delete(SERVICE, f"{ROOT}{path}?cascade=true")
        await_gone(path, lambda path=path: _there(cloud, path))  # type: ignore[misc]
        gone.append(
            f"load balancer {label}: was in ERROR, in which it takes no change; removed with its listeners, pools and members, to be made anew"
        )
    return gone


def _of_pool(pool: dict[str, Any]) -> str:
    return str(pool["loadbalancers"][0]["id"])


def _remover(cloud: Cloud, balancer: str, path: str) -> Callable[[], None]:
    def remove() -> None:
        _settled(cloud, balancer)
        cloud.delete(SERVICE, f"{ROOT}{path}")
        await_gone(path, lambda: _there(cloud, path))
        _settled(cloud, balancer)

    return remove


def _settled(cloud: Cloud, balancer: str) -> str:
    """Wait until nothing is under way at the load balancer. Returns its provisioning status, or "gone"."""
    deadline, rests = time.monotonic() + SETTLE_S, pauses()
    while True:
        found = cloud.find(SERVICE, f"{ROOT}loadbalancers/{balancer}")
        status = "gone" if found is None else str(found["loadbalancer"]["provisioning_status"])
        if not status.startswith("PENDING"):
            return status
        if time.monotonic() > deadline:
            raise Failed(
                f"load balancer {balancer}: found {status} for {SETTLE_S:.0f} s, wanted ACTIVE; ask the platform's support"
            )
        time.sleep(next(rests))


def _there(cloud: Cloud, path: str) -> bool:
    found = cloud.find(SERVICE, f"{ROOT}{path}")
    return found is not None and all(
        str(body.get("provisioning_status")) != "DELETED" for body in found.values() if isinstance(body, dict)
    )


KINDS = {
    "openstack:loadbalancer/loadBalancer:LoadBalancer": load_balancers,
    "openstack:loadbalancer/listener:Listener": listeners,
    "openstack:loadbalancer/pool:Pool": pools,
    "openstack:loadbalancer/monitor:Monitor": monitors,
    "openstack:loadbalancer/member:Member": members,
}
