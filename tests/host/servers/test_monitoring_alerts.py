"""Alerts arrive: two real Alertmanagers with the configuration of hosts, which hear each other over TLS, and receivers of each kind."""

from __future__ import annotations

import datetime
import time
import urllib.error
from collections.abc import Iterator
from functools import partial

import pytest

from scripts.host.host.monitoring import config
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


def test_who_has_no_certificate_of_the_hosts_tells_them_nothing(rig: Rig) -> None:
    rig.together()
    with pytest.raises((urllib.error.URLError, OSError)):
        rig.a.ask(config.ALERTS, "/api/v2/alerts", named=False)


def test_secrets_of_receivers_stand_in_no_log(rig: Rig) -> None:
    for control in rig.controls.values():
        assert "a" * 32 not in control.said("alertmanager")
