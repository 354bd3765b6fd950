"""Servers on loopback that do what a test says, connection by connection, and places where none answers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Talk = Callable[[socket.socket], None]
LIMIT_S = 10.0  # what a busy machine may need for anything that ends at once


class Scripted:
    """Hands its connections to `talks`, one after the other; the last one has all that follow. `seen`: how many there were."""

    def __init__(self, *talks: Talk) -> None:
        self.talks, self.seen, self.over = list(talks), 0, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            talk = self.talks[min(self.seen, len(self.talks) - 1)]
            self.seen += 1
            threading.Thread(target=self._one, args=(sock, talk), daemon=True).start()

    def _one(self, sock: socket.socket, talk: Talk) -> None:
        with contextlib.suppress(OSError), sock:  # the client may have left
            talk(sock)


@contextmanager
def serving(*talks: Talk) -> Iterator[Scripted]:
    server = Scripted(*talks)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        with contextlib.suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()


@contextmanager
def deaf() -> Iterator[int]:
    """A port whose queue is full: the kernel drops whoever wants to connect, as a region that is gone does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as waiting:
        for _ in range(4):
            sock = waiting.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield int(listener.getsockname()[1])


def asked(sock: socket.socket) -> bytes:
    """One request, as far as the end of its head."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = sock.recv(65536)
        if not part:
            raise ConnectionResetError
        found += part
    return found


def says(*answers: bytes) -> Talk:
    """One of these to each request, then the end."""

    def talk(sock: socket.socket) -> None:
        for answer in answers:
            asked(sock)
            sock.sendall(answer)

    return talk


def drips(first: bytes, drop: bytes, every_s: float = 0.02) -> Talk:
    """Never at its end, never silent."""

    def talk(sock: socket.socket) -> None:
        asked(sock)
        sock.sendall(first)
        while True:
            sock.sendall(drop)
            time.sleep(every_s)

    return talk


def holds(sock: socket.socket) -> None:
    """Takes what comes, says nothing."""
    while sock.recv(65536):
        continue


def over_tls(context: ssl.SSLContext, talk: Talk) -> Talk:
    def secure(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as stream:
            talk(stream)

    return secure
