"""Two app hosts' nginx, as the guests' image has it, with the configuration that `dr-host app converge` writes: site a is active, b forwards.

Each has a network namespace: its front address, those of the balancer and of a neighbour, and a vRack that joins both. Puma is played: it answers with
what it was sent, with the status that a path `/status/503` names, and speaks back whatever comes by a websocket.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from contract.hosts import PORTS, Place, balancer_networks, certificate_names, site_hosts
from lab.machines.shell import add_netns, drop_netns, ip
from lab.namespace import NETNS, entered, inside
from scripts.ctl.stacks.secrets import Authority, generate
from scripts.host.app.config import Desired
from scripts.host.app.files import of_nginx
from scripts.host.app.names import PUMA, SERVES
from scripts.host.frame.layout import Layout
from scripts.host.frame.wait import until
from tests.lab.rooted import rooted

SHOP = "www.shop.example"
FRONT, VIP, AMPHORA, NEIGHBOUR = "10.{}.0.41", "10.{}.0.5", "10.{}.0.205", "10.{}.0.11"
CLIENT = "198.51.100.77"
_NUMBERS = itertools.count(1)
NUMBER = {"a": 1, "b": 2}
HOSTS = {
    key: host
    for site, offset in (("a", 0), ("b", 100))
    for key, host in site_hosts(
        site, Place(front=f"10.{NUMBER[site]}.0.0/24", vrack="10.100.0.0/24", offset=offset)
    ).items()
}


class Puma(BaseHTTPRequestHandler):
    """Says which site it is of, what was asked, and every header as it arrived."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: else they wait for each other
    site = ""

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket" and self.headers.get("Connection", "").lower() == "upgrade":
            self._speak_back()
            return
        told = {
            "site": self.site,
            "path": self.path,
            "headers": [[name.lower(), text] for name, text in self.headers.items()],
        }
        body = json.dumps(told).encode()
        named = re.fullmatch(r"/status/(\d{3})", self.path)
        status = int(named[1]) if named else 200
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Strict-Transport-Security", "max-age=1")
        self.send_header("DR-Site", "of nobody")
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def _speak_back(self) -> None:
        """Bytes as they come, behind a first line that says which site it is of."""
        self.close_connection = True
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        self.wfile.write(f"site {self.site}\n".encode())
        self.wfile.flush()
        with suppress(OSError):  # ended from the other side
            while said := self.connection.recv(4096):
                self.connection.sendall(said)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@dataclass(frozen=True)
class Answer:
    """`status` is None where the connection ended without one."""

    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> list[str]:
        """Every value of this name."""
        return [text for found, text in self.headers if found.lower() == name.lower()]

    @property
    def told(self) -> dict[str, Any]:
        """What Puma said."""
        read: dict[str, Any] = json.loads(self.body)
        return read

    def arrived(self, name: str) -> list[str]:
        """Every value of a header that Puma got."""
        return [text for found, text in self.told["headers"] if found == name.lower()]


class Entrance:
    """The two hosts. Whatever asks them does so from inside a host's namespace, from an address that is its own."""

    def __init__(
        self,
        folder: Path,
        secrets: dict[str, Any],
        certified: str = "app-1",
        release: Callable[[Path], None] | None = None,
        **block: Any,
    ) -> None:
        self.folder, self.secrets, self._certified, self._block = folder, secrets, certified, block
        self._release, self._nginx = release, dict[str, subprocess.Popen[bytes]]()
        self._pumas = dict[str, ThreadingHTTPServer]()
        self.names = {site: f"drweb{os.getpid()}-{next(_NUMBERS)}{site}" for site in "ab"}

    @contextmanager
    def running(self) -> Iterator[Entrance]:
        """Until the end of the block."""
        with ExitStack() as stack:
            for name in self.names.values():
                add_netns("tests", name)
                stack.callback(drop_netns, "tests", name)
            self._wire()
            for site in "ab":
                self._serve(site, stack)
            yield self

    def _wire(self) -> None:
        one, two = self.names.values()
        ip("tests", [f"link add vrack netns {one} type veth peer name vrack netns {two}"])
        for site, name in self.names.items():
            number = NUMBER[site]
            ours = [it.format(number) for it in (FRONT, VIP, AMPHORA, NEIGHBOUR)]
            lines = [f"address add {address}/32 dev lo" for address in ours]
            vrack = HOSTS[f"app-1.{site}"].vrack
            ip("tests", [*lines, f"address add {vrack}/24 dev vrack", "link set vrack up"], name)

    def document(self, site: str) -> dict[str, Any]:
        """As the program writes it for `app-1` of this site."""
        bucket = {
            "endpoint": "http://s3",
            "region": "gra",
            "bucket": "assets",
            "access_key": "key",
            "secret_key": "hidden",
        }
        tls = self.secrets["tls"]
        entrance = {name: tls["shop"][name] for name in ("cert", "key")}
        return {
            "schema": 1,
            "site": site,
            "peer": "b" if site == "a" else "a",
            "host": "app-1",
            "epoch": {"epoch": 3, "active": "a", "previous": None, "planned": True, "checkpoint": None},
            "hosts": {key: {"name": it.fqdn, "vrack": it.vrack, "front": it.front} for key, it in HOSTS.items()},
            "tls": {"ca": tls["ca"], **tls["hosts"][f"{self._certified}.{site}"]},
            "app": {
                "release": "/opt/shop/releases/abc",
                "shop_host": SHOP,
                "shop_tls": entrance,
                "database_tls": tls["database"]["clients"]["shop"],
                "worker_tls": tls["database"]["clients"]["shop_worker"],
                "cache_tls": {"ca": tls["cache"]["ca"], **tls["cache"]["clients"]["shop"]},
                "secret_key_base": "base",
                "databases": ["db-1.a", "db-1.b"],
                "database": "shop",
                "database_password": "pw",
                "caches": ["cache-1.a", "cache-1.b"],
                "cache_password": "pw",
                "assets": bucket,
                "peer_apps": ["app-1.b" if site == "a" else "app-1.a"],
                "balancers": list(balancer_networks(f"10.{NUMBER[site]}.0.0/24")),
                **self._block,
            },
        }

    def _serve(self, site: str, stack: ExitStack) -> None:
        puma = type("PumaOf", (Puma,), {"site": site})
        host, _, port = PUMA.partition(":")
        with entered(NETNS / self.names[site]):
            server = ThreadingHTTPServer((host, int(port)), puma)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._pumas[site] = server
        stack.callback(self.stop_puma, site)
        tree = self.folder / f"tree-{site}"
        document = self.document(site)
        layout = Layout(tree)
        for file in of_nginx(Desired.read(document), layout):
            file.write()
        tls = document["tls"]
        for name, text in (("ca.pem", tls["ca"]), ("host.crt", tls["cert"]), ("host.key", tls["key"])):
            (tree / "etc/dr").mkdir(parents=True, exist_ok=True)
            (tree / "etc/dr" / name).write_text(text)
        if self._release is not None:
            release = layout.at("/opt/shop/releases/abc")
            release.mkdir(parents=True)
            layout.at("/opt/shop/current").symlink_to("/opt/shop/releases/abc")
            self._release(release)
        if site == "a":
            layout.at(SERVES).write_text("")
        log = (self.folder / f"nginx-{site}.log").open("wb")
        stack.callback(log.close)
        command = rooted(self.folder / f"place-{site}", tree, "exec nginx -g 'daemon off;'")
        process = self._nginx[site] = subprocess.Popen(
            inside(NETNS / self.names[site], command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        assert until(lambda: process.poll() is not None or self.listens(site), 20), "nginx of the image does not listen"
        assert process.poll() is None, (self.folder / f"nginx-{site}.log").read_text()

    def stop_puma(self, site: str) -> None:
        """Nobody listens there any more."""
        server = self._pumas.pop(site, None)
        if server is not None:
            server.shutdown()
            server.server_close()

    def nginx(self, site: str) -> int:
        """Its process."""
        return self._nginx[site].pid

    def turn(self, site: str, *, serves: bool) -> None:
        """nginx of this site looks there from its next request on."""
        program = "touch" if serves else "rm"
        command = ["nsenter", f"--target={self._nginx[site].pid}", "--mount", "--root", program, SERVES]
        subprocess.run(command, check=True, timeout=20)

    def listens(self, site: str) -> bool:
        """Whether somebody takes connections there."""
        try:
            self.connect(site, PORTS["health"]).close()
        except OSError:
            return False
        return True

    def connect(self, site: str, port: int, *, source: str = VIP, target: str | None = None) -> socket.socket:
        """From an address of the host's own namespace. Raises OSError."""
        number = NUMBER[site]
        with entered(NETNS / self.names[site]):
            return socket.create_connection(
                (target or FRONT.format(number), port), timeout=10, source_address=(source.format(number), 0)
            )

    def context(self, *, certificate: str | None = None, authority: Authority | None = None) -> ssl.SSLContext:
        """Of a caller who looks at no certificate and may have one: a host's name, "shop", or one that another authority has made."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        pair = self.secrets["tls"]["hosts"].get(certificate) or (
            self.secrets["tls"]["shop"] if certificate == "shop" else None
        )
        if authority is not None:
            pair = authority.issue(["app-1.b.dr.internal"])
        if pair is not None:
            certificate_file, key_file = (self.folder / f"caller.{kind}" for kind in ("crt", "key"))
            certificate_file.write_text(pair["cert"])
            key_file.write_text(pair["key"])
            context.load_cert_chain(certificate_file, key_file)
        return context

    def ask(
        self,
        path: str = "/products",
        *,
        site: str = "a",
        port: int = 443,
        source: str = VIP,
        target: str | None = None,
        sni: str | None = SHOP,
        host: str | None = SHOP,
        method: str = "GET",
        headers: Sequence[tuple[str, str]] = (),
        proxy: bool = True,
        client: str = CLIENT,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """One request on a connection of its own, after a PROXY header that names `client`. An end without an answer is one without a status."""
        raw = self.connect(site, port, source=source, target=target)
        try:
            if proxy:
                raw.sendall(proxied(client))
            plain = port in (PORTS["health"], PORTS["http"])
            link = raw if plain else (context or self.context()).wrap_socket(raw, server_hostname=sni)
            lines = [
                f"{method} {path} HTTP/1.{1 if host is not None else 0}",
                *([f"Host: {host}"] if host is not None else []),
                *(f"{name}: {text}" for name, text in headers),
            ]
            link.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
            return answer(link)
        except OSError:
            return Answer(None)
        finally:
            raw.close()

    def burst(self, count: int, client: str) -> list[int]:
        """So many requests of a client at once, on one connection: their statuses."""
        raw = self.connect("a", 443)
        try:
            raw.sendall(proxied(client))
            link = self.context().wrap_socket(raw, server_hostname=SHOP)
            one, last = (
                f"GET /health HTTP/1.1\r\nHost: {SHOP}\r\nConnection: {kept}\r\n\r\n"
                for kept in ("keep-alive", "close")
            )
            link.sendall((one * (count - 1) + last).encode())
            said = b""
            while part := link.recv(65536):
                said += part
            return [int(status) for status in re.findall(rb"HTTP/1.1 (\d{3}) ", said)]
        finally:
            raw.close()


def proxied(client: str) -> bytes:
    """Header of the PROXY protocol, version 2, as the balancer sends it."""
    body = (
        socket.inet_aton(client)
        + socket.inet_aton("203.0.113.9")
        + (40000).to_bytes(2, "big")
        + (443).to_bytes(2, "big")
    )
    return b"\r\n\r\n\x00\r\nQUIT\n" + b"\x21\x11" + len(body).to_bytes(2, "big") + body


def answer(link: socket.socket) -> Answer:
    """What is said until the other side ends."""
    said = b""
    while part := link.recv(65536):
        said += part
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    if not first:
        return Answer(None)
    pairs = tuple((name, text.strip()) for name, _, text in (line.partition(":") for line in lines))
    return Answer(int(first.split()[1]), pairs, body)


def make(folder: Path, **block: Any) -> Entrance:
    """With a set of secrets of its own. `certified`: the host whose certificate theirs is; `release`: puts files into the release that both have."""
    names = {key: certificate_names(it) for key, it in HOSTS.items()}
    return Entrance(folder, generate(names, SHOP, {}, block.get("shop_aliases", ())), **block)
