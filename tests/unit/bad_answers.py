"""A server that answers well until it is told how to answer badly; and the ways of doing so, each with the words that it must end in.

`PAGES` are those that only a client of S3 has to see through.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Play = Callable[["Played", socket.socket], None]
SECRET = "hidden-key"
SERVER = {"id": "id-1", "name": "shop-a-db-1", "status": "ACTIVE"}
EPOCH = {"epoch": 1, "active": "a", "previous": None, "planned": True}
MOMENT = "Tue, 01 Dec 2026 10:00:00 GMT"
DATED = (f"Last-Modified: {MOMENT}", f"Date: {MOMENT}", 'ETag: "1"')
LISTED = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>epochs/00000001.json</Key><Size>7</Size>"
    b"<ETag>1</ETag><LastModified>2026-12-01T10:00:00.000Z</LastModified></Contents></ListBucketResult>"
)
RECORD = {"id": 7, "fieldType": "A", "subDomain": "www", "target": "203.0.113.5", "ttl": 60}


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An answer, whole."""
    head = "".join(f"{each}\r\n" for each in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode("latin-1") + b"\r\n" + body


def good(document: Any, *headers: str) -> bytes:
    """An answer as it should be."""
    return reply("200 OK", json.dumps(document).encode(), "Content-Type: application/json", *headers)


class Played:
    """All of OpenStack, OVHcloud and a bucket that is asked here, on one port. `bad`: which path is answered how instead. `asked`: heads of requests."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.bad: tuple[str, Play] | None = None
        self.asked: list[bytes] = []
        self.over = threading.Event()
        points = [{"interface": "public", "region_id": "GRA11", "url": f"{self.url}/compute/"}]
        self.good = {
            "/auth/tokens": good(
                {"token": {"catalog": [{"type": "compute", "endpoints": points}]}}, f"X-Subject-Token: {SECRET}"
            ),
            "/servers/detail": good({"servers": [SERVER]}),
            "/auth/time": good(1700000000),
            "/record": good([7]),
            "/record/7": good(RECORD),
            "start-after=epochs%2F00000001.json": reply("200 OK", b"<ListBucketResult/>"),
            "/bucket": reply("200 OK", LISTED),
            "/epochs/00000001.json": good(EPOCH, *DATED),
            "/heartbeats/a/db-1.json": good({"sequence": 1}, *DATED),
            "/followed/a.json": good({"epoch": 1}, *DATED),
            "/sites/a.json": good({"lb": "203.0.113.5"}, *DATED),
            "/an/object": reply("200 OK", b"content", *DATED),
        }
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Whoever still drips ends."""
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # who waits in accept() would keep it open
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with link:
            try:
                head = self._request(link)
                if not head:
                    return
                self.asked.append(head)
                target = head.split(b" ")[1].decode()
                path = target.partition("?")[0]
                if self.bad is not None and path.endswith(self.bad[0]):
                    self.bad[1](self, link)
                else:
                    link.sendall(
                        next(it for end, it in self.good.items() if target.endswith(end) or path.endswith(end))
                    )
            except OSError:
                pass  # whoever asked has gone

    @staticmethod
    def _request(link: socket.socket) -> bytes:
        said = b""
        while b"\r\n\r\n" not in said:
            said += link.recv(65536) or b"\r\n\r\n"
        head, _, body = said.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += link.recv(65536) or b" " * int(length[1])
        return head


def say(answer: bytes) -> Play:
    """That, and the end."""
    return lambda _, link: link.sendall(answer)


def drip(first: bytes, each: bytes) -> Play:
    """A beginning, and then a little for ever."""

    def play(server: Played, link: socket.socket) -> None:
        link.sendall(first)
        while not server.over.wait(0.01):
            link.sendall(each)

    return play


def _silence(server: Played, _: socket.socket) -> None:
    server.over.wait()


def _reset(_: Played, link: socket.socket) -> None:
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PAGE = b"<!doctype html><title>Sign in</title>"
LATE, EARLY, NO_HTTP, NO_JSON = (
    r"no answer within 0\.2 s$",
    r"cannot be used \(closed within ",
    "not in HTTP",
    "wanted JSON; a login page or a proxy",
)
NO_SENSE = "wanted one|without a token|no list of servers|no time|cannot be read"

# What takes for ever: played with a short limit.
SLOW: dict[str, tuple[Play, str]] = {
    "silence": (_silence, LATE),
    "a head that drips": (drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"), LATE),
    "a body that drips": (drip(b"HTTP/1.1 200 OK\r\n\r\n[", b" "), LATE),
    "chunks that drip": (drip(CHUNKED, b"1\r\n \r\n"), LATE),
    "a refusal that drips": (drip(b"HTTP/1.1 503 Busy\r\n\r\n", b" "), "answered 503 Busy$"),
}
QUICK: dict[str, tuple[Play, str]] = {
    "an end without an answer": (say(b""), "closed before it had answered$"),
    "an end within the head": (say(b"HTTP/1.1 200 OK\r\nContent-Le"), "closed before it had answered$"),
    "continue, for ever": (drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), NO_HTTP),
    "a reset": (_reset, "no connection"),
    "another protocol": (say(b"SSH-2.0-OpenSSH_9.2\r\n"), NO_HTTP),
    "TLS": (say(b"\x15\x03\x03\x00\x02\x02\x50"), "closed before it had answered$"),
    "TLS, and more": (say(b"\x15\x03\x03\x00\x02\x02\x50\n"), NO_HTTP),
    "the HTTP of 1991": (say(PAGE + b"\n"), NO_HTTP),
    "the HTTP of 2015": (say(b"HTTP/2 200\r\n\r\n"), NO_HTTP),
    "a header that is none": (say(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 3\r\n\r\n[7]"), NO_HTTP),
    "two lengths": (say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 1\r\n\r\n[7]"), NO_HTTP),
    "a length below nothing": (say(b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n[7]"), NO_HTTP),
    "a length without end": (say(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"), NO_HTTP),
    "a status that is none": (say(b"HTTP/1.1 abc OK\r\n\r\n"), NO_HTTP),
    "a header without an end": (say(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000), NO_HTTP),
    "a thousand headers": (say(b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 1000 + b"\r\n"), NO_HTTP),
    "an early end": (say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[7"), EARLY),
    "an early end at once": (say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), EARLY),
    "an early end of chunks": (say(CHUNKED + b"5\r\n[7"), EARLY),
    "chunks without the last": (say(CHUNKED + b"3\r\n[7]\r\n"), r"cannot be used \(closed before"),
    "chunks of no length": (say(CHUNKED + b"long\r\n[7]\r\n0\r\n\r\n"), r"cannot be used \(a chunk of size"),
    "chunks of a length below nothing": (say(CHUNKED + b"-3\r\n[7]\r\n0\r\n\r\n"), r"cannot be used \(a chunk of size"),
    "a chunk that is longer": (say(CHUNKED + b"3\r\n[7] \r\n0\r\n\r\n"), r"cannot be used \(a chunk longer"),
    "more than fits": (say(reply("200 OK", b"[" + b" " * 9000 + b"]")), r"\(a body of 9002 bytes, 8192 at most"),
    "more than fits, unsaid": (say(b"HTTP/1.1 200 OK\r\n\r\n[" + b" " * 9000), "more than 8192 bytes"),
    "more than fits, without end": (drip(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536), "more than 8192 bytes"),
    "more than fits, in chunks": (say(CHUNKED + b"ffff\r\n[" + b" " * 70000), "more than 8192 bytes"),
    "a login page": (say(reply("200 OK", PAGE, "Content-Type: text/html")), f"text/html, {NO_JSON}"),
    "a redirect to a login page": (
        say(reply("302 Found", PAGE, f"Location: https://me:{SECRET}@login.example/?next=1")),
        r"answered 302 Found, which leads to login\.example; nothing was sent there",
    ),
    "a redirect to itself": (say(reply("307 Temporary Redirect", b"", "Location: /again")), "which leads to itself"),
    "half of a document": (say(reply("200 OK", b'{"token": {', "Content-Type: application/json")), NO_JSON),
    "no text": (say(reply("200 OK", b"\xff\xfe\x00", "Content-Type: application/json")), NO_JSON),
    "a document too deep": (say(reply("200 OK", b"[" * 3000)), NO_JSON),
    "a number that is none": (say(reply("200 OK", b"[NaN]")), NO_JSON),
    "a number without end": (say(reply("200 OK", b"1e999")), NO_JSON),
    "words of another alphabet": (
        say(reply("200 OK", '["\u00e9"]'.encode("latin-1"), "Content-Type: application/json; charset=utf-8")),
        NO_JSON,
    ),
    "a number too long": (say(reply("200 OK", b"9" * 5000)), NO_JSON),
    "packed": (say(reply("200 OK", gzip.compress(b"[7]"), "Content-Encoding: gzip")), "in gzip, wanted plain JSON"),
    "packed and not saying so": (say(reply("200 OK", gzip.compress(b"[7]"))), NO_JSON),
    "nothing": (say(reply("204 No Content")), NO_SENSE),
    "an empty page": (say(reply("200 OK")), NO_SENSE),
    "null": (say(good(None)), NO_SENSE),
    "true": (say(good(True)), NO_SENSE),
    "a text": (say(good("up")), NO_SENSE),
    "a list of texts": (say(good(["up"])), NO_SENSE),
    "an object of another kind": (say(good({"versions": {"values": []}})), NO_SENSE),
    "an object with the right names": (say(good({"token": [], "servers": {"a": 1}})), NO_SENSE),
    "not allowed": (say(reply("401 Unauthorized", b'{"message": ["no", "text"]}')), "answered 401 Unauthorized$"),
    "not there": (say(reply("404 Not Found", PAGE, "Content-Type: text/html")), "answered 404 Not Found$"),
    "a refusal that ends early": (say(b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\n{"), "answered 503 Busy$"),
    "a refusal in many lines": (say(b"HTTP/1.1 500 a\x0bb\x1b[2Jc\x85d\r\n\r\n"), r"answered 500 a b \[2Jc d$"),
    "too many requests": (say(reply("429 Slow Down", b"", "Retry-After: soon")), "answered 429 Slow Down$"),
    "a hint, and no more": (say(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "closed before it had answered$"),
    "a refusal in a page": (say(reply("500 Oh", PAGE, "Content-Type: text/html")), "answered 500 Oh$"),
    "a redirect to nowhere": (say(reply("301 Moved", b"", "Location: http://[::1")), "leads to itself"),
}

XHTML = b'<html xmlns="http://www.w3.org/1999/xhtml"><body><Contents><Key>a</Key></Contents></body></html>'
PAGES: dict[str, Play] = {
    "XHTML": say(reply("200 OK", XHTML, "Content-Type: application/xhtml+xml")),
    "XHTML that names its encoding": say(reply("200 OK", b'<?xml version="1.0" encoding="utf-8"?>' + XHTML)),
    "a root of another kind": say(reply("200 OK", b"<ListAllMyBucketsResult/>")),
    "a root of nearly the kind": say(reply("200 OK", b"<NoListBucketResult/>")),
    "an empty root of nobody": say(reply("200 OK", b"<x/>")),
    "an error that says yes": say(reply("200 OK", b"<Error><Code>InternalError</Code></Error>", 'ETag: "1"')),
    "half of a listing": say(reply("200 OK", LISTED[:-20])),
    "a listing and more": say(reply("200 OK", LISTED + LISTED)),
    "entities": say(
        reply("200 OK", b"<!DOCTYPE a [<!ENTITY a 'a'><!ENTITY b '&a;&a;'>]><ListBucketResult>&b;</ListBucketResult>")
    ),
    "somebody else's file": say(
        reply(
            "200 OK", b"<!DOCTYPE a [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><ListBucketResult>&a;</ListBucketResult>"
        )
    ),
    "an encoding that is none": say(reply("200 OK", b"<?xml version='1.0' encoding='none'?><ListBucketResult/>")),
    "an encoding that is no text": say(reply("200 OK", b"<?xml version='1.0' encoding='zip'?><ListBucketResult/>")),
    "another encoding": say(reply("200 OK", b"<?xml version='1.0' encoding='shift_jis'?><ListBucketResult/>")),
    "markup too deep": say(reply("200 OK", b"<a>" * 2000)),
    "no such key, on a page": say(reply("404 Not Found", PAGE, "Content-Type: text/html")),
    "a redirect to another region": say(
        reply(
            "301 Moved", b"<Error><Code>PermanentRedirect</Code><Endpoint>x</Endpoint></Error>", "Location: https://x/"
        )
    ),
}
WAITS = (
    "soon",
    "-5",
    "nan",
    "\u00b2",
    "9" * 400,
    "1e3",
    "Fri, 31 Dec 9999 23:59:59 -9999",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "",
)
PAGES |= {f"wait {each[:30]!r}": say(reply("503 Busy", b"", f"Retry-After: {each}")) for each in WAITS}
