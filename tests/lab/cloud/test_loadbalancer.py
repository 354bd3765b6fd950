"""Octavia of the lab: one change at a time, its VIP, its health, and what reaches the machinery."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lab.cloud.backend import BalancerSpec, Listener, Member, Monitor, Pool
from lab.cloud.web import Reply
from tests.lab.cloud.fabric import A, B, Client, Fabric

ROOT = "/v2.0/lbaas"


class Shop:
    """A load balancer with a listener and a PROXYV2 pool on 10.1.0.5, settled. `settle` waits for whatever was begun."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.octavia = fabric, fabric.octavia[A]
        self.network, self.subnet = fabric.network(allocation_pools=[{"start": "10.1.0.200", "end": "10.1.0.239"}])
        self.balancer = self.make("loadbalancers", name="shop", vip_subnet_id=self.subnet, vip_address="10.1.0.5")
        self.listener = self.make("listeners", loadbalancer_id=self.balancer, protocol="TCP", protocol_port=443)
        self.pool = self.make("pools", listener_id=self.listener, protocol="PROXYV2", lb_algorithm="ROUND_ROBIN")
        self.members = f"{ROOT}/pools/{self.pool}/members"

    def make(self, path: str, **values: Any) -> str:
        made = self.octavia.ok("POST", f"{ROOT}/{path}", {path.removesuffix("s"): values})
        self.settle()
        return str(made["id"])

    def monitor(self, **more: Any) -> str:
        values = {
            "pool_id": self.pool,
            "type": "HTTP",
            "url_path": "/health",
            "delay": 5,
            "timeout": 3,
            "max_retries": 2,
            **more,
        }
        return self.make("healthmonitors", **values)

    def member(self, address: str, **more: Any) -> str:
        body = {"member": {"address": address, "protocol_port": 443, "subnet_id": self.subnet, **more}}
        made = self.octavia.ok("POST", self.members, body)
        self.settle()
        return str(made["id"])

    def get(self, path: str) -> Any:
        return self.octavia.ok("GET", f"{ROOT}/{path}")

    def status(self, path: str) -> str:
        return str(self.get(path)["provisioning_status"])

    def operating(self, path: str) -> str:
        return str(self.get(path)["operating_status"])

    @property
    def spec(self) -> BalancerSpec:
        spec = self.fabric.backend.last("ensure_balancer")
        assert isinstance(spec, BalancerSpec)
        return spec

    def settle(self) -> None:
        self.fabric.cloud.settle()

    def hold(self, name: str = "ensure_balancer") -> threading.Event:
        """The next call of the backend stays under way until the returned event is set."""
        go_on = threading.Event()
        self.fabric.backend.hold[name] = (threading.Event(), go_on)
        return go_on


@pytest.fixture
def shop(fabric: Fabric) -> Shop:
    return Shop(fabric)


# What reaches the machinery


def test_the_machinery_gets_the_whole_wanted_state(shop: Shop) -> None:
    shop.monitor(max_retries_down=4)
    first = shop.member("10.1.0.41", monitor_port=8080)
    second = shop.member("10.1.0.42", weight=7, backup=True, admin_state_up=False)
    assert shop.spec == BalancerSpec(
        region=A,
        balancer_id=shop.balancer,
        network_id=shop.network,
        vip="10.1.0.5",
        prefix_length=24,
        gateway="10.1.0.1",
        listeners=(
            Listener(
                listener_id=shop.listener,
                protocol="TCP",
                port=443,
                pool=Pool(
                    pool_id=shop.pool,
                    protocol="PROXYV2",
                    algorithm="ROUND_ROBIN",
                    members=(
                        Member(
                            member_id=first, address="10.1.0.41", port=443, weight=1, monitor_address=None, monitor_port=8080,
                            backup=False, enabled=True,
                        ),
                        Member(
                            member_id=second, address="10.1.0.42", port=443, weight=7, monitor_address=None, monitor_port=None,
                            backup=True, enabled=False,
                        ),
                    ),
                    monitor=Monitor(
                        kind="HTTP", delay=5, timeout=3, max_retries=2, max_retries_down=4, http_method="GET", url_path="/health",
                        expected_codes="200",
                    ),
                ),
            ),
        ),
    )  # fmt: skip


def test_timeouts_and_prefixes_of_a_listener_reach_the_machinery(shop: Shop) -> None:
    body = {
        "listener": {
            "timeout_client_data": 1,
            "timeout_member_data": 2,
            "timeout_member_connect": 3,
            "allowed_cidrs": ["192.0.2.0/24"],
        }
    }
    shop.octavia.ok("PUT", f"{ROOT}/listeners/{shop.listener}", body)
    shop.settle()
    listener = shop.spec.listeners[0]
    assert (listener.timeout_client_ms, listener.timeout_member_ms, listener.timeout_connect_ms) == (1, 2, 3)
    assert listener.allowed_cidrs == ("192.0.2.0/24",)


def test_what_is_switched_off_is_left_out(shop: Shop) -> None:
    shop.monitor(admin_state_up=False)
    pool = shop.spec.listeners[0].pool
    assert pool is not None
    assert pool.monitor is None
    for path, kind in (("pools/" + shop.pool, "pool"), ("listeners/" + shop.listener, "listener")):
        shop.octavia.ok("PUT", f"{ROOT}/{path}", {kind: {"admin_state_up": False}})
        shop.settle()
    assert shop.spec.listeners == ()


def test_a_deleted_child_is_gone_for_the_machinery_before_it_is_gone_for_the_reader(shop: Shop) -> None:
    member = shop.member("10.1.0.41")
    go_on = shop.hold()
    shop.octavia.ok("DELETE", f"{shop.members}/{member}")
    assert shop.status(f"pools/{shop.pool}/members/{member}") == "PENDING_DELETE"
    go_on.set()
    shop.settle()
    pool = shop.spec.listeners[0].pool
    assert pool is not None
    assert pool.members == ()
    assert shop.octavia.refused("GET", f"{shop.members}/{member}")[0] == 404


def test_a_deleted_pool_takes_its_members_and_monitor_along(shop: Shop) -> None:
    shop.monitor()
    shop.member("10.1.0.41")
    shop.octavia.ok("DELETE", f"{ROOT}/pools/{shop.pool}")
    shop.settle()
    assert shop.spec.listeners[0].pool is None
    assert shop.get(f"listeners/{shop.listener}")["default_pool_id"] is None
    state = shop.fabric.cloud.region(A)
    assert (state.pools, state.members, state.monitors) == ({}, {}, {})


# One change at a time


def test_everything_touched_is_pending_together_and_settles_together(shop: Shop) -> None:
    go_on = shop.hold()
    made = shop.octavia.ok("POST", shop.members, {"member": {"address": "10.1.0.41", "protocol_port": 443}})
    paths = [f"loadbalancers/{shop.balancer}", f"listeners/{shop.listener}", f"pools/{shop.pool}"]
    assert made["provisioning_status"] == "PENDING_CREATE"
    assert [shop.status(path) for path in paths] == ["PENDING_UPDATE"] * 3
    go_on.set()
    shop.settle()
    assert [shop.status(path) for path in [*paths, f"pools/{shop.pool}/members/{made['id']}"]] == ["ACTIVE"] * 4


def test_while_one_change_is_under_way_every_other_is_refused_in_octavias_words(shop: Shop) -> None:
    member, monitor = shop.member("10.1.0.41"), shop.monitor()
    go_on = shop.hold()
    shop.octavia.ok("PUT", f"{shop.members}/{member}", {"member": {"weight": 7}})
    pool = f"Pool {shop.pool} is immutable and cannot be updated."
    balancer = f"Load Balancer {shop.balancer} is immutable and cannot be updated."
    itself = f"Invalid state PENDING_UPDATE of loadbalancer resource {shop.balancer}"
    new_listener = {"listener": {"loadbalancer_id": shop.balancer, "protocol": "TCP", "protocol_port": 444}}
    for method, path, body, text in (
        ("POST", f"{shop.members}", {"member": {"address": "10.1.0.50", "protocol_port": 443}}, pool),
        ("PUT", f"{shop.members}/{member}", {"member": {"weight": 8}}, pool),
        ("DELETE", f"{shop.members}/{member}", None, pool),
        ("PUT", f"{shop.members}", {"members": []}, pool),
        ("PUT", f"{ROOT}/healthmonitors/{monitor}", {"healthmonitor": {"delay": 6}}, pool),
        ("DELETE", f"{ROOT}/healthmonitors/{monitor}", None, pool),
        ("PUT", f"{ROOT}/pools/{shop.pool}", {"pool": {"description": "x"}}, balancer),
        ("DELETE", f"{ROOT}/pools/{shop.pool}", None, balancer),
        ("POST", f"{ROOT}/listeners", new_listener, balancer),
        ("PUT", f"{ROOT}/listeners/{shop.listener}", {"listener": {"description": "x"}}, balancer),
        ("DELETE", f"{ROOT}/listeners/{shop.listener}", None, balancer),
        ("PUT", f"{ROOT}/loadbalancers/{shop.balancer}", {"loadbalancer": {"description": "x"}}, itself),
        ("DELETE", f"{ROOT}/loadbalancers/{shop.balancer}?cascade=true", None, itself),
    ):
        assert shop.octavia.refused(method, path, body) == (409, "Client", text), (method, path)
    go_on.set()
    shop.settle()
    assert shop.get(f"pools/{shop.pool}/members/{member}")["weight"] == 7


def test_of_many_changes_at_once_one_wins_and_all_come_through_when_repeated(shop: Shop) -> None:
    addresses = [f"10.1.0.{number}" for number in range(41, 47)]
    refused: list[int] = []

    def add(address: str) -> None:
        body = {"member": {"address": address, "protocol_port": 443}}
        for _ in range(200):
            reply: Reply = shop.octavia.call("POST", shop.members, body)
            if reply.status != 409:
                break
            refused.append(reply.status)
            shop.settle()

    go_on = shop.hold()
    shop.octavia.ok("POST", shop.members, {"member": {"address": "10.1.0.40", "protocol_port": 443}})
    threads = [threading.Thread(target=add, args=(address,)) for address in addresses]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(20)
    shop.settle()
    pool = shop.spec.listeners[0].pool
    assert pool is not None
    assert {member.address for member in pool.members} == {"10.1.0.40", *addresses}


# The whole list of members


def test_a_whole_list_replaces_the_members_and_keeps_the_ids_of_those_that_stay(shop: Shop) -> None:
    kept, gone = shop.member("10.1.0.41"), shop.member("10.1.0.42")
    wanted = [
        {"address": "10.1.0.43", "protocol_port": 443},
        {"address": "10.1.0.41", "protocol_port": 443, "weight": 5},
    ]
    go_on = shop.hold()
    reply = shop.octavia.call("PUT", shop.members, {"members": wanted})
    assert (reply.status, reply.body) == (202, None)
    assert shop.status(f"pools/{shop.pool}/members/{gone}") == "PENDING_DELETE"
    go_on.set()
    shop.settle()
    found = {member["address"]: member for member in shop.get(f"pools/{shop.pool}/members")}
    assert set(found) == {"10.1.0.41", "10.1.0.43"}
    assert (found["10.1.0.41"]["id"], found["10.1.0.41"]["weight"]) == (kept, 5)
    shop.octavia.ok("PUT", shop.members, {"members": []})
    shop.settle()
    assert shop.get(f"pools/{shop.pool}/members") == []


def test_an_additive_list_takes_nothing_away(shop: Shop) -> None:
    kept = shop.member("10.1.0.41")
    shop.octavia.ok(
        "PUT", f"{shop.members}?additive_only=true", {"members": [{"address": "10.1.0.42", "protocol_port": 443}]}
    )
    shop.settle()
    assert kept in {member["id"] for member in shop.get(f"pools/{shop.pool}/members")}
    assert len(shop.get(f"pools/{shop.pool}/members")) == 2


# The VIP


def test_the_vip_is_a_port_of_the_tenant(shop: Shop) -> None:
    balancer = shop.get(f"loadbalancers/{shop.balancer}")
    port = shop.fabric.neutron[A].ok("GET", f"/v2.0/ports/{balancer['vip_port_id']}")
    assert (balancer["vip_address"], balancer["vip_subnet_id"], balancer["vip_network_id"]) == (
        "10.1.0.5",
        shop.subnet,
        shop.network,
    )
    assert (port["name"], port["device_id"]) == (f"octavia-lb-{shop.balancer}", f"lb-{shop.balancer}")
    assert (port["device_owner"], port["admin_state_up"], port["status"]) == ("Octavia", False, "DOWN")
    assert [fixed["ip_address"] for fixed in port["fixed_ips"]] == ["10.1.0.5"]
    assert len(port["security_groups"]) == 1
    assert shop.fabric.neutron[A].refused("GET", f"/v2.0/security-groups/{port['security_groups'][0]}")[0] == 404


def test_the_machine_behind_it_takes_an_address_too_which_the_tenant_sees_but_does_not_own(shop: Shop) -> None:
    neutron = shop.fabric.neutron[A]
    machine = next(port for port in neutron.ok("GET", "/v2.0/ports") if port["device_owner"] != "Octavia")
    assert [fixed["ip_address"] for fixed in machine["fixed_ips"]] == ["10.1.0.200"]
    assert [pair["ip_address"] for pair in machine["allowed_address_pairs"]] == ["10.1.0.5"]
    assert machine["name"].startswith("octavia-lb-vrrp-")
    assert neutron.refused("DELETE", f"/v2.0/ports/{machine['id']}")[0] == 403
    assert shop.fabric.backend.of("set_port_rules") == []
    assert shop.fabric.port(shop.network)["fixed_ips"][0]["ip_address"] == "10.1.0.201"


def test_deleting_the_balancer_frees_its_addresses(shop: Shop) -> None:
    shop.monitor()
    shop.member("10.1.0.41")
    path = f"{ROOT}/loadbalancers/{shop.balancer}"
    assert shop.octavia.refused("DELETE", path) == (
        400, "Client", f"Validation failure: Cannot delete Load Balancer {shop.balancer} - it has children"
    )  # fmt: skip
    assert shop.fabric.neutron[A].refused("DELETE", f"/v2.0/subnets/{shop.subnet}")[0] == 409
    go_on = shop.hold("delete_balancer")
    shop.octavia.ok("DELETE", path + "?cascade=true")
    assert shop.status(f"loadbalancers/{shop.balancer}") == "PENDING_DELETE"
    go_on.set()
    shop.settle()
    assert shop.octavia.refused("GET", path)[0] == 404
    assert shop.fabric.backend.of("delete_balancer") == [(A, shop.balancer)]
    shop.fabric.neutron[A].ok("DELETE", f"/v2.0/subnets/{shop.subnet}")
    shop.fabric.neutron[A].ok("DELETE", f"/v2.0/networks/{shop.network}")


def test_deletion_leaves_nothing_behind(fabric: Fabric) -> None:
    before = fabric.cloud.all()
    shop = Shop(fabric)
    shop.octavia.ok("DELETE", f"{ROOT}/loadbalancers/{shop.balancer}?cascade=true")
    shop.settle()
    fabric.neutron[A].ok("DELETE", f"/v2.0/networks/{shop.network}")
    assert fabric.cloud.all() == before


def test_the_floating_ip_of_a_vip_goes_down_with_it(shop: Shop) -> None:
    shop.fabric.routed(shop.subnet)
    port = shop.get(f"loadbalancers/{shop.balancer}")["vip_port_id"]
    wanted = {"floating_network_id": shop.fabric.cloud.settings(A).external.id, "port_id": port}
    public = shop.fabric.neutron[A].ok("POST", "/v2.0/floatingips", {"floatingip": wanted})
    shop.settle()
    assert shop.fabric.backend.last("ensure_router").floating == ((public["floating_ip_address"], "10.1.0.5"),)
    shop.octavia.ok("DELETE", f"{ROOT}/loadbalancers/{shop.balancer}?cascade=true")
    shop.settle()
    shown = shop.fabric.neutron[A].ok("GET", f"/v2.0/floatingips/{public['id']}")
    assert (shown["status"], shown["port_id"]) == ("DOWN", None)
    assert shop.fabric.backend.last("ensure_router").floating == ()


def test_who_admits_the_vip_s_group_no_longer_admits_it_when_it_is_gone(shop: Shop) -> None:
    group = shop.fabric.group()
    watcher = shop.fabric.port(
        shop.network, security_groups=[shop.fabric.group({"protocol": "tcp", "remote_group_id": group})]
    )["id"]
    port = shop.get(f"loadbalancers/{shop.balancer}")["vip_port_id"]
    shop.fabric.neutron[A].ok("PUT", f"/v2.0/ports/{port}", {"port": {"security_groups": [group]}})
    region, named, rules = shop.fabric.backend.of("set_port_rules")[-1]
    assert (region, named, [rule.remote for rule in rules]) == (A, watcher, ["10.1.0.5/32"])
    shop.octavia.ok("DELETE", f"{ROOT}/loadbalancers/{shop.balancer}?cascade=true")
    shop.settle()
    assert shop.fabric.backend.of("set_port_rules")[-1] == (A, watcher, ())


def test_a_port_that_the_tenant_brought_is_let_go_not_deleted(fabric: Fabric) -> None:
    net, _ = fabric.network()
    port = fabric.port(net)["id"]
    octavia = fabric.octavia[A]
    balancer = octavia.ok("POST", f"{ROOT}/loadbalancers", {"loadbalancer": {"vip_port_id": port}})
    fabric.cloud.settle()
    assert balancer["vip_port_id"] == port
    octavia.ok("DELETE", f"{ROOT}/loadbalancers/{balancer['id']}")
    fabric.cloud.settle()
    shown = fabric.neutron[A].ok("GET", f"/v2.0/ports/{port}")
    assert (shown["device_id"], shown["device_owner"]) == ("", "")


@pytest.mark.parametrize(
    ("address", "cause"), [("10.1.0.5", "ConflictException: 409"), ("10.9.0.5", "BadRequestException: 400")]
)
def test_a_vip_that_cannot_be_had_is_a_500(shop: Shop, address: str, cause: str) -> None:
    body = {"loadbalancer": {"vip_subnet_id": shop.subnet, "vip_address": address}}
    assert shop.octavia.refused("POST", f"{ROOT}/loadbalancers", body) == (
        500,
        "Server",
        f"Provider 'amphora' reports error: {cause}",
    )


# ERROR


def test_a_balancer_that_cannot_be_made_is_in_error_without_its_vip_port_and_can_be_destroyed(fabric: Fabric) -> None:
    _, subnet = fabric.network()
    octavia: Client = fabric.octavia[A]
    fabric.backend.fail_next["ensure_balancer"] = "no certificate authority"
    made = octavia.ok("POST", f"{ROOT}/loadbalancers", {"loadbalancer": {"vip_subnet_id": subnet}})
    fabric.cloud.settle()
    path = f"{ROOT}/loadbalancers/{made['id']}"
    shown = octavia.ok("GET", path)
    assert (shown["provisioning_status"], shown["operating_status"]) == ("ERROR", "OFFLINE")
    assert shown["vip_port_id"] == made["vip_port_id"]
    assert fabric.neutron[A].refused("GET", f"/v2.0/ports/{made['vip_port_id']}")[:2] == (404, "PortNotFound")
    assert octavia.refused("PUT", path, {"loadbalancer": {"name": "x"}})[0] == 409
    body = {"listener": {"loadbalancer_id": made["id"], "protocol": "TCP", "protocol_port": 443}}
    assert octavia.refused("POST", f"{ROOT}/listeners", body)[0] == 409
    octavia.ok("DELETE", path)
    fabric.cloud.settle()
    assert octavia.refused("GET", path)[0] == 404
    fabric.neutron[A].ok("DELETE", f"/v2.0/subnets/{subnet}")


def test_a_child_that_cannot_be_made_is_in_error_and_the_balancer_stays_usable(shop: Shop) -> None:
    shop.fabric.backend.fail_next["ensure_balancer"] = "haproxy refuses the configuration"
    member = shop.member("10.1.0.41")
    assert shop.status(f"pools/{shop.pool}/members/{member}") == "ERROR"
    assert [shop.status(path) for path in (f"loadbalancers/{shop.balancer}", f"pools/{shop.pool}")] == [
        "ACTIVE",
        "ACTIVE",
    ]
    shop.octavia.ok("DELETE", f"{shop.members}/{member}")
    shop.settle()
    assert shop.octavia.refused("GET", f"{shop.members}/{member}")[0] == 404


def test_the_knob_makes_the_next_change_fail(shop: Shop) -> None:
    shop.octavia.service.provisioner.fail_next.append("worker lost")  # type: ignore[attr-defined]
    shop.octavia.ok("PUT", f"{ROOT}/loadbalancers/{shop.balancer}", {"loadbalancer": {"name": "other"}})
    shop.settle()
    assert shop.status(f"loadbalancers/{shop.balancer}") == "ERROR"
    assert shop.get(f"loadbalancers/{shop.balancer}")["vip_port_id"] in shop.fabric.cloud.region(A).ports


def test_a_balancer_that_cannot_be_deleted_is_in_error_and_a_second_try_works(shop: Shop) -> None:
    path = f"{ROOT}/loadbalancers/{shop.balancer}?cascade=true"
    shop.fabric.backend.fail_next["delete_balancer"] = "namespace busy"
    shop.octavia.ok("DELETE", path)
    shop.settle()
    assert shop.status(f"loadbalancers/{shop.balancer}") == "ERROR"
    shop.octavia.ok("DELETE", path)
    shop.settle()
    assert shop.octavia.refused("GET", f"{ROOT}/loadbalancers/{shop.balancer}")[0] == 404


# Health


def statuses(shop: Shop, *members: str) -> list[str]:
    paths = [f"loadbalancers/{shop.balancer}", f"listeners/{shop.listener}", f"pools/{shop.pool}"]
    return [shop.operating(path) for path in [*paths, *(f"pools/{shop.pool}/members/{member}" for member in members)]]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("ONLINE", "ONLINE", ["ONLINE", "ONLINE", "ONLINE", "ONLINE", "ONLINE"]),
        ("ONLINE", "ERROR", ["DEGRADED", "ONLINE", "DEGRADED", "ONLINE", "ERROR"]),
        ("ERROR", "ERROR", ["ERROR", "ONLINE", "ERROR", "ERROR", "ERROR"]),
        (None, None, ["OFFLINE", "OFFLINE", "OFFLINE", "OFFLINE", "OFFLINE"]),
    ],
)
def test_the_operating_status_is_what_the_machinery_sees(
    shop: Shop, first: str | None, second: str | None, expected: list[str]
) -> None:
    shop.monitor()
    members = shop.member("10.1.0.41"), shop.member("10.1.0.42")
    shop.fabric.backend.health = {
        key: value for key, value in zip(members, (first, second), strict=True) if value is not None
    }
    assert statuses(shop, *members) == expected
    listed = {member["id"]: member["operating_status"] for member in shop.get(f"pools/{shop.pool}/members")}
    assert [listed[member] for member in members] == expected[3:]
    tree = shop.get(f"loadbalancers/{shop.balancer}/status")["loadbalancer"]
    assert tree["operating_status"] == expected[0]
    assert [member["operating_status"] for member in tree["listeners"][0]["pools"][0]["members"]] == expected[3:]


def test_without_a_monitor_members_are_not_judged(shop: Shop) -> None:
    member = shop.member("10.1.0.41")
    assert statuses(shop, member) == ["ONLINE", "ONLINE", "ONLINE", "NO_MONITOR"]
    assert shop.fabric.backend.of("balancer_health") == []


def test_a_disabled_member_is_offline_and_does_not_degrade_the_pool(shop: Shop) -> None:
    shop.monitor()
    first, second = shop.member("10.1.0.41"), shop.member("10.1.0.42", admin_state_up=False)
    shop.fabric.backend.health = {first: "ONLINE", second: "ERROR"}
    assert statuses(shop, first, second) == ["ONLINE", "ONLINE", "ONLINE", "ONLINE", "OFFLINE"]


def test_a_member_without_weight_is_draining_and_does_not_degrade_the_pool(shop: Shop) -> None:
    shop.monitor()
    first, second = shop.member("10.1.0.41"), shop.member("10.1.0.42", weight=0)
    shop.fabric.backend.health = {first: "ONLINE"}
    assert statuses(shop, first, second) == ["ONLINE", "ONLINE", "ONLINE", "ONLINE", "DRAINING"]


def test_a_balancer_that_cannot_be_asked_is_shown_as_unknown(shop: Shop) -> None:
    shop.monitor()
    member = shop.member("10.1.0.41")
    shop.fabric.backend.health = {member: "ONLINE"}
    shop.fabric.backend.fail_next["balancer_health"] = "no socket"
    assert shop.operating(f"pools/{shop.pool}/members/{member}") == "OFFLINE"
    assert shop.operating(f"pools/{shop.pool}/members/{member}") == "ONLINE"


# Other ways to make and change them


def test_a_vip_can_be_asked_for_by_network(shop: Shop) -> None:
    second = shop.get("loadbalancers/" + shop.make("loadbalancers", vip_network_id=shop.network))
    assert (second["vip_subnet_id"], second["vip_address"]) == (shop.subnet, "10.1.0.201")


def test_a_pool_can_come_before_its_listener_and_change_hands(shop: Shop) -> None:
    pool = shop.make("pools", loadbalancer_id=shop.balancer, protocol="HTTP", lb_algorithm="LEAST_CONNECTIONS")
    assert shop.get(f"pools/{pool}")["listeners"] == []
    listener = shop.make(
        "listeners", loadbalancer_id=shop.balancer, protocol="HTTP", protocol_port=80, default_pool_id=pool
    )
    assert {item.port: item.pool and item.pool.pool_id for item in shop.spec.listeners} == {443: shop.pool, 80: pool}
    shop.octavia.ok("PUT", f"{ROOT}/listeners/{shop.listener}", {"listener": {"default_pool_id": pool}})
    shop.settle()
    assert shop.get(f"pools/{pool}")["listeners"] == [{"id": shop.listener}, {"id": listener}]
    assert {item.port: item.pool and item.pool.pool_id for item in shop.spec.listeners} == {443: pool, 80: pool}


def test_a_listener_takes_only_pools_that_fit_and_are_of_its_balancer(shop: Shop) -> None:
    listener = shop.make("listeners", loadbalancer_id=shop.balancer, protocol="HTTP", protocol_port=80)
    plain = shop.make("pools", loadbalancer_id=shop.balancer, protocol="TCP", lb_algorithm="ROUND_ROBIN")
    other = shop.make("loadbalancers", vip_subnet_id=shop.subnet)
    foreign = shop.make("pools", loadbalancer_id=other, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    for pool, text in (
        (plain, "The pool protocol 'TCP' is invalid while the listener protocol is 'HTTP'."),
        (foreign, "another load balancer"),
    ):
        status, _, message = shop.octavia.refused(
            "PUT", f"{ROOT}/listeners/{listener}", {"listener": {"default_pool_id": pool}}
        )
        assert status == 400
        assert text in message


def test_changes_of_pool_member_and_monitor_reach_the_machinery(shop: Shop) -> None:
    monitor, member = shop.monitor(), shop.member("10.1.0.41")
    for path, kind, values in (
        (f"pools/{shop.pool}", "pool", {"lb_algorithm": "SOURCE_IP"}),
        (f"pools/{shop.pool}/members/{member}", "member", {"weight": 9, "backup": True}),
        (f"healthmonitors/{monitor}", "healthmonitor", {"delay": 9, "expected_codes": "200,204"}),
    ):
        changed = shop.octavia.ok("PUT", f"{ROOT}/{path}", {kind: values})
        assert {name: changed[name] for name in values} == values
        assert changed["provisioning_status"] == "PENDING_UPDATE"
        shop.settle()
    pool = shop.spec.listeners[0].pool
    assert pool is not None
    assert pool.monitor is not None
    assert (pool.algorithm, pool.monitor.delay, pool.monitor.expected_codes) == ("SOURCE_IP", 9, "200,204")
    assert [(item.weight, item.backup) for item in pool.members] == [(9, True)]


def test_what_is_fixed_for_life_cannot_be_changed(shop: Shop) -> None:
    status, _, message = shop.octavia.refused(
        "PUT", f"{ROOT}/listeners/{shop.listener}", {"listener": {"protocol_port": 80}}
    )
    assert (status, message) == (400, "Unknown attribute for argument listener_.listener: protocol_port")


def test_without_its_monitor_a_member_is_not_judged_any_more(shop: Shop) -> None:
    monitor, member = shop.monitor(), shop.member("10.1.0.41")
    shop.octavia.ok("DELETE", f"{ROOT}/healthmonitors/{monitor}")
    shop.settle()
    assert "healthmonitor_id" not in shop.get(f"pools/{shop.pool}")
    assert shop.operating(f"pools/{shop.pool}/members/{member}") == "NO_MONITOR"


def test_flavors_and_quotas_can_be_read(shop: Shop) -> None:
    assert {flavor["name"] for flavor in shop.get("flavors")} == {"small", "medium", "large"}
    small = shop.get("flavors?name=small")[0]
    assert shop.get(f"flavors/{small['id']}") == small
    project = shop.fabric.cloud.config.project_id
    assert shop.get(f"quotas/{project}")["load_balancer"] == shop.fabric.cloud.region(A).quotas["load_balancer"]
    assert shop.octavia.refused("PUT", f"{ROOT}/quotas/{project}", {"quota": {"pool": 1}})[0] == 403


def test_the_root_that_the_version_document_names_serves_as_well(shop: Shop) -> None:
    links = {link["href"] for version in shop.octavia.ok("GET", "/") for link in version["links"]}
    assert links == {"http://203.0.113.2:9876/v2"}
    assert shop.octavia.ok("GET", f"/v2/lbaas/pools/{shop.pool}")["id"] == shop.pool
    assert {provider["name"] for provider in shop.octavia.ok("GET", "/v2/lbaas/providers")} == {"amphora", "octavia"}


def test_lists_can_be_filtered_and_read_page_by_page(shop: Shop) -> None:
    second = shop.make("loadbalancers", name="second", vip_subnet_id=shop.subnet, tags=["a", "b"])
    assert [found["id"] for found in shop.get("loadbalancers?tags=a")] == [second]
    assert [found["id"] for found in shop.get(f"listeners?load_balancer_id={shop.balancer}")] == [shop.listener]
    assert shop.get(f"listeners?load_balancer_id={second}") == []
    first_page = shop.get("loadbalancers?limit=1")
    assert [found["id"] for found in first_page] == [min(shop.balancer, second)]
    assert [found["id"] for found in shop.get(f"loadbalancers?limit=1&marker={first_page[0]['id']}")] == [
        max(shop.balancer, second)
    ]


# Refusals


REFUSALS: list[tuple[str, dict[str, Any], int, str]] = [
    ("loadbalancers", {}, 400, "VIP must contain one of"),
    ("loadbalancers", {"vip_subnet_id": "nope"}, 400, "Subnet nope not found."),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "flavor_id": "nope"}, 400, "Invalid flavor_id."),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "provider": "nope"}, 400, "Provider 'nope' is not enabled."),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "nonsense": 1}, 400, "load_balancer.loadbalancer: nonsense"),
    (
        "listeners",
        {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": 443},
        409,
        "protocol TCP and protocol_port 443",
    ),
    (
        "listeners",
        {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": 0},
        400,
        "greater or equal to 1",
    ),
    ("listeners", {"loadbalancer_id": "{balancer}", "protocol_port": 444}, 400, "Mandatory field missing."),
    ("listeners", {"loadbalancer_id": "{balancer}", "protocol": "UDP", "protocol_port": 444}, 501, "no UDP listeners"),
    (
        "listeners",
        {"loadbalancer_id": "nope", "protocol": "TCP", "protocol_port": 444},
        404,
        "Load Balancer nope not found.",
    ),
    ("loadbalancers", {"vip_network_id": "nope"}, 400, "Network nope not found."),
    ("loadbalancers", {"vip_port_id": "nope"}, 400, "Port nope not found."),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "availability_zone": "nope"}, 400, "Invalid availability zone."),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "listeners": [{}]}, 501, "no creation as a whole tree"),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "name": 7}, 400, "Wrong type."),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "name": "x" * 256}, 400, "maximum character requirement of 255"),
    ("loadbalancers", {"vip_subnet_id": "{subnet}", "tags": "x"}, 400, "Wrong type."),
    ("listeners", {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": "444"}, 400, "Wrong type."),
    (
        "listeners",
        {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": 444, "allowed_cidrs": "x"},
        400,
        "Wrong type.",
    ),
    (
        "healthmonitors",
        {"pool_id": "{pool}", "type": "PING", "delay": 5, "timeout": 3, "max_retries": 3},
        501,
        "no PING monitors",
    ),
    (
        "listeners",
        {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": 444, "default_pool_id": "nope"},
        404,
        "Pool nope not found.",
    ),
    (
        "listeners",
        {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": 444, "tls_versions": ["TLSv1.3"]},
        501,
        "no TLS of their own",
    ),
    (
        "listeners",
        {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": 444, "allowed_cidrs": ["x"]},
        400,
        "CIDR format",
    ),
    (
        "listeners",
        {"loadbalancer_id": "{balancer}", "protocol": "TCP", "protocol_port": 444, "admin_state_up": "yes"},
        400,
        "Wrong type.",
    ),
    ("pools", {"loadbalancer_id": "{balancer}", "protocol": "UDP", "lb_algorithm": "ROUND_ROBIN"}, 501, "no UDP pools"),
    (
        "pools",
        {"listener_id": "nope", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"},
        500,
        "has no attribute 'load_balancer_id'",
    ),
    ("pools", {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}, 400, "at least one of: loadbalancer_id, listener_id"),
    (
        "pools",
        {"listener_id": "{listener}", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"},
        409,
        "already has a default pool",
    ),
    (
        "pools/{pool}/members",
        {"address": "10.1.0.41", "protocol_port": 443},
        409,
        "already using ip 10.1.0.41 on protocol_port 443",
    ),
    (
        "pools/{pool}/members",
        {"address": "10.1.0.9", "protocol_port": 443, "weight": 257},
        400,
        "lower or equal to 256",
    ),
    ("pools/{pool}/members", {"address": "nope", "protocol_port": 443}, 400, "IPv4 or IPv6 format"),
    (
        "healthmonitors",
        {"pool_id": "{pool}", "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3},
        409,
        "already has a health monitor",
    ),
    (
        "healthmonitors",
        {"pool_id": "{pool}", "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 11},
        400,
        "lower or equal to 10",
    ),
    (
        "healthmonitors",
        {"pool_id": "{pool}", "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3, "url_path": "/"},
        400,
        "'url_path'",
    ),
]


@pytest.mark.parametrize(("path", "values", "status", "text"), REFUSALS)
def test_what_cannot_be_is_refused_and_changes_nothing(
    shop: Shop, path: str, values: dict[str, Any], status: int, text: str
) -> None:
    shop.monitor()
    shop.member("10.1.0.41")
    before = shop.fabric.cloud.all()
    names = {"subnet": shop.subnet, "balancer": shop.balancer, "listener": shop.listener, "pool": shop.pool}
    body = {key: value.format(**names) if isinstance(value, str) else value for key, value in values.items()}
    kind = path.rsplit("/", 1)[-1].removesuffix("s")
    found = shop.octavia.refused("POST", f"{ROOT}/{path.format(**names)}", {kind: body})
    assert found[0] == status
    assert text in found[2]
    assert shop.fabric.cloud.all() == before


@pytest.mark.parametrize(
    ("members", "status"),
    [
        (None, 400),
        ([7], 400),
        ([{"address": "10.1.0.43"}], 400),
        ([{"address": "10.1.0.43", "protocol_port": 443}] * 2, 409),
        ([{"address": "10.1.0.43", "protocol_port": 443, "subnet_id": "nope"}], 400),
    ],
)
def test_a_whole_list_that_cannot_be_is_refused_and_changes_nothing(shop: Shop, members: Any, status: int) -> None:
    shop.member("10.1.0.41")
    before = shop.fabric.cloud.all()
    assert shop.octavia.refused("PUT", shop.members, {"members": members})[0] == status
    assert shop.fabric.cloud.all() == before


def test_a_member_is_found_in_its_own_pool_only(shop: Shop) -> None:
    member = shop.member("10.1.0.41")
    other = shop.make("pools", loadbalancer_id=shop.balancer, protocol="TCP", lb_algorithm="ROUND_ROBIN")
    for method, body in (("GET", None), ("PUT", {"member": {"weight": 2}}), ("DELETE", None)):
        found = shop.octavia.refused(method, f"{ROOT}/pools/{other}/members/{member}", body)
        assert found == (404, "Client", f"Member {member} not found.")


def test_a_pool_is_of_the_balancer_of_its_listener(shop: Shop) -> None:
    other = shop.make("loadbalancers", vip_subnet_id=shop.subnet)
    listener = shop.make("listeners", loadbalancer_id=shop.balancer, protocol="TCP", protocol_port=80)
    body = {
        "pool": {"loadbalancer_id": other, "listener_id": listener, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
    }
    assert shop.octavia.refused("POST", f"{ROOT}/pools", body)[0] == 400


def test_a_vip_needs_a_subnet_and_a_port_of_its_own(shop: Shop) -> None:
    net = shop.fabric.neutron[A].ok("POST", "/v2.0/networks", {"network": {"name": "n"}})["id"]
    status, _, message = shop.octavia.refused(
        "POST", f"{ROOT}/loadbalancers", {"loadbalancer": {"vip_network_id": net}}
    )
    assert (status, message) == (400, f"Validation failure: Supplied network does not contain a subnet: {net}")
    taken = shop.get(f"loadbalancers/{shop.balancer}")["vip_port_id"]
    assert shop.octavia.refused("POST", f"{ROOT}/loadbalancers", {"loadbalancer": {"vip_port_id": taken}})[0] == 500


def test_another_projects_quotas_are_not_shown(shop: Shop) -> None:
    assert shop.octavia.refused("GET", f"{ROOT}/quotas/{'e' * 32}")[0] == 403


@pytest.mark.parametrize(
    ("resource", "text"),
    [("load_balancer", "Load Balancer"), ("listener", "Listener"), ("pool", "Pool"), ("member", "Member")],
)
def test_quotas_refuse_with_403(shop: Shop, resource: str, text: str) -> None:
    shop.fabric.cloud.region(A).quotas[resource] = 0
    path, body = {
        "load_balancer": ("loadbalancers", {"loadbalancer": {"vip_subnet_id": shop.subnet}}),
        "listener": (
            "listeners",
            {"listener": {"loadbalancer_id": shop.balancer, "protocol": "TCP", "protocol_port": 444}},
        ),
        "pool": (
            "pools",
            {"pool": {"loadbalancer_id": shop.balancer, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}},
        ),
        "member": (f"pools/{shop.pool}/members", {"member": {"address": "10.1.0.41", "protocol_port": 443}}),
    }[resource]
    assert shop.octavia.refused("POST", f"{ROOT}/{path}", body) == (
        403,
        "Client",
        f"Quota has been met for resources: {text}",
    )


def test_a_reader_sees_all_and_changes_nothing(shop: Shop) -> None:
    shop.octavia.token = shop.fabric.issue("reader")
    assert [balancer["id"] for balancer in shop.get("loadbalancers?name=shop")] == [shop.balancer]
    assert shop.get("loadbalancers?name=other") == []
    assert shop.octavia.refused("DELETE", f"{ROOT}/loadbalancers/{shop.balancer}?cascade=true")[0] == 403


def test_regions_do_not_know_each_others_balancers(shop: Shop) -> None:
    assert shop.fabric.octavia[B].ok("GET", f"{ROOT}/loadbalancers") == []
    assert shop.fabric.octavia[B].refused("GET", f"{ROOT}/loadbalancers/{shop.balancer}")[0] == 404
