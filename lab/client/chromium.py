"""Redmine's person at a real browser: Chromium by Playwright. The lab opens its connections as those of other customers (every address of a name a chance,
by the lab's resolver); what goes through them, TLS and cookies too, is the browser's.
"""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Error, Page, sync_playwright

from lab.client.connect import Resolver, race
from lab.client.redmine import PASSWORD, PROJECT

PROGRAM = "/usr/bin/chromium"  # Debian's, which the set-up installs
PAGE_S = 30.0
_HEAD = 16 * 1024  # bytes of a request for a tunnel


class Person:
    """At one page, as long as the browser is there; what it does not find ends that (`browsing`)."""

    def __init__(self, page: Page, url: str) -> None:
        self._page, self._url = page, url

    def sign_in(self) -> None:
        self._page.goto(f"{self._url}/login")
        self._page.fill("#username", "admin")
        self._page.fill("#password", PASSWORD)
        self._page.click("#login-submit")
        self._page.wait_for_selector("#loggedas")

    def write(self, subject: str, file: Path | None = None) -> str:
        """An issue by its form, with a file that the page's script uploads; returns its path."""
        self._page.goto(f"{self._url}/projects/{PROJECT}/issues/new")
        self._page.fill("#issue_subject", subject)
        if file is not None:
            self._page.set_input_files("input.file_selector", str(file))
            self._page.wait_for_function("() => document.querySelector('.attachments_fields input.token')?.value")
        self._page.click("#issue-form input[name=commit]")
        self._page.wait_for_url(re.compile(r"/issues/\d+$"))
        return self._page.url.removeprefix(self._url)

    def read(self, path: str) -> tuple[str, str]:
        """An issue's page: as whom it is read, and its subject."""
        self._page.goto(f"{self._url}{path}")
        return self._page.inner_text("#loggedas a"), self._page.inner_text(".subject h3")

    def download(self) -> bytes:
        """The file of the issue that is open, by its link."""
        with self._page.expect_download() as told:
            self._page.click(".attachments a.icon-download")
        return Path(told.value.path()).read_bytes()


@contextlib.contextmanager
def browsing(url: str, resolver: Resolver) -> Iterator[Person]:
    """A person with a new Chromium until the end of the block. `url`: the shop's, as https://name; who signed for it is not looked at, the HTTP client does.

    Raises RuntimeError for a page that is not the one wanted.
    """
    name = url.removeprefix("https://")
    with _Tunnels(name, resolver) as port, sync_playwright() as playwright:
        words = ["--no-sandbox", "--disable-gpu"]  # root has no sandbox there, and loads nothing but the lab's pages
        proxy = {"server": f"http://127.0.0.1:{port}"}
        made = playwright.chromium.launch(executable_path=PROGRAM, args=words, proxy=proxy)  # type: ignore[arg-type]
        try:
            context = made.new_context(ignore_https_errors=True)
            context.set_default_timeout(PAGE_S * 1000)
            yield Person(context.new_page(), url)
        except Error as error:
            raise RuntimeError(f"browser: {error.message}") from None
        finally:
            made.close()


class _Tunnels:
    """A proxy for https to one name; its port while it is entered."""

    def __init__(self, name: str, resolver: Resolver) -> None:
        class Tunnel(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                asked = _head(self.request)
                if not asked.startswith(f"CONNECT {name}:443 ".encode()):
                    self.request.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                    return
                try:
                    there, _ = race(resolver.addresses(name), 443)
                except OSError:
                    self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                    return
                with there:
                    self.request.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                    _pass_on(self.request, there)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _head(asking: socket.socket) -> bytes:
    """Of a request, as far as it came."""
    asking.settimeout(PAGE_S)
    found = b""
    with contextlib.suppress(OSError):
        while b"\r\n\r\n" not in found and len(found) < _HEAD and (more := asking.recv(_HEAD)):
            found += more
    return found


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """What each says to the other, until one of them says nothing more."""
    with contextlib.suppress(OSError), selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                said = key.fileobj.recv(64 * 1024)  # type: ignore[union-attr]
                if not said:
                    return
                key.data.sendall(said)
