"""Connections that end on time: from the look-up of a name to the last byte nothing goes on after one moment, `end` on the monotonic clock.

The environment's proxies are used as everywhere (`http_proxy`, `https_proxy`, `no_proxy`), plain ones only.
"""

from __future__ import annotations

import base64
import http.client
import io
import queue
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, cast

PORTS = {"http": 80, "https": 443}


class NoAnswer(Exception):
    """Nothing usable came back. The text is a phrase for a sentence that begins with who was asked; it holds nothing of what was sent."""


class Line:
    """A connection as `http.client` wants it, in which every wait ends at the same time, however often a byte arrives before."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self.sock, self._end = sock, end

    def sendall(self, data: bytes) -> None:
        """Raises OSError; TimeoutError at the end."""
        self.sock.settimeout(left(self._end))
        self.sock.sendall(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        """For reading. Its reads raise like `sendall`."""
        return io.BufferedReader(_Reader(self.sock, self._end))

    def close(self) -> None:
        """Not here: `http.client` closes its side before the answer is read."""


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock, self._end = sock, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(left(self._end))
        return self._sock.recv_into(buffer)


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """What stands between, and the headers that it wants."""

    host: str
    port: int
    headers: dict[str, str]


def left(end: float) -> float:
    """Seconds until then. Raises TimeoutError when there are none."""
    found = end - time.monotonic()
    if found <= 0:
        raise TimeoutError
    return found


def reach(parts: urllib.parse.SplitResult, end: float) -> tuple[Line, Proxy | None]:
    """A line to an address (to be closed: its `sock`), and the proxy that has to be told where it leads, where there is one.

    Raises OSError, NoAnswer.
    """
    try:
        host, port = parts.hostname, parts.port or PORTS[parts.scheme]
        if not host:
            raise ValueError
    except (ValueError, KeyError):
        raise NoAnswer("cannot be asked, because its address is none of http or https") from None
    proxy = _proxy(parts)
    sock = _dial(host, port, end) if proxy is None else _dial(proxy.host, proxy.port, end)
    if parts.scheme == "http":
        return Line(sock, end), proxy
    try:
        if proxy is not None:
            _tunnel(Line(sock, end), f"{host}:{port}", proxy)
        sock.settimeout(left(end))
        return Line(ssl.create_default_context().wrap_socket(sock, server_hostname=host), end), None
    except BaseException:
        sock.close()
        raise


def _dial(host: str, port: int, end: float) -> socket.socket:
    """The first address that lets us in; one that is silent leaves time for the others."""
    places, failure = _addresses(host, port, end), OSError("no address")
    for number, (family, kind, protocol, _, address) in enumerate(places):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left(end) / (len(places) - number))
            sock.connect(address)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


def _addresses(host: str, port: int, end: float) -> list[Any]:
    """By a thread, which is left behind where the resolver takes longer: it knows no limit."""
    found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = found.get(timeout=left(end))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError):
        raise answer
    if isinstance(answer, Exception):
        raise NoAnswer("cannot be asked, because its host is no name that could be looked up")
    return answer


def _proxy(parts: urllib.parse.SplitResult) -> Proxy | None:
    """What the environment names for this address."""
    address = urllib.request.getproxies().get(parts.scheme)
    if not address or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    try:
        found = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        host, port = found.hostname, found.port or PORTS["http"]
    except ValueError:
        host = None
    if host is None or found.scheme != "http":
        raise NoAnswer(f"cannot be asked, because {parts.scheme}_proxy of the environment is no plain http address")
    words = f"{urllib.parse.unquote(found.username or '')}:{urllib.parse.unquote(found.password or '')}"
    key = base64.b64encode(words.encode()).decode()
    return Proxy(host=host, port=port, headers={"Proxy-Authorization": f"Basic {key}"} if found.username else {})


def _tunnel(line: Line, target: str, proxy: Proxy) -> None:
    """Have the proxy connect us. What is told on the line from here on goes to the target."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": target, **proxy.headers}.items())
    line.sendall(f"CONNECT {target} HTTP/1.1\r\n{head}\r\n".encode())
    answer = http.client.HTTPResponse(cast(Any, line), method="CONNECT")
    try:
        answer.begin()
    except (http.client.HTTPException, ValueError) as error:
        raise NoAnswer(f"proxy {proxy.host} answered, but not in HTTP ({type(error).__name__})") from None
    if answer.status != 200:
        raise NoAnswer(f"proxy {proxy.host} answered {answer.status}, wanted a connection; see https_proxy")
