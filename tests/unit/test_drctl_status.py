"""`drctl status` and `drctl check`: what they print of a survey, and how they end."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.checked import Checked
from contract.errors import ExitCode
from contract.monitoring.silences import Watching
from contract.runs import Run
from scripts.clients.run_bucket import Word
from scripts.ctl import cli
from scripts.ctl.commands import check, status
from scripts.ctl.stacks.stack import Stack
from scripts.ctl.survey import screen
from scripts.ctl.survey.checks import judge
from scripts.ctl.survey.known import Known, Questions
from scripts.ctl.survey.seen import Survey
from tests.unit.played_survey import DARK, changed, dark, settings, well

ITS = settings()


class Recorded:
    """The witness, for those who leave a check there."""

    def __init__(self) -> None:
        self.checks: list[Checked] = []

    def record_check(self, checked: Checked) -> None:
        self.checks.append(checked)


RECORDED = Recorded()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command with a survey; its exit code and what it printed."""

    def run(survey: Survey, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(Stack, "settings", lambda _: ITS)
        for command in (status, check):
            monkeypatch.setattr(command, "look", lambda *_, **__: survey)
        monkeypatch.setattr(check, "CheckBucket", lambda *_, **__: RECORDED)
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
    assert "0 bytes and 0.0 s behind" in row
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


def test_the_screen_says_when_somebody_last_checked_and_what_that_found(shown: Any) -> None:
    _, text = shown(well(ITS), "status")
    assert "last check: 12 min ago by ann: 140 ok, 0 fail, 1 warn, 0 unknown (witness.lock)" in text.splitlines()[2]
    _, text = shown(changed(well(ITS), "checked", None), "status")
    assert "last check: none was recorded (`drctl check --record`)" in text


def test_the_screen_says_what_is_silenced_once_though_both_regions_say_it(shown: Any) -> None:
    text = "deploy of region a, by ann at desk; until 2026-11-30 05:31 UTC"
    seen = well(ITS)
    for site in "ab":
        seen = changed(seen, f"regions/{site}/hosts/control-1/monitoring", Watching(silences=(text,)))
    assert [it for it in screen.head(seen, ITS) if "silenced" in it] == [f"silenced: {text}"]
    assert not [it for it in screen.head(well(ITS), ITS) if "silenced" in it]


def test_the_screen_says_who_goes_over_both_regions_while_he_lives() -> None:
    run = Run(
        run="r-0", site="pair", what="deploy", who="ann", place="desk", at="noon", machine="0" * 32, pid=4711, begun=17
    )
    for age_s, lives in ((1.0, True), (900.0, False)):
        seen = replace(well(ITS), pair=Known(value=Word(run=run, etag="e", age_s=age_s)))
        told = [it for it in screen.head(seen, ITS) if "at work" in it]
        assert [it.startswith("at work in both regions: ann at desk (deploy since noon") for it in told] == [
            True
        ] * lives


def test_a_check_is_recorded_by_counts_and_ids_where_that_is_wanted(
    shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DR_WHO", "timer@desk")
    RECORDED.checks.clear()
    lost = changed(well(ITS), "regions/b/hosts/db-1/postgres/streaming", False)
    shown(lost, "check")
    assert RECORDED.checks == []
    shown(lost, "check", "--record")
    (found,) = RECORDED.checks
    assert found.who.startswith("timer@desk") and (found.fail, found.warn) == (1, 0) and found.ok > 100
    assert "pg.replication.streaming" in found.wrong and len(found.wrong) == len(set(found.wrong))


def test_metrics_tell_each_check_in_each_state_and_when_that_was(shown: Any, tmp_path: Path) -> None:
    file = tmp_path / "drctl.prom"
    lost = changed(well(ITS), "regions/b/hosts/db-1/postgres/streaming", False)
    shown(lost, "check", "--metrics", str(file))
    lines = file.read_text().splitlines()
    series = re.compile(r'dr_check_[a-z_]+({id="[a-z0-9.-]+",severity="(blocks|warns)",state="[a-z]+"})? [0-9.]+')
    assert [line for line in lines if not line.startswith("# ") and not series.fullmatch(line)] == []
    assert "dr_check_timestamp_seconds 1796000000" in lines
    name = 'dr_check_findings{id="pg.replication.streaming",severity="blocks",state='
    assert f'{name}"fail"}} 1' in lines and f'{name}"ok"}} 0' in lines
    assert file.stat().st_mode & 0o777 == 0o644 and [it.name for it in tmp_path.iterdir()] == ["drctl.prom"]


def test_metrics_that_cannot_be_written_are_one_sentence_and_leave_nothing(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Stack, "settings", lambda _: ITS)
    monkeypatch.setattr(check, "look", lambda *_, **__: well(ITS))
    assert cli.main(["check", "--metrics", str(tmp_path / "none" / "drctl.prom")]) == ExitCode.FAILED
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err
