"""Whether customers can read the page that is written for them: asked by Debian's prober with what a control host tells it, of a server that is as a
bucket, a redirect or somebody else may be.
"""

from __future__ import annotations

import http.server
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from contract.services.monitoring import Watch
from contract.services.status_page import StatusPage
from lab.pairs.loopback import free_port
from scripts.host.host.monitoring import config
from scripts.host.host.monitoring.page import html
from tests.host.servers.monitoring_rig import until
from tests.host.test_monitoring import PAGE, PLACE, WATCH
from tests.host.test_status_page import TERMS, full

pytestmark = pytest.mark.servers
OURS = html.page(full(), TERMS).encode()


class Bucket(http.server.BaseHTTPRequestHandler):
    """What is at the path says how it is."""

    def do_GET(self) -> None:
        answers = {
            "/ours": (200, OURS),
            "/shut": (403, b"<Code>AccessDenied</Code>"),
            "/gone": (404, b"<Code>NoSuchKey</Code>"),
            "/parked": (200, b"<html>This domain is for sale</html>"),
            "/shut-and-says-so-kindly": (200, b"<Code>AccessDenied</Code>"),
            "/broken": (503, OURS),
            "/endless": (200, OURS + b" " * (1 << 21)),
            "/redirects": (302, b""),
        }
        if self.path == "/hangs":
            self.server.released.wait()  # type: ignore[attr-defined]
            return
        code, body = answers[self.path]
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/ours")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Prober:
    port: int
    web: int

    def says(self, path: str) -> bool:
        asked = f"http://127.0.0.1:{self.port}/probe?module=page&target=http://127.0.0.1:{self.web}{path}"
        with urllib.request.urlopen(asked, timeout=10) as answer:
            found = re.search(rb"^probe_success ([01])$", answer.read(), re.MULTILINE)
        assert found is not None
        return found[1] == b"1"


def watching(address: str) -> Watch:
    return Watch(**{**vars(WATCH), "status_page": StatusPage(**{**vars(PAGE), "public": True, "address": address})})


@pytest.fixture(scope="module")
def prober(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prober]:
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    web.daemon_threads, web.released = True, threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=web.serve_forever, daemon=True).start()
    port, folder = free_port(), tmp_path_factory.mktemp("prober")
    told = folder / "blackbox.yml"
    told.write_text(config.text(config.blackbox(PLACE, watching("http://127.0.0.1/"))))
    arguments = [it for it in config.blackbox_arguments(PLACE) if not it.startswith(("--config.file", "--web.listen"))]
    with subprocess.Popen([*arguments, f"--config.file={told}", f"--web.listen-address=127.0.0.1:{port}"]) as program:
        try:
            it = Prober(port, web.server_address[1])
            until("the prober answers", lambda: answers(it))
            yield it
        finally:
            web.released.set()  # type: ignore[attr-defined]
            program.kill()
            web.shutdown()


def answers(it: Prober) -> bool:
    try:
        it.says("/ours")
    except OSError:
        return False
    return True


@pytest.mark.parametrize("path", ["/ours", "/redirects"])
def test_a_page_of_ours_is_read(prober: Prober, path: str) -> None:
    assert prober.says(path)


@pytest.mark.parametrize(
    "path", ["/shut", "/gone", "/parked", "/shut-and-says-so-kindly", "/broken", "/endless", "/hangs"]
)
def test_what_is_none_is_no_page_whatever_it_answers(prober: Prober, path: str) -> None:
    began = time.monotonic()
    assert not prober.says(path)
    assert time.monotonic() - began < config.TIMEOUT_S


def test_a_server_that_is_not_there_is_none(prober: Prober) -> None:
    assert not Prober(prober.port, free_port()).says("/ours")
