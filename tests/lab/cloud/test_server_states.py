"""Every state that a server of Nova's can be in, what it refuses there and in which words, and what the machine behind does."""

from __future__ import annotations

from typing import Any

import pytest

from lab.cloud.compute import staging
from lab.cloud.compute.routes import ComputeService
from tests.lab.cloud.tenant import REGION, Tenant


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


@pytest.fixture
def server(tenant: Tenant) -> str:
    made = tenant.server({"uuid": tenant.network()})
    tenant.backend.calls.clear()
    return made


def nova(tenant: Tenant) -> ComputeService:
    service = tenant.openstack.services["compute", REGION]
    assert isinstance(service, ComputeService)
    return service


def act(tenant: Tenant, server: str, name: str, detail: Any = None) -> tuple[int, str]:
    """Status and message."""
    reply = tenant.ask("compute", "POST", f"/v2.1/servers/{server}/action", {name: detail})
    fault = next(iter(reply.body.values())) if reply.status >= 400 else {}
    return reply.status, fault.get("message", "")


def shown(tenant: Tenant, server: str) -> tuple[str, str, str | None, int]:
    """status, vm_state, task_state, power_state."""
    body = tenant.ok("compute", "GET", f"/v2.1/servers/{server}")
    return (body["status"], *(body[f"OS-EXT-STS:{name}"] for name in ("vm_state", "task_state", "power_state")))


WAYS = [
    ("pause", "pausing", ("PAUSED", "paused", None, 3), "freeze_server", "unpause", "thaw_server"),
    ("suspend", "suspending", ("SUSPENDED", "suspended", None, 4), "freeze_server", "resume", "thaw_server"),
    ("rescue", "rescuing", ("RESCUE", "rescued", None, 1), "stop_server", "unrescue", "start_server"),
    (
        "shelve",
        "shelving",
        ("SHELVED_OFFLOADED", "shelved_offloaded", None, 4),
        "stop_server",
        "unshelve",
        "start_server",
    ),
]


@pytest.mark.parametrize(("go", "task", "there", "call", "back", "call_back"), WAYS)
def test_there_and_back(
    tenant: Tenant,
    server: str,
    go: str,
    task: str,
    there: tuple[str, str, None, int],
    call: str,
    back: str,
    call_back: str,
) -> None:
    assert act(tenant, server, go)[0] in (200, 202)
    assert tenant.states(server) == [("ACTIVE", task), (there[0], None)]
    assert shown(tenant, server) == there
    assert act(tenant, server, back)[0] == 202
    tenant.settle()
    assert shown(tenant, server) == ("ACTIVE", "active", None, 1)
    assert [name for name in tenant.backend.names() if name != "server_running"] == [call, call_back]


@pytest.mark.parametrize(
    ("go", "vm_state"), [("pause", "paused"), ("suspend", "suspended"), ("rescue", "rescued"), ("os-stop", "stopped")]
)
def test_a_stop_is_refused_in_these_states_and_nothing_happens(
    tenant: Tenant, server: str, go: str, vm_state: str
) -> None:
    act(tenant, server, go)
    tenant.settle()
    before = shown(tenant, server)
    assert act(tenant, server, "os-stop") == (
        409,
        f"Cannot 'stop' instance {server} while it is in vm_state {vm_state}",
    )
    tenant.settle()
    assert shown(tenant, server) == before


def test_what_has_no_hypervisor_is_not_ready(tenant: Tenant, server: str) -> None:
    act(tenant, server, "shelve")
    tenant.settle()
    assert act(tenant, server, "os-stop") == (409, f"Instance {server} is not ready")


def test_a_stop_while_it_builds(tenant: Tenant) -> None:
    """While Nova schedules, no cell has the server: 404. Then no hypervisor: not ready. Then it is building."""
    network = tenant.network()
    server = tenant.post_server({"uuid": network}).body["server"]["id"]
    assert act(tenant, server, "os-stop") == (404, f"Instance {server} could not be found.")
    tenant.worker.step()
    assert act(tenant, server, "os-stop") == (409, f"Instance {server} is not ready")
    tenant.worker.step()
    tenant.worker.step()
    assert act(tenant, server, "os-stop") == (409, f"Cannot 'stop' instance {server} while it is in vm_state building")
    assert tenant.states(server)[-1] == ("ACTIVE", None)


def test_a_reboot_is_a_task_of_its_own(tenant: Tenant, server: str) -> None:
    act(tenant, server, "reboot", {"type": "SOFT"})
    assert act(tenant, server, "os-stop") == (
        409,
        f"Cannot 'stop' instance {server} while it is in task_state rebooting",
    )
    assert act(tenant, server, "reboot", {"type": "HARD"})[0] == 202, "a hard one may come into a soft one"


def test_a_locked_server_is_left_alone(tenant: Tenant, server: str) -> None:
    path = f"/v2.1/servers/{server}"
    reply = tenant.ask(
        "compute",
        "POST",
        f"{path}/action",
        {"lock": {"locked_reason": "under inspection"}},
        openstack_api_version="compute 2.73",
    )
    assert reply.status == 202
    for name in ("os-stop", "pause", "shelve"):
        assert act(tenant, server, name) == (409, f"Instance {server} is locked")
    assert tenant.ask("compute", "DELETE", path).status == 409
    body = tenant.ok("compute", "GET", path, openstack_api_version="compute 2.73")
    assert (body["locked"], body["locked_reason"], body["status"]) == (True, "under inspection", "ACTIVE")
    assert act(tenant, server, "unlock") == (202, "")
    assert act(tenant, server, "os-stop") == (202, "")
    body = tenant.ok("compute", "GET", path, openstack_api_version="compute 2.73")
    assert (body["locked"], body["locked_reason"]) == (False, None)


def test_a_lock_takes_no_reason_before_its_microversion(tenant: Tenant, server: str) -> None:
    assert act(tenant, server, "lock", {"locked_reason": "x"})[0] == 400
    assert act(tenant, server, "lock") == (202, "")


def test_a_resize_waits_for_a_word(tenant: Tenant, server: str) -> None:
    other = next(item.id for item in tenant.config.regions[0].flavors if item.id != tenant.flavor)
    assert act(tenant, server, "resize", {"flavorRef": tenant.flavor}) == (
        400,
        "When resizing, instances must change flavor!",
    )
    assert act(tenant, server, "resize", {"flavorRef": "nope"}) == (400, "Flavor nope could not be found.")
    assert act(tenant, server, "resize", {"flavorRef": other}) == (202, "")
    states = tenant.states(server)
    assert (states[0][0], states[-1]) == ("RESIZE", ("VERIFY_RESIZE", None))
    assert act(tenant, server, "os-stop") == (409, f"Cannot 'stop' instance {server} while it is in vm_state resized")
    assert act(tenant, server, "revertResize") == (202, "")
    assert tenant.states(server)[-1] == ("ACTIVE", None)
    assert tenant.ok("compute", "GET", f"/v2.1/servers/{server}")["flavor"]["id"] == tenant.flavor
    act(tenant, server, "resize", {"flavorRef": other})
    tenant.settle()
    assert act(tenant, server, "confirmResize")[0] == 204
    tenant.settle()
    assert shown(tenant, server) == ("ACTIVE", "active", None, 1)
    assert tenant.ok("compute", "GET", f"/v2.1/servers/{server}")["flavor"]["id"] == other


@pytest.mark.parametrize("name", ["os-resetState", "migrate", "os-migrateLive"])
def test_the_administrator_s_actions_are_forbidden_to_a_tenant(tenant: Tenant, server: str, name: str) -> None:
    status, message = act(tenant, server, name, {"state": "error"} if name == "os-resetState" else None)
    assert status == 403
    assert message.startswith("Policy doesn't allow os_compute_api:")


# --- from outside

REFUSED = {
    "PAUSED": "Cannot 'stop' instance {} while it is in vm_state paused",
    "SUSPENDED": "Cannot 'stop' instance {} while it is in vm_state suspended",
    "RESCUE": "Cannot 'stop' instance {} while it is in vm_state rescued",
    "SHELVED": "Cannot 'stop' instance {} while it is in vm_state shelved",
    "SHELVED_OFFLOADED": "Instance {} is not ready",
    "VERIFY_RESIZE": "Cannot 'stop' instance {} while it is in vm_state resized",
    "RESIZE": "Cannot 'stop' instance {} while it is in task_state resize_migrating",
    "MIGRATING": "Cannot 'stop' instance {} while it is in task_state migrating",
    "REBOOT": "Cannot 'stop' instance {} while it is in task_state rebooting",
    "HARD_REBOOT": "Cannot 'stop' instance {} while it is in task_state rebooting_hard",
    "BUILD": "Cannot 'stop' instance {} while it is in vm_state building",
    "SOFT_DELETED": "Cannot 'stop' instance {} while it is in vm_state soft-delete",
}


@pytest.mark.parametrize("state", REFUSED)
def test_a_state_is_put_from_outside_and_taken_back(tenant: Tenant, server: str, state: str) -> None:
    undo = staging.put(nova(tenant), server, state)
    assert shown(tenant, server)[0] == state
    assert act(tenant, server, "os-stop") == (409, REFUSED[state].format(server))
    listed = [item["id"] for item in tenant.ok("compute", "GET", "/v2.1/servers/detail")]
    assert listed == ([] if state == "SOFT_DELETED" else [server])
    undo()
    assert shown(tenant, server) == ("ACTIVE", "active", None, 1)


def test_every_state_that_can_be_put_is_tried_here() -> None:
    assert set(staging.STATES) == {*REFUSED, "ERROR", "LOCKED", "SCHEDULING", "HYPERVISOR_DOWN"}


def test_a_server_in_error_can_be_stopped(tenant: Tenant, server: str) -> None:
    staging.put(nova(tenant), server, "ERROR")
    assert shown(tenant, server)[0] == "ERROR"
    assert tenant.ok("compute", "GET", f"/v2.1/servers/{server}")["fault"]["message"]
    assert act(tenant, server, "os-stop") == (202, "")
    assert tenant.states(server)[-1] == ("SHUTOFF", None)


def test_locked_and_scheduling_from_outside(tenant: Tenant, server: str) -> None:
    undo = staging.put(nova(tenant), server, "LOCKED")
    assert act(tenant, server, "os-stop") == (409, f"Instance {server} is locked")
    undo()
    undo = staging.put(nova(tenant), server, "SCHEDULING")
    assert act(tenant, server, "os-stop") == (404, f"Instance {server} could not be found.")
    undo()
    assert act(tenant, server, "os-stop") == (202, "")


def test_a_dead_hypervisor_takes_orders_and_follows_none(tenant: Tenant, server: str) -> None:
    undo = staging.put(nova(tenant), server, "HYPERVISOR_DOWN")
    assert act(tenant, server, "os-stop") == (202, "")
    assert tenant.states(server) == [("ACTIVE", "powering-off")]
    assert "stop_server" not in tenant.backend.names()
    undo()
    assert tenant.states(server)[-1] == ("SHUTOFF", None), "the order waits in the hypervisor's queue"


def test_taking_back_leaves_what_somebody_else_has_changed(tenant: Tenant, server: str) -> None:
    undo = staging.put(nova(tenant), server, "PAUSED")
    act(tenant, server, "unpause")
    tenant.settle()
    act(tenant, server, "os-stop")
    tenant.settle()
    undo()
    assert shown(tenant, server)[0] == "SHUTOFF"


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("PAUSED", ["freeze_server", "thaw_server"]),
        ("SUSPENDED", ["freeze_server", "thaw_server"]),
        ("RESCUE", ["stop_server", "start_server"]),
        ("SHELVED", ["stop_server", "start_server"]),
        ("VERIFY_RESIZE", []),
    ],
)
def test_the_machine_behind_does_the_same(tenant: Tenant, server: str, state: str, calls: list[str]) -> None:
    staging.put(nova(tenant), server, state)()
    assert [name for name in tenant.backend.names() if name != "server_running"] == calls


# --- cells

DOWN = "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible.\n"


def two(tenant: Tenant) -> tuple[str, str]:
    network = tenant.network()
    return tenant.server({"uuid": network}), tenant.server({"uuid": network}, name="db")


def test_below_2_69_a_list_keeps_silent_about_a_dead_cell(tenant: Tenant) -> None:
    seen, lost = two(tenant)
    undo = staging.cell_down(nova(tenant), lost)
    for version in ("2.1", "2.68"):
        reply = tenant.ask("compute", "GET", "/v2.1/servers/detail", openstack_api_version=f"compute {version}")
        assert (reply.status, [item["id"] for item in reply.body["servers"]]) == (200, [seen])
    undo()
    assert {item["id"] for item in tenant.ok("compute", "GET", "/v2.1/servers/detail")} == {seen, lost}


def test_from_2_69_it_names_the_id_and_says_that_it_knows_no_more(tenant: Tenant) -> None:
    seen, lost = two(tenant)
    staging.cell_down(nova(tenant), lost)
    rows = {
        item["id"]: item
        for item in tenant.ok("compute", "GET", "/v2.1/servers/detail", openstack_api_version="compute 2.69")
    }
    assert rows[seen]["name"] == "web"
    assert set(rows[lost]) == {"id", "status", "tenant_id", "created", "links"}
    assert rows[lost]["status"] == "UNKNOWN"
    brief = tenant.ok("compute", "GET", "/v2.1/servers", openstack_api_version="compute 2.69")
    assert next(set(item) for item in brief if item["id"] == lost) == {"id", "status", "links"}
    for query in ("limit=10", "sort_key=uuid", "name=db"):
        rows = tenant.ok("compute", "GET", f"/v2.1/servers/detail?{query}", openstack_api_version="compute 2.69")
        assert lost not in [item["id"] for item in rows], query


def test_one_server_of_a_dead_cell(tenant: Tenant) -> None:
    _, lost = two(tenant)
    undo = staging.cell_down(nova(tenant), lost)
    reply = tenant.ask("compute", "GET", f"/v2.1/servers/{lost}")
    assert reply.status == 500
    assert reply.body["computeFault"]["message"].startswith(DOWN)
    for name in ("os-stop", "pause"):
        status, message = act(tenant, lost, name)
        assert (status, message.startswith(DOWN)) == (500, True)
    body = tenant.ok("compute", "GET", f"/v2.1/servers/{lost}", openstack_api_version="compute 2.69")
    assert (body["status"], "name" in body, body["OS-EXT-STS:power_state"]) == ("UNKNOWN", False, 0)
    assert tenant.ask("compute", "DELETE", f"/v2.1/servers/{lost}").status == 500
    undo()
    assert shown(tenant, lost)[0] == "ACTIVE"


# --- pages


def pages(tenant: Tenant, path: str) -> list[list[str]]:
    """The names on each page, followed by the links as given."""
    found = []
    while path:
        body = tenant.ask("compute", "GET", path).body
        found.append([item["name"] for item in body["servers"]])
        links = body.get("servers_links", [])
        path = links[0]["href"].partition("8774")[2] if links else ""
    return found


def test_the_service_s_own_maximum_cuts_every_list(tenant: Tenant) -> None:
    network = tenant.network()
    for name in ("one", "two", "three"):
        tenant.server({"uuid": network}, name=name)
    undo = staging.page_limit(nova(tenant), 2)
    assert pages(tenant, "/v2.1/servers/detail") == [["three", "two"], ["one"]]
    assert pages(tenant, "/v2.1/servers?limit=100") == [["three", "two"], ["one"]]
    assert pages(tenant, "/v2.1/servers?limit=1") == [["three"], ["two"], ["one"], []]
    undo()
    assert pages(tenant, "/v2.1/servers/detail") == [["three", "two", "one"]]


def test_two_servers_may_bear_one_name(tenant: Tenant) -> None:
    network = tenant.network()
    ids = {tenant.server({"uuid": network}, name="twin") for _ in range(2)}
    rows = tenant.ok("compute", "GET", "/v2.1/servers/detail?name=twin")
    assert {item["id"] for item in rows} == ids
    assert len(ids) == 2
