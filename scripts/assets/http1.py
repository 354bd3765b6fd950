"""HTTP/1.1 as far as S3 needs it: one request at a time over a kept connection, headers as bytes in latin-1, bodies by length, in chunks, or to the end.

The standard library's client parses headers with the mail parser and takes twice the processor time of an exchange of small objects; nothing of it is
needed here. No redirects, no proxies, no compression: a body is what the store sent.
"""

from __future__ import annotations

import io
import select
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import cast

LONGEST_LINE = 64 * 1024
MOST_HEADERS = 200
BUFFER = 64 * 1024


class ProtocolError(Exception):
    """The other side does not speak HTTP/1.1, or not to its end."""


class Response:
    """An answer whose body is read with `read`. Header names in lower case."""

    def __init__(self, stream: io.BufferedReader, method: str) -> None:
        self._stream = stream
        self.status, newest = self._status()
        while 100 <= self.status < 200:
            self._headers()
            self.status, newest = self._status()
        self.headers = self._headers()
        self.length = self._length(method)
        self._left = self.length  # None: unknown, until the chunks or the connection end
        self._chunked = self.length is None and "chunked" in self.headers.get("transfer-encoding", "").lower()
        self._chunk = 0
        self.done = self.length == 0
        asked_to_close = "close" in self.headers.get("connection", "").lower()
        self.keeps = newest and not asked_to_close and (self.length is not None or self._chunked)

    def _length(self, method: str) -> int | None:
        if method == "HEAD" or self.status in (204, 304):
            return 0
        text = self.headers.get("content-length")
        if text is None or "transfer-encoding" in self.headers:
            return None
        if not (text.isascii() and text.isdigit()):
            raise ProtocolError(f"a length of {text!r}")
        return int(text)

    def _line(self) -> bytes:
        line = self._stream.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise ProtocolError("a line without end")
        if not line.endswith(b"\n"):
            raise ConnectionResetError("closed before it had answered")
        return line.rstrip(b"\r\n")

    def _status(self) -> tuple[int, bool]:
        line = self._line()
        version, _, rest = line.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ProtocolError(f"an answer that begins with {line[:40]!r}")
        return int(rest[:3]), version != b"HTTP/1.0"

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(MOST_HEADERS):
            line = self._line()
            if not line:
                return headers
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise ProtocolError(f"a header line {line[:40]!r}")
            headers[name.strip().lower()] = value.strip()
        raise ProtocolError(f"more than {MOST_HEADERS} headers")

    def read(self, most: int) -> bytes:
        """Up to `most` bytes of the body; none at its end. One that ends before its length is the caller's to see, by `done`."""
        if self.done:
            return b""
        if self._chunked:
            return self._read_chunk(most)
        piece = self._stream.read1(most if self._left is None else min(most, self._left))
        if self._left is not None:
            self._left -= len(piece)
            self.done = self._left == 0
        elif not piece:
            self.done = True
        return piece

    def _read_chunk(self, most: int) -> bytes:
        if self._chunk == 0:
            size = self._line().partition(b";")[0].strip()
            try:
                self._chunk = int(size, 16)
            except ValueError:
                raise ProtocolError(f"a chunk of size {size[:40]!r}") from None
            if self._chunk == 0:
                while self._line():
                    continue
                self.done = True
                return b""
        piece = self._stream.read1(min(most, self._chunk))
        if not piece:
            raise ConnectionResetError("closed within a chunk")
        self._chunk -= len(piece)
        if self._chunk == 0 and self._line():
            raise ProtocolError("a chunk longer than its size")
        return piece


class Connection:
    """Not safe to share between threads. Raises OSError (TimeoutError among them) and ProtocolError."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, *, connect_s: float, timeout_s: float) -> None:
        self._sock = socket.create_connection((host, port), connect_s)
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._sock = tls.wrap_socket(self._sock, server_hostname=host)
            self._sock.settimeout(timeout_s)
            self._stream = cast(io.BufferedReader, self._sock.makefile("rb", BUFFER))
        except BaseException:
            self._sock.close()
            raise

    def close(self) -> None:
        self._stream.close()
        self._sock.close()

    def quiet(self) -> bool:
        """Nothing has come since the last answer: neither an end nor anything that nobody asked for."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
    ) -> Response:
        """Send it and read the answer's head. `headers` must frame the body."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ProtocolError("a header with a line break in the request")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if body is None or isinstance(body, bytes):
            self._sock.sendall(head + (body or b""))
            return Response(self._stream, method)
        self._sock.sendall(head)
        try:
            for piece in body:
                self._sock.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            # A server may refuse before it has read everything: its answer says more than the broken pipe.
            return Response(self._stream, method)
        return Response(self._stream, method)
