"""Customers at work: where the shop is, threads that go there until they are stopped, and the ledger in which they write."""

from __future__ import annotations

import http.client
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from lab.client.connect import Link, Resolver
from lab.client.ledger import Ledger

ANSWER_S = 12.0  # longer than the shop holds a request
ERRORS = (
    OSError,
    http.client.HTTPException,
    ValueError,
    TypeError,
    KeyError,
)  # a shop that does not answer, or not like one


class Customers:
    """`resolver`: address or "address:port"; `ca`: PEM file. Who derives from it says by `employ` what there is to do."""

    def __init__(self, url: str, resolver: str, ca: Path, ledger: Path) -> None:
        parts = urllib.parse.urlsplit(url)
        self._name, self._port = str(parts.hostname), parts.port or 443
        self._server, self._resolver = resolver, Resolver(resolver)
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._ledger, self._stopped = Ledger(ledger), threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Nothing new begins; waits for the attempts that are under way."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_S + 5)
        self._ledger.close()

    def _employ(self, name: str, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, name=name, daemon=True))

    def _link(self, resolver: Resolver | None = None) -> Link:
        """A connection of one's own. `resolver`: another than that of all."""
        return Link(self._name, self._port, resolver or self._resolver, self._tls, ANSWER_S)
