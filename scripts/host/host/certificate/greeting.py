"""A handshake with another host of which only the bytes are here: who asks carries them. What is shown and trusted is this host's own, or what would be new;
nothing of the latter is written to a disk, and nothing that serves is touched.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.greeting import DONE, REFUSED, WAITS, Begin, Fresh, Place, Said, Turn, Use
from contract.plain import phrase

from ...app.names import TLS
from ...frame.layout import Layout
from ...postgres.layout import PostgresLayout
from ...postgres.memory import Memory
from ...redis.engine import find_engine


@dataclass(frozen=True)
class Files:
    """Of a place."""

    cert: Path
    key: Path
    ca: Path


def files(layout: Layout, place: str, login: str | None) -> Files:
    """Where those who serve and ask on this host have theirs. Raises Failed on a host that has none."""
    etc, shop, redis = layout.etc, layout.at(TLS), layout.at(find_engine(layout).etc)
    if place in (Place.DATABASE, Place.STREAM):
        memory = Memory.read(PostgresLayout(layout))
        if memory is None:
            raise Failed("postgres: found no server of ours on this host, wanted one; nobody was greeted")
        tls = PostgresLayout(layout, memory.version).tls
        own = Files(tls / "server.crt", tls / "server.key", tls / "clients.pem")
        return own if place == Place.DATABASE else Files(tls / "client.crt", tls / "client.key", tls / "ca.pem")
    return {
        Place.HOST: Files(etc / "host.crt", etc / "host.key", etc / "ca.pem"),
        Place.CACHE: Files(redis / "dr.crt", redis / "dr.key", redis / "dr-ca.pem"),
        Place.SHOP_CACHE: Files(shop / "cache.crt", shop / "cache.key", shop / "cache-ca.pem"),
    }.get(Place(place)) or Files(shop / f"{login}.crt", shop / f"{login}.key", etc / "ca.pem")


class Greeting:
    """One end of a handshake."""

    def __init__(self, layout: Layout, it: Begin) -> None:
        """Raises Failed where what is to be shown or trusted is not there, or cannot be read."""
        own, asks = files(layout, it.place, it.login), it.name is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if asks else ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED  # all of these doors ask both ends
        try:
            for path in (own.cert, own.key, own.ca):
                path.open("rb").close()  # OpenSSL does not say which one it is
            if it.trusts != Use.NEW:
                context.load_verify_locations(own.ca)
            if it.trusts != Use.OWN:
                context.load_verify_locations(cadata=it.ca)
            if it.shows == Use.OWN:
                context.load_cert_chain(own.cert, own.key, password=lambda: "")
            elif it.new is not None:
                with _in_memory(it.new) as (cert, key):
                    context.load_cert_chain(cert, key, password=lambda: "")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise Failed(
                f"certificates of {it.place} on this host: {_why(error)}, wanted a certificate with its key, and a CA; nobody was greeted; "
                "run `pulumi up` for this site"
            ) from None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._line = context.wrap_bio(self._in, self._out, server_side=not asks, server_hostname=it.name)
        self._state, self._reason = WAITS, ""

    def turn(self, heard: bytes) -> Said:
        """What is to be said to the other end, which has said `heard`. An end that was done hears on: it may yet be refused."""
        self._in.write(heard)
        if self._state != REFUSED:
            try:
                if self._state == WAITS:
                    self._line.do_handshake()
                    self._state = DONE
                with suppress(ssl.SSLWantReadError):
                    self._line.read(1)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self._state, self._reason = REFUSED, _why(error)
        return Said(said=base64.b64encode(self._out.read()).decode(), state=self._state, why=phrase(self._reason, 200))


def answers(layout: Layout, turns: Iterator[Turn]) -> Iterator[Said]:
    """One for each turn. Raises Failed where none has begun, or one cannot."""
    now: Greeting | None = None
    for it in turns:
        if it.begin is not None:
            now = Greeting(layout, it.begin)
        if now is None:
            raise Failed("stdin: found a turn of no handshake, wanted one that begins; nobody was greeted")
        yield now.turn(base64.b64decode(it.heard))


@contextmanager
def _in_memory(it: Fresh) -> Iterator[tuple[str, str]]:
    """Paths to both that are good in here. OpenSSL reads files alone, and a key on a disk outlives a process that was killed."""
    made = [os.memfd_create("dr-greeting", os.MFD_CLOEXEC) for _ in range(2)]
    try:
        for number, body in zip(made, (it.cert, it.key), strict=True):
            with os.fdopen(os.dup(number), "w") as stream:
                stream.write(body)
        yield f"/proc/self/fd/{made[0]}", f"/proc/self/fd/{made[1]}"
    finally:
        for number in made:
            os.close(number)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return phrase(error.verify_message, 150)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return f"{Path(str(error.filename or '')).name or 'a file'} cannot be read ({error.strerror})"
    return phrase(getattr(error, "reason", None) or type(error).__name__, 100)
