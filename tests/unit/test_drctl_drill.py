"""`drctl drill restore`: backups are tried where they disturb nobody, and what came of it is recorded, also where it failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.epoch import Epoch
from contract.errors import ExitCode
from contract.report import Event
from scripts.clients.hosts import Answer, Hosts, Unreachable, answer_of
from scripts.clients.witness_bucket import WitnessDown
from scripts.ctl import cli
from scripts.ctl.commands import drill
from scripts.ctl.persons import reach
from scripts.ctl.reports import book, writing
from scripts.ctl.stacks.stack import Stack
from tests.unit.played_reports import Shelf, its

ITS = its()
WHOLE = {
    "restored": {"recovered_to": "2026-11-29 10:00:01+00", "directory": "/x"},
    "databases": {"shop": {"tables": 9, "rows": 120412, "by_table": {"public.orders": 40211}}},
    "checksums": {"blocks": 31877, "bad": 0},
    "restore_s": 41.2,
    "all_s": 55.0,
    "kept": None,
}


class World:
    """The witness, and the hosts behind both bastions."""

    def __init__(self) -> None:
        self.epoch: Epoch | None = Epoch(epoch=3, active="a", previous="b", planned=True)
        self.dead: set[tuple[str, str]] = set()  # way and verb
        self.code, self.facts = 0, dict[str, Any](WHOLE)
        self.calls: list[tuple[str, str, str, dict[str, Any]]] = []
        self.records = Shelf()

    def newest(self) -> Epoch | None:
        return self.epoch

    def addresses(self, site: str) -> dict[str, str]:
        return {"bastion": f"198.51.100.{site == 'b'}"}

    # --- hosts
    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def routes(self, host: str) -> list[str]:
        return sorted("ab", key=lambda site: site == host[-1])  # its own last, as `Hosts` says

    def call(self, host: str, via: str, command: str, document: dict[str, Any], limit_s: int, **_: Any) -> Answer:
        if (via, command) in self.dead:
            raise Unreachable(f"host {host} through the bastion of {via}: no ssh session")
        self.calls.append((host, via, command, document))
        if command == "postgres status":
            return Answer(0, {"facts": {}}, "")
        if self.code:
            return Answer(self.code, None, "ERROR archive rehearse: it is not whole")
        return Answer(0, answer_of(json.dumps({"facts": self.facts}).encode(), host, command), "")

    must: Any = Hosts.must

    def event(self) -> Event:
        (signed,) = book.opened(self.records, ITS).records  # type: ignore[arg-type]
        assert signed.record.kind == "drill" and signed.record.event is not None
        return signed.record.event

    @property
    def rehearsed(self) -> list[tuple[str, str]]:
        return [(host, via) for host, via, command, _ in self.calls if command == "archive rehearse"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    it = World()
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(drill, "Witness", lambda _: it)
    monkeypatch.setattr(reach, "Witness", lambda *_, **__: it)
    monkeypatch.setattr(drill, "Hosts", lambda _: it)
    monkeypatch.setattr(writing, "ReportBucket", lambda *_, **__: it.records)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return it


def test_the_standbys_host_restores_and_the_record_says_how_long_it_took(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(["drill", "restore", "--reason", "monthly", "--witnessed-by", "eve", "--approved-by", "bob"])
        == ExitCode.DONE
    )
    assert world.rehearsed == [("db-1.b", "b")], "by its own region's bastion first"
    (told,) = (document for _, _, command, document in world.calls if command == "archive rehearse")
    assert told["directory"].startswith("/var/lib/postgresql/drill-")
    said = capsys.readouterr().out
    assert (
        "restored up to the transaction of 2026-11-29 10:00:01+00 in 41 s" in said
        and "shop: 9 tables, 120412 rows" in said
    )
    it = world.event()
    assert (it.scenario, it.outcome, it.reason, it.witnessed_by) == ("restore", "done", "monthly", "eve")
    assert it.approved_by == "bob"
    assert it.rto is not None and it.rto.measured_s == 41.2


def test_the_standby_is_who_does_not_lead(world: World) -> None:
    world.epoch = Epoch(epoch=4, active="b", previous="a", planned=True)
    assert cli.main(["drill", "restore"]) == ExitCode.DONE
    assert world.rehearsed == [("db-1.a", "a")]


def test_the_other_regions_bastion_leads_there_where_the_own_one_is_dead(world: World) -> None:
    world.dead = {("b", "postgres status")}
    assert cli.main(["drill", "restore"]) == ExitCode.DONE
    assert world.rehearsed == [("db-1.b", "a")]


def test_what_is_not_whole_is_recorded_as_that(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.code = 1
    assert cli.main(["drill", "restore"]) == ExitCode.FAILED
    it = world.event()
    assert it.outcome == "failed" and it.errors and it.rto is not None and it.rto.measured_s is None
    assert "it is not whole" in capsys.readouterr().err


def test_a_way_that_breaks_while_it_runs_leaves_nobody_knowing_and_begins_no_second_one(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.dead = {("b", "archive rehearse")}
    assert cli.main(["drill", "restore"]) == ExitCode.UNKNOWN
    assert "may run on there" in capsys.readouterr().err
    assert world.event().outcome == "unknown" and world.rehearsed == []


@pytest.mark.parametrize("facts", [{"restore_s": "long"}, {"restored": None}, {"checksums": {"bad": -1}}])
def test_an_answer_of_another_form_is_no_proof(world: World, facts: dict[str, Any]) -> None:
    world.facts |= facts
    assert cli.main(["drill", "restore"]) == ExitCode.FAILED
    assert world.event().outcome == "failed"


def test_nothing_is_begun_or_recorded_where_nothing_is_known_or_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["drill", "restore", "--dry-run"]) == ExitCode.DONE
    world.epoch = None
    assert cli.main(["drill", "restore"]) == ExitCode.REFUSED

    def silent() -> None:
        raise WitnessDown("witness: does not answer")

    monkeypatch.setattr(world, "newest", silent)
    assert cli.main(["drill", "restore"]) == ExitCode.FAILED
    assert world.calls == [] and world.records.objects == {}


def test_a_record_that_cannot_be_written_is_no_failure_of_the_drill(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.records.down = True
    assert cli.main(["drill", "restore"]) == ExitCode.DONE
    assert "is not at the witness" in capsys.readouterr().err
