"""Telling people: every way that is configured, each by itself, and until it has been told; what no way has taken is tried again and said aloud.

The forms are those of the receivers: Slack's incoming webhook, PagerDuty's Events API v2, mail (RFC 5321), and a JSON document for anything else.
"""

from __future__ import annotations

import json
import smtplib
import ssl
import threading
from collections.abc import Sequence
from dataclasses import field, replace
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, ClassVar, Protocol

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.plain import phrase
from scripts.clients import http

SEND_S = 10.0
MOST_TEXT = 3000  # characters: what every receiver takes
SMTPS = 465


@dataclass(frozen=True, kw_only=True)
class Page:
    """`key`: of what it is about, the same for its end; `over`: that it has ended; `urgent`: whether somebody is to be woken by it."""

    key: str
    title: str
    lines: tuple[str, ...]
    urgent: bool = True
    over: bool = False

    @property
    def text(self) -> str:
        return "\n".join(self.lines)[:MOST_TEXT]


class Way(Protocol):
    """To people."""

    @property
    def name(self) -> str:
        """For messages; nothing of it is a secret."""

    def send(self, page: Page) -> None:
        """Raises Failed where it was not taken, or nobody knows."""


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A document with `key`, `title`, `text`, `urgent`, `over`."""

    url: str = field(repr=False)
    name: ClassVar[str] = "webhook"

    def send(self, page: Page) -> None:
        told = {"key": page.key, "title": page.title, "text": page.text, "urgent": page.urgent, "over": page.over}
        _post(self.name, self.url, told)


@dataclass(frozen=True, kw_only=True)
class Slack:
    """An incoming webhook. What people or hosts have said orders nothing there: no mention, no link of theirs."""

    url: str = field(repr=False)
    name: ClassVar[str] = "slack"

    def send(self, page: Page) -> None:
        plain = f"{page.title}\n{page.text}".replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        _post(self.name, self.url, {"text": plain})


@dataclass(frozen=True, kw_only=True)
class PagerDuty:
    """Events API v2; what is not urgent is an event of severity `warning`."""

    url: str
    key: str = field(repr=False)
    source: str
    name: ClassVar[str] = "pagerduty"

    def send(self, page: Page) -> None:
        told: dict[str, Any] = {
            "routing_key": self.key,
            "event_action": "resolve" if page.over else "trigger",
            "dedup_key": page.key,
        }
        if not page.over:
            severity = "critical" if page.urgent else "warning"
            told["payload"] = {
                "summary": page.title[:1024],
                "source": self.source,
                "severity": severity,
                "custom_details": {"text": page.text},
            }
        _post(self.name, self.url, told)


@dataclass(frozen=True, kw_only=True)
class Mail:
    """To a mail server that takes it for everybody. With `tls` nothing is said to one that does not speak it."""

    server: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: bool = True
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    name: ClassVar[str] = "mail"

    def send(self, page: Page) -> None:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = phrase(page.title, 150), self.sender, ", ".join(self.to)
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=self.sender.rpartition("@")[2])
        message.set_content(page.text + "\n")
        try:
            with self._connected() as link:
                if self.user is not None and self.password is not None:
                    link.login(self.user, self.password)
                refused = link.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise Failed(f"mail by {self.server}: {_reason(error)}") from None
        if refused:
            raise Failed(f"mail by {self.server}: {len(refused)} of {len(self.to)} addresses were not taken")

    def _connected(self) -> smtplib.SMTP:
        trusted = ssl.create_default_context()
        if self.tls and self.port == SMTPS:
            return smtplib.SMTP_SSL(self.server, self.port, timeout=SEND_S, context=trusted)
        link = smtplib.SMTP(self.server, self.port, timeout=SEND_S)
        if self.tls:
            try:
                link.starttls(context=trusted)
            except BaseException:
                link.close()
                raise
        return link


def _reason(error: Exception) -> str:
    """Without what the server has said of a password."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"it answered {error.smtp_code}"
    return phrase(str(error), 200) or type(error).__name__


def _post(name: str, url: str, told: dict[str, Any]) -> None:
    headers = {"content-type": "application/json"}
    try:
        reply = http.ask("POST", url, headers=headers, body=json.dumps(told).encode(), limit_s=SEND_S)
    except http.NoAnswer as error:
        raise Failed(f"{name}: {error}") from None
    if not reply.ok:
        raise Failed(f"{name}: {reply.refusal}")


class Telling:
    """Pages on their way. Each goes out by every way; a way that has not taken it is tried again at the next call, for as long as it is of use. Safe to call
    from several threads: what is told while something else is on its way waits for the next call.
    """

    def __init__(self, ways: Sequence[Way]) -> None:
        self.ways = tuple(ways)
        self._lock = threading.Lock()
        self._waiting: list[tuple[Page, Way]] = []
        self._failed: dict[str, str] = {}  # by way: why it has not taken the last one
        self._said: set[tuple[str, str]] = set()  # keys of pages and ways that people have been told of

    def tell(self, page: Page) -> None:
        """What waited of the same thing is of no more use."""
        with self._lock:
            self._waiting = [(it, way) for it, way in self._waiting if it.key != page.key]
            self._waiting += [(page, way) for way in self.ways]
            if page.over:
                self._said = {it for it in self._said if it[0] != page.key}

    def deliver(self, *ways: Way) -> list[str]:
        """By these ways, or all. A sentence for each that has not taken something. Takes `SEND_S` for each page at most."""
        said = list[str]()
        with self._lock:
            due = [it for it in self._waiting if not ways or it[1] in ways]
        for page, way in due:
            try:
                way.send(self._with_failures(page, way))
            except Exception as error:  # whatever it is: a way that ends tells nobody any more
                why = str(error) if isinstance(error, Failed) else f"{way.name}: {type(error).__name__}"
                self._not_taken(page, way, why)
                said.append(f"{page.title}: not told, and tried again ({why})")
                continue
            with self._lock:
                self._failed.pop(way.name, None)
                self._waiting = [it for it in self._waiting if it[0] is not page or it[1] is not way]
        return said

    @property
    def waiting(self) -> int:
        """How many are not told yet."""
        return self.waiting_for()

    def waiting_for(self, *ways: Way) -> int:
        """How many are not told yet by these, or by any."""
        with self._lock:
            return len([way for _, way in self._waiting if not ways or way in ways])

    def _with_failures(self, page: Page, way: Way) -> Page:
        """Whoever is reached hears who was not."""
        with self._lock:
            others = {name: why for name, why in self._failed.items() if name != way.name}
            self._said |= {(page.key, name) for name in others}
        news = [line for line in map(_not_told, others.values()) if line not in page.lines]
        return replace(page, lines=(*page.lines, *news)) if news else page

    def _not_taken(self, page: Page, way: Way, why: str) -> None:
        """Whoever was reached before that is told, too: once for each page and way."""
        with self._lock:
            self._failed[way.name] = why
            if (page.key, way.name) in self._said or not any(it is page and by is way for it, by in self._waiting):
                return
            waits = {id(by) for it, by in self._waiting if it.key == page.key}
            reached = [it for it in self.ways if id(it) not in waits]
            if reached:
                self._said.add((page.key, way.name))
            self._waiting += [(replace(page, lines=(_not_told(why),)), it) for it in reached]


def _not_told(why: str) -> str:
    return f"not told that way: {why}"
