"""`drctl destroy`: looks before it does anything, leads the name away, deletes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.accept import spelled
from contract.epoch import Epoch
from contract.errors import DrError, ExitCode, Failed
from contract.runs import Run
from scripts.clients import run_lease
from scripts.clients.openstack import ApiDown, Cloud
from scripts.clients.run_bucket import Word
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import destroy
from scripts.ctl.stacks.stack import Stack
from scripts.leftovers import network
from scripts.links import keeper, pointer
from tests.unit.played_project import lay

ADDRESS, OTHER = "203.0.113.5", "198.51.100.5"
STATE = [
    {"type": "dr:index:Host", "urn": "urn:pulumi:region-b::dr::dr:index:Host::region-db-1"},
    {
        "type": "openstack:networking/floatingIp:FloatingIp",
        "urn": "urn:x::region-balancer-ip",
        "id": "fip",
        "outputs": {"address": ADDRESS},
    },
    {"type": destroy.NETWORK, "urn": "urn:x::region-network-front", "id": "net-1"},
    {"type": destroy.PORT, "urn": "urn:x::region-db-1-front", "id": "port-1"},
    {"type": destroy.BALANCER, "urn": "urn:x::region-balancer-octavia", "id": "lb", "outputs": {"vipPortId": "port-2"}},
    {"type": "x:y:Volume", "urn": "urn:x::region-db-1-data", "id": "volume-7", "retainOnDelete": True},
]
PORTS = [
    {"id": "port-1", "name": "shop-b-db-1-front", "device_owner": "compute:nova"},
    {"id": "port-2", "name": "octavia-lb-1", "device_owner": "Octavia"},
    {"id": "port-3", "name": "", "device_owner": "network:router_interface"},
    {"id": "port-9", "name": "ne\nighbour", "device_owner": "compute:nova"},
]


class Leases:
    """Of the stack's runs, at the witness; whoever has said a word of it last."""

    def __init__(self) -> None:
        self.there = Word(run=None, etag="", age_s=0.0)
        self.said: list[tuple[str, bool]] = []  # what, and whether it has ended

    def word(self, site: str) -> Word:
        return self.there

    def say(self, run: Run, over: str) -> str:
        self.said.append((run.what, run.ended))
        return "etag"


class World:
    """What is outside, and what was done to it, in order."""

    def __init__(self) -> None:
        self.active, self.down, self.silent, self.ports = "a", False, False, list(PORTS)
        self.records = [(1, OTHER), (2, ADDRESS)]
        self.mute = False  # the API of the zone
        self.stuck = False  # name servers that do not follow
        self.state = json.loads(json.dumps(STATE))
        self.done: list[str] = []
        self.leases = Leases()

    # --- the witness
    def newest(self) -> Epoch:
        if self.down:
            raise WitnessDown("witness: does not answer")
        return Epoch(epoch=3, active=self.active, previous=None, planned=True)

    def forget_addresses(self, site: str) -> None:
        self.done.append(f"forget {site}")

    # --- the zone, and its servers
    def zone_records(self) -> list[dict[str, Any]]:
        if self.mute:
            raise Failed("OVHcloud API: does not answer")
        return [{"id": number, "kind": "A", "target": target, "ttl": 60} for number, target in self.records]

    def remove(self, number: int) -> None:
        self.records = [it for it in self.records if it[0] != number]
        self.done.append(f"remove {number}")

    def refresh(self) -> None:
        self.done.append("refresh")

    def served(self, servers: tuple[str, ...], name: str) -> dict[str, set[str]]:
        said = {ADDRESS} if self.stuck else {target for _, target in self.records}
        return dict.fromkeys(servers, said)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()
    zone = type(
        "Zone",
        (),
        {
            "records": lambda _: it.zone_records(),
            "remove": lambda _, n: it.remove(n),
            "refresh": lambda _: it.refresh(),
        },
    )

    def asked(_: Any, collection: str, **query: str) -> list[dict[str, Any]]:
        return it.ports if query == {"network_id": "net-1"} and collection == "ports" else []

    def connect(_: Any) -> None:
        if it.silent:
            raise ApiDown("OpenStack API: does not answer")

    monkeypatch.setattr(destroy, "Witness", lambda place: it)
    monkeypatch.setattr(keeper, "Witness", lambda place: it)
    monkeypatch.setattr(run_lease, "RunBucket", lambda *_, **__: it.leases)
    monkeypatch.setattr(run_lease, "RENEWED_S", 60.0)
    monkeypatch.setattr(destroy, "OvhZone", lambda *_: zone())
    monkeypatch.setattr(pointer, "all_answers", it.served)
    monkeypatch.setattr(pointer, "SERVED_S", 0.0)
    monkeypatch.setattr(network, "listed", asked)
    monkeypatch.setattr(Cloud, "connect", connect)
    secrets = lay(tmp_path, "b", monkeypatch)

    def told(_: Any, *words: str) -> Any:
        return secrets if words[0] == "config" else {"deployment": {"resources": it.state}}

    monkeypatch.setattr(Stack, "_json", told)
    return it


def ran(*arguments: str) -> ExitCode:
    return destroy.run(cli.parser().parse_args(["destroy", *(arguments or ("b",))]))


def refused(world: World) -> str:
    with pytest.raises(DrError) as caught:
        ran()
    assert world.done == []
    assert "nothing was changed" in str(caught.value) or "nothing of the region was deleted" in str(caught.value)
    return str(caught.value)


def test_a_dry_run_says_what_would_be_done_and_what_is_in_the_way(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("b", "--dry-run") == ExitCode.DONE
    said = capsys.readouterr().out
    assert f"www.shop.example: would no longer lead to {ADDRESS}; nothing was changed" in said
    assert "port port-9" in said and "region-db-1-data (volume-7)" in said
    assert (world.done, world.leases.said) == ([], [])


def test_a_standby_is_made_ready(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert ran() == ExitCode.DONE
    assert world.done == ["forget b", "remove 2", "refresh"], "the other site publishes what the witness holds"
    said = capsys.readouterr().out
    assert f"www.shop.example: no longer leads to {ADDRESS}" in said
    assert "region-db-1-data (volume-7)" in said
    assert "port port-9 (ne ighbour)" in said and "port-1" not in said and "port-2" not in said and "port-3" not in said
    assert "run `pulumi destroy -s region-b`" in said


def test_what_leads_nowhere_is_left_alone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.records = [(1, OTHER)]
    ran()
    assert world.done == ["forget b"]
    assert f"does not lead to {ADDRESS}" in capsys.readouterr().out


def test_the_stacks_lease_is_held_while_the_name_is_led_away_and_given_back(world: World) -> None:
    ran()
    assert world.leases.said == [("destroy", False), ("destroy", True)]
    world.leases.said.clear()
    world.stuck, world.records = True, [(1, OTHER), (2, ADDRESS)]
    with pytest.raises(DrError):
        ran()
    assert world.leases.said == [("destroy", False), ("destroy", True)], "also where it fails"


def test_a_stack_that_somebody_works_at_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lease, "SILENT_S", 0.0)
    monkeypatch.setattr(run_lease, "RENEWED_S", 0.0)
    monkeypatch.setattr(run_lease, "over", lambda _: False)
    bob = Run(
        run="r",
        site="b",
        what="up",
        who="bob",
        place="desk",
        at="2026-11-28T03:00:00Z",
        machine="0" * 32,
        pid=1,
        begun=1,
    )
    world.leases.there = Word(run=bob, etag="e", age_s=1.0)
    assert "bob at desk" in refused(world)


def test_the_active_site_is_refused(world: World) -> None:
    world.active = "b"
    assert "it is active (epoch 3)" in refused(world)


def test_nothing_is_done_while_the_witness_is_silent(world: World) -> None:
    world.down = True
    assert "does not say which region is active" in refused(world)


def test_a_zone_that_does_not_answer_takes_nothing_from_the_witness(world: World) -> None:
    """Nobody would put it back there before `dr:repair` is raised."""
    world.mute = True
    with pytest.raises(DrError, match="does not answer"):
        ran()
    assert world.done == []


def test_what_is_protected_is_named_with_the_word_that_lifts_it(world: World) -> None:
    world.state[2]["protect"] = True
    said = refused(world)
    assert "found 1 protected (region-network-front)" in said
    assert "dr:destroy of that stack to {site: b, epoch: 3, at: " in said and "`pulumi up -s region-b`" in said
    assert "`pulumi state unprotect --all -s region-b` instead" in said


def test_the_active_site_goes_by_its_word(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world.active = "b"
    file = tmp_path / "Pulumi.region-b.yaml"
    document = yaml.safe_load(file.read_text())
    document["config"]["dr:destroy"] = {
        "site": "b",
        "epoch": 3,
        "at": spelled(),
        "reason": "the shop is closed for good",
    }
    file.write_text(yaml.safe_dump(document))
    assert ran() == ExitCode.DONE
    assert "dr:destroy: IS ARMED" in capsys.readouterr().out and "remove 2" in world.done


def test_a_stack_of_the_other_site_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(DrError, match="is of site b, wanted a; nothing was changed"):
        ran("a", "--stack", "region-b")
    assert world.done == []


def test_a_silent_openstack_is_told_and_name_servers_that_do_not_follow_end_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.silent = True
    assert ran() == ExitCode.DONE
    assert "does not say whether somebody else uses this site's networks" in capsys.readouterr().out
    world.records, world.stuck = [(2, ADDRESS)], True
    with pytest.raises(DrError, match=rf"still says {ADDRESS}, wanted it gone; run the same again"):
        ran()


def test_a_pulumi_that_does_not_answer_is_one_line_without_its_output(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\necho secret-in-the-output\necho 'error: passphrase must be set' >&2\nexit 255\n")
    program.chmod(0o755)
    asked = Stack(name="region-b", folder=tmp_path, program=str(program))
    with pytest.raises(Failed, match=r"stack region-b: ended with 255 \(error: passphrase must be set\)") as caught:
        list(asked.resources())
    assert "secret-in" not in str(caught.value)
    program.write_text("#!/bin/sh\necho secret-in-the-output\n")
    with pytest.raises(Failed, match="answered no JSON") as caught:
        list(asked.resources())
    assert "secret-in" not in str(caught.value)
    with pytest.raises(Failed, match="FileNotFoundError"):
        list(Stack(name="region-b", folder=tmp_path, program=str(tmp_path / "none")).resources())
