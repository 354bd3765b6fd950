"""The way to an API: certificates, and proxies that the environment names."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.clients import http
from scripts.ctl.stacks.secrets import Authority
from tests.unit.bad_answers import Played, good

LONG_S = 60.0


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[Played]:
    made = Played()
    yield made
    made.close()


class Secure:
    """Answers over TLS as `localhost`, whatever is asked."""

    def __init__(self, folder: Path) -> None:
        authority = Authority("test")
        pair = authority.issue(["localhost"])
        self.ca = folder / "ca.pem"
        self.ca.write_text(authority.certificate_pem)
        (folder / "pair.pem").write_text(pair["cert"] + pair["key"])
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "pair.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            link, _ = self._listener.accept()
            try:
                with self._tls.wrap_socket(link, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(good({"over": "TLS"}))
            except OSError:
                continue  # whoever asked did not like the certificate


@pytest.fixture
def secure(tmp_path: Path) -> Secure:
    return Secure(tmp_path)


class Between:
    """A proxy of straw: takes one CONNECT, answers `says`, and passes bytes on. `told`: the request."""

    def __init__(self, says: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self._listener, self._says, self.told = socket.create_server(("127.0.0.1", 0)), says, b""
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        link, _ = self._listener.accept()
        with link:
            self.told = link.recv(65536)
            link.sendall(self._says)
            if b" 200 " not in self._says:
                return
            host, port = self.told.split(b" ")[1].decode().split(":")
            with socket.create_connection((host, int(port))) as there:
                back = threading.Thread(target=self._pass, args=(there, link), daemon=True)
                back.start()
                self._pass(link, there)
                back.join()

    @staticmethod
    def _pass(here: socket.socket, there: socket.socket) -> None:
        while data := here.recv(65536):
            there.sendall(data)


def test_a_certificate_that_is_known_is_taken(secure: Secure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.ca))
    reply = http.ask("GET", f"https://localhost:{secure.port}/", headers={}, limit_s=LONG_S)
    assert reply.document() == {"over": "TLS"}


def test_a_certificate_that_nobody_knows_or_of_another_name_is_told(
    secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(http.NoAnswer, match=r"no connection .its certificate is not accepted: .*issuer"):
        http.ask("GET", f"https://localhost:{secure.port}/", headers={}, limit_s=LONG_S)
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.ca))
    with pytest.raises(http.NoAnswer, match=r"no connection .its certificate is not accepted: .*127\.0\.0\.1"):
        http.ask("GET", f"https://127.0.0.1:{secure.port}/", headers={}, limit_s=LONG_S)


def test_plain_http_where_tls_is_wanted_is_told() -> None:
    plain = Between(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(http.NoAnswer, match="no connection"):
        http.ask("GET", f"https://{plain.place}/", headers={}, limit_s=LONG_S)


def test_a_tls_line_leads_through_the_proxy_of_the_environment(secure: Secure, monkeypatch: pytest.MonkeyPatch) -> None:
    between = Between()
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.ca))
    monkeypatch.setenv("https_proxy", f"http://me:pass%20word@{between.place}")
    reply = http.ask("GET", f"https://localhost:{secure.port}/", headers={"X-Auth-Token": "key"}, limit_s=LONG_S)
    assert reply.document() == {"over": "TLS"}
    assert between.told.startswith(f"CONNECT localhost:{secure.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in between.told
    assert b"key" not in between.told


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", r"proxy 127\.0\.0\.1 answered 407"),
        (b"SSH-2.0-x\r\n", r"proxy 127\.0\.0\.1 answered, but not in HTTP"),
    ],
)
def test_a_proxy_that_does_not_let_us_through_is_told(monkeypatch: pytest.MonkeyPatch, says: bytes, words: str) -> None:
    monkeypatch.setenv("https_proxy", Between(says).place)
    with pytest.raises(http.NoAnswer, match=words):
        http.ask("GET", "https://shop.example/", headers={}, limit_s=LONG_S)


def test_a_plain_request_is_told_to_the_proxy_in_full(server: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    reply = http.ask("GET", "http://api.example/1.0/auth/time?x=1", headers={}, limit_s=LONG_S)
    assert reply.document() == 1700000000
    (head,) = server.asked
    assert head.startswith(b"GET http://api.example/1.0/auth/time?x=1 HTTP/1.1\r\nHost: api.example\r\n")


def test_no_proxy_is_asked_for_what_is_excepted(server: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert http.ask("GET", f"{server.url}/auth/time", headers={}, limit_s=LONG_S).ok


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://", "http://x:port"])
def test_a_proxy_of_another_kind_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(http.NoAnswer, match="http_proxy of the environment is no plain http address"):
        http.ask("GET", "http://api.example/", headers={}, limit_s=LONG_S)


def test_the_next_address_of_a_name_is_tried_when_one_refuses(server: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(server.url.rpartition(":")[2])
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.9", "127.0.0.1")]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    assert http.ask("GET", f"http://api.example:{port}/auth/time", headers={}, limit_s=LONG_S).ok
