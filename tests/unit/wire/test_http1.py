"""Answers as servers give them, and as they should not."""

from __future__ import annotations

import io
import socket
import time

import pytest

from contract.wire.http1 import Connection, ProtocolError, Response
from tests.unit.wire.servers import LIMIT_S, asked, serving


def response(text: bytes, method: str = "GET") -> Response:
    return Response(io.BufferedReader(io.BytesIO(text)), method)


def whole(found: Response, most: int = 7) -> bytes:
    return b"".join(iter(lambda: found.read(most), b""))


def test_a_body_by_length_leaves_the_next_answer_alone() -> None:
    found = response(b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 10\r\n\r\n0123456789HTTP/1.1')
    assert (found.status, found.headers["etag"], whole(found), found.done, found.keeps) == (
        200,
        '"x"',
        b"0123456789",
        True,
        True,
    )


def test_a_body_in_chunks() -> None:
    text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0a;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    found = response(text)
    assert (whole(found), found.done, found.keeps) == (b"abcde0123456789", True, True)


def test_a_body_to_the_end_of_the_connection() -> None:
    found = response(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    assert (whole(found), found.done, found.keeps) == (b"all of it", True, False)


@pytest.mark.parametrize(
    ("head", "method"),
    [(b"204 No Content", "DELETE"), (b"200 OK\r\nContent-Length: 99", "HEAD"), (b"200 OK\r\nContent-Length: 0", "PUT")],
)
def test_no_body(head: bytes, method: str) -> None:
    found = response(b"HTTP/1.1 " + head + b"\r\n\r\n", method)
    assert (found.done, found.read(9), found.keeps) == (True, b"", True)


def test_a_server_says_go_on_first() -> None:
    found = response(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n")
    assert (found.status, "x" in found.headers) == (412, False)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\nContent-Length: 0", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close"]
)
def test_connections_that_are_not_kept(head: bytes) -> None:
    assert response(head + b"\r\n\r\n").keeps is False


def test_header_bytes_go_through_as_they_are() -> None:
    found = response("HTTP/1.1 200 OK\r\nx-amz-meta-a: Zoë\r\nContent-Length: 0\r\n\r\n".encode())
    assert found.headers["x-amz-meta-a"].encode("latin-1") == "Zoë".encode()


@pytest.mark.parametrize("text", [
    b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n", b"x" * 100_000,
])  # fmt: skip
def test_nonsense_is_told(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        response(text)


@pytest.mark.parametrize("body", [b"zz\r\n", b"3\r\nabcd\r\n"])
def test_chunks_of_nonsense(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        whole(response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body))


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nETag: x\r\n"])
def test_an_end_before_the_answer_is_a_broken_line(text: bytes) -> None:
    with pytest.raises(ConnectionResetError):
        response(text)


def test_an_end_within_a_chunk_is_a_broken_line() -> None:
    with pytest.raises(ConnectionResetError):
        whole(response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"))


def test_a_body_that_ends_early_is_not_done() -> None:
    found = response(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012")
    assert (whole(found), found.done) == (b"012", False)


def test_no_second_request_in_a_header() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        connection = Connection(host, port, None, connect_s=5, timeout_s=5)
        connection.connect()
        other, _ = server.accept()
        try:
            with pytest.raises(ProtocolError, match="line break"):
                connection.request("PUT", "/k", {"x-amz-meta-a": "1\r\n\r\nDELETE / HTTP/1.1"}, None)
            assert connection.quiet()
            other.sendall(b"unasked")
            assert not _quiet_after(connection)
        finally:
            connection.close()
            other.close()


def _quiet_after(connection: Connection) -> bool:
    """Loopback delivers before `sendall` returns, but nobody promises that."""
    return all(connection.quiet() for _ in range(100_000))


def test_without_a_moment_to_end_at_each_wait_has_its_own_limit() -> None:
    def slow(sock: socket.socket) -> None:
        for wait_s in (0.3, 0.0, 0.9):
            asked(sock)
            time.sleep(wait_s)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with serving(slow) as server:
        connection = Connection("127.0.0.1", server.port, None, connect_s=0.2, timeout_s=LIMIT_S)
        try:
            for until in (None, time.monotonic() + 1.0, None):
                assert connection.request("GET", "/", {}, None, until=until).whole(2) == b"ok"
        finally:
            connection.close()
