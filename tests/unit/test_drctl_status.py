"""`drctl status` and `drctl check`: what they print of a survey, and how they end."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from contract.errors import ExitCode
from scripts.ctl import cli
from scripts.ctl.commands import check, status
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey import screen
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.known import Questions
from scripts.ctl.survey.seen import Survey
from tests.unit.played_survey import DARK, changed, dark, settings, well

ITS = settings()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command with a survey; its exit code and what it printed."""

    def run(survey: Survey, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(Stack, "settings", lambda _: ITS)
        for command in (status, check):
            monkeypatch.setattr(command, "look", lambda *_, **__: survey)
        code = cli.main(arguments)
        found = capsys.readouterr()
        assert found.err == ""
        return code, found.out

    return run


def test_one_screen_tells_both_regions_side_by_side(shown: Any) -> None:
    code, text = shown(well(ITS), "status")
    lines = text.splitlines()
    assert code == ExitCode.DONE and len(lines) < 50
    assert "region a is active, epoch 3 since 2026-11-29T10:00:00Z (planned, by ann@desk)" in lines[0]
    row = next(line for line in lines if line.startswith("database"))
    assert "primary of epoch 3, streaming" in row and "standby of epoch 3, streaming" in row
    assert "\x1b" not in text, "a pipe gets no colours"


def test_what_nobody_knows_is_a_question_mark_and_one_line_of_troubles(shown: Any) -> None:
    code, text = shown(dark(ITS), "status")
    assert code == ExitCode.DONE
    assert "which region is active is not known" in text and "?" in text
    assert text.count("findings of") == 1 and "`drctl check` tells each" in text
    for word in ("primary", "streaming,", "ONLINE", "in use"):
        assert word not in text.split("unknown ")[0], f"{word} is told of what nobody knows"


def test_what_is_wrong_is_told_first_with_the_next_command(shown: Any) -> None:
    spoiled = changed(well(ITS), "regions/b/hosts/db-1/postgres/streaming", False)
    _, text = shown(spoiled, "status")
    assert "NOT streaming" in text
    assert (
        "fail    pg.replication.streaming  standby: does not stream, wanted streaming; dr-host postgres status" in text
    )


def test_status_as_json_holds_the_age_or_the_reason_of_everything(shown: Any) -> None:
    survey = changed(well(ITS), "regions/b/hosts/db-1", DARK)
    _, text = shown(survey, "status", "--json")
    found = json.loads(text)
    assert found["schema"] == 1 and found["newest"]["value"]["epoch"] == 3
    assert found["regions"]["b"]["hosts"]["db-1"] == {"value": None, "age_s": 0.0, "why": DARK.why}
    assert found["regions"]["a"]["beats"]["db-1"]["age_s"] == 1.0
    assert {it["id"] for it in found["checks"]} >= {"pg.role", "dns.ttl"}


def test_check_ends_by_what_it_finds(shown: Any) -> None:
    lost = changed(well(ITS), "regions/b/hosts/db-1/postgres/streaming", False)
    code, text = shown(lost, "check")
    assert code == ExitCode.REFUSED
    assert text.splitlines()[-1].endswith("a planned move would be refused by 1")
    assert "(blocks a planned move)" in text


@pytest.mark.parametrize("form", check.FORMS)
def test_every_form_of_check_tells_everything_of_a_dark_pair(shown: Any, form: str) -> None:
    code, text = shown(dark(ITS), "check", "--form", form)
    assert code == (3 if form == "nagios" else ExitCode.REFUSED)
    assert "pg.role" in text
    if form == "junit":
        suite = ET.fromstring(text)
        assert int(suite.get("errors", 0)) > 100 and len(suite) == int(suite.get("tests", 0))
    if form == "nagios":
        assert text.startswith("DR UNKNOWN - ") and "|" not in text


def test_nagios_codes_are_those_of_a_plugin(shown: Any) -> None:
    warned = changed(well(ITS), "locked", False)
    only = [it for it in judge(warned, ITS) if it.id != "certs.expiry"]
    assert check.NAGIOS[check.worst(only)] == 1
    assert check.NAGIOS[check.worst([it for it in only if it.id == "pg.role"])] == 0
    assert check.NAGIOS[check.worst([])] == 3, "nothing is not good"


def test_the_list_of_checks_asks_nobody(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "settings", lambda _: pytest.fail("asked"))
    assert cli.main(["check", "--list"]) == ExitCode.DONE
    assert "pg.replication.lag" in capsys.readouterr().out


def test_a_watch_wants_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    assert cli.main(["status", "--watch"]) == ExitCode.USAGE
    assert "stdout: is no terminal" in capsys.readouterr().err


def test_questions_end_at_their_limit_and_hide_no_error() -> None:
    from threading import Event

    never, questions = Event(), Questions(0.2)
    questions.ask("silent", lambda: never.wait(20))
    questions.ask("raises", lambda: dict[str, str]()["a-secret"])
    questions.ask("well", lambda: 7, float)
    assert (questions.known("well").value, questions.known("well").age_s) == (7, 7.0)
    assert questions.known("silent").why == "no answer within 0.2 s"
    assert questions.known("raises").why == "could not be asked (KeyError)"
    assert questions.known("never asked").why == "was not asked"
    never.set()


def test_ages_and_sizes_are_in_words() -> None:
    text = "\n".join(" ".join(line.cells) for line in screen.table(well(ITS), ITS))
    assert "backups: a 60 min ago, b 60 min ago" in text and "last run 20 s ago, well, 0 missing" in text
