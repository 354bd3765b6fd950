"""What a move tells the app hosts of the region that was left: by whichever way leads there, and never as a failure."""

from __future__ import annotations

from typing import Any

import pytest

from contract import fields
from contract.errors import ExitCode
from contract.links.forward import Document
from scripts.clients.hosts import Answer, Unreachable
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import forward

FORWARDS = Answer(ExitCode.DONE, {"facts": {"forwards": True}}, "")
OWN, THEIRS = "198.51.100.9", "203.0.113.9"


class PlayedHosts:
    """`script`: by host and way; None where that way leads nowhere."""

    def __init__(self, script: dict[tuple[str, str], Answer | None]) -> None:
        self.script, self.asked, self.bastions = script, list[tuple[str, str, dict[str, Any]]](), dict[str, str]()

    def __enter__(self) -> PlayedHosts:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def routes(self, host: str) -> list[str]:
        return [site for site in ("b", "a") if site in self.bastions]

    def call(self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int) -> Answer:
        assert command == "app forward"
        self.asked.append((host, via, document))
        answer = self.script.get((host, via))
        if answer is None:
            raise Unreachable(f"host {host} through the bastion of {via}: no ssh session (\x1b[2Jcut)")
        return answer


def played(
    patch: pytest.MonkeyPatch,
    script: dict[tuple[str, str], Answer | None],
    *,
    bastion: str | None = THEIRS,
    down: bool = False,
) -> PlayedHosts:
    hosts = PlayedHosts(script)

    class Addresses:
        def __init__(self, *_: Any) -> None: ...

        def addresses(self, site: str) -> dict[str, str]:
            if down:
                raise WitnessDown("witness: does not answer")
            return {"bastion": bastion} if bastion else {}

    def of(ssh: Any) -> PlayedHosts:
        hosts.bastions = dict(ssh.bastions)
        return hosts

    patch.setattr(forward, "Witness", Addresses)
    patch.setattr(forward, "Hosts", of)
    return hosts


def told(**epoch: Any) -> Document:
    return fields.read(
        Document,
        {
            "site": "b",
            "epoch": {"epoch": 4, "active": "b", "previous": "a", "planned": True, **epoch},
            "apps": ["app-1", "app-2"],
            "ssh": {"private_key": "KEY", "hosts": {}, "bastions": {"b": OWN}},
            "witness": {
                "endpoint": "https://s3.example", "region": "de", "bucket": "witness", "access_key": "k", "secret_key": "s",
            },
        },
        "document",
    )  # fmt: skip


def test_every_app_host_of_the_region_that_was_left_is_told_the_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = played(monkeypatch, {("app-1.a", "b"): FORWARDS, ("app-2.a", "b"): FORWARDS})
    assert forward.run(told()) == {"schema": 1, "site": "b", "epoch": 4, "left": "a"}
    assert sorted(hosts.asked, key=str) == [(f"app-{n}.a", "b", {"schema": 1, "epoch": 4}) for n in (1, 2)]
    assert hosts.bastions == {"a": THEIRS, "b": OWN} and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "epoch", [{"active": "a", "previous": "b"}, {"previous": None}, {"epoch": 1, "previous": None}]
)
def test_nobody_is_told_where_this_region_has_left_none(monkeypatch: pytest.MonkeyPatch, epoch: dict[str, Any]) -> None:
    hosts = played(monkeypatch, {})
    assert forward.run(told(**epoch))["left"] is None
    assert hosts.asked == []


def test_where_one_way_leads_nowhere_another_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = played(monkeypatch, {("app-1.a", "a"): FORWARDS, ("app-2.a", "b"): FORWARDS})
    assert forward.run(told())["left"] == "a"
    assert sorted(asked[:2] for asked in hosts.asked) == [("app-1.a", "a"), ("app-1.a", "b"), ("app-2.a", "b")]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("more", [{"down": True}, {"bastion": None}])
def test_a_witness_that_does_not_know_the_other_bastion_leaves_the_way_by_the_own_one(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    hosts = played(monkeypatch, {("app-1.a", "b"): FORWARDS, ("app-2.a", "b"): FORWARDS}, **more)
    assert forward.run(told())["left"] == "a"
    assert hosts.bastions == {"b": OWN}


def test_a_host_that_is_lost_or_does_not_know_the_word_is_told_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = Answer(ExitCode.USAGE, None, "ERROR: unknown verb")
    played(monkeypatch, {("app-2.a", "b"): unknown})
    assert forward.run(told())["left"] == "a"
    one, two = capsys.readouterr().err.splitlines()
    assert "app-1.a" in one and "forwards once the stack of its region has run" in one and "\x1b" not in one
    assert "app-2.a: exit code 2 (ERROR: unknown verb)" in two and "bucket" in two
