"""Whether a certificate may be shown to customers: it is held against what a customer's browser does, by a handshake with itself.

So chain, name, key and dates are judged by the same library that judges them out there, and nothing here reads X.509 by hand.
"""

from __future__ import annotations

import hashlib
import ssl
import tempfile
import time
from pathlib import Path

from contract.dataclass import dataclass
from contract.errors import Failed
from contract.plain import phrase
from contract.services.certificate import Pair


class Unfit(Failed):
    """Nobody may be shown it; the text says why."""


@dataclass(frozen=True)
class Fit:
    """One that may be shown. `digest`: SHA-256 of the certificate itself, in hex; times in seconds since 1970."""

    pair: Pair
    digest: str
    begins: float
    ends: float

    def due(self, now: float) -> bool:
        """Whether a third of its life is left, or less."""
        return now >= self.ends - (self.ends - self.begins) / 3


def fit(pair: Pair, shop: str, ca: str | None) -> Fit:
    """Raises Unfit. `ca`: PEM of the roots; None: this machine's public ones."""
    try:
        client = ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise Unfit("the CAs of dr:shop.acme.ca cannot be read") from None
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT  # of Python 3.13 on: browsers take CAs of one's own that it does not
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="dr-certificate-") as folder:
        cert, key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
        cert.write_text(pair.cert)
        key.touch(0o600)
        key.write_text(pair.key)
        try:
            server.load_cert_chain(cert, key, password=lambda: "")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise Unfit(f"certificate and key do not belong together, or cannot be read ({_why(error)})") from None
    return _greeted(pair, client, server, shop)


def _greeted(pair: Pair, client: ssl.SSLContext, server: ssl.SSLContext, shop: str) -> Fit:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(back, there, server_hostname=shop)
    answers = server.wrap_bio(there, back, server_side=True)
    try:
        for _ in range(8):  # each has its say; a handshake takes two or three turns
            done = [_turn(each) for each in (asks, answers)]
            if all(done):
                break
        else:
            raise Unfit("a handshake with it comes to no end")
    except ssl.SSLCertVerificationError as error:
        raise Unfit(f"a customer would be warned: {phrase(error.verify_message, 200)}") from None
    except ssl.SSLError as error:
        raise Unfit(f"a handshake with it fails ({_why(error)})") from None
    said, body = asks.getpeercert() or {}, asks.getpeercert(binary_form=True) or b""
    try:
        begins, ends = (float(ssl.cert_time_to_seconds(str(said[name]))) for name in ("notBefore", "notAfter"))
    except (KeyError, ValueError):
        raise Unfit("it does not say from when to when it is good") from None
    if not begins < ends or ends <= time.time():
        raise Unfit("it is over")
    return Fit(pair, hashlib.sha256(body).hexdigest(), begins, ends)


def _turn(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _why(error: Exception) -> str:
    return phrase(getattr(error, "reason", None) or type(error).__name__, 100)
