"""Websockets through nginx: in both roles, at their own path alone, and gone when the shop has left."""

from __future__ import annotations

import io
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lab.namespace import NETNS, entered
from scripts.host.app.web import cable
from scripts.host.frame.log import Log
from tests.lab.web.entrance import CLIENT, SHOP, Entrance, make, proxied

pytestmark = pytest.mark.lab

UPGRADE = (("Upgrade", "websocket"), ("Sec-WebSocket-Key", "eA=="), ("Sec-WebSocket-Version", "13"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entrance]:
    with make(tmp_path_factory.mktemp("cable"), cable_timeout_s=60, read_timeout_s=2).running() as running:
        yield running


class Line:
    """A connection of a customer's, kept open."""

    def __init__(self, entrance: Entrance, site: str) -> None:
        self._raw = entrance.connect(site, 443)
        self._raw.sendall(proxied(CLIENT))
        self._link = entrance.context().wrap_socket(self._raw, server_hostname=SHOP)
        self._link.settimeout(10)

    def page(self) -> str:
        """A whole page, after which the connection is kept."""
        return self.ask("/products", end="]]}")

    def ask(self, path: str, *headers: tuple[str, str], end: str = "\r\n\r\n") -> str:
        """The head of the answer and what comes with it."""
        lines = [f"GET {path} HTTP/1.1", f"Host: {SHOP}", *(f"{name}: {text}" for name, text in headers), "", ""]
        self._link.sendall("\r\n".join(lines).encode())
        return self.heard(end)

    def say(self, text: str) -> str:
        """What comes back of it."""
        self._link.sendall(text.encode())
        return self.heard(text)

    def heard(self, end: str) -> str:
        """Until it ends so, or is over."""
        said = b""
        while end.encode() not in said and (part := self._link.recv(4096)):
            said += part
        return said.decode()

    def over(self, within_s: float = 5.0) -> bool:
        """Whether the other side ends within this time."""
        self._link.settimeout(within_s)
        try:
            return self._link.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._raw.close()


@contextmanager
def line(entrance: Entrance, site: str = "a") -> Iterator[Line]:
    made = Line(entrance, site)
    try:
        yield made
    finally:
        made.close()


def opened(link: Line, path: str = "/cable") -> str:
    """Which site's Puma speaks."""
    said = link.ask(path, *UPGRADE, ("Connection", "Upgrade"))
    assert said.startswith("HTTP/1.1 101 "), said
    said = said.partition("\r\n\r\n")[2] or link.heard("\n")
    return said.split()[1]


def ended(entrance: Entrance, site: str) -> str:
    """As `dr-host app forward` and `converge` do it on the host of this site; what was logged."""
    text = io.StringIO()
    with entered(NETNS / entrance.names[site]):
        cable.end(Log(text, "app forward"))
    return text.getvalue()


@pytest.mark.parametrize("site", ["a", "b"])
def test_a_websocket_comes_through_in_both_roles_and_may_be_silent_for_longer_than_a_page(
    shop: Entrance, site: str
) -> None:
    with line(shop, site) as link:
        assert opened(link) == "a", "the standby forwards"
        assert link.say("one") == "one"
        assert not link.over(3.0), "a page has two seconds"
        assert link.say("two") == "two"


def test_nothing_but_a_websocket_is_made_of_a_connection(shop: Entrance) -> None:
    """A connection that has changed its language is beyond nginx: what goes on it is not looked at."""
    for upgrade in ("h2c", "TLS/1.0", "websocketx", "x websocket"):
        for site in "ab":
            answer = shop.ask("/cable", site=site, headers=[("Upgrade", upgrade)])
            assert answer.status == 200 and answer.arrived("Upgrade") == [] and answer.arrived("Connection") == []


@pytest.mark.parametrize("site", ["a", "b"])
def test_at_another_path_there_are_none(shop: Entrance, site: str) -> None:
    for path in ("/products", "/cable/", "/cable/x", "/Cable"):
        with line(shop, site) as link:
            said = link.ask(path, *UPGRADE, ("Connection", "Upgrade"))
            assert said.startswith("HTTP/1.1 200 ") and '"upgrade"' not in said


def test_what_a_client_says_of_itself_does_not_arrive_there_either(shop: Entrance) -> None:
    for site in "ab":
        answer = shop.ask(
            "/cable", site=site, headers=[("X-Forwarded-Host", "evil.example"), ("Forwarded", "for=evil")]
        )
        assert answer.arrived("X-Forwarded-Host") == [SHOP] == answer.arrived("Host") and b"evil" not in answer.body
        assert answer.arrived("X-Forwarded-For") == [CLIENT]


def test_where_it_is_off_there_are_none(tmp_path: Path) -> None:
    with make(tmp_path, cable_path=None).running() as off, line(off) as link:
        assert link.ask("/cable", *UPGRADE, ("Connection", "Upgrade")).startswith("HTTP/1.1 200 ")


def test_a_move_ends_the_websockets_of_the_region_that_was_left_and_no_other_connection(shop: Entrance) -> None:
    """Site a is left: its own and those that b had led there end at once, and their customers come again to where the shop is."""
    with line(shop, "a") as own, line(shop, "b") as led, line(shop, "a") as page:
        assert (opened(own), opened(led)) == ("a", "a")
        assert page.page().startswith("HTTP/1.1 200 ")
        shop.turn("b", serves=True)
        shop.turn("a", serves=False)
        try:
            assert own.say("still") == "still", "nginx looks at the role with each request, and this one goes on"
            assert ended(shop, "a") == ""
            began = time.monotonic()
            assert own.over() and led.over()
            assert time.monotonic() - began < 2.0
            assert page.page().startswith("HTTP/1.1 200 "), "a kept connection is kept"
            for site in "ab":
                with line(shop, site) as again:
                    assert opened(again) == "b"
        finally:
            shop.turn("a", serves=True)
            shop.turn("b", serves=False)
            ended(shop, "b")


def test_a_websocket_that_the_host_of_the_active_site_has_is_left_alone_by_the_others_end(shop: Entrance) -> None:
    with line(shop, "a") as link:
        assert opened(link) == "a"
        assert ended(shop, "b") == ""
        assert not link.over(1.0)
        assert link.say("on") == "on"


def test_one_that_cannot_be_ended_is_told_and_stops_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(cable, "SOURCE", "no address")
    cable.end(Log(text, "app forward"))
    assert "websockets: not ended" in text.getvalue() and "systemctl restart shop-web" in text.getvalue()


def test_kept_connections_to_puma_are_never_made_websockets_of(shop: Entrance) -> None:
    """One that was opened from another address would outlive a move."""
    for _ in range(20):
        assert shop.ask("/products").status == 200
    with line(shop) as link:
        assert opened(link) == "a"
        ended(shop, "a")
        assert link.over()


def test_it_is_a_socket_like_any_other_that_ends_with_its_customer(shop: Entrance) -> None:
    with line(shop) as link:
        assert opened(link) == "a"
        link._link.shutdown(socket.SHUT_WR)
        assert link.over()


def test_as_many_customers_as_a_page_has_readers_keep_one_at_once(shop: Entrance) -> None:
    """nginx's own number of connections is used up by half of them."""
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(few, min(10_000, most)), most))
    with ExitStack() as stack:
        for _ in range(1100):
            assert opened(stack.enter_context(line(shop))) == "a"
        assert shop.ask("/products").status == 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
