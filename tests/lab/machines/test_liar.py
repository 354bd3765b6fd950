"""The false front of a storage region lies about what it was told to, and passes on everything else as it is."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab.s3.liar import Liar, listed, redirection

Seen = list[tuple[str, str, str, bytes]]


@pytest.fixture
def gateway() -> Iterator[tuple[int, Seen]]:
    seen: Seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.append((self.command, self.path, f"{self.headers['Host']} {self.headers['Authorization']}", body))
            self.send_response(200)
            self.send_header("ETag", "abc")
            self.send_header("Content-Length", "5")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"hello")

        do_GET = do_HEAD = do_PUT

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def front(gateway: tuple[int, Seen]) -> Iterator[Callable[[str], Liar]]:
    made = []

    def make(mode: str) -> Liar:
        liar = Liar(("127.0.0.1", gateway[0]), ("127.0.0.1", 0), mode, None)
        liar.start()
        made.append(liar)
        return liar

    yield make
    for liar in made:
        liar.stop()


def ask(port: int, method: str, target: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, target, body or None, {"Host": "s3.example", "Authorization": "signed"})
    reply = connection.getresponse()
    found = (reply.status, {key.lower(): value for key, value in reply.getheaders()}, reply.read())
    connection.close()
    return found


def test_a_front_that_refuses_refuses_everything_and_asks_nobody(
    front: Callable[[str], Liar], gateway: tuple[int, Seen]
) -> None:
    port = front("503").port
    for method, target in (("GET", "/bucket/key"), ("PUT", "/bucket/key"), ("GET", "/bucket?list-type=2")):
        status, _, body = ask(port, method, target, b"x")
        assert (status, b"<Code>SlowDown</Code>" in body) == (503, True)
    assert gateway[1] == []


def test_a_front_that_shows_nothing_still_gives_and_takes_objects(
    front: Callable[[str], Liar], gateway: tuple[int, Seen]
) -> None:
    port = front("empty").port
    status, _, body = ask(port, "GET", "/bucket?list-type=2&prefix=a")
    assert (status, b"<KeyCount>0</KeyCount>" in body, b"<Contents>" in body) == (200, True, False)
    assert b"ListVersionsResult" in ask(port, "GET", "/bucket?versions")[2]
    assert gateway[1] == []
    assert ask(port, "PUT", "/bucket/a%20b//c?x-id=PutObject", b"data")[1]["etag"] == "abc"
    assert ask(port, "GET", "/bucket/key")[2] == b"hello"
    status, headers, body = ask(port, "HEAD", "/bucket/key")
    assert (status, headers["content-length"], body) == (200, "5", b"")
    assert gateway[1][0] == ("PUT", "/bucket/a%20b//c?x-id=PutObject", "s3.example signed", b"data")


@pytest.mark.parametrize(
    ("target", "bucket"),
    [
        ("/bucket", "bucket"),
        ("/bucket/", "bucket"),
        ("/bucket?list-type=2&X-Amz-Signature=x", "bucket"),
        ("/bucket?versions=&prefix=a", "bucket"),
        ("/bucket?versioning", None),
        ("/bucket?location", None),
        ("/bucket/key", None),
        ("/", None),
    ],
)
def test_what_counts_as_a_list(target: str, bucket: str | None) -> None:
    assert listed(target) == bucket


def test_new_connections_lead_to_the_front_but_not_its_own() -> None:
    text = redirection([("203.0.113.3", 7070)])
    assert text.count("ip daddr 203.0.113.3 tcp dport 7070 dnat to 203.0.113.3:7071") == 2
    assert "ip saddr != 192.0.2.13 ip daddr 203.0.113.3" in text
    assert "dnat to" not in redirection([])
