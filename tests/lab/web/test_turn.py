"""A web process begins anew behind the image's nginx, as `dr-host app converge` does it, while customers ask: whatever ends, no request does."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract.errors import Failed
from lab.namespace import NETNS, entered
from scripts.host.app import spare
from scripts.host.app.names import PUMA, SPARE, SPARE_PUMA, WEB
from scripts.host.app.spare import Spare
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.systemd import Look
from scripts.host.frame.wait import until
from tests.lab.web.entrance import CLIENT, SHOP, Entrance, answer, make, proxied

pytestmark = pytest.mark.lab
AWAY_S = 1.0  # nobody listens for so long while a web process begins anew


class Server(ThreadingHTTPServer):
    """A web process whose end spares no connection: what is on its way then is lost."""

    daemon_threads = True

    def __init__(self, at: str, name: str, well: bool = True) -> None:
        self.lines = list[Any]()
        host, _, port = at.partition(":")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                if size := int(self.headers.get("Content-Length", 0)):
                    self.rfile.read(size)
                if self.path == "/slow":
                    time.sleep(1.5)
                self.send_response(200 if well or self.path != "/up" else 500)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        super().__init__((host, int(port)), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_request(self) -> tuple[Any, Any]:
        line, address = super().get_request()
        self.lines.append(line)
        return line, address

    def end(self) -> None:
        """At once."""
        self.shutdown()
        self.server_close()
        for line in self.lines:
            try:
                line.shutdown(2)
            except OSError:
                continue


class Played:
    """The host of site a: systemd is played, the rest is as it runs."""

    def __init__(self, entrance: Entrance) -> None:
        self.entrance, self.text, self.well = entrance, io.StringIO(), True
        entrance.stop_puma("a")
        self.at = dict[str, Server]()
        self._start(WEB, "old")
        seen = Path(f"/proc/{entrance.nginx('a')}/root")
        (seen / "run/dr").mkdir(exist_ok=True)
        manager: Any = self
        self.spare = Spare(Layout(seen), manager, Log(self.text, "app converge"))

    def _start(self, unit: str, name: str) -> None:
        with entered(NETNS / self.entrance.names["a"]):
            self.at[unit] = Server(PUMA if unit == WEB else SPARE_PUMA, name, well=unit == WEB or self.well)

    def each(self, verb: str, units: Sequence[str], limit_s: float) -> None:
        for unit in units:
            if old := self.at.pop(unit, None):
                old.end()
                gone = time.monotonic()
                until(partial(_passed, gone), 5)
            self._start(unit, "new" if unit == WEB else "beside")

    def halt(self, units: Sequence[str], limit_s: float) -> bool:
        for unit in units:
            if old := self.at.pop(unit, None):
                old.end()
        return True

    def look(self, units: Sequence[str]) -> dict[str, Look]:
        return {unit: Look("active" if unit in self.at else "failed") for unit in units}

    def turn(self) -> None:
        with entered(NETNS / self.entrance.names["a"]):
            self.spare.begin("/opt/shop/releases/abc")
            self.spare.hand_back()


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    # nginx's own root is reached by a link of the kernel's, which these do not follow.
    monkeypatch.setattr(spare, "make_folder", lambda folder: None)
    monkeypatch.setattr(spare, "write_atomically", lambda path, content: path.write_bytes(content))
    with make(tmp_path).running() as running:
        host = Played(running)
        yield host
        host.halt([WEB, SPARE], 0)


@contextmanager
def asked(*customers: Callable[[], tuple[int | None, str]]) -> Iterator[list[tuple[int | None, str]]]:
    """Each of them asks again and again, two at a time, until the block is over. What they got."""
    got, over = list[tuple[int | None, str]](), threading.Event()

    def on() -> None:
        while not over.is_set():
            for one in customers:
                got.append(one())

    threads = [threading.Thread(target=on) for _ in range(2)]
    for each in threads:
        each.start()
    try:
        yield got
    finally:
        over.set()
        for each in threads:
            each.join(20)


def _passed(since: float) -> bool:
    return time.monotonic() - since > AWAY_S


def get(host: Played, path: str = "/products", **more: Any) -> tuple[int | None, str]:
    found = host.entrance.ask(path, **more)
    return found.status, found.body.decode()


def posted_slowly(host: Played, for_s: float) -> tuple[int | None, str]:
    """A form whose body takes so long; where it goes was decided when it began."""
    raw = host.entrance.connect("a", 443)
    try:
        raw.sendall(proxied(CLIENT))
        link = host.entrance.context().wrap_socket(raw, server_hostname=SHOP)
        pieces = 10
        link.sendall(
            f"POST /orders HTTP/1.1\r\nHost: {SHOP}\r\nContent-Length: {pieces}\r\nConnection: close\r\n\r\n".encode()
        )
        for _ in range(pieces):
            time.sleep(for_s / pieces)
            link.sendall(b"x")
        found = answer(link)
        return found.status, found.body.decode()
    finally:
        raw.close()


def test_no_request_is_lost_while_a_web_process_begins_anew(played: Played) -> None:
    with asked(
        lambda: get(played), lambda: get(played, "/orders", method="POST"), lambda: get(played, "/slow", method="POST")
    ) as got:
        assert until(lambda: len(got) > 10, 20)
        played.turn()
        count = len(got)
        assert until(lambda: len(got) > count + 10, 20)
    assert {status for status, _ in got} == {200}
    names = list(dict.fromkeys(name for _, name in got))
    assert names[0] == "old" and set(names) == {"old", "beside", "new"}, "each has had its customers"
    assert not played.spare.leads and SPARE not in played.at
    assert not played.text.getvalue()


def test_a_request_whose_body_came_slowly_finds_the_one_that_is_there(played: Played) -> None:
    found = list[tuple[int | None, str]]()
    slow = threading.Thread(target=lambda: found.append(posted_slowly(played, 4.0)))
    slow.start()
    with entered(NETNS / played.entrance.names["a"]):
        played.spare.begin("/opt/shop/releases/abc")
    played.halt([WEB], 0)
    slow.join(20)
    assert found == [(200, "beside")]


def test_a_way_in_and_the_monitor_go_the_same_way(played: Played) -> None:
    with entered(NETNS / played.entrance.names["a"]):
        played.spare.begin("/opt/shop/releases/abc")
    played.halt([WEB], 0)
    assert played.entrance.ask("/health", port=8080, proxy=False).status == 200
    assert get(played, site="b") == (200, "beside"), "forwarded by the other region"


def test_a_release_that_does_not_get_well_has_never_had_a_customer(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare, "HEALTHY_S", 1.0)
    played.well = False
    with asked(lambda: get(played)) as got:
        with entered(NETNS / played.entrance.names["a"]), pytest.raises(Failed, match="it took no request"):
            played.spare.begin("/opt/shop/releases/abc")
        assert until(lambda: len(got) > 10, 20)
    assert set(got) == {(200, "old")}
