"""Who is told: a receiver of each kind that alerts go to, as hosts of the lab and whoever watches them reach it, and every message that it takes.

Alertmanagers and `dr-watch` are told the same addresses, each writes its own form.
"""

from __future__ import annotations

import json
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email import message_from_string
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.assembly import WITNESS

WEBHOOK, SLACK, PAGER, MAIL = "webhook", "slack", "pager", "mail"
WAYS = (WEBHOOK, SLACK, PAGER, MAIL)
ALIVE = "alive"  # where the watchdog calls
WATCHER = "dr-watch: "  # in front of the title of its page
_SUBJECT = re.compile(r"\[(FIRING|RESOLVED)\] (\S+) ?(\S*)")
_SITE = re.compile(r"^ - site = (\S+)$", re.MULTILINE)
_LONGEST = 2**20


@dataclass(frozen=True, kw_only=True)
class Message:
    """`at`: when it came, by the monotonic clock; `name` and `site` of its alert; `firing`: or it is over; `severity`: where it came by the webhook."""

    at: float
    way: str
    name: str
    site: str = ""
    firing: bool = True
    severity: str = ""


class Receivers:
    """All of them, at `address`: beside the witness, where hosts reach what is outside. A context manager."""

    def __init__(self, address: str = WITNESS[0]) -> None:
        self.messages: list[Message] = []
        self.alive: list[float] = []  # when the watchdog has called
        self._mail_answers = threading.Event()
        self._mail_answers.set()
        receivers = self

        class Web(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers["content-length"]), _LONGEST))
                receivers.take(self.path.strip("/"), body)
                self.send_response(202 if self.path.strip("/") == PAGER else 200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                return None

        class Mail(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                receivers.waits_for_mail()
                self._say("220 ready")
                while word := self.rfile.readline(_LONGEST).decode(errors="replace").strip().upper():
                    if word == "DATA":
                        self._say("354 go on")
                        receivers.take(MAIL, b"".join(iter(self._line, b"")))
                    self._say("221 bye" if word == "QUIT" else "250 ok")
                    if word == "QUIT":
                        return

            def _line(self) -> bytes:
                line = self.rfile.readline(_LONGEST)
                return b"" if line == b".\r\n" else line

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self._web = ThreadingHTTPServer((address, 0), Web)
        self._mail = socketserver.ThreadingTCPServer((address, 0), Mail)
        self._mail.daemon_threads = True
        for server in (self._web, self._mail):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Receivers:
        return self

    def __exit__(self, *_: object) -> None:
        self.mail_answers()
        for server in (self._web, self._mail):
            server.shutdown()
            server.server_close()

    # --- what a configuration names

    def url(self, way: str) -> str:
        host, port = self._web.server_address[:2]
        return f"http://{host!s}:{port}/{way}"

    def keys(self) -> dict[str, Any]:
        """Of `dr:monitoring`."""
        host, port = self._mail.server_address[:2]
        mail = {
            "to": ["oncall@shop.example"],
            "sender": "alerts@shop.example",
            "server": f"{host!s}:{port}",
            "tls": False,
        }
        return {"email": mail, "pagerduty_url": self.url(PAGER)}

    def secrets(self) -> dict[str, str]:
        """The part `monitoring` of `dr:secrets`."""
        return {
            "webhook": self.url(WEBHOOK),
            "slack": self.url(SLACK),
            "pagerduty": "a" * 32,
            "watchdog": self.url(ALIVE),
        }

    # --- what comes

    def take(self, way: str, body: bytes) -> None:
        """One that is of no known form is a message all the same, under a name that says so."""
        at = time.monotonic()
        if way == ALIVE:
            self.alive.append(at)
            return
        try:
            name, site, firing, severity = _READ[way](body.decode())
        except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
            name, site, firing, severity = f"unreadable ({type(error).__name__}): {body[:200]!r}", "", True, ""
        self.messages.append(
            Message(at=at, way=way, name=name, site=site, firing=firing, severity=severity),
        )

    def mail_hangs(self) -> None:
        """From now on the mail server lets everybody in, and says nothing."""
        self._mail_answers.clear()

    def mail_answers(self) -> None:
        """Again, also whoever waits since."""
        self._mail_answers.set()

    def waits_for_mail(self) -> None:
        self._mail_answers.wait()

    # --- what came

    def told(
        self, name: str, site: str, *, since: float, firing: bool = True, ways: Iterable[str] = (WEBHOOK,)
    ) -> list[float]:
        """When somebody was told of an alert of a site, by these ways."""
        return [
            it.at
            for it in self.messages
            if (it.name, it.site, it.firing) == (name, site, firing) and it.at >= since and it.way in ways
        ]

    def told_by(self, name: str, site: str, *, since: float, firing: bool = True) -> set[str]:
        """Ways."""
        return {way for way in WAYS if self.told(name, site, since=since, firing=firing, ways=(way,))}

    def names(self, since: float, *severities: str) -> set[str]:
        """Of all alerts that were told since then, of these severities; all by default."""
        return {
            it.name
            for it in self.messages
            if it.way == WEBHOOK and it.at >= since and it.firing and it.severity in (severities or ("page", "warn"))
        }

    def pages(self, since: float) -> set[str]:
        """Those that wake somebody."""
        return self.names(since, "page")

    @property
    def open(self) -> set[tuple[str, str, str]]:
        """Way, name and site of what was told and is not over."""
        last = {(it.way, it.name, it.site): it.firing for it in [*self.messages]}
        return {each for each, firing in last.items() if firing}


Read = tuple[str, str, bool, str]


def _webhook(text: str) -> Read:
    told = json.loads(text)
    if told.get("version") == "4":
        labels = told["groupLabels"]
        return labels["alertname"], labels.get("site", ""), told["status"] == "firing", _severity(told)
    return WATCHER + told["title"], "", not told["over"], ""


def _severity(told: Mapping[str, Any]) -> str:
    return str(told["alerts"][0]["labels"]["severity"])


def _slack(text: str) -> Read:
    told = json.loads(text)
    return _titled(told["attachments"][0]["title"] if "attachments" in told else told["text"].splitlines()[0])


def _pager(text: str) -> Read:
    told = json.loads(text)
    firing = {"trigger": True, "resolve": False}[told["event_action"]]
    if told.get("client") != "Alertmanager":
        return WATCHER + (told["payload"]["summary"] if firing else told["dedup_key"]), "", firing, ""
    site = _SITE.search("\n".join(map(str, told["payload"]["custom_details"].values())))
    return told["payload"]["summary"].partition(":")[0], site[1] if site else "", firing, ""


def _mail(text: str) -> Read:
    return _titled(str(message_from_string(text)["Subject"]))


def _titled(title: str) -> Read:
    found = _SUBJECT.match(title)
    if found is None:
        return WATCHER + title, "", not title.startswith("over: "), ""
    return found[2], found[3], found[1] == "FIRING", ""


_READ: Mapping[str, Callable[[str], Read]] = {WEBHOOK: _webhook, SLACK: _slack, PAGER: _pager, MAIL: _mail}
