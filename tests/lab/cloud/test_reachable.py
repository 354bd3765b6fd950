"""Behind Neutron and Octavia are real routers and balancers: when the APIs say ACTIVE, packets pass; when they say gone, none do."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.namespace import entered, places

pytestmark = pytest.mark.lab
PROJECT = Path(__file__).resolve().parents[3]
NETWORK, BALANCER = 9696, 9876
LIMIT_S = 20


class Region:
    """The APIs of region a of a running lab, called from inside its namespace."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.ext_net = described["regions"]["GRA11"]["ext_net_id"]
        access = described["openstack"]
        user = {"name": access["user"], "password": access["password"], "domain": {"name": access["domain"]}}
        scope = {"project": {"id": access["project_id"]}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        host, _, port = access["auth_url"].removeprefix("http://").partition("/")[0].partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=LIMIT_S)
        connection.request("POST", "/v3/auth/tokens", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        self.token = answer.headers["X-Subject-Token"]

    def call(self, port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("203.0.113.2", port, timeout=LIMIT_S)
        headers = {"Content-Type": "application/json", "X-Auth-Token": self.token}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def neutron(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.call(NETWORK, method, f"/v2.0/{path}", body)
        assert status < 300, (method, path, status, answer)
        return next(iter(answer.values())) if isinstance(answer, dict) and len(answer) == 1 else answer

    def octavia(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.call(BALANCER, method, f"/v2.0/lbaas/{path}", body)
        assert status < 300, (method, path, status, answer)
        return next(iter(answer.values())) if answer else None

    def change(self, balancer: str, method: str, path: str, body: Any = None) -> Any:
        """A change of the balancer, awaited."""
        answer = self.octavia(method, path, body)
        until(
            lambda: self.octavia("GET", f"loadbalancers/{balancer}")["provisioning_status"] == "ACTIVE",
            "the balancer is ACTIVE",
        )
        return answer


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(0.1)


def answers(address: str, port: int) -> bool:
    """Whether something speaks HTTP there."""
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    environment = {**os.environ, "DRLAB_NAME": f"drc{os.getpid()}"}

    def lab(verb: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "lab", verb],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRLAB_NAME", environment["DRLAB_NAME"])
        where = places()
    lab("up")
    try:
        with entered(where.netns):
            yield Region(json.loads(where.description.read_text()))
    finally:
        lab("down")


def test_a_balancer_serves_through_its_floating_ip_for_as_long_as_the_apis_say(region: Region) -> None:
    """The member that answers is the region's S3 server, reached through the router; nobody is at the other member's address."""
    network = region.neutron("POST", "networks", {"network": {"name": "front", "mtu": 1450}})["id"]
    subnet = region.neutron(
        "POST", "subnets", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24"}}
    )["id"]
    router = region.neutron("POST", "routers", {"router": {"external_gateway_info": {"network_id": region.ext_net}}})[
        "id"
    ]
    region.neutron("PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet})

    made = region.octavia(
        "POST", "loadbalancers", {"loadbalancer": {"vip_subnet_id": subnet, "vip_address": "10.1.0.5"}}
    )
    balancer = made["id"]
    until(
        lambda: region.octavia("GET", f"loadbalancers/{balancer}")["provisioning_status"] == "ACTIVE",
        "the balancer is ACTIVE",
    )
    body: dict[str, Any] = {"listener": {"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": 80}}
    listener = region.change(balancer, "POST", "listeners", body)["id"]
    body = {"pool": {"listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}}
    pool = region.change(balancer, "POST", "pools", body)["id"]
    monitor = {"pool_id": pool, "type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
    region.change(balancer, "POST", "healthmonitors", {"healthmonitor": monitor})
    for address, port in (("203.0.113.3", 7070), ("10.1.0.41", 443)):
        region.change(
            balancer, "POST", f"pools/{pool}/members", {"member": {"address": address, "protocol_port": port}}
        )

    wanted = {"floating_network_id": region.ext_net, "port_id": made["vip_port_id"]}
    public = region.neutron("POST", "floatingips", {"floatingip": wanted})
    floating, address = f"floatingips/{public['id']}", public["floating_ip_address"]
    until(lambda: region.neutron("GET", floating)["status"] == "ACTIVE", "the floating IP is ACTIVE")
    until(
        lambda: region.octavia("GET", f"loadbalancers/{balancer}")["operating_status"] == "DEGRADED",
        "the dead member is seen",
    )
    seen = {member["address"]: member["operating_status"] for member in region.octavia("GET", f"pools/{pool}/members")}
    assert seen == {"203.0.113.3": "ONLINE", "10.1.0.41": "ERROR"}
    assert answers(address, 80)

    region.neutron("PUT", floating, {"floatingip": {"port_id": None}})
    until(lambda: region.neutron("GET", floating)["status"] == "DOWN", "the floating IP is DOWN")
    assert not answers(address, 80)

    region.octavia("DELETE", f"loadbalancers/{balancer}?cascade=true")
    until(
        lambda: region.call(BALANCER, "GET", f"/v2.0/lbaas/loadbalancers/{balancer}")[0] == 404, "the balancer is gone"
    )
    region.neutron("DELETE", floating)
    region.neutron("PUT", f"routers/{router}/remove_router_interface", {"subnet_id": subnet})
    for path in (f"routers/{router}", f"subnets/{subnet}", f"networks/{network}"):
        region.neutron("DELETE", path)
    assert region.neutron("GET", "ports") == []
