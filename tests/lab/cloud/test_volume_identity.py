"""Volumes, tokens, microversions, rate limits."""

from __future__ import annotations

import threading

import pytest

from lab.cloud.worker import Worker
from tests.lab.cloud.tenant import PROJECT, Tenant

VOLUMES = f"/v3/{PROJECT}/volumes"


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def extend(tenant: Tenant, volume: str, size: int, **headers: str) -> int:
    return tenant.ask(
        "volumev3", "POST", f"{VOLUMES}/{volume}/action", {"os-extend": {"new_size": size}}, **headers
    ).status


def test_attachment_states(tenant: Tenant) -> None:
    server, volume = tenant.server({"uuid": tenant.network()}), tenant.volume()
    assert tenant.attach(server, volume).status == 200
    seen = [tenant.volume_status(volume)]
    while tenant.worker.step():
        seen.append(tenant.volume_status(volume))
    assert seen == ["reserved", "attaching", "in-use"]
    path = f"/v2.1/servers/{server}/os-volume_attachments/{volume}"
    assert tenant.ask("compute", "DELETE", path).status == 202
    assert (tenant.volume_status(volume), tenant.ask("compute", "GET", path).status) == ("detaching", 200)
    assert tenant.ask("compute", "DELETE", path).status == 400, "the provider asks twice and takes 400 as fine"
    tenant.settle()
    assert (tenant.volume_status(volume), tenant.ask("compute", "GET", path).status) == ("available", 404)


def test_a_volume_is_attached_once_and_not_deleted_meanwhile(tenant: Tenant) -> None:
    network = tenant.network()
    first, second, volume = tenant.server({"uuid": network}), tenant.server({"uuid": network}), tenant.volume()
    tenant.attach(first, volume)
    tenant.settle()
    assert tenant.attach(second, volume).status == 400
    assert tenant.ask("volumev3", "DELETE", f"{VOLUMES}/{volume}").status == 400


def test_growing_in_use_needs_the_microversion(tenant: Tenant) -> None:
    server, volume = tenant.server({"uuid": tenant.network()}), tenant.volume(10)
    tenant.attach(server, volume)
    tenant.settle()
    assert extend(tenant, volume, 20) == 400
    assert extend(tenant, volume, 20, openstack_api_version="volume 3.42") == 202
    assert tenant.volume_status(volume) == "extending"
    tenant.settle()
    shown = tenant.ok("volumev3", "GET", f"{VOLUMES}/{volume}")
    assert (shown["status"], shown["size"]) == ("in-use", 20)
    assert extend(tenant, volume, 20, openstack_api_version="volume 3.42") == 400


@pytest.mark.parametrize(
    ("call", "status"),
    [("create_volume", "error"), ("extend_volume", "error_extending"), ("delete_volume", "error_deleting")],
)
def test_what_the_machinery_cannot_do_shows_on_the_volume(tenant: Tenant, call: str, status: str) -> None:
    tenant.backend.fail_next[call] = "no loop device is free"
    volume = tenant.volume()
    if call == "extend_volume":
        extend(tenant, volume, 20)
    elif call == "delete_volume":
        tenant.ask("volumev3", "DELETE", f"{VOLUMES}/{volume}")
    tenant.settle()
    assert tenant.volume_status(volume) == status


def test_a_volume_that_could_not_grow_is_still_attached(tenant: Tenant) -> None:
    server, volume = tenant.server({"uuid": tenant.network()}), tenant.volume()
    tenant.attach(server, volume)
    tenant.settle()
    tenant.backend.fail_next["extend_volume"] = "no space left"
    extend(tenant, volume, 20, openstack_api_version="volume 3.42")
    tenant.settle()
    assert tenant.volume_status(volume) == "error_extending"
    assert tenant.ask("volumev3", "DELETE", f"{VOLUMES}/{volume}").status == 400


def test_a_failed_detachment_is_rolled_back(tenant: Tenant) -> None:
    server, volume = tenant.server({"uuid": tenant.network()}), tenant.volume()
    tenant.attach(server, volume)
    tenant.settle()
    tenant.backend.fail_next["detach_volume"] = "the file system is busy"
    tenant.ask("compute", "DELETE", f"/v2.1/servers/{server}/os-volume_attachments/{volume}")
    tenant.settle()
    assert tenant.volume_status(volume) == "in-use"


@pytest.mark.parametrize("quota", [{"volumes": 1}, {"gigabytes": 15}])
def test_volume_quotas(quota: dict[str, int]) -> None:
    tenant = Tenant(None, **quota)
    tenant.volume(10)
    reply = tenant.ask("volumev3", "POST", VOLUMES, {"volume": {"size": 10}})
    assert (reply.status, reply.body["overLimit"]["retryAfter"]) == (413, "0")


def test_a_token_ends_and_a_new_one_works(tenant: Tenant) -> None:
    assert tenant.ask("compute", "GET", "/v2.1/servers").status == 200
    tenant.expire()
    reply = tenant.ask("compute", "GET", "/v2.1/servers")
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, 'Keystone uri="http://192.0.2.10:5000/v3"')
    assert tenant.login("wrong").status == 401
    tenant.token = tenant.login().headers["X-Subject-Token"]
    assert tenant.ask("compute", "GET", "/v2.1/servers").status == 200


def test_the_catalogue_names_every_endpoint_of_the_region(tenant: Tenant) -> None:
    found = {
        item["type"]: endpoint["url"]
        for item in tenant.login().body["token"]["catalog"]
        for endpoint in item["endpoints"]
        if endpoint["interface"] == "public"
    }
    assert found == {
        "identity": "http://192.0.2.10:5000/v3/",
        "image": "http://203.0.113.2:9292",
        "network": "http://203.0.113.2:9696",
        "compute": "http://203.0.113.2:8774/v2.1",
        "volumev3": f"http://203.0.113.2:8776/v3/{PROJECT}",
        "load-balancer": "http://203.0.113.2:9876",
    }


@pytest.mark.parametrize(
    ("asked", "status", "echoed"),
    [("2.26", 200, "2.26"), ("latest", 200, "2.100"), ("2.999", 406, "2.999"), ("two", 400, "2.1")],
)
def test_microversions(tenant: Tenant, asked: str, status: int, echoed: str) -> None:
    reply = tenant.ask("compute", "GET", "/v2.1/servers", openstack_api_version=f"compute {asked}")
    assert (reply.status, reply.headers["X-OpenStack-Nova-API-Version"]) == (status, echoed)


def test_a_rate_limit_answers_429_for_its_own_service_only() -> None:
    tenant = Tenant(rate_limits={"compute": 3.0})
    statuses = [tenant.ask("compute", "GET", "/v2.1/flavors").status for _ in range(20)]
    assert statuses[:3] == [200, 200, 200]
    assert 429 in statuses
    assert tenant.ask("volumev3", "GET", VOLUMES).status == 200


def test_reset_is_the_first_day_again(tenant: Tenant) -> None:
    before = tenant.cloud.all()
    tenant.server({"uuid": tenant.network()})
    tenant.post_server(None)
    tenant.cloud.reset()
    assert not tenant.worker.jobs
    assert tenant.ask("compute", "GET", "/v2.1/servers").status == 401, "tokens are gone too"
    after = tenant.cloud.all()
    assert {
        kind: sorted(store) for kind, store in after["GRA11"].items() if kind != "security_groups" and kind != "rules"
    } == {
        kind: sorted(store) for kind, store in before["GRA11"].items() if kind != "security_groups" and kind != "rules"
    }


def test_the_worker_tells_the_resource_what_went_wrong() -> None:
    worker, told, first = Worker(), list[str](), threading.Event()

    def fail() -> None:
        first.wait(5)
        raise RuntimeError("broken")

    worker.later(0, fail, told.append)
    assert worker.settle(0) is False
    first.set()
    assert worker.settle(5) is True
    assert told == ["broken"]
    worker.close()
