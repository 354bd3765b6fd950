"""HTTP/1.1 as far as S3 needs it: one request at a time over a kept connection, headers as bytes in latin-1, bodies by length, in chunks, or to the end.

The standard library's client parses headers with the mail parser and takes twice the processor time of an exchange of small objects, and megabytes
of a small process; nothing of it is needed here. No redirects, no proxies, no compression: a body is what the server sent.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .line import Line, Names

if TYPE_CHECKING:
    import ssl

LONGEST_LINE = 64 * 1024
MOST_HEADERS = 200
MOST_INTERIM = 10  # answers that only say that the real one will come
LONGEST_SIZE = 16  # digits
BUFFER = 64 * 1024
_HEX = b"0123456789abcdefABCDEF"


class ProtocolError(Exception):
    """The other side does not speak HTTP/1.1, or not to its end."""


class Response:
    """An answer whose body is read with `read`. Header names in lower case."""

    def __init__(self, stream: io.BufferedReader[Any], method: str) -> None:
        self._stream = stream
        for _ in range(MOST_INTERIM):
            self.status, self.reason, newest = self._status()
            self.headers = self._headers()
            if self.status >= 200:
                break
        else:
            raise ProtocolError(f"{MOST_INTERIM} times that it will answer")
        self.length = self._length(method)
        self._left = self.length  # None: unknown, until the chunks or the connection end
        self._chunked = self.length is None and "transfer-encoding" in self.headers
        self._chunk = 0
        self.done = self.length == 0
        asked_to_close = "close" in self.headers.get("connection", "").lower()
        self.keeps = newest and not asked_to_close and (self.length is not None or self._chunked)

    def _length(self, method: str) -> int | None:
        if method == "HEAD" or self.status in (204, 304):
            return 0
        coding = self.headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise ProtocolError(f"a body in the coding {coding[:40]!r}")
        text = self.headers.get("content-length")
        if text is None or coding is not None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_SIZE):
            raise ProtocolError(f"a length of {text[:40]!r}")
        return int(text)

    def _line(self) -> bytes:
        line = self._stream.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise _unended(line)
        return line.rstrip(b"\r\n")

    def _status(self) -> tuple[int, bytes, bool]:
        line = self._line()
        version, _, rest = line.partition(b" ")
        status, _, reason = rest.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not status.isdigit() or len(status) != 3 or status < b"100":
            raise ProtocolError(f"an answer that begins with {line[:40]!r}")
        return int(status), reason, version != b"HTTP/1.0"

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        read = self._stream.readline
        for _ in range(MOST_HEADERS):
            line = read(LONGEST_LINE)
            name, colon, value = line.decode("latin-1").partition(":")
            if not line.endswith(b"\n"):
                raise _unended(line)
            if not colon:
                if not line.rstrip(b"\r\n"):
                    return headers
                raise ProtocolError(f"a header line {line[:40]!r}")
            name, value = name.strip().lower(), value.strip()
            if name == "content-length" and headers.get(name, value) != value:
                raise ProtocolError(f"lengths of {headers[name][:40]!r} and {value[:40]!r}")
            headers[name] = value
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

    def whole(self, most: int) -> bytes:
        """The rest of the body. Raises ProtocolError when that is more than `most` bytes, ConnectionResetError when it ends early."""
        if self._left is not None and self._left > most:
            raise ProtocolError(f"a body of {self._left} bytes, {most} at most are read")
        body = bytearray()
        while piece := self.read(most + 1 - len(body)):
            body += piece
            if len(body) > most:
                raise ProtocolError(f"a body of more than {most} bytes")
        if not self.done:
            raise ConnectionResetError("closed within the body")
        return bytes(body)

    def _read_chunk(self, most: int) -> bytes:
        if self._chunk == 0:
            size = self._line().partition(b";")[0].strip()
            if not 0 < len(size) <= LONGEST_SIZE or size.translate(None, _HEX):
                raise ProtocolError(f"a chunk of size {size[:40]!r}")
            self._chunk = int(size, 16)
            if self._chunk == 0:
                self._headers()
                self.done = True
                return b""
        piece = self._stream.read1(min(most, self._chunk))
        if not piece:
            raise ConnectionResetError("closed within a chunk")
        self._chunk -= len(piece)
        if self._chunk == 0 and self._line():
            raise ProtocolError("a chunk longer than its size")
        return piece


def _unended(line: bytes) -> Exception:
    if len(line) == LONGEST_LINE:
        return ProtocolError("a line without end")
    return ConnectionResetError("closed before it had answered")


class Connection:
    """A kept `Line`, whose arguments these are. For one thread, but for `cut`. Raises what a line raises, and ProtocolError."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        connect_s: float,
        timeout_s: float,
        name: str = "",
        names: Names | None = None,
        tunnel: Callable[[Line], None] | None = None,
    ) -> None:
        self._line = Line(
            host, port, tls, connect_s=connect_s, timeout_s=timeout_s, name=name, names=names, tunnel=tunnel
        )
        self._stream = io.BufferedReader(self._line, BUFFER)

    def connect(self) -> None:
        """What the first request does otherwise."""
        self._line.connect()

    def close(self) -> None:
        """Safe to call again."""
        self._stream.close()

    def cut(self) -> None:
        """See `Line.cut`."""
        self._line.cut()

    def quiet(self) -> bool:
        """Fit for another request: nothing has come since the last answer, neither an end nor anything that nobody asked for."""
        self._line.dry = True
        rest = self._stream.peek(1)
        self._line.dry = False
        return not rest and self._line.quiet()

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
        *,
        until: float | None = None,
        head_s: float | None = None,
    ) -> Response:
        """Send it and read the answer's head. `headers` must frame the body. `until`: when the answer must be there to its end, by `time.monotonic`;
        `head_s`: how long its head may take once all is sent.
        """
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ProtocolError("a header with a line break in the request")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self._line.allow(until)
        self._line.connect()
        if body is None or isinstance(body, bytes):
            self._line.send(head + (body or b""))
            return self._response(method, until, head_s)
        self._line.send(head)
        # A server may refuse before it has read everything: its answer says more than the broken pipe.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in body:
                self._line.send(piece)
        return self._response(method, until, head_s)

    def _response(self, method: str, until: float | None, head_s: float | None) -> Response:
        if head_s is not None:
            self._line.allow(min(time.monotonic() + head_s, math.inf if until is None else until))
        response = Response(self._stream, method)
        self._line.allow(until)
        return response
