"""Whose word the proof takes for the shop's public certificate: a stated CA's, or that of the roots that every customer knows. Real handshakes on loopback."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import Failed
from scripts.ctl.stacks.secrets import Authority, generate
from scripts.links import verify

NAME = "www.shop.example"


class Health(http.server.BaseHTTPRequestHandler):
    """A shop that is well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        return None


class Entrances:
    """Servers on loopback, each with a certificate of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, patch
        self.servers: list[http.server.ThreadingHTTPServer] = []

    def open(self, pair: dict[str, str]) -> None:
        """From now on whatever is asked at port 443 of an address lands here."""
        file = self._folder / f"{len(self.servers)}.pem"
        file.write_text(pair["cert"] + pair["key"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        real, port = socket.socket, server.server_port

        def connect(_: tuple[str, int], timeout: float) -> object:
            link = real()
            link.settimeout(timeout)
            link.connect(("127.0.0.1", port))
            return link

        self._patch.setattr(socket, "create_connection", connect)


@pytest.fixture
def entrances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entrances]:
    made = Entrances(tmp_path, monkeypatch)
    yield made
    for server in made.servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A root that this machine trusts, as it does those of Let's Encrypt."""
    root = Authority("a public root")
    file = tmp_path / "roots.pem"
    file.write_text(root.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    return root


def asks(ca: str | None, name: str = NAME) -> int:
    return verify.Shop(name, "192.0.2.1", ca).ask("GET", "/health")[0]


def test_without_a_stated_ca_it_is_the_public_roots(entrances: Entrances, public: Authority) -> None:
    entrances.open(public.issue([NAME]))
    assert asks(None) == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        asks(None, "another.example")
    entrances.open(Authority("a private one").issue([NAME]))
    with pytest.raises(ssl.SSLCertVerificationError):
        asks(None)


def test_with_a_stated_ca_it_is_that_one_alone(entrances: Entrances, public: Authority) -> None:
    stated = Authority("the shop's own")
    entrances.open(stated.issue([NAME]))
    assert asks(stated.certificate_pem) == 200
    entrances.open(public.issue([NAME]))
    with pytest.raises(ssl.SSLCertVerificationError):
        asks(stated.certificate_pem)


def test_a_certificate_that_nobody_trusts_is_told_apart_from_a_shop_that_is_not_well(
    entrances: Entrances, public: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "LIMIT_S", 0.0)
    entrances.open(Authority("a private one").issue([NAME]))
    shop = verify.Shop(NAME, "192.0.2.1", None)
    with pytest.raises(
        Failed, match=r"that is not trusted.*whole chain into dr:secrets tls\.shop, and into tls\.shop\.ca"
    ):
        shop.until(lambda: shop.ask("GET", "/health"))


def test_an_answer_that_comes_byte_by_byte_is_given_up_at_its_limit(
    entrances: Entrances, public: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app host that is half dead: each wait is short, and there is no end to them."""

    def drip(health: Health) -> None:
        health.send_response(200)
        health.send_header("Content-Length", "62")
        health.end_headers()
        with contextlib.suppress(OSError):  # nobody listens any more
            for byte in b"{" + b" " * 60 + b"}":
                health.wfile.write(bytes([byte]))
                time.sleep(0.1)

    monkeypatch.setattr(Health, "do_GET", drip)
    entrances.open(public.issue([NAME]))
    with pytest.raises(verify.NotYet, match=r"GET /health: no usable answer"):
        verify.Shop(NAME, "192.0.2.1", None).ask("GET", "/health", limit_s=0.5)


def test_a_set_of_secrets_has_an_entrance_that_opens_nothing_inside() -> None:
    made = generate({"app-1.a": ["app-1.a.dr.internal"]}, NAME, {})["tls"]
    assert made["shop"]["ca"] != made["ca"]
