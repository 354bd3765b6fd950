"""Who is connected to, for an address: its own host, or the proxy that the environment names (`http_proxy`, `https_proxy`, `no_proxy`; plain ones only)."""

from __future__ import annotations

import base64
import io
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import field

from contract.dataclass import dataclass
from contract.wire.channel import NoAnswer
from contract.wire.http1 import Connection, ProtocolError, Response
from contract.wire.line import Line

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to an address. `before`: what stands before each target, and `headers`: what goes with each request, where a proxy has to be told."""

    host: str
    port: int
    name: str  # what the certificate must say
    tls: ssl.SSLContext | None
    tunnel: Callable[[Line], None] | None = None
    before: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def connection(self, limit_s: float) -> Connection:
        """Not connected yet. `limit_s`: for a connection, and for each wait."""
        return Connection(
            self.host, self.port, self.tls, connect_s=limit_s, timeout_s=limit_s, name=self.name, tunnel=self.tunnel
        )


def way(parts: urllib.parse.SplitResult) -> Way:
    """Raises NoAnswer."""
    try:
        host, port = parts.hostname, parts.port or PORTS[parts.scheme]
        if not host:
            raise ValueError
    except (ValueError, KeyError):
        raise NoAnswer("cannot be asked, because its address is none of http or https") from None
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    proxy = _proxy(parts)
    if proxy is None:
        return Way(host=host, port=port, name=host, tls=tls)
    at, headers = proxy
    if tls is None:
        before = f"http://{parts.netloc.rpartition('@')[2]}"
        return Way(host=at[0], port=at[1], name=host, tls=None, before=before, headers=headers)
    return Way(host=at[0], port=at[1], name=host, tls=tls, tunnel=_tunnel(f"{host}:{port}", at[0], headers))


def _proxy(parts: urllib.parse.SplitResult) -> tuple[tuple[str, int], dict[str, str]] | None:
    """What the environment names for this address: host and port, and the headers that it wants."""
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
    return (host, port), {"Proxy-Authorization": f"Basic {key}"} if found.username else {}


def _tunnel(target: str, proxy: str, headers: dict[str, str]) -> Callable[[Line], None]:
    """Have the proxy connect us. What is told on the line from there on goes to the target."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": target, **headers}.items())

    def tunnel(line: Line) -> None:
        line.send(f"CONNECT {target} HTTP/1.1\r\n{head}\r\n".encode())
        stream = io.BufferedReader(line, 1)  # whatever comes after the head is the target's
        try:
            status = Response(stream, "CONNECT").status
        except ProtocolError as error:
            raise NoAnswer(f"proxy {proxy} answered, but not in HTTP ({error})") from None
        finally:
            stream.detach()
        if status != 200:
            raise NoAnswer(f"proxy {proxy} answered {status}, wanted a connection; see https_proxy")

    return tunnel
