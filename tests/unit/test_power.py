"""Rung 2 against a compute service that is whole, half dead, or tells half: what proves that servers are off, and what never does."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from contract import fields
from contract.links.fence import Servers
from scripts.clients.openstack import ApiDown
from scripts.clients.server_states import STATES, Server, read
from scripts.links import power
from scripts.links.power import PowerOff, start
from scripts.links.rungs import RungFailed
from tests.unit.played_nova import Nova

DB, CACHE, APP = "shop-a-db-1", "shop-a-cache-1", "shop-a-app-1"
NAMES = (DB, CACHE, APP)
LEASED = (DB, CACHE)
IDS = {name: f"id-{name}" for name in NAMES}


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nova]:
    """Three servers that run; a clock that goes on by half a second whenever it is read."""
    clock = iter(range(100_000))
    monkeypatch.setattr(power, "time", SimpleNamespace(monotonic=lambda: next(clock) / 2, sleep=lambda _: None))
    monkeypatch.setattr(power, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(power, "LONGEST_PAUSE_S", 0.0)
    made = Nova().install(monkeypatch)
    for name in NAMES:
        made.add(IDS[name], name)
    yield made


def rung(ids: dict[str, str] | None = None) -> PowerOff:
    access = {"auth_url": "http://k", "user": "u", "password": "p", "project_id": "i", "domain": "D"}
    leased = {"a": list(LEASED), "b": ["shop-b-db-1"]}
    sites = {"regions": {"a": "GRA11", "b": "SBG5"}, "servers": leased, "workers": {"a": [APP], "b": []}}
    return PowerOff(fields.read(Servers, access | sites, "servers"), "a", IDS if ids is None else ids)


def refused(made: PowerOff) -> str:
    with pytest.raises(RungFailed) as caught:
        made.prove([])
    return str(caught.value)


def test_servers_that_run_are_asked_once_each_and_seen_off(nova: Nova) -> None:
    proof = rung().prove([])
    assert nova.all_asked() == [("os-stop", name) for name in sorted(NAMES)]
    off = dict.fromkeys((IDS[name] for name in LEASED), "SHUTOFF")
    assert {each["id"]: each["status"] for each in proof.evidence["servers"]} == off
    assert sorted(proof.evidence["asked"]) == sorted(NAMES)


@pytest.mark.parametrize("status", ["ACTIVE", "ERROR", "PAUSED", "RESCUE", "MIGRATING", "UNKNOWN"])
def test_nobody_waits_for_a_server_that_only_works(nova: Nova, status: str) -> None:
    nova.servers[IDS[APP]]["status"] = status
    stops = nova.on_stop
    nova.on_stop = lambda server: stops(server) if server["name"] != APP else server.update({})
    proof = rung().prove([])
    assert [each["status"] for each in proof.evidence["beside"]] == [status]
    assert (("os-stop", APP) in nova.all_asked()) == (status in ("ACTIVE", "ERROR"))


def test_a_server_that_only_works_is_asked_though_all_others_are_off(nova: Nova) -> None:
    for name in LEASED:
        nova.servers[IDS[name]].update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    assert rung().prove([]).evidence["asked"] == [APP]
    assert nova.all_asked() == [("os-stop", APP)]


def test_an_api_that_takes_no_request_for_a_server_that_only_works_holds_up_nothing(nova: Nova) -> None:
    def down(server: dict[str, Any]) -> None:
        if server["name"] == APP:
            raise ApiDown("answered 500 Internal Server Error", 500)
        server.update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})

    nova.on_stop = down
    assert sorted(rung().prove([]).evidence["asked"]) == sorted(NAMES)
    assert ("os-stop", APP) in nova.all_asked()


def test_a_server_of_another_name_is_stopped_by_its_id(nova: Nova) -> None:
    nova.servers[IDS[DB]]["name"] = "old-db"
    proof = rung().prove([])
    assert ("os-stop", "old-db") in nova.asked
    assert IDS[DB] in {each["id"] for each in proof.evidence["servers"]}


def test_a_twin_of_the_name_is_stopped_as_well(nova: Nova) -> None:
    nova.servers[IDS[DB]].update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    nova.add("id-twin", DB)
    assert "id-twin" in {each["id"] for each in rung().prove([]).evidence["servers"]}
    assert nova.servers["id-twin"]["status"] == "SHUTOFF"


def test_every_page_is_read_and_no_address_in_it_is_followed(nova: Nova) -> None:
    nova.add("id-twin", DB)
    nova.page = 2
    rung({}).prove([])
    nova.all_asked()
    assert {server["status"] for server in nova.servers.values()} == {"SHUTOFF"}


def test_a_name_that_is_absent_and_whose_id_nobody_has_left_is_never_off(nova: Nova) -> None:
    del nova.servers[IDS[DB]]
    assert f"{DB} is not listed and no run has left its id" in refused(rung({CACHE: IDS[CACHE]}))
    assert nova.asked == [], "none is asked where they cannot all be stopped"


def test_a_server_that_was_deleted_is_off_where_others_of_ours_are_seen(nova: Nova) -> None:
    del nova.servers[IDS[DB]]
    assert rung().prove([]).evidence["deleted"] == [DB]


def test_a_page_of_somebody_between_is_no_word_that_a_server_was_deleted(
    nova: Nova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a half-dead region: the list leaves out what a dead cell holds, and whatever stands in front answers for its id."""
    del nova.servers[IDS[DB]]
    really = nova.ask

    def ask(client: Any, method: str, service: str, path: str, body: Any = None) -> dict[str, Any]:
        if path == f"/servers/{IDS[DB]}":
            raise ApiDown("OpenStack API nova, GET /servers/x: answered 404 Not Found", 404)
        return really(client, method, service, path, body)

    monkeypatch.setattr(nova, "ask", ask)
    with pytest.raises(
        RungFailed, match=r"is not listed, and who was asked for its id is not Nova \(.*404 Not Found\)"
    ):
        rung().prove([])
    assert nova.all_asked() == []


def test_a_project_that_knows_none_of_the_ids_proves_nothing(nova: Nova) -> None:
    nova.servers.clear()
    assert "is it the right project?" in refused(rung())


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("ids", [IDS, {}])
def test_a_cell_that_does_not_answer_hides_a_server_and_proves_nothing(
    nova: Nova, newest: bool, ids: dict[str, str]
) -> None:
    nova.newest, nova.dead = newest, {IDS[DB]}
    said = refused(rung(dict(ids)))
    assert any(words in said for words in ("UNKNOWN", "500", "is not listed")), said
    assert nova.servers[IDS[DB]]["status"] == "ACTIVE" and nova.asked == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("PAUSED", "may go on where it was"),
        ("SUSPENDED", "may go on where it was"),
        ("RESCUE", "rescue system"),
        ("VERIFY_RESIZE", "confirm or revert"),
        ("UNKNOWN", "its cell does not answer"),
        ("SOMETHING_NEW", "does not know the state"),
    ],
)
def test_a_state_that_no_request_ends_is_told_with_what_helps_and_nobody_is_stopped(
    nova: Nova, status: str, words: str
) -> None:
    nova.servers[IDS[DB]]["status"] = status
    said = refused(rung())
    assert status in said and words in said
    assert nova.asked == []


@pytest.mark.parametrize("status", [name for name, state in STATES.items() if state.stopped])
def test_a_state_that_only_a_boot_ends_is_off(nova: Nova, status: str) -> None:
    for server in nova.servers.values():
        server.update({"status": status, "OS-EXT-STS:power_state": 4})
    assert rung().prove([]).evidence["asked"] == []


@pytest.mark.parametrize("status", [name for name, state in STATES.items() if state.passes])
def test_a_state_that_passes_is_waited_for_and_then_asked(nova: Nova, status: str) -> None:
    server = nova.servers[IDS[DB]]
    server["status"] = status

    def passes() -> None:
        if nova.looks > 12 and server["status"] == status:
            server["status"] = "ACTIVE"

    nova.on_look = passes
    rung().prove([])
    assert ("os-stop", DB) in nova.asked


def test_a_server_about_to_be_switched_on_is_not_off(nova: Nova) -> None:
    for server in nova.servers.values():
        server.update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    nova.servers[IDS[DB]]["OS-EXT-STS:task_state"] = "powering-on"
    assert f"{DB} is SHUTOFF, powering-on" in refused(rung())


def test_a_server_that_its_hypervisor_runs_is_not_off_whatever_the_status(nova: Nova) -> None:
    for server in nova.servers.values():
        server.update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    nova.servers[IDS[DB]]["OS-EXT-STS:power_state"] = 1
    assert "its power is on" in refused(rung())


def test_a_refused_request_is_made_again_and_its_words_are_told(nova: Nova) -> None:
    refusals = iter(range(3))

    def busy(server: dict[str, Any]) -> None:
        if server["name"] == DB and next(refusals, None) is not None:
            raise ApiDown("answered 409 Conflict", 409, "Instance is not ready")
        server.update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})

    nova.on_stop = busy
    rung().prove([])
    assert nova.asked.count(("os-stop", DB)) == 4


def test_a_hypervisor_that_never_does_it_ends_with_what_was_seen(nova: Nova) -> None:
    nova.on_stop = lambda server: server.update({"OS-EXT-STS:task_state": "powering-off"})
    made = rung()
    said = refused(made)
    assert "after 90 s" in said and f"{DB} is ACTIVE, powering-off" in said
    assert made.changed.startswith(f"{DB}, {CACHE}, {APP} were asked to stop")
    assert made.against_lease() == "", "it runs, so its own lease runs too"


def test_a_locked_server_is_told_with_the_reason(nova: Nova) -> None:
    nova.servers[IDS[DB]]["locked"] = True
    assert f"{DB} is ACTIVE and locked (unlock it" in refused(rung())
    assert nova.asked == []


@pytest.mark.parametrize("status", [None, 500, 503, 429, 409])
def test_an_answer_that_may_pass_is_asked_for_again(nova: Nova, status: int | None) -> None:
    fails = iter(range(4))

    def sometimes() -> None:
        if next(fails, None) is not None:
            raise ApiDown("no answer within 5 s", status)

    nova.on_look = sometimes
    assert rung().prove([]).evidence["servers"]


def test_keys_that_are_refused_end_it_at_once(nova: Nova) -> None:
    nova.down = ApiDown("answered 401 Unauthorized", 401)
    made = rung()
    assert "401" in refused(made)
    assert made.against_lease() == ""


@pytest.mark.parametrize(
    "seen",
    [{"status": "PAUSED"}, {"status": "SUSPENDED"}, {"OS-EXT-STS:power_state": 3}, {"OS-EXT-STS:power_state": 7}],
)
def test_a_machine_that_stands_still_speaks_against_any_lease(nova: Nova, seen: dict[str, Any]) -> None:
    nova.servers[IDS[DB]].update(seen)
    nova.on_stop = lambda server: None
    made = rung()
    refused(made)
    assert DB in made.against_lease()


def test_every_state_has_one_meaning() -> None:
    for name, state in STATES.items():
        assert sum((state.stopped, state.stoppable, state.passes)) <= 1, name
        assert state.stopped or state.remedy, f"{name}: who reads of it is told what helps"
    assert not any(state.stands and state.stopped for state in STATES.values())


@pytest.mark.parametrize(
    "item",
    [None, 7, [], {}, {"id": "x"}, {"id": "x", "status": "ACTIVE"}, {"id": 7, "name": "n", "status": "ACTIVE"}],
)
def test_what_cannot_be_read_is_no_server(item: Any) -> None:
    assert read(item) is None


def test_a_task_of_another_kind_is_none_and_a_power_that_is_no_number_is_unknown() -> None:
    found = read(
        {"id": "x", "name": "n", "status": "SHUTOFF", "OS-EXT-STS:task_state": 5, "OS-EXT-STS:power_state": "on"}
    )
    assert found == Server(id="x", name="n", status="SHUTOFF")


def test_own_servers_that_are_off_are_started_and_no_others(nova: Nova) -> None:
    nova.servers[IDS[DB]].update({"status": "SHUTOFF", "OS-EXT-STS:power_state": 4})
    made = rung()
    start(made._openstack, "GRA11", NAMES, IDS)
    assert nova.asked == [("os-start", DB)]


def test_own_servers_that_are_being_stopped_are_started_once_they_are_off(nova: Nova) -> None:
    nova.servers[IDS[DB]]["OS-EXT-STS:task_state"] = "powering-off"

    def ends() -> None:
        if nova.looks == 3:
            off = {"status": "SHUTOFF", "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 4}
            nova.servers[IDS[DB]].update(off)

    nova.on_look = ends
    start(rung()._openstack, "GRA11", NAMES, IDS)
    assert nova.asked == [("os-start", DB)]


def test_a_server_whose_task_does_not_end_is_told_and_the_run_ends(
    nova: Nova, capsys: pytest.CaptureFixture[str]
) -> None:
    nova.servers[IDS[DB]]["OS-EXT-STS:task_state"] = "powering-off"
    start(rung()._openstack, "GRA11", NAMES, IDS)
    assert nova.asked == [] and f"{DB} is ACTIVE, powering-off" in capsys.readouterr().err


def test_a_run_needs_no_compute_api(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    nova.down = ApiDown("OpenStack API x: no answer")
    start(rung()._openstack, "GRA11", NAMES, IDS)
    assert "WARNING servers: could not see whether those of region GRA11 are on" in capsys.readouterr().err
