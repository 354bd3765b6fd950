"""What a host says of itself in one answer."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.survey import HostSurvey
from scripts.host.archive.layout import ArchiveLayout
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.host import survey
from scripts.host.host.survey import archive_facts
from scripts.host.postgres.layout import PostgresLayout

DPKG = """\
Package: nginx
Status: install ok installed
Version: 1.22.1-9

Package: ruby3.1
Status: install ok installed
Version: 3.1.2-7

Package: pgbackrest
Status: deinstall ok config-files
Version: 2.44-1

Package: vim
Status: install ok installed
Version: 9.0
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setattr(survey, "_failed_units", lambda: ["shop-web.service"])
    for folder in ("etc/dr", "var/lib/dr", "var/lib/dpkg"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(DPKG)
    return Call("host", "survey", {}, Layout(tmp_path), Log(io.StringIO(), "host survey"))


def facts(call: Call) -> dict[str, Any]:
    """As the operator's side reads them."""
    found: dict[str, Any] = json.loads(json.dumps(survey.survey(call).facts))
    assert fields.heard(HostSurvey, found, "host", "")
    return found


def test_an_alertmanager_that_is_dead_stands_against_nothing(call: Call) -> None:
    (call.layout.etc / "monitoring").mkdir()
    (call.layout.etc / "monitoring/alertmanager.yml").write_text("{}")
    found = facts(call)
    assert found["monitoring"] is None and found["silent"] == []


def test_a_host_that_has_nothing_yet_says_what_every_host_can(call: Call) -> None:
    found = facts(call)
    assert found["packages"] == {"nginx": "1.22.1-9", "ruby3.1": "3.1.2-7"}, "what was removed is not there"
    assert (found["reboot_due"], found["failed"], found["silent"]) == (False, ["shop-web.service"], [])
    assert found["disk_size"] >= found["disk_free"] > 0 and found["role"] is None and "postgres" not in found


def test_a_service_that_raises_is_silent_and_hides_no_other(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    (call.layout.at("/etc/dr") / "redis.json").write_text("{}")
    (call.layout.at("/etc/dr") / "assets.json").write_text("{}")

    def told(service: str, verb: str = "status") -> Any:
        def ask(_: Call) -> dict[str, Any]:
            if service == "redis":
                raise KeyError("a-password")
            return {"ok": True}

        return ask

    monkeypatch.setattr(survey, "_told", told)
    found = facts(call)
    assert (found["redis"], found["assets"], found["silent"]) == (None, {"ok": True}, ["redis"])
    assert "a-password" not in json.dumps(found)


def test_no_figure_waits_for_what_it_is_not_made_of(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(survey, "_packages", lambda _: asked.append("packages"))
    assert survey.figured(call, {})["failed"] == ["shop-web.service"] and asked == []
    assert survey.survey(call).facts["packages"] is None and asked == ["packages"]


def test_a_service_that_hangs_keeps_no_other_from_being_told_and_is_silent(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (call.layout.at("/etc/dr") / "assets.json").write_text("{}")
    (call.layout.at("/etc/dr") / "agent.json").write_text("{}")
    never = threading.Event()

    def told(service: str, verb: str = "status") -> Any:
        return lambda _: never.wait(60) if service == "assets" else {"ok": True}

    monkeypatch.setattr(survey, "_told", told)
    monkeypatch.setattr(survey, "FIGURED_S", 0.5)
    try:
        found = survey.figured(call, {"inside.redis": lambda _: never.wait(60), "inside.nginx": lambda _: {"n": 1}})
    finally:
        never.set()
    assert (found["agent"], found["assets"], found["silent"]) == ({"ok": True}, None, ["assets"])
    assert (found["inside.redis"], found["inside.nginx"]) == (None, {"n": 1})
    assert found["failed"] == ["shop-web.service"]


def test_what_raises_where_packages_are_read_is_unknown(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(_: Call) -> None:
        raise OSError("no such disk")

    monkeypatch.setattr(survey, "_packages", raises)
    assert facts(call)["packages"] is None


def test_a_package_that_wants_a_reboot_shows(call: Call) -> None:
    (call.layout.at("/run")).mkdir()
    call.layout.at("/run/reboot-required").touch()
    assert facts(call)["reboot_due"] is True


def test_the_archive_is_told_as_its_last_check_has_left_it() -> None:
    repository = {"reachable": True, "backups": 2, "newest_backup": 900, "wal_last": "0" * 24, "damaged_backups": 0}
    left = {**repository, "left_out": {"from": "0" * 24}, "gap": None, "failed_backup": None}
    found = {
        "at": 1000.0, "alarm": None, "hold": {"epoch": 2}, "dropped": None, "waiting": 3, "archiver": {"age_s": 7},
        "follows_archive": False, "repositories": {"a": {**repository, "left_out": None}, "b": left},
    }  # fmt: skip
    told = archive_facts(found, 1060.0)
    assert (told["age_s"], told["alarm"], told["hold"], told["archived_s"]) == (60.0, False, True, 7)
    assert (told["a"]["left_out"], told["b"]["left_out"], told["b"]["gap"]) == (False, True, False)
    assert fields.heard(HostSurvey, {"archive": told}, "host", "").archive is not None


def test_a_clock_that_was_put_back_makes_no_age_below_nothing() -> None:
    assert archive_facts({"at": 1000.0}, 10.0)["age_s"] == 0.0
    assert archive_facts({}, 10.0)["alarm"] is None, "unknown is not well"


def test_what_a_rehearsal_has_proven_is_told_beside_the_archives_last_check(call: Call) -> None:
    layout = ArchiveLayout(PostgresLayout(call.layout))
    layout.folder.mkdir(parents=True)
    layout.seen.write_text('{"at": 1000.0}')
    told = survey._archive(call)
    assert told is not None and told["rehearsed"] is None
    for text, at in (('{"at": 1060.5}', 1060.5), ('{"at": true}', None), ("[7]", None), ("{", None)):
        layout.rehearsed.write_text(text)
        told = survey._archive(call)
        assert told is not None and told["rehearsed"] == at
        assert fields.heard(HostSurvey, {"archive": told}, "host", "")
