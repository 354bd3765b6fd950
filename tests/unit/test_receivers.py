"""Receivers of the lab: what Alertmanager and `dr-watch` write by each way is read as a message of that alert, and a mail server that hangs says nothing."""

from __future__ import annotations

import json
import smtplib
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from lab.rehearsal.receivers import ALIVE, MAIL, PAGER, SLACK, WATCHER, WAYS, WEBHOOK, Receivers
from scripts.watch import pages

SITE = "Labels:\n - alertname = HostDown\n - host = db-1.b\n - site = b\n"


@pytest.fixture
def people() -> Iterator[Receivers]:
    with Receivers("127.0.0.1") as it:
        yield it


def post(people: Receivers, way: str, document: Any) -> None:
    told = urllib.request.Request(people.url(way), json.dumps(document).encode())
    with urllib.request.urlopen(told, timeout=5) as answer:
        assert answer.status == (202 if way == PAGER else 200)


def mailed(people: Receivers, subject: str, patience_s: float = 5.0) -> None:
    host, _, port = people.keys()["email"]["server"].rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=patience_s) as link:
        link.sendmail("a@shop.example", ["b@shop.example"], f"Subject: {subject}\r\n\r\nfiring: it\r\n.\r\nso")


def alert(people: Receivers, way: str, status: str) -> None:
    """As an Alertmanager of ours writes it."""
    title = f"[{status.upper()}] HostDown b"
    if way == WEBHOOK:
        labels = {"alertname": "HostDown", "site": "b"}
        alerts = [{"status": status, "labels": {**labels, "severity": "warn", "host": "db-1.b"}}]
        post(people, way, {"version": "4", "status": status, "groupLabels": labels, "alerts": alerts})
    elif way == SLACK:
        post(people, way, {"attachments": [{"title": title, "text": "firing: it"}]})
    elif way == PAGER:
        payload = {"summary": "HostDown: it does not answer: at all", "custom_details": {"firing": SITE, "num": "1"}}
        action = {"firing": "trigger", "resolved": "resolve"}[status]
        post(people, way, {"client": "Alertmanager", "event_action": action, "dedup_key": "d", "payload": payload})
    else:
        mailed(people, title)


@pytest.mark.parametrize("way", WAYS)
def test_an_alert_and_its_end_are_read_alike_by_each_way(people: Receivers, way: str) -> None:
    alert(people, way, "firing")
    assert people.open == {(way, "HostDown", "b")}
    assert people.told_by("HostDown", "b", since=0.0) == {way}
    assert not people.told_by("HostDown", "a", since=0.0) and not people.told_by("HostDown", "b", since=1e12)
    alert(people, way, "resolved")
    assert people.open == set() and people.told_by("HostDown", "b", since=0.0, firing=False) == {way}
    assert len(people.messages) == 2
    assert people.names(0.0) == people.names(0.0, "warn") == ({"HostDown"} if way == WEBHOOK else set())
    assert people.pages(0.0) == set()


@pytest.mark.parametrize("way", WAYS)
def test_a_page_of_the_watcher_is_known_as_its_own(people: Receivers, way: str) -> None:
    """By the very code that sends it."""
    host, _, port = people.keys()["email"]["server"].rpartition(":")
    senders: dict[str, pages.Way] = {
        WEBHOOK: pages.Webhook(url=people.url(WEBHOOK)),
        SLACK: pages.Slack(url=people.url(SLACK)),
        PAGER: pages.PagerDuty(url=people.url(PAGER), key="k" * 32, source="shop.example"),
        MAIL: pages.Mail(server=host, port=int(port), sender="a@shop.example", to=("b@shop.example",), tls=False),
    }
    sender = senders[way]
    sender.send(pages.Page(key="part", title="shop.example: region a is not well", lines=("so",)))
    sender.send(pages.Page(key="part", title="over: part", lines=("so",), over=True))
    found = [(it.way, it.firing) for it in people.messages]
    assert found == [(way, True), (way, False)]
    assert all(it.name.startswith(WATCHER) for it in people.messages)
    assert "not well" in people.messages[0].name and "part" in people.messages[1].name


@pytest.mark.parametrize(
    "document",
    [[], {}, {"version": "4"}, {"version": "4", "groupLabels": {}, "status": "firing", "alerts": []}, 7],
)
def test_what_is_of_no_known_form_is_a_message_all_the_same(people: Receivers, document: Any) -> None:
    for way in (WEBHOOK, SLACK, PAGER):
        post(people, way, document)
    assert len(people.messages) == 3 and all(it.firing for it in people.messages)
    assert all(it.name.startswith("unreadable") for it in people.messages)


def test_the_watchdog_is_no_message(people: Receivers) -> None:
    post(people, ALIVE, {"version": "4"})
    assert len(people.alive) == 1 and not people.messages


def test_a_mail_server_that_hangs_lets_in_and_says_nothing_until_it_answers(people: Receivers) -> None:
    people.mail_hangs()
    with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        mailed(people, "[FIRING] HostDown b", 0.3)
    assert not people.messages
    people.mail_answers()
    alert(people, MAIL, "firing")
    assert people.told_by("HostDown", "b", since=0.0) == {MAIL}
