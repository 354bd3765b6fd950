"""A connection of which every wait ends: after its own limit, at the end of what the whole request may take, and at once by another thread's word."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl  # who asks over plain HTTP, or nobody, starts without it

    from _typeshed import WriteableBuffer

LOOK_S = 0.05  # between two looks whether the addresses of a name are still wanted
FRESH_S = 60.0  # as long the addresses that came too late for their question may serve another


class CutError(ConnectionAbortedError):
    """Another thread has cut it."""


class Names:
    """Looks one name up, in a thread: the resolver has limits of its own, longer than a lease, and cannot be called off.

    What it says too late for its question serves the next one. Use from one thread.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._pending: _LookUp | None = None

    def addresses(self, go_on: Callable[[], None]) -> list[Any]:
        """As `socket.getaddrinfo` has them. `go_on` is called while they are awaited, and raises once nobody wants them. Raises OSError, ValueError."""
        with contextlib.suppress(socket.gaierror):  # it is no number
            return _addresses(self._host, self._port, socket.AI_NUMERICHOST)
        if self._pending is None or self._pending.stale():
            self._pending = _LookUp(self._host, self._port)
            self._pending.start()
        while not self._pending.ended.wait(LOOK_S):
            go_on()
        found, self._pending = self._pending, None
        if found.error is not None:
            raise found.error
        return found.addresses


class _LookUp(threading.Thread):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="resolver", daemon=True)
        self._where = host, port
        self._ended_at = 0.0
        self.ended = threading.Event()
        self.addresses: list[Any] = []
        self.error: OSError | ValueError | None = None

    def run(self) -> None:
        try:
            self.addresses = _addresses(*self._where)
        except (OSError, ValueError) as error:  # the latter: a name that cannot be encoded
            self.error = error
        self._ended_at = time.monotonic()
        self.ended.set()

    def stale(self) -> bool:
        return self.ended.is_set() and time.monotonic() - self._ended_at > FRESH_S


def _addresses(host: str, port: int, flags: int = 0) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)


class Line(io.RawIOBase):
    """To `host`:`port`, or to the addresses that `names` finds; over TLS if there is `tls`, with a certificate that says `name`.

    `timeout_s` bounds each wait, `connect_s` that for a connection; `allow` bounds all of them together. For one thread, but for `cut`.
    `tunnel`: what to say, before anything else, to a proxy that stands at that address; it raises what it likes.
    Raises OSError, TimeoutError and CutError among them, and ValueError for a name that can be none.
    """

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
        super().__init__()
        self._tunnel = tunnel
        self._names, self._tls, self._server_name = names or Names(host, port), tls, name or host
        self._connect_s, self._timeout_s = connect_s, timeout_s
        self._until: float | None = None
        self._sock: socket.socket | None = None
        self._came = select.poll()
        self._decrypted: Callable[[], int] = int
        self._cut = False
        # Between `cut` and whatever gives the socket's number back: the next socket to get it may be anybody's.
        self._lock = threading.Lock()
        self.dry = False  # while it is, `readinto` has nothing and does not wait

    def allow(self, until: float | None) -> None:
        """From now on nothing is waited for beyond `until`, by `time.monotonic`."""
        if until is None and self._until is not None and self._sock is not None:
            self._sock.settimeout(self._timeout_s)
        self._until = until

    def connect(self) -> None:
        """Nothing to do on a line that is connected. One that could not be is to be closed."""
        if self._sock is not None:
            return
        failure = OSError(f"no address of {self._server_name}")
        places = self._names.addresses(self._go_on)
        for number, (family, kind, protocol, _, address) in enumerate(places):
            # One that is silent leaves time for the others.
            wait_s = self._left(self._connect_s) / (len(places) - number)
            try:
                sock = self._reach(socket.socket(family, kind, protocol), address, wait_s)
                break
            except OSError as error:
                self._hang_up()
                failure = error
        else:
            raise failure
        sock.settimeout(self._left(self._connect_s))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tunnel is not None:
            self._tunnel(self)
        if self._tls is not None:
            with self._lock:  # the number changes hands
                secure = self._tls.wrap_socket(sock, server_hostname=self._server_name, do_handshake_on_connect=False)
                self._sock = sock = secure
            try:
                secure.do_handshake()
            except OSError:
                self._say_cut()
                raise
        sock.settimeout(self._timeout_s)
        self._came.register(sock, select.POLLIN)
        self._decrypted = getattr(sock, "pending", int)

    def _reach(self, sock: socket.socket, address: Any, wait_s: float) -> socket.socket:
        self._sock = sock
        sock.setblocking(False)
        code = sock.connect_ex(address)
        # Only now: of a socket that has not begun to connect `cut` ends nothing.
        self._go_on()
        if code == errno.EINPROGRESS:
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            if not poll.poll(wait_s * 1000):
                raise TimeoutError("timed out")
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._go_on()
        if code:
            raise OSError(code, os.strerror(code))
        return sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if self.dry:
            return None
        sock = self._ready()
        try:
            count = sock.recv_into(buffer)
        except OSError:
            self._say_cut()
            raise
        if not count:
            self._say_cut()
        return count

    def send(self, data: bytes) -> None:
        """All of it."""
        sock = self._ready()
        try:
            sock.sendall(data)
        except OSError:
            self._say_cut()
            raise

    def quiet(self) -> bool:
        """Connected, and nothing has come since the last read: neither an end nor anything that nobody asked for."""
        return self._sock is not None and not self._came.poll(0) and not self._decrypted()

    def cut(self) -> None:
        """From any thread, for good: what waits, and what would wait later, ends with CutError."""
        self._cut = True
        with self._lock:
            if self._sock is not None:
                with contextlib.suppress(OSError):  # it may have ended by itself just now
                    # Not SSLSocket's own shutdown: that changes the object under the other thread's hands.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Safe to call again."""
        self._hang_up()
        super().close()

    def _hang_up(self) -> None:
        with self._lock:
            if self._sock is not None:
                self._sock.close()
                self._sock = None

    def _ready(self) -> socket.socket:
        if self._sock is None:
            raise ConnectionResetError("closed")
        if self._until is not None:
            self._sock.settimeout(self._left(self._timeout_s))
        return self._sock

    def _go_on(self) -> None:
        """Raises where it is of no use."""
        self._say_cut()
        self._left(0)

    def _say_cut(self) -> None:
        if self._cut:
            raise CutError("cut off") from None

    def _left(self, most: float) -> float:
        """How long may be waited, `most` at most."""
        if self._until is None:
            return most
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return min(most, left)
