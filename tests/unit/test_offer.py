"""What a region offers: quota, sizes, images, as OpenStack's APIs answer, and what is no answer."""

from __future__ import annotations

from typing import Any

import pytest

from contract.access import OpenStack
from scripts.clients.offer import Offer, Quota, Room
from scripts.clients.openstack import ApiDown, Cloud
from scripts.clients.server_states import Size, read

# As Nova answered `GET /limits` and `GET /flavors/<id>`.
LIMITS = {
    "maxTotalInstances": 20,
    "maxTotalCores": 100,
    "maxTotalRAMSize": -1,
    "totalInstancesUsed": 12,
    "totalCoresUsed": 96,
    "totalRAMUsed": 4096,
}
FLAVOR = {"id": "f1", "name": "b3-8", "ram": 8192, "vcpus": 2, "disk": 25, "OS-FLV-DISABLED:disabled": False}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """By service and path; what is not there is 404."""
    told: dict[str, Any] = {
        "compute /limits": {"limits": {"rate": [], "absolute": LIMITS}},
        "compute /flavors/f1": {"flavor": FLAVOR},
        "image /v2/images/i1": {"id": "i1", "status": "active"},
    }

    def ask(_: Cloud, method: str, service: str, path: str, body: Any = None) -> dict[str, Any]:
        assert method == "GET" and body is None
        found = told.get(f"{service} {path}")
        if found is None:
            raise ApiDown(f"OpenStack API {path}: answered 404", 404)
        return dict(found)

    monkeypatch.setattr(Cloud, "ask", ask)
    monkeypatch.setattr(Cloud, "url", lambda _, service, path: f"http://{service}{path}")
    return told


def offer() -> Offer:
    return Offer(OpenStack(auth_url="http://keystone/v3", user="u", password="p", project_id="1", domain="D"), "GRA11")


def test_what_is_left_is_the_limit_without_what_is_used(answers: dict[str, Any]) -> None:
    room = offer().room()
    assert (room.servers.left, room.cores.left, room.memory.left) == (8, 4, None)
    assert room.lacks([Size(cores=2, memory=2**30)] * 2) == []
    assert room.lacks([Size(cores=2, memory=1)] * 3) == ["4 of 100 cores left, 6 needed"]
    assert Room(
        servers=Quota(limit=1, used=1), cores=Quota(limit=None, used=0), memory=Quota(limit=None, used=0)
    ).lacks([Size(cores=1, memory=1)]) == ["0 of 1 servers left, 1 needed"]


@pytest.mark.parametrize(
    "spoiled", [{"maxTotalCores": None}, {"maxTotalCores": "100"}, {"totalCoresUsed": -1}, {"maxTotalRAMSize": True}]
)
def test_limits_that_are_no_numbers_are_no_answer(answers: dict[str, Any], spoiled: dict[str, Any]) -> None:
    answers["compute /limits"] = {"limits": {"absolute": {**LIMITS, **spoiled}}}
    with pytest.raises(ApiDown, match="wanted two numbers"):
        offer().room()
    answers["compute /limits"] = {"limits": []}
    with pytest.raises(ApiDown, match="answered no limits"):
        offer().room()


def test_a_flavor_that_is_gone_or_disabled_is_not_offered(answers: dict[str, Any]) -> None:
    answers["compute /flavors/f2"] = {"flavor": {**FLAVOR, "OS-FLV-DISABLED:disabled": True}}
    assert offer().sizes(["f1", "f2", "f3", "f1"]) == {"f1": Size(cores=2, memory=8192), "f2": None, "f3": None}


def test_a_flavor_without_its_size_is_no_answer(answers: dict[str, Any]) -> None:
    answers["compute /flavors/f1"] = {"flavor": {**FLAVOR, "vcpus": "2"}}
    with pytest.raises(ApiDown, match="no flavor with vcpus and ram"):
        offer().sizes(["f1"])


def test_an_image_is_told_by_its_status_and_one_that_is_gone_by_none(answers: dict[str, Any]) -> None:
    answers["image /v2/images/i2"] = {"id": "i2", "status": "deactivated\x1b[2J"}
    assert offer().image("i1") == "active" and offer().image("i3") == ""
    assert offer().image("i2") == "deactivated\\x1b[2J"


def test_an_id_that_leads_elsewhere_is_asked_as_a_name_of_nothing(answers: dict[str, Any]) -> None:
    assert offer().image("../../v2/images/i1") == ""


def test_the_size_of_a_server_is_read_where_nova_tells_it() -> None:
    server = {"id": "1", "name": "n", "status": "ACTIVE"}
    told = read({**server, "flavor": {"vcpus": 2, "ram": 4096, "original_name": "d2-4"}})
    before = read({**server, "flavor": {"id": "f1", "links": []}})
    assert told is not None and told.size == Size(cores=2, memory=4096)
    assert before is not None and before.size is None, "an older Nova tells the flavor's id"
