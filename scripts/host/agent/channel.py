"""One kept HTTP connection, and work in a thread of its own: what the agent asks of the outside can be slow, never its decisions."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..frame.log import Log

BODY_MAX = 1 << 20


def boottime() -> float:
    """Seconds since the boot, the time in which the machine was suspended included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class NoAnswer(Exception):
    """Nobody answered, or not within the limit. The text names no secret."""


@dataclass(frozen=True)
class Answer:
    """`headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Channel:
    """A connection to `address`:`port`, kept from one request to the next. For one thread; `abort` may come from another.

    `tls`: None for plain HTTP. `name`: what the certificate must say, and the Host header.
    """

    def __init__(self, name: str, address: str, port: int, tls: ssl.SSLContext | None, limit_s: float) -> None:
        self._name, self._address, self._port, self._tls, self._limit_s = name, address, port, tls, limit_s
        self._connection: _Connection | None = None

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Raises NoAnswer. A kept connection that the other end has closed meanwhile is made anew, once."""
        kept = self._connection is not None
        try:
            return self._once(method, path, headers, body)
        except NoAnswer:
            if not kept:
                raise
        return self._once(method, path, headers, body)

    def abort(self) -> None:
        """End a request that takes too long, whatever it waits for: it raises NoAnswer in its thread."""
        connection = self._connection
        if connection is not None:
            connection.cut()

    def close(self) -> None:
        """Safe to call again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        if self._connection is None:
            self._connection = _Connection(self._name, self._address, self._port, self._tls, self._limit_s)
        try:
            self._connection.request(method, path, body=body, headers=dict(headers))
            answer = self._connection.getresponse()
            found = Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(BODY_MAX)
            )
            if answer.will_close or not answer.isclosed():
                self.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise NoAnswer(str(getattr(error, "strerror", None) or error) or type(error).__name__) from None
        return found


class _Connection(http.client.HTTPConnection):
    """http.client's, to an address that is not the name, and with a way to cut it off from another thread."""

    def __init__(self, name: str, address: str, port: int, tls: ssl.SSLContext | None, limit_s: float) -> None:
        super().__init__(name, port, timeout=limit_s)
        self._address, self._tls = address, tls
        self._plain: socket.socket | None = None

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), timeout=self.timeout)
        self._plain = self.sock = plain
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
            self._plain = self.sock
            self.sock.do_handshake()

    def cut(self) -> None:
        sock = self._plain
        if sock is not None:
            with contextlib.suppress(OSError):  # it may have ended by itself just now
                # Not SSLSocket's own shutdown: that changes the object under the other thread's hands.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Worker:
    """Does `work` in a daemon thread whenever it is kicked, never twice at once. What `work` raises is logged, and the thread goes on."""

    def __init__(
        self, name: str, work: Callable[[], None], abort: Callable[[], None], limit_s: float, log: Log
    ) -> None:
        self._work, self._abort, self._limit_s, self._log = work, abort, limit_s, log
        self._kicked = threading.Event()
        self._since: float | None = None
        self._aborted = False
        self.rounds = 0  # finished so far
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def kick(self) -> None:
        """Ask for one round; one that is still under way counts, unless it is over its limit: then it is aborted."""
        since = self._since
        if since is None:
            self._kicked.set()
        elif boottime() - since > self._limit_s:
            self._abort()
            self._kicked.set()

    def _run(self) -> None:
        while True:
            self._kicked.wait()
            self._kicked.clear()
            self._since = boottime()
            try:
                self._work()
            except Exception as error:  # the lease must be enforced whatever a question runs into
                self._log.error(f"{self._thread.name}: unexpected {type(error).__name__} {place(error)}")
            self._since = None
            self.rounds += 1


def place(error: BaseException) -> str:
    """Where an unexpected error came from, without its text, which may hold a secret."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"in {at.tb_frame.f_code.co_name}, line {at.tb_lineno}" if at is not None else "somewhere"
