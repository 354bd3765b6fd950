"""A client of the Redis protocol (RESP2) over TLS: enough to look, to replicate and to hand over. Speaks with Redis and Valkey alike."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Protocol

from contract.dataclass import dataclass

CONNECT_S = 2.0


class Unreachable(Exception):
    """Nobody answers there, or not in this language: no connection, no TLS, connection lost. The text names no secret."""


class Untrusted(Unreachable):
    """The server ended the connection before it answered: most likely our certificate is none of its CA."""


class ErrorReply(Exception):
    """The server said no. `code` is the first word of its reply: "NOAUTH", "WRONGPASS", "READONLY", "ERR" ..."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = message.split(" ", 1)[0]


@dataclass(frozen=True)
class Own:
    """What whoever asks shows of itself. PEM."""

    cert: str = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True)
class Former:
    """What was good before it was rotated: a server may not have heard yet."""

    ca: str = field(repr=False)  # PEM
    password: str = field(repr=False)
    own: Own | None = field(default=None, repr=False)  # None: nothing was asked for


@dataclass(frozen=True)
class Server:
    """Where a server is, and as whom to speak with it."""

    name: str  # as in its certificate
    address: str
    port: int
    ca: str = field(repr=False)  # PEM
    user: str
    password: str = field(repr=False)
    own: Own | None = field(default=None, repr=False, compare=False)
    former: Former | None = field(default=None, repr=False, compare=False)


class Caller(Protocol):
    """Whatever can be asked: a `Connection`, or a stand-in of a test."""

    def call(self, *words: str | int) -> Any: ...


class Connection:
    """One authenticated connection; use it in a `with`. Raises Unreachable and ErrorReply."""

    def __init__(self, server: Server, timeout_s: float = 5.0) -> None:
        self._where = f"{server.name} ({server.address}:{server.port})"
        try:
            self._open(server, server.own, timeout_s)
        except Untrusted:
            if server.former is None:
                raise
            self._open(server, server.former.own, timeout_s)

    def _open(self, server: Server, own: Own | None, timeout_s: float) -> None:
        former = server.former
        context = ssl.create_default_context(cadata=server.ca + (f"\n{former.ca}" if former else ""))
        if own is not None:
            show(context, own)
        try:
            plain = socket.create_connection((server.address, server.port), timeout=CONNECT_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = context.wrap_socket(plain, server_hostname=server.name)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"{self._where}: {error.strerror or error}") from None
        except ssl.SSLError as error:
            raise Untrusted(f"{self._where}: {error.strerror or error}") from None
        except OSError as error:
            raise Unreachable(f"{self._where}: {error.strerror or error}") from None
        self._socket.settimeout(timeout_s)
        self._stream = self._socket.makefile("rb")
        try:
            self._sign_in(server)
        except (Unreachable, ErrorReply):
            self.close()
            raise

    def _sign_in(self, server: Server) -> None:
        """With TLS 1.3 it is the first answer that tells whether the server took our certificate: an alert, or an end of the connection."""
        try:
            self._socket.sendall(encode(("AUTH", server.user, server.password)))
            self._reply()
        except (ssl.SSLError, ConnectionError) as error:
            raise Untrusted(f"{self._where}: {error}") from None
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self._where}: {error}") from None
        except ErrorReply as error:
            if error.code != "WRONGPASS" or server.former is None:
                raise
            self.call("AUTH", server.user, server.former.password)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Safe to call again."""
        self._stream.close()
        self._socket.close()

    def cut(self) -> None:
        """End what another thread waits for: it raises Unreachable there."""
        with contextlib.suppress(OSError):  # it may have ended by itself
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def call(self, *words: str | int) -> Any:
        """Send one command; its reply as str, int, list or None."""
        try:
            self._socket.sendall(encode(words))
            return self._reply()
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self._where}: {error}") from None

    def call_at_once(self, *commands: tuple[str | int, ...]) -> None:
        """Send several in one piece: the server does them one after the other with no other client's command in between.

        Raises ErrorReply for the first that was refused, after all were answered.
        """
        try:
            self._socket.sendall(b"".join(encode(words) for words in commands))
            refused = [error for _ in commands if (error := self._refusal()) is not None]
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self._where}: {error}") from None
        if refused:
            raise refused[0]

    def _refusal(self) -> ErrorReply | None:
        try:
            self._reply()
        except ErrorReply as error:
            return error
        return None

    def _reply(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:].decode(errors="replace")
        if kind == b"+":
            return rest
        if kind == b"-":
            raise ErrorReply(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._bulk(int(rest))
        if kind == b"*":
            return None if rest == "-1" else [self._reply() for _ in range(int(rest))]
        raise Unreachable(f"{self._where}: no Redis answers there")

    def _bulk(self, size: int) -> str:
        data = self._stream.read(size + 2)
        if len(data) != size + 2:
            raise ConnectionResetError("connection lost")
        return data[:size].decode(errors="replace")

    def _line(self) -> bytes:
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("connection lost")
        return line[:-2]


def show(context: ssl.SSLContext, own: Own) -> None:
    """Have a context present a certificate. OpenSSL reads it from a file: one that is in memory alone, so the key lies on no disk."""
    handle = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with open(handle, "wb", closefd=False) as stream:
            stream.write(f"{own.cert}\n{own.key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def encode(words: tuple[str | int, ...]) -> bytes:
    """A command as an array of strings, so that no character of an argument needs an escape."""
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def parse_info(text: str) -> dict[str, str]:
    """The `name:value` lines of INFO."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def keys_of(info: Mapping[str, str]) -> int:
    """How many keys there are, from INFO keyspace."""
    counts = (value for name, value in info.items() if name.startswith("db") and "keys=" in value)
    return sum(int(value.split("keys=")[1].split(",")[0]) for value in counts)
