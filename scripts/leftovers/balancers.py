"""Octavia: a load balancer and what belongs to it. One that is PENDING takes no change, so each waits first (https://docs.openstack.org/api-ref/load-balancer/v2/)."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from scripts.ctl.errors import Failed
from scripts.ctl.openstack import ApiDown, Cloud
from scripts.leftovers.found import Found, await_gone

SETTLE_S = 300.0


def ask(cloud: Cloud, method: str, path: str) -> dict[str, Any]:
    return cloud.ask(method, "load-balancer", f"/v2.0/lbaas/{path}")


def listed(cloud: Cloud, collection: str, path: str = "", **query: str) -> list[dict[str, Any]]:
    return list(ask(cloud, "GET", f"{path or collection}?{urllib.parse.urlencode(query)}")[collection])


def load_balancers(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By name; a listener or a pool holds it."""
    found = []
    for item in listed(cloud, "loadbalancers", name=str(inputs["name"])):
        parts = [part["id"] for part in (*item["listeners"], *item["pools"])]
        held = f"it has listeners or pools ({', '.join(parts)})" if parts else None
        found.append(Found(f"{item['name']} ({item['id']})", _remover(cloud, item["id"], f"loadbalancers/{item['id']}"), held))
    return found


def listeners(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By port of its load balancer; a pool holds it."""
    balancer, port = str(inputs["loadbalancerId"]), int(inputs["protocolPort"])
    found = []
    for item in listed(cloud, "listeners", load_balancer_id=balancer):
        if item["protocol_port"] == port:
            held = f"it has pool {item['default_pool_id']}" if item.get("default_pool_id") else None
            found.append(Found(f"{item['name']} ({item['id']})", _remover(cloud, balancer, f"listeners/{item['id']}"), held))
    return found


def pools(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """The listener's pool; a member or a monitor holds it."""
    found = []
    for item in listed(cloud, "pools", name=str(inputs["name"])):
        if str(inputs["listenerId"]) in [listener["id"] for listener in item["listeners"]]:
            parts = [member["id"] for member in item["members"]] + ([item.get("healthmonitor_id")] if item.get("healthmonitor_id") else [])
            held = f"it has members or a monitor ({', '.join(parts)})" if parts else None
            found.append(Found(f"{item['name']} ({item['id']})", _remover(cloud, _of_pool(item), f"pools/{item['id']}"), held))
    return found


def monitors(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """The pool's monitor: made again a moment later."""
    pool = ask(cloud, "GET", f"pools/{inputs['poolId']}")["pool"]
    monitor = pool.get("healthmonitor_id")
    return [Found(f"of pool {pool['id']}", _remover(cloud, _of_pool(pool), f"healthmonitors/{monitor}"))] if monitor else []


def members(cloud: Cloud, inputs: Mapping[str, Any]) -> list[Found]:
    """By address and port in its pool: made again a moment later."""
    pool = ask(cloud, "GET", f"pools/{inputs['poolId']}")["pool"]
    same = [
        item
        for item in listed(cloud, "members", f"pools/{pool['id']}/members", address=str(inputs["address"]))
        if item["address"] == inputs["address"] and item["protocol_port"] == int(inputs["protocolPort"])
    ]
    return [Found(f"{item['name']} ({item['id']})", _remover(cloud, _of_pool(pool), f"pools/{pool['id']}/members/{item['id']}")) for item in same]


def _of_pool(pool: dict[str, Any]) -> str:
    return str(pool["loadbalancers"][0]["id"])


def _remover(cloud: Cloud, balancer: str, path: str) -> Callable[[], None]:
    def remove() -> None:
        _settled(cloud, balancer)
        try:
            ask(cloud, "DELETE", path)
        except ApiDown as error:
            if error.status != 404:
                raise
        await_gone(path, lambda: _there(cloud, path))
        _settled(cloud, balancer)

    return remove


def _settled(cloud: Cloud, balancer: str) -> None:
    """Wait until the load balancer takes changes, or is gone."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            status = ask(cloud, "GET", f"loadbalancers/{balancer}")["loadbalancer"]["provisioning_status"]
        except ApiDown as error:
            if error.status == 404:
                return
            raise
        if not str(status).startswith("PENDING"):
            return
        if time.monotonic() > deadline:
            raise Failed(f"load balancer {balancer}: found {status} for {SETTLE_S:.0f} s, wanted ACTIVE; ask the platform's support")
        time.sleep(0.3)


def _there(cloud: Cloud, path: str) -> bool:
    try:
        answer = ask(cloud, "GET", path)
    except ApiDown as error:
        if error.status == 404:
            return False
        raise
    return all(str(body.get("provisioning_status")) != "DELETED" for body in answer.values() if isinstance(body, dict))


KINDS = {
    "openstack:loadbalancer/loadBalancer:LoadBalancer": load_balancers,
    "openstack:loadbalancer/listener:Listener": listeners,
    "openstack:loadbalancer/pool:Pool": pools,
    "openstack:loadbalancer/monitor:Monitor": monitors,
    "openstack:loadbalancer/member:Member": members,
}
