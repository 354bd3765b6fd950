"""One question at a time over a kept connection, each answered whole or not at all, and within its limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..dataclass import dataclass
from .http1 import Connection, ProtocolError
from .line import CutError, Names

if TYPE_CHECKING:
    import ssl

BODY_MAX = 1 << 20


class NoAnswer(Exception):
    """Nobody answered, or not within the limit, or nothing that can be read. The text names no secret."""


@dataclass(frozen=True)
class Answer:
    """`headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Channel:
    """A connection to `address`:`port`, kept from one request to the next. For one thread; `abort` may come from another.

    `tls`: None for plain HTTP. `name`: what the certificate must say, and the Host header where a request has none. `limit_s`: of a whole request.
    """

    def __init__(self, name: str, address: str, port: int, tls: ssl.SSLContext | None, limit_s: float) -> None:
        self._name, self._address, self._port, self._tls, self._limit_s = name, address, port, tls, limit_s
        self._names = Names(address, port)
        self._connection: Connection | None = None

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        until: float | None = None,
    ) -> Answer:
        """Raises NoAnswer. A kept connection that the other end has closed meanwhile is made anew, once. Names of `headers` in lower case.

        `until`, by `time.monotonic`: when the answer must be there; `limit_s` is then the limit of each wait for the other end.
        """
        until = time.monotonic() + self._limit_s if until is None else until
        sent = {"host": self._name, **headers}
        if body is not None or method in ("PUT", "POST"):
            sent["content-length"] = str(len(body or b""))
        kept = self._connection is not None and self._connection.quiet()
        if not kept:
            self.close()
        try:
            try:
                return self._once(method, path, sent, body, until)
            except (OSError, ProtocolError) as error:
                if not kept or isinstance(error, CutError):
                    raise
            return self._once(method, path, sent, body, until)
        except (OSError, ProtocolError, ValueError) as error:  # the last: a name that can be none
            raise NoAnswer(str(getattr(error, "strerror", None) or error) or type(error).__name__) from None

    def abort(self) -> None:
        """End a request that takes too long, whatever it waits for: it raises NoAnswer in its thread. Where none is under way the next is not harmed."""
        connection = self._connection
        if connection is not None:
            connection.cut()

    def close(self) -> None:
        """Safe to call again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, until: float) -> Answer:
        """The connection is closed after anything but an answer that leaves it fit for the next."""
        if self._connection is None:
            self._connection = Connection(
                self._address,
                self._port,
                self._tls,
                connect_s=self._limit_s,
                timeout_s=self._limit_s,
                name=self._name,
                names=self._names,
            )
        reusable = False
        try:
            response = self._connection.request(method, path, headers, body, until=until)
            coding = response.headers.get("content-encoding", "identity")
            if coding != "identity":
                raise ProtocolError(f"a body in the coding {coding[:40]!r}, which nobody asked for")
            answer = Answer(response.status, response.headers, response.whole(BODY_MAX))
            reusable = response.keeps
        finally:
            if not reusable:
                self.close()
        return answer
