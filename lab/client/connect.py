"""Connecting as a browser does: names by a resolver with its TTL, every address a chance, the second one after a quarter of a second."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import ssl
import threading
import time
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

QUERY_S, CONNECT_S, HEAD_START_S = 2.0, 2.0, 0.25


class Resolver:
    """Addresses of a name, kept for their TTL; when the resolver does not answer, the last ones stay in use."""

    def __init__(self, server: str) -> None:
        host, _, port = server.partition(":")
        self._host, self._port = host, int(port or 53)
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._lock = threading.Lock()

    def addresses(self, name: str) -> list[str]:
        """In the resolver's order. Raises OSError when the name has never been resolved."""
        with self._lock:
            until, known = self._known.get(name, (0.0, []))
            if time.monotonic() < until:
                return known
            try:
                reply = dns.query.udp(dns.message.make_query(name, "A"), self._host, timeout=QUERY_S, port=self._port)
            except (OSError, dns.exception.DNSException) as error:
                if known:
                    return known
                raise OSError(f"{name}: no answer of resolver {self._host} ({type(error).__name__})") from None
            rrsets = [rrset for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A]
            found = [item.address for rrset in rrsets for item in rrset]
            if not found:
                raise OSError(f"{name}: resolver {self._host} knows no address")
            self._known[name] = (time.monotonic() + min(rrset.ttl for rrset in rrsets), found)
            return found


def race(addresses: list[str], port: int) -> tuple[socket.socket, str]:
    """The first connection that stands; each address starts when the one before has failed or had its head start. Raises OSError."""
    results: queue.Queue[tuple[str, socket.socket | OSError]] = queue.Queue()
    settled = threading.Event()

    def attempt(address: str) -> None:
        try:
            found: socket.socket | OSError = socket.create_connection((address, port), timeout=CONNECT_S)
        except OSError as error:
            found = error
        if settled.is_set() and isinstance(found, socket.socket):
            found.close()  # somebody else was first
        else:
            results.put((address, found))

    waiting, running, reasons = list(addresses), 0, []
    while waiting or running:
        if waiting:
            threading.Thread(target=attempt, args=(waiting.pop(0),), daemon=True).start()
            running += 1
        try:
            address, found = results.get(timeout=HEAD_START_S if waiting else CONNECT_S + 1)
        except queue.Empty:
            if waiting:
                continue
            break
        running -= 1
        if isinstance(found, socket.socket):
            settled.set()
            return found, address
        reasons.append(f"{address}: {found}")
    raise OSError("; ".join(reasons) or "no address answered")


def ask(
    link: Link, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and JSON of an answer; None for an error page of somebody on the way: its status still counts. Raises as `Link.request`."""
    text = json.dumps(body) if body is not None else ("{}" if method == "POST" else None)
    sent = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    status, data = link.request(method, path, text, sent)
    try:
        return status, json.loads(data)
    except ValueError:
        return status, None


class Link:
    """One kept connection to the shop, opened when needed."""

    def __init__(self, name: str, port: int, resolver: Resolver, tls: ssl.SSLContext, answer_s: float) -> None:
        self._name, self._port, self._resolver, self._tls, self._answer_s = name, port, resolver, tls, answer_s
        self._connection: http.client.HTTPSConnection | None = None
        self.address: str | None = None  # of the last connection
        self._preferred: str | None = (
            None  # of the last good answer: a front that only accepts connections is not preferred
        )

    def request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Status and body. Raises OSError or http.client.HTTPException, the connection dropped."""
        status, _, data = self.exchange(method, path, body, headers)
        return status, data

    def exchange(
        self, method: str, path: str, body: str | bytes | None, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and body. Raises as `request`."""
        try:
            if self._connection is None:
                self._connection = self._open()
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.drop()
            self._preferred = None
            raise
        if answer.status >= 500:  # as good as no answer: the next attempt resolves and connects anew
            self.drop()
            self._preferred = None
        else:
            self._preferred = self.address
            if answer.will_close:
                self.drop()
        return answer.status, answer.headers, data

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> http.client.HTTPSConnection:
        addresses = self._resolver.addresses(self._name)
        preferred = [address for address in addresses if address == self._preferred]
        raw, self.address = race(preferred + [address for address in addresses if address not in preferred], self._port)
        raw.settimeout(self._answer_s)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else head and body of a POST wait for each other
        connection = http.client.HTTPSConnection(self._name, self._port, context=self._tls, timeout=self._answer_s)
        connection.sock = self._tls.wrap_socket(raw, server_hostname=self._name)
        return connection
