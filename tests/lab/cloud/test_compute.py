"""Servers: their states, what stands in each other's way, what is left behind."""

from __future__ import annotations

import base64

import pytest

from lab.cloud.network import ports
from lab.cloud.state import Cloud
from tests.lab.cloud.tenant import KEY, PROJECT, REGION, Tenant


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def act(tenant: Tenant, server: str, action: dict[str, object]) -> int:
    return tenant.ask("compute", "POST", f"/v2.1/servers/{server}/action", action).status


def test_a_server_goes_through_nova_s_states(tenant: Tenant) -> None:
    server = tenant.post_server({"uuid": tenant.network()}).body["server"]["id"]
    assert tenant.states(server) == [
        ("BUILD", "scheduling"),
        ("BUILD", None),
        ("BUILD", "networking"),
        ("BUILD", "block_device_mapping"),
        ("BUILD", "spawning"),
        ("ACTIVE", None),
    ]


def test_the_machine_boots_with_what_the_request_said(tenant: Tenant) -> None:
    tenant.ok("compute", "POST", "/v2.1/os-keypairs", {"keypair": {"name": "k", "public_key": KEY}})
    port = tenant.port(tenant.network())
    data = base64.b64encode(b"#cloud-config\n").decode()
    tenant.backend.calls.clear()
    server = tenant.server({"port": port}, key_name="k", user_data=data, metadata={"role": "web"})
    spec = next(args[0] for name, args in tenant.backend.calls if name == "boot_server")
    assert (spec.server_id, spec.name, spec.user_data, spec.key, spec.metadata) == (
        server,
        "web",
        "#cloud-config\n",
        KEY,
        {"role": "web"},
    )
    assert [(nic.port_id, nic.prefix_length, nic.gateway) for nic in spec.nics] == [(port, 24, "10.1.0.1")]
    assert tenant.backend.names().index("set_port_rules") < tenant.backend.names().index("boot_server")


def test_power_off_and_on(tenant: Tenant) -> None:
    server = tenant.server({"uuid": tenant.network()})
    assert act(tenant, server, {"os-stop": None}) == 202
    assert tenant.states(server) == [("ACTIVE", "powering-off"), ("SHUTOFF", None)]
    assert act(tenant, server, {"os-start": None}) == 202
    assert tenant.states(server) == [("SHUTOFF", "powering-on"), ("ACTIVE", None)]


@pytest.mark.parametrize(("kind", "status", "suffix"), [("SOFT", "REBOOT", ""), ("HARD", "HARD_REBOOT", "_hard")])
def test_reboot(tenant: Tenant, kind: str, status: str, suffix: str) -> None:
    server = tenant.server({"uuid": tenant.network()})
    assert act(tenant, server, {"reboot": {"type": kind}}) == 202
    tasks = [f"{task}{suffix}" for task in ("rebooting", "reboot_pending", "reboot_started")]
    assert tenant.states(server) == [*((status, task) for task in tasks), ("ACTIVE", None)]


@pytest.mark.parametrize("second", [{"os-stop": None}, {"os-start": None}, {"reboot": {"type": "SOFT"}}])
def test_one_power_change_at_a_time(tenant: Tenant, second: dict[str, object]) -> None:
    server = tenant.server({"uuid": tenant.network()})
    act(tenant, server, {"os-stop": None})
    assert act(tenant, server, second) == 409


def test_a_crashed_machine_shows_as_shutoff_and_can_be_started(tenant: Tenant) -> None:
    server = tenant.server({"uuid": tenant.network()})
    tenant.backend.crashed.add(server)
    assert tenant.state(server) == ("SHUTOFF", None)
    tenant.backend.crashed.clear()
    assert tenant.state(server) == ("ACTIVE", None), "a machine that came back by itself runs again"
    tenant.backend.crashed.add(server)
    assert act(tenant, server, {"os-stop": None}) == 409
    assert act(tenant, server, {"os-start": None}) == 202


def test_deleting_leaves_given_ports_and_takes_its_own(tenant: Tenant) -> None:
    network = tenant.network()
    given = tenant.port(network)
    first, second = tenant.server({"port": given}), tenant.server({"uuid": network})
    for server in (first, second):
        assert tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}").status == 204
        assert tenant.states(server) == [("ACTIVE", "deleting"), ("DELETED", None), ("gone", None)]
    ports = tenant.ok("network", "GET", "/v2.0/ports")
    assert [(port["id"], port["device_id"], port["device_owner"], port["status"]) for port in ports] == [
        (given, "", "", "DOWN")
    ]


def test_deleting_a_server_frees_its_volume(tenant: Tenant) -> None:
    server, volume = tenant.server({"uuid": tenant.network()}), tenant.volume()
    tenant.attach(server, volume)
    tenant.settle()
    assert tenant.volume_status(volume) == "in-use"
    tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}")
    tenant.settle()
    assert (tenant.state(server), tenant.volume_status(volume)) == (("gone", None), "available")


def test_deleting_while_it_builds_leaves_nothing(tenant: Tenant) -> None:
    network = tenant.network()
    before = tenant.cloud.all()
    for steps in range(8):
        server = tenant.post_server({"uuid": network}).body["server"]["id"]
        for _ in range(steps):
            tenant.worker.step()
        tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}")
        tenant.settle()
        assert tenant.cloud.all() == before, f"after {steps} steps of building"
    assert not tenant.backend.machines


def test_deleting_while_a_port_is_being_bound_gives_the_port_back(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, bind = tenant.port(tenant.network()), ports.bind_port

    def bind_late(cloud: Cloud, region: str, port_id: str, server_id: str, zone: str) -> None:
        tenant.ask("compute", "DELETE", f"/v2.1/servers/{server_id}")
        tenant.settle()
        bind(cloud, region, port_id, server_id, zone)

    monkeypatch.setattr(ports, "bind_port", bind_late)
    server = tenant.server({"port": port})
    assert tenant.state(server) == ("gone", None)
    assert tenant.ok("network", "GET", f"/v2.0/ports/{port}")["device_id"] == ""


def test_a_boot_that_fails_is_an_error_with_a_fault_and_gives_the_port_back(tenant: Tenant) -> None:
    port = tenant.port(tenant.network())
    tenant.backend.fail_next["boot_server"] = "no space left for the disk"
    server = tenant.server({"port": port})
    shown = tenant.ok("compute", "GET", f"/v2.1/servers/{server}")
    assert (shown["status"], shown["fault"]["message"]) == ("ERROR", "no space left for the disk")
    assert tenant.ok("network", "GET", f"/v2.0/ports/{port}")["device_id"] == ""


def test_anti_affinity_needs_a_host_for_each(tenant: Tenant) -> None:
    network = tenant.network()
    group = tenant.ok(
        "compute", "POST", "/v2.1/os-server-groups", {"server_group": {"name": "g", "policies": ["anti-affinity"]}}
    )["id"]
    servers = [tenant.server({"uuid": network}, {"group": group}) for _ in range(3)]
    assert [tenant.state(server)[0] for server in servers] == ["ACTIVE", "ACTIVE", "ERROR"]
    shown = [tenant.ok("compute", "GET", f"/v2.1/servers/{server}") for server in servers]
    assert len({item["hostId"] for item in shown[:2]}) == 2
    assert tenant.ask("compute", "DELETE", f"/v2.1/servers/{servers[2]}").status == 204
    assert tenant.state(servers[2]) == ("gone", None)


def test_a_port_serves_one_server(tenant: Tenant) -> None:
    port = tenant.port(tenant.network())
    tenant.server({"port": port})
    reply = tenant.post_server({"port": port})
    assert (reply.status, reply.body["conflictingRequest"]["message"]) == (409, f"Port {port} is still in use.")


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ({"instances": 1}, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"),
        ({"cores": 1}, "Quota exceeded for cores: Requested 1, but already used 1 of 1 cores"),
        ({"ram": 2048}, "Quota exceeded for ram: Requested 2048, but already used 2048 of 2048 ram"),
        ({"port": 1}, "Maximum number of ports exceeded"),
    ],
)
def test_quotas(quota: dict[str, int], message: str) -> None:
    tenant = Tenant(None, **quota)
    network = tenant.network()
    server = tenant.server({"uuid": network})
    reply = tenant.post_server({"uuid": network})
    assert (reply.status, reply.body["forbidden"]["message"]) == (403, message)
    tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}")
    tenant.settle()
    assert tenant.post_server({"uuid": network}).status == 202


def test_metadata_is_merged_replaced_and_taken_away(tenant: Tenant) -> None:
    path = f"/v2.1/servers/{tenant.server({'uuid': tenant.network()}, metadata={'a': '1'})}/metadata"
    assert tenant.ok("compute", "POST", path, {"metadata": {"b": "2"}}) == {"a": "1", "b": "2"}
    assert tenant.ask("compute", "DELETE", f"{path}/a").status == 204
    assert tenant.ok("compute", "PUT", path, {"metadata": {"c": "3"}}) == {"c": "3"}
    assert tenant.ask("compute", "POST", path, {"metadata": {"c": 3}}).status == 400


def test_what_nobody_wrote_is_501_and_not_a_wrong_answer(tenant: Tenant) -> None:
    server = tenant.server({"uuid": tenant.network()})
    assert act(tenant, server, {"rebuild": {"imageRef": tenant.image}}) == 501
    assert act(tenant, server, {"nonsense": None}) == 400
    assert tenant.ask("compute", "GET", "/v2.1/os-hypervisors").status == 501


def test_no_backend_call_is_made_under_the_lock(tenant: Tenant) -> None:
    """A slow boot must not stop the whole cloud from answering."""
    locked: list[str] = []
    inner = tenant.backend.__class__.__getattr__

    def watch(backend: object, name: str) -> object:
        if not name.startswith("_") and tenant.cloud.lock._is_owned():  # type: ignore[attr-defined]
            locked.append(name)
        return inner(backend, name)  # type: ignore[arg-type]

    tenant.backend.__class__ = type("Watched", (tenant.backend.__class__,), {"__getattr__": watch})
    server, volume = tenant.server({"uuid": tenant.network()}), tenant.volume()
    tenant.attach(server, volume)
    tenant.settle()
    act(tenant, server, {"reboot": {"type": "HARD"}})
    tenant.settle()
    tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}")
    tenant.settle()
    assert "delete_server" in tenant.backend.names()
    assert locked == []


def test_the_cloud_is_as_before_when_everything_is_deleted(tenant: Tenant) -> None:
    before = tenant.cloud.all()
    network = tenant.network()
    server, volume = tenant.server({"uuid": network}), tenant.volume()
    assert tenant.cloud.all() != before
    tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}")
    tenant.ask("volumev3", "DELETE", f"/v3/{PROJECT}/volumes/{volume}")
    tenant.settle()
    assert tenant.ask("network", "DELETE", f"/v2.0/networks/{network}").status == 204
    assert tenant.cloud.all() == before
    assert tenant.cloud.region(REGION).servers == {}
