"""Signed requests to one bucket over kept-open connections. docs/decisions/0005 says why it is not boto3.

A request's path is the key's bytes, percent-encoded and otherwise as they are. One request is one attempt, but for a kept connection that the
server had closed meanwhile; retries are the caller's.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from urllib.parse import urlsplit

from contract.wire import dates
from contract.wire.http1 import Connection, ProtocolError, Response
from contract.wire.sigv4 import UNSIGNED, Signer, encode_key, encode_query

from .config import Endpoint
from .errors import Kind, StoreError
from .refusals import refusal

Query = Mapping[str, str | bytes]
Headers = Mapping[str, str]

CHUNK = 256 * 1024
CONNECT_S = 5.0
MOST_REFUSAL = 64 * 1024
SLOWEST = 1024  # bytes a second, averaged; below it a server only pretends to answer
SLOW_AFTER_S = 30.0


@dataclass(frozen=True)
class Limits:
    """Of the body of an answer that is read whole: bytes, and seconds from its head to its end. `trickles`: it may be slower than SLOWEST."""

    most: int
    within_s: float
    trickles: bool = False


DOCUMENT = Limits(most=8 * 1024 * 1024, within_s=120.0)  # a page of a thousand of the longest keys has half of that


@dataclass(frozen=True)
class Answer:
    """Header names in lower case, values one character a byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def etag(self) -> str:
        """Without quotes; empty when the store gave none."""
        return self.headers.get("etag", "").removeprefix("W/").strip('"')


class Body:
    """The body of an answer while it arrives: read it to its end, in pieces."""

    def __init__(self, response: Response, fail: Callable[[Kind, str], StoreError]) -> None:
        self._response, self._fail = response, fail
        self.length = -1 if response.length is None else response.length

    def whole(self, limits: Limits) -> bytes:
        """All of it, in memory. Raises StoreError, also when it is more than anybody asked for, or is not there in time."""
        body, end = bytearray(), time.monotonic() + limits.within_s
        for piece in self.pieces(trickles=limits.trickles):
            body += piece
            if len(body) > limits.most:
                raise self._fail(Kind.LYING, f"answers with more than {limits.most} bytes; not believed")
            if time.monotonic() > end:
                raise self._fail(Kind.SLOW, f"had not ended its answer after {limits.within_s:g} s")
        return bytes(body)

    def pieces(self, *, trickles: bool = False) -> Iterator[bytes]:
        """All of it. Raises StoreError when it ends early or, unless it may, only trickles."""
        started, seen = time.monotonic(), 0
        while not self._response.done:
            try:
                piece = self._response.read(CHUNK)
            except (OSError, ProtocolError) as error:
                # Named here: the reader may be in the middle of a request to the other store.
                raise self._fail(Kind.NETWORK, f"broke off ({str(error) or type(error).__name__})") from None
            seen += len(piece)
            if not piece:
                break
            elapsed = time.monotonic() - started
            if not trickles and elapsed > SLOW_AFTER_S and seen < SLOWEST * elapsed:
                raise self._fail(Kind.SLOW, f"sends {int(seen / elapsed)} bytes a second")
            yield piece
        if self.length >= 0 and seen != self.length:
            raise self._fail(Kind.NETWORK, f"ended the body after {seen} of {self.length} bytes")


@dataclass(frozen=True)
class _Call:
    """One request. `payload`: the SHA-256 of the body in hex, or UNSIGNED."""

    operation: str
    method: str
    key: bytes
    _: KW_ONLY
    query: Query
    headers: dict[str, str]
    payload: str
    body: bytes | Iterable[bytes] | None = None
    size: int = 0

    @property
    def replayable(self) -> bool:
        return self.body is None or isinstance(self.body, bytes)


class Wire:
    """Requests to the bucket of `endpoint`. Safe to use from several threads."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        parts = urlsplit(endpoint.endpoint)
        virtual = endpoint.addressing == "virtual"
        self._secure, self._timeout, self.endpoint = parts.scheme == "https", timeout_s, endpoint
        self._address = (
            (f"{endpoint.bucket}." if virtual else "") + str(parts.hostname),
            parts.port or (443 if self._secure else 80),
        )
        self._host = self._address[0] if parts.port is None else f"{self._address[0]}:{parts.port}"
        self._base = "/" if virtual else f"/{endpoint.bucket}/"
        self._signer = Signer(endpoint.access_key, endpoint.secret_key, endpoint.region, endpoint.session_token)
        self._tls = ssl.create_default_context(cafile=endpoint.ca or None) if self._secure else None
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self.served = False  # a request went through: keys, clock and address are good
        self.skew: float | None = None  # seconds that the store's clock is ahead of ours
        self.requests: dict[str, int] = {}

    def close(self) -> None:
        """Drop the kept connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def ask(
        self,
        operation: str,
        method: str,
        key: bytes = b"",
        query: Query | None = None,
        headers: Headers | None = None,
        *,
        body: bytes = b"",
        digest: str = "",
        limits: Limits = DOCUMENT,
    ) -> Answer:
        """One request, its answer read whole. `digest`: the SHA-256 of `body` if it is known. Raises StoreError on any status but 2xx."""
        payload = digest or hashlib.sha256(body).hexdigest()
        call = _Call(
            operation,
            method,
            key,
            query=query or {},
            headers=dict(headers or {}),
            payload=payload,
            body=body or None,
            size=len(body),
        )
        with self._exchange(call) as (answer, stream):
            return Answer(answer.status, answer.headers, stream.whole(limits))

    def send(
        self, operation: str, key: bytes, query: Query, headers: Headers, *, pieces: Iterable[bytes], size: int
    ) -> Answer:
        """A PUT whose body is not held in memory. `pieces` must add up to `size` bytes. Raises StoreError."""
        call = _Call(
            operation, "PUT", key, query=query, headers=dict(headers), payload=UNSIGNED, body=pieces, size=size
        )
        with self._exchange(call) as (answer, stream):
            return Answer(answer.status, answer.headers, stream.whole(DOCUMENT))

    @contextmanager
    def receive(self, operation: str, key: bytes, query: Query, headers: Headers) -> Iterator[tuple[Answer, Body]]:
        """A GET whose body is read by the caller. Raises StoreError, also while the body is read."""
        with self._exchange(_Call(operation, "GET", key, query=query, headers=dict(headers), payload=EMPTY)) as pair:
            yield pair

    @contextmanager
    def _exchange(self, call: _Call) -> Iterator[tuple[Answer, Body]]:
        path, text = self._base + encode_key(call.key), encode_query(call.query)
        call.headers["host"] = self._host
        if call.body is not None or call.method in ("PUT", "POST"):
            call.headers["content-length"] = str(call.size)
        self._signer.sign(call.method, path, text, call.headers, payload=call.payload)
        self.requests[call.operation] = self.requests.get(call.operation, 0) + 1
        connection, response = self._start(call, f"{path}?{text}" if text else path)
        keep = False
        try:
            answer = Answer(response.status, response.headers)
            self._see_clock(answer.headers)
            if not 200 <= response.status < 300:
                body = self._refusal_body(call, response)
                keep = call.replayable and response.done and response.keeps
                raise refusal(self.endpoint, call.operation, answer, body, skew=self.skew, served=self.served)
            self.served = True
            yield answer, Body(response, lambda kind, what: self._error(kind, call.operation, what))
            keep = response.done and response.keeps
        finally:
            self._give_back(connection, keep)

    def _refusal_body(self, call: _Call, response: Response) -> bytes:
        body, end = b"", time.monotonic() + self._timeout
        try:
            while len(body) < MOST_REFUSAL and time.monotonic() < end and (piece := response.read(MOST_REFUSAL)):
                body += piece
        except (OSError, ProtocolError) as error:
            raise self._broken(call.operation, error) from None
        return body

    def _start(self, call: _Call, target: str) -> tuple[Connection, Response]:
        connection = self._kept()
        try:
            if connection is not None:
                try:
                    return connection, self._asked(connection, call, target)
                except ConnectionError:
                    # Closed by the server between two requests: that says nothing about the store.
                    connection.close()
                    if not call.replayable:
                        raise
            connection = self._connect()
            return connection, self._asked(connection, call, target)
        except (OSError, ProtocolError) as error:
            if connection is not None:
                connection.close()
            raise self._broken(call.operation, error) from None
        except BaseException:
            if connection is not None:
                connection.close()
            raise

    def _asked(self, connection: Connection, call: _Call, target: str) -> Response:
        return connection.request(call.method, target, call.headers, call.body, head_s=self._timeout)

    def _kept(self) -> Connection | None:
        """An idle connection that the server has not closed."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.quiet():
                return connection
            connection.close()

    def _connect(self) -> Connection:
        return Connection(*self._address, self._tls, connect_s=CONNECT_S, timeout_s=self._timeout)

    def _give_back(self, connection: Connection, keep: bool) -> None:
        if not keep:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _see_clock(self, headers: Mapping[str, str]) -> None:
        theirs = dates.seconds(headers["date"]) if "date" in headers else None
        if theirs is None:
            return
        apart = theirs - time.time()
        # One answer may be an old one, or of a half whose clock is off: what most agree on is the nearest to ours.
        if self.skew is None or abs(apart) < abs(self.skew):
            self.skew = apart

    def _broken(self, operation: str, error: Exception) -> StoreError:
        if isinstance(error, ProtocolError):
            return self._error(
                Kind.LYING,
                operation,
                f"answers {error}, wanted HTTP/1.1; not believed, see what stands at this endpoint",
            )
        what = f"no answer ({str(error) or type(error).__name__}); see whether the region has an outage, and run the same again"
        return self._error(Kind.SLOW if isinstance(error, TimeoutError) else Kind.NETWORK, operation, what)

    def _error(self, kind: Kind, operation: str, what: str) -> StoreError:
        return StoreError(kind, f"{self.endpoint.place}: {operation}: {what}", side=self.endpoint.name)


EMPTY = hashlib.sha256(b"").hexdigest()
