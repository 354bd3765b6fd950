"""The counterpart: the same host of the other site, asked and answered over the vRack with host certificates on both ends.

`GET /lease?site=a&epoch=3` is answered with `{"schema": 1, "site", "role", "epoch", "granted", "clock", "boot"}`, the last two being the
time since which boot: who asks sees by them whether it stood still itself. The header `x-dr-block` carries the asker's block,
as its heartbeat does: whoever grants knows the newest position also while the witness is silent. A header, since an agent of an older version
passes over it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

from contract.dataclass import dataclass
from contract.forms import ID, TREE
from contract.wire import document
from contract.wire.channel import Channel, NoAnswer

from ..frame.boots import boottime
from ..frame.desired import SCHEMA
from ..frame.layout import Layout
from ..frame.log import Log
from .outside import Clock, Reading

REQUEST_MAX, REQUEST_S, IDLE_S, CONNECTIONS_MAX, BIND_AGAIN_S = 4096, 5.0, 60.0, 8, 2.0
BLOCK, BLOCK_MAX = "x-dr-block", 3072  # what is left of a request of an older agent's size goes to the lines beside it


@dataclass(frozen=True)
class Grant:
    """A counterpart's answer; `sent`: when it was asked, by `boottime`; `reading`: by its clock, None of one that does not tell it."""

    epoch: int | None
    granted: bool
    sent: float
    reading: Reading | None = None


def tls(layout: Layout, *, server: bool) -> ssl.SSLContext:
    """This host's certificate, the private CA alone, a certificate wanted of the other end. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(layout.etc / "host.crt", layout.etc / "host.key")
    context.load_verify_locations(layout.etc / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Asker:
    """Asks the counterpart. Use from one thread; `abort` may come from another."""

    def __init__(self, layout: Layout, name: str, address: str, port: int, limit_s: float) -> None:
        self._layout, self._where, self._limit_s = layout, (name, address, port), limit_s
        self._channel: Channel | None = None
        self._clock = Clock(coarse_s=0.0)

    def abort(self) -> None:
        """See `Channel.abort`."""
        channel = self._channel
        if channel is not None:
            channel.abort()

    def ask(self, site: str, epoch: int, block: Mapping[str, Any] | None = None) -> Grant:
        """`block`: what this host's heartbeat says of its service. Raises NoAnswer."""
        if self._channel is None:
            try:
                self._channel = Channel(*self._where, tls(self._layout, server=False), self._limit_s)
            except OSError as error:  # broken certificates must not end the agent
                raise NoAnswer(f"certificates in {self._layout.etc}: {error}") from None
        sent = boottime()
        headers = {} if not block else {BLOCK: header(block)}
        answer = self._channel.request("GET", f"/lease?site={site}&epoch={epoch}", headers)
        if answer.status != 200:
            raise NoAnswer(f"HTTP {answer.status}")
        try:
            found = document.mapping(answer.body)
            known, clock, boot = found["epoch"], found.get("clock"), found.get("boot")
            boot = boot if boot is None else ID(boot)
            reading = None if clock is None else self._clock.heard(float(clock), sent, boottime(), boot)
            return Grant(None if known is None else document.whole(known, 0), found["granted"] is True, sent, reading)
        except (ValueError, KeyError, TypeError, OverflowError):
            raise NoAnswer("an answer that is no grant") from None


class Endpoint:
    """Answers the counterpart, named `name` in its certificate, and nobody else.

    `grant(epoch, block)` gives the answer's document; the block is None from an agent that sends none.
    """

    def __init__(
        self,
        layout: Layout,
        name: str,
        address: tuple[str, int],
        grant: Callable[[int, dict[str, Any] | None], dict[str, Any]],
        log: Log,
    ) -> None:
        self._name, self._address, self._grant, self._log = name, address, grant, log
        self._layout = layout
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._over = threading.Event()
        self._listener: socket.socket | None = None
        self._streams: set[ssl.SSLSocket] = set()
        self.port: int | None = None  # once it listens

    def start(self) -> None:
        threading.Thread(target=self._serve, name="endpoint", daemon=True).start()

    def stop(self) -> None:
        """Nothing is granted any more, also not over connections that are kept."""
        self._over.set()
        for sock in (self._listener, *self._streams):
            if sock is not None:
                with contextlib.suppress(OSError):  # it may have ended by itself
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        if self._listener is not None:
            self._listener.close()

    def _serve(self) -> None:
        try:
            context = tls(self._layout, server=True)
        except OSError as error:
            self._log.error(
                f"certificates in {self._layout.etc}: cannot be used ({error}); the counterpart gets no grant; run `pulumi up` for this site"
            )
            return
        listener = self._listen()
        while listener is not None and not self._over.is_set():
            try:
                plain, _ = listener.accept()
            except OSError as error:
                if not self._over.is_set():  # the kernel is short of something, as files or memory
                    self._log.warning(
                        f"{self._address[0]}:{self._address[1]}: cannot accept ({error.strerror}); listens anew"
                    )
                    listener.close()
                    self._over.wait(BIND_AGAIN_S)
                    listener = self._listen()
                continue
            if not self._room.acquire(blocking=False):
                plain.close()
                continue
            try:
                threading.Thread(target=self._talk, args=(plain, context), name="counterpart", daemon=True).start()
            except RuntimeError:  # no room for a thread just now
                plain.close()
                self._room.release()

    def _listen(self) -> socket.socket | None:
        """Again and again: at boot the address may come later than the agent."""
        said = False
        while not self._over.is_set():
            try:
                self._listener = socket.create_server(self._address, backlog=8)
            except OSError as error:
                if not said:
                    self._log.warning(
                        f"{self._address[0]}:{self._address[1]}: cannot listen ({error.strerror}), the counterpart gets no grant; goes on trying"
                    )
                said = True
                self._over.wait(BIND_AGAIN_S)
            else:
                self.port = self._listener.getsockname()[1]
                return self._listener
        return None

    def _talk(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        try:
            plain.settimeout(REQUEST_S)
            with context.wrap_socket(plain, server_side=True) as stream:
                if self._name not in names_of(stream.getpeercert()):
                    self._log.warning(f"refused a client whose certificate does not name {self._name}")
                    return
                self._streams.add(stream)
                try:
                    while not self._over.is_set() and self._one(stream):
                        stream.settimeout(IDLE_S)
                finally:
                    self._streams.discard(stream)
        except (OSError, ValueError):
            plain.close()  # a probe, or a link that was cut
        finally:
            self._room.release()

    def _one(self, stream: ssl.SSLSocket) -> bool:
        """One request; False when the connection ends."""
        raw, began = b"", None
        while b"\r\n\r\n" not in raw:
            part = stream.recv(REQUEST_MAX)
            began = boottime() if began is None else began
            stream.settimeout(REQUEST_S)
            raw += part
            if not part or len(raw) > REQUEST_MAX or boottime() - began > REQUEST_S:
                return False
        line, *headers = raw.split(b"\r\n\r\n", 1)[0].decode("ascii", "replace").split("\r\n")
        status, answer = self._answer(line, headers)
        body = json.dumps(answer, sort_keys=True).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        stream.sendall(head.encode() + body)
        return status.startswith("200")

    def _answer(self, line: str, headers: list[str]) -> tuple[str, dict[str, Any]]:
        method, _, rest = line.partition(" ")
        url = urllib.parse.urlsplit(rest.partition(" ")[0])
        if method != "GET" or url.path != "/lease":
            return "404 Not Found", {"schema": SCHEMA}
        epoch = dict(urllib.parse.parse_qsl(url.query)).get("epoch", "")
        if not epoch.isascii() or not epoch.isdigit() or len(epoch) > 9:
            return "400 Bad Request", {"schema": SCHEMA}
        return "200 OK", self._grant(int(epoch), told(headers))


def header(block: Mapping[str, Any]) -> str:
    """A block as one line of ASCII; a trail that is too long for it loses its oldest positions."""
    text, sent = json.dumps(block, separators=(",", ":"), sort_keys=True), dict(block)
    while len(text) > BLOCK_MAX and sent.get("trail"):
        sent["trail"] = sent["trail"][: len(sent["trail"]) // 2]
        text = json.dumps(sent, separators=(",", ":"), sort_keys=True)
    return text if len(text) <= BLOCK_MAX else "{}"


def told(headers: list[str]) -> dict[str, Any] | None:
    """The block in a request's headers; None when there is none that can be read."""
    lines = (line.partition(":") for line in headers)
    text = next((value.strip() for name, _, value in lines if name.strip().lower() == BLOCK), "")
    try:
        return TREE(document.mapping(text)) or None
    except ValueError:
        return None


def names_of(certificate: Any) -> set[str]:
    """DNS names of a verified certificate."""
    return {value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "DNS"}
