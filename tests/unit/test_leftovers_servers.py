"""A server that is switched for its volume's sake, whatever state a run that was killed has left it in."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.clients.openstack import ApiDown
from scripts.leftovers import servers


class PlayedCloud:
    """One server and its volume. `answers`: the error of the next action."""

    def __init__(self, status: str, answers: int | None = None) -> None:
        self.status, self.answers, self.asked = status, answers, list[str]()
        self.volumes = [{"volumeId": "v"}]

    def ask(self, method: str, service: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if method == "GET":
            return (
                {"volumeAttachments": self.volumes}
                if path.endswith("attachments")
                else {"server": {"status": self.status}}
            )
        (action,) = body or {"": None}
        self.asked.append(action)
        self.status = {"os-stop": "SHUTOFF", "os-start": "ACTIVE"}[action]  # one that was on its way arrives
        if self.answers:
            raise ApiDown("refused", self.answers)
        return {}

    def delete(self, service: str, path: str) -> None:
        assert self.status == "SHUTOFF", "taken off a server that runs"
        self.volumes.clear()

    def find(self, service: str, path: str) -> dict[str, Any] | None:
        return self.volumes[0] if self.volumes else None


@pytest.mark.parametrize(
    ("status", "answers", "asked"),
    [
        ("ACTIVE", None, ["os-stop", "os-start"]),
        ("ACTIVE", 409, ["os-stop", "os-start"]),
        ("SHUTOFF", None, ["os-start"]),
    ],
)
def test_a_volume_is_taken_off_and_its_server_runs_again(status: str, answers: int | None, asked: list[str]) -> None:
    cloud = PlayedCloud(status, answers)
    (found,) = servers.attachments(cloud, {"instanceId": "s", "volumeId": "v"}, lambda: None)  # type: ignore[arg-type]
    found.remove()
    assert (cloud.asked, cloud.status, cloud.volumes) == (asked, "ACTIVE", [])


def test_an_api_that_refuses_is_told() -> None:
    (found,) = servers.attachments(PlayedCloud("ACTIVE", 500), {"instanceId": "s", "volumeId": "v"}, lambda: None)  # type: ignore[arg-type]
    with pytest.raises(ApiDown, match="refused"):
        found.remove()
