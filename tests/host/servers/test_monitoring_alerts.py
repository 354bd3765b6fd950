"""Alerts arrive: two real Alertmanagers with the configuration of hosts, which hear each other over TLS, and receivers of each kind."""

from __future__ import annotations

import datetime
import io
import re
import shutil
import socket
import time
import urllib.error
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.errors import Failed, Usage
from contract.monitoring.silences import Silence, Silenced, Undertaking
from contract.survey import HostSurvey
from scripts.host.frame.call import Call
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.host.monitoring import config, silences, verbs, watching
from scripts.host.host.survey import survey
from tests.host.servers.monitoring_rig import Control, Rig, until

ALL = ("/slack", "/pager", "/hook", "mail")
QUIET_S = 5.0  # longer than the second of two waits for the first one's word: what would come twice has come


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("alerts"))
    try:
        yield made
    finally:
        made.close()


def tell(
    controls: list[Control], name: str, severity: str, *, over: bool = False, since_s: float = 60, **labels: str
) -> None:
    """As Prometheus does: to each of them. `since_s`: ago; one that is older than `group_wait` is told at once."""
    now = datetime.datetime.now(datetime.UTC)
    alert = {
        "labels": {"alertname": name, "severity": severity, **labels},
        "annotations": {"summary": f"what {name} says", "runbook_url": "docs/runbook/by-day.md"},
        "startsAt": (now - datetime.timedelta(seconds=since_s)).isoformat(),
    }
    if over:
        alert["endsAt"] = now.isoformat()
    for control in controls:
        control.ask(config.ALERTS, "/api/v2/alerts", [alert])


def arrived(rig: Rig, way: str, name: str, status: str) -> int:
    """How often."""
    got = rig.sink.got[way]
    if way == "/pager":
        action = {"firing": "trigger", "resolved": "resolve"}[status]
        return sum(it["event_action"] == action and name in str(it) for it in got)
    if way == "/hook":
        return sum(it["status"] == status and it["commonLabels"]["alertname"] == name for it in got)
    if way == "/slack":
        return sum(f"[{status.upper()}] {name}" in it["attachments"][0]["title"] for it in got)
    return sum(f"[{status.upper()}] {name}" in it["text"] for it in got)


def counts(rig: Rig, name: str, status: str) -> dict[str, int]:
    return {way: arrived(rig, way, name, status) for way in ALL}


def wait_for(rig: Rig, name: str, status: str, ways: tuple[str, ...] = ALL) -> None:
    until(f"{name} is told by {ways}", lambda: all(counts(rig, name, status)[way] for way in ways))


def settle(seconds: float = QUIET_S) -> None:
    """Nothing tells that a second message will not come: that its time is over does."""
    end = time.monotonic() + seconds
    until("its time is over", lambda: time.monotonic() > end, seconds + 5)


def test_a_page_arrives_once_by_each_way_and_so_does_its_end(rig: Rig) -> None:
    rig.together()
    both = [rig.a, rig.b]
    tell(both, "DatabaseDown", "page", site="a", host="db-1.a")
    wait_for(rig, "DatabaseDown", "firing")
    settle()
    assert counts(rig, "DatabaseDown", "firing") == dict.fromkeys(ALL, 1)
    assert rig.sink.got["mail"][0]["to"] == ["oncall@shop.example"]
    assert "what DatabaseDown says" in rig.sink.got["mail"][0]["text"]
    tell(both, "DatabaseDown", "page", over=True, site="a", host="db-1.a")
    wait_for(rig, "DatabaseDown", "resolved")
    settle()
    assert counts(rig, "DatabaseDown", "resolved") == dict.fromkeys(ALL, 1)
    assert not rig.sink.faults


def test_a_warning_wakes_nobody_by_the_pager(rig: Rig) -> None:
    rig.together()
    tell([rig.a, rig.b], "BackupOld", "warn", site="a")
    wait_for(rig, "BackupOld", "firing", ("/slack", "/hook", "mail"))
    settle(3)
    assert arrived(rig, "/pager", "BackupOld", "firing") == 0


def test_while_a_region_is_gone_its_hosts_are_no_messages_of_their_own_and_the_others_are(rig: Rig) -> None:
    rig.together()
    both = [rig.a, rig.b]
    tell(both, "RegionGone", "page", site="b")
    tell(both, "CacheDown", "warn", site="b", host="cache-1.b")
    tell(both, "WorkerDown", "warn", site="a", host="app-1.a")
    wait_for(rig, "RegionGone", "firing")
    wait_for(rig, "WorkerDown", "firing", ("/slack", "/hook", "mail"))
    settle(3)
    assert not any(counts(rig, "CacheDown", "firing").values())


def test_the_watchdog_is_heard_again_and_again_where_it_belongs_and_nowhere_else(rig: Rig) -> None:
    rig.together()
    both = [rig.a, rig.b]

    def heard(least: int) -> bool:
        tell(both, "Watchdog", "none")
        return len(rig.sink.got["/alive"]) >= least

    for count in (1, 2):
        until(f"alive, {count} times", partial(heard, count))
    assert not any(counts(rig, "Watchdog", "firing").values())


@pytest.mark.parametrize("dead", ["a", "b"])
def test_with_either_of_the_two_dead_the_other_one_tells_it_once(rig: Rig, dead: str) -> None:
    rig.together()
    rig.controls[dead].stop("alertmanager")
    left = rig.controls["b" if dead == "a" else "a"]
    name = f"ShopDown{dead.upper()}"
    tell([left], name, "page")
    wait_for(rig, name, "firing")
    tell([left], name, "page", over=True)
    wait_for(rig, name, "resolved")
    settle()
    assert counts(rig, name, "firing") == counts(rig, name, "resolved") == dict.fromkeys(ALL, 1)


def test_one_that_dies_between_hearing_and_telling_leaves_it_to_the_other(rig: Rig) -> None:
    """The first of the two waits `group_wait`, and dies in it. One that dies behind its message, before the other has its word, makes two of it."""
    rig.together()
    tell([rig.a, rig.b], "StandbyMissing", "page", since_s=0, site="a")
    first = min(rig.controls.values(), key=lambda it: it.json(config.ALERTS, "/api/v2/status")["cluster"]["name"])
    first.stop("alertmanager")
    wait_for(rig, "StandbyMissing", "firing")
    settle()
    assert counts(rig, "StandbyMissing", "firing") == dict.fromkeys(ALL, 1)


@pytest.fixture
def ill(rig: Rig) -> Iterator[dict[str, int | str]]:
    """What receivers answer instead."""
    yield rig.sink.ill
    rig.sink.ill.clear()


def tally(controls: Sequence[Control], what: str, integration: str) -> float:
    """A count of messages by each of them, of one kind of receiver."""
    metric = re.compile(rf'alertmanager_{what}_total\{{integration="{integration}".*\}} (\S+)')
    texts = [control.ask(config.ALERTS, "/metrics").decode() for control in controls]
    return sum(float(it[1]) for text in texts for it in metric.finditer(text))


def counted(rig: Rig, what: str, integration: str) -> float:
    return tally((rig.a, rig.b), what, integration)


def hanging(rig: Rig) -> float:
    """As the rule MailHangs counts."""
    begun, ended, in_vain, failed = (
        counted(rig, what, "email")
        for what in ("notifications", "notification_requests", "notification_requests_failed", "notifications_failed")
    )
    return begun - ended + in_vain - failed


@pytest.mark.parametrize(
    ("way", "answer", "integration"),
    [("/slack", 404, "slack"), ("mail", 554, "email")],
)
def test_a_way_that_cannot_be_told_by_keeps_none_of_the_others_and_is_counted(
    rig: Rig, ill: dict[str, int | str], way: str, answer: int | str, integration: str
) -> None:
    """A wrong address, a mail server that refuses: the rule MessagesFail goes by that count."""
    rig.together()
    name, before = f"Told{way.strip('/').title()}{answer}", counted(rig, "notifications_failed", integration)
    ill[way] = answer
    others = tuple(it for it in ALL if it != way)
    tell([rig.a, rig.b], name, "page", site="a")
    wait_for(rig, name, "firing", others)
    until("it is counted as not told", lambda: counted(rig, "notifications_failed", integration) > before)
    assert counts(rig, name, "firing") == dict.fromkeys(others, 1) | {way: 0}


def test_a_mail_server_that_hangs_keeps_no_other_way_from_what_comes_later_and_is_told_of(
    rig: Rig, ill: dict[str, int | str]
) -> None:
    """Alertmanager waits for it without an end; a page's end, and the next page, go by all other ways meanwhile, and the rule MailHangs has what it goes by."""
    rig.together()
    until("no mail of before is under way", lambda: hanging(rig) == 0)
    ill["mail"] = "hangs"
    others, both = tuple(it for it in ALL if it != "mail"), [rig.a, rig.b]
    tell(both, "Hanging", "page", site="a")
    wait_for(rig, "Hanging", "firing", others)
    until("the mail is on its way", lambda: hanging(rig) > 0)
    tell(both, "Hanging", "page", over=True, site="a")
    wait_for(rig, "Hanging", "resolved", others)
    assert hanging(rig) > 0 and arrived(rig, "mail", "Hanging", "firing") == 0
    ill.clear()
    until("it is told of no more", lambda: hanging(rig) == 0)


def test_a_pager_that_wants_fewer_events_has_it_later_and_as_one(rig: Rig, ill: dict[str, int | str]) -> None:
    """Each of the two goes on trying, since neither hears of the other that it is told; PagerDuty has two events of one key, which are one page."""
    rig.together()

    def refused() -> list[float]:
        return [tally([it], "notification_requests_failed", "pagerduty") for it in (rig.a, rig.b)]

    ill["/pager"], before = 429, refused()
    tell([rig.a, rig.b], "ToldLater", "page", site="a")
    wait_for(rig, "ToldLater", "firing", ("/slack", "/hook", "mail"))
    until("each of the two was refused", lambda: all(now > was for now, was in zip(refused(), before, strict=True)))
    assert arrived(rig, "/pager", "ToldLater", "firing") == 0
    ill.clear()
    wait_for(rig, "ToldLater", "firing")
    settle()
    assert len({it["dedup_key"] for it in rig.sink.got["/pager"] if "ToldLater" in str(it)}) == 1
    assert arrived(rig, "/pager", "ToldLater", "firing") <= 2
    others = tuple(it for it in ALL if it != "/pager")
    assert {way: arrived(rig, way, "ToldLater", "firing") for way in others} == dict.fromkeys(others, 1)


def test_who_has_no_certificate_of_the_hosts_tells_them_nothing(rig: Rig) -> None:
    rig.together()
    with pytest.raises((urllib.error.URLError, OSError)):
        rig.a.ask(config.ALERTS, "/api/v2/alerts", named=False)


def test_secrets_of_receivers_stand_in_no_log(rig: Rig) -> None:
    for control in rig.controls.values():
        assert "a" * 32 not in control.said("alertmanager")


# --- while somebody does on purpose what looks like a fault


def asked(control: Control) -> silences.Alertmanager:
    return silences.Alertmanager(control.address, config.ALERTS, control.folder)


def silence(control: Control, ident: str, *, seconds: int) -> None:
    """Of `drctl reboot`: db-1 of region b begins anew."""
    told = Silence(
        id=ident, undertaking=Undertaking.REBOOT, site="b", hosts=("db-1.b",), seconds=seconds, who="ann at desk",
        why="kernel",
    )  # fmt: skip
    with asked(control) as alertmanager:
        assert silences.silence(told, alertmanager) == 3


def open_at(control: Control) -> list[str]:
    """Raises ValueError where it does not say."""
    try:
        with asked(control) as alertmanager:
            return silences.told(alertmanager)
    except Failed as error:
        raise ValueError(str(error)) from None


def forget(rig: Rig) -> None:
    """What tests before have been told of is over, and of no weight."""
    rig.together()
    for got in rig.sink.got.values():
        got.clear()


def test_what_an_undertaking_causes_is_not_told_until_its_end_and_all_else_is(rig: Rig) -> None:
    forget(rig)
    both = [rig.a, rig.b]
    silence(rig.a, "0123456789ab", seconds=600)
    until("the other one has heard of it", lambda: open_at(rig.b))
    assert [it.partition("; until")[0] for it in open_at(rig.b)] == [
        "reboot of region b, db-1.b, by ann at desk: kernel"
    ]
    tell(both, "DatabaseHostDown", "page", site="b", host="db-1.b")
    tell(both, "StandbyMissing", "page", site="a", host="db-1.a")
    tell(both, "HostDown", "warn", site="b", host="cache-1.b")
    tell(both, "TwoWriters", "page")
    wait_for(rig, "TwoWriters", "firing")
    wait_for(rig, "HostDown", "firing", ("/slack", "/hook", "mail"))
    settle(3)
    for name in ("DatabaseHostDown", "StandbyMissing"):
        assert not any(counts(rig, name, "firing").values()), name
    with asked(rig.b) as alertmanager:
        assert silences.unsilence("ba9876543210", 0, alertmanager) == 0, "of another undertaking"
        assert silences.unsilence("0123456789ab", 0, alertmanager) == 3
    for name in ("DatabaseHostDown", "StandbyMissing"):
        wait_for(rig, name, "firing")
    until("both have none open", lambda: not open_at(rig.a) and not open_at(rig.b))


def test_one_whose_undertaking_was_killed_ends_by_itself(rig: Rig) -> None:
    forget(rig)
    silence(rig.b, "0123456789ac", seconds=5)
    until("the other one has heard of it", lambda: open_at(rig.a))
    tell([rig.a, rig.b], "DatabaseDown", "page", site="b", host="db-1.b")

    def over() -> bool:
        told = any(counts(rig, "DatabaseDown", "firing").values())
        still = bool(open_at(rig.a))
        assert not (told and still)
        return not still

    until("its time is over", over, 20)
    wait_for(rig, "DatabaseDown", "firing")


def test_its_end_waits_for_figures_of_now_and_not_longer_than_it_would_have_lasted(rig: Rig) -> None:
    forget(rig)
    for ident, seconds, after_s in (("0123456789ad", 600, 2), ("0123456789ae", 2, 300)):
        silence(rig.a, ident, seconds=seconds)
        with asked(rig.a) as alertmanager:
            assert silences.unsilence(ident, after_s, alertmanager) == 3
        assert open_at(rig.a)
        until("it ends", lambda: not open_at(rig.a), 10)


def test_one_of_the_two_that_is_left_is_told_alone(rig: Rig) -> None:
    forget(rig)
    rig.b.stop("alertmanager")
    silence(rig.a, "0123456789af", seconds=600)
    tell([rig.a], "CacheDown", "warn", site="b", host="db-1.b")
    settle(2)
    assert not any(counts(rig, "CacheDown", "firing").values())
    rig.b.alertmanager()
    until("who comes back hears of it", lambda: open_at(rig.b))
    with asked(rig.b) as alertmanager:
        assert silences.unsilence("0123456789af", 0, alertmanager) == 3
    wait_for(rig, "CacheDown", "firing", ("/slack", "/hook", "mail"))


def test_a_control_host_is_asked_for_it_by_kind_and_says_in_its_survey_what_is_silenced(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "alertmanager" not in rig.a.running:
        rig.a.alertmanager()
    until("it answers", lambda: open_at(rig.a) == [])
    etc = tmp_path / "etc/dr"
    (etc / "monitoring").mkdir(parents=True)
    for name in ("ca.pem", "host.crt", "host.key"):
        shutil.copy(rig.a.folder / name, etc)
    (etc / "monitoring.json").write_text('{"host": "control-1", "site": "a"}')
    (etc / "monitoring/alertmanager.yml").write_text("{}")
    monkeypatch.setattr(watching, "fqdn_of", lambda *_: rig.a.address)
    log = Log(io.StringIO(), "monitoring")

    def called(verb: str, **told: Any) -> Silenced:
        found = verbs.VERBS[verb].run(Call("monitoring", verb, told, Layout(tmp_path), log))
        return fields.read(Silenced, found.facts, verb)

    told = {"id": "0123456789b0", "undertaking": "deploy", "site": "a", "seconds": 60, "who": "ann at desk"}
    assert called("silence", **told).silences == 2
    with pytest.raises(Usage, match="matchers"):
        called("silence", **told, matchers=[{"name": "alertname", "value": ".*", "isRegex": True}])
    found = survey(Call("host", "survey", {}, Layout(tmp_path), log)).facts
    heard = fields.heard(HostSurvey, found, "host", "").monitoring
    assert heard is not None and len(heard.silences) == 1 and not found["silent"]
    assert re.fullmatch(r"deploy of region a, by ann at desk; until 20[-0-9]{8} [0-9:]{5} UTC", heard.silences[0])
    assert called("unsilence", id="0123456789b0", after_s=0).silences == 2
    assert survey(Call("host", "survey", {}, Layout(tmp_path), log)).facts["monitoring"] == {"silences": []}


def test_nobody_is_silenced_by_who_does_not_answer(rig: Rig) -> None:
    with silences.Alertmanager("127.61.0.98", config.ALERTS, rig.a.folder) as nobody, pytest.raises(Failed):
        silences.told(nobody)


def test_one_that_hangs_holds_up_nobody(rig: Rig, tmp_path: Path) -> None:
    for name in ("ca.pem", "host.crt", "host.key"):
        shutil.copy(rig.a.folder / name, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with silences.Alertmanager("127.0.0.1", deaf.getsockname()[1], tmp_path, silences.SURVEY_S) as it, pytest.raises(Failed):  # fmt: skip
            silences.told(it)
    assert time.monotonic() - began < 2 * silences.SURVEY_S + 0.5
