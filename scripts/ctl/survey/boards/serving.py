"""The page and its figures over HTTP on loopback, for the browser of whoever has called `drctl dashboard`.

A word in the address, new each time, keeps others on this machine out; a name other than loopback's in a question is another site's page that asks,
and is refused. What is served needs nothing from elsewhere and may load nothing.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from contract.errors import DrError, Refused
from contract.monitoring.boards import LEAST_S, MOST_S
from contract.monitoring.panels import BOARDS
from contract.plain import phrase

LOOPBACK = "127.0.0.1"
PAGE = Path(__file__).with_name("page")
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "chart.js": ("chart.js", "text/javascript; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_SECONDS = re.compile(r"[0-9]{1,9}")
Figures = Callable[[str, int], dict[str, Any]]  # board and seconds; raises DrError


class Answer(Exception):
    """What is answered instead."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class _Server(ThreadingHTTPServer):
    """One for which a browser that goes away is nothing that happened."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A page that was closed while its figures were asked for takes no answer; there is nobody to tell."""


class Dashboard:
    """Listens on loopback until it is closed."""

    def __init__(self, figures: Figures, port: int = 0, word: str | None = None) -> None:
        """`port`: 0: any that is free. Raises Refused where it is taken."""
        self._figures, self._word = figures, word or secrets.token_urlsafe(12)
        dashboard = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30
            server_version, sys_version = "drctl", ""

            def do_GET(self) -> None:
                try:
                    kind, body = dashboard.answer(self.headers.get("Host", ""), self.path)
                    code = 200
                except Answer as error:
                    code, kind, body = error.code, "text/plain; charset=utf-8", f"{error}\n".encode()
                except Exception as error:  # of a host's answer, or of ssh: the page says it, and asks again
                    words = f"the figures could not be made ({type(error).__name__})\n"
                    code, kind, body = 500, "text/plain; charset=utf-8", words.encode()
                self.send_response(code)
                for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return None

        try:
            self.server = _Server((LOOPBACK, port), Handler)
        except OSError as error:
            raise Refused(
                f"port {port} of this machine: cannot be listened on ({error.strerror}), wanted a free one; nothing is shown; "
                "choose another with --port, or leave it out"
            ) from None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server.server_port}/{self._word}/"

    def serve(self) -> None:
        """Until Ctrl-C."""
        try:
            self.server.serve_forever(0.2)
        finally:
            self.server.server_close()

    def answer(self, host: str, path: str) -> tuple[str, bytes]:
        """Kind and body. Raises Answer."""
        if host not in {f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")}:
            raise Answer(403, "this page is asked for by the address that drctl dashboard prints")
        asked = urlsplit(path)
        word, _, name = asked.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(word.encode(), self._word.encode()):
            raise Answer(404, "nothing is here; open the address that drctl dashboard prints")
        if name in FILES:
            file, kind = FILES[name]
            return kind, (PAGE / file).read_bytes()
        if name == "boards":
            return _json([board_of(key) for key in BOARDS])
        if name == "figures":
            return self._told(parse_qs(asked.query))
        raise Answer(404, "nothing is here")

    def _told(self, query: dict[str, list[str]]) -> tuple[str, bytes]:
        board, seconds = query.get("board", [""])[0], query.get("seconds", [""])[0]
        if board not in BOARDS or not _SECONDS.fullmatch(seconds) or not LEAST_S <= int(seconds) <= MOST_S:
            raise Answer(400, f"wanted a board that there is, and {LEAST_S} to {MOST_S} seconds")
        try:
            return _json(self._figures(board, int(seconds)))
        except DrError as error:
            raise Answer(502, phrase(str(error), 600)) from None


def board_of(key: str) -> dict[str, Any]:
    """What the page has to know of a board before it has figures."""
    board = BOARDS[key]
    panels = [
        {"title": it.title, "about": it.about, "unit": str(it.unit), "empty": it.may_be_empty} for it in board.panels
    ]
    return {"key": board.key, "title": board.title, "panels": panels}


def _json(document: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(document).encode()
