"""What the witness keeps of the shop's databases, over its own protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from contract.sites import Role as Kind
from scripts.host.frame.layout import Layout
from scripts.host.frame.rolefile import Role
from scripts.host.frame.witness import Silent
from scripts.host.postgres.known import WitnessClusters

ROLE = Role("a", "b", Kind.PRIMARY, 1)


class Bucket(BaseHTTPRequestHandler):
    """Lists by prefix and takes objects."""

    objects: dict[str, bytes] = {}

    def do_GET(self) -> None:
        prefix = self.path.split("prefix=")[1].replace("%2F", "/")
        items = (f"<Contents><Key>{name}</Key></Contents>" for name in sorted(self.objects) if name.startswith(prefix))
        self._answer(f"<ListBucketResult>{''.join(items)}</ListBucketResult>".encode())

    def do_PUT(self) -> None:
        self.objects[self.path.removeprefix("/witness/")] = self.rfile.read(int(self.headers["content-length"]))
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("etag", '"1"')
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    Bucket.objects = {}
    made = Layout(tmp_path)
    for folder in (made.etc, made.var):
        folder.mkdir(parents=True)
    with HTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = {"endpoint": f"http://127.0.0.1:{server.server_port}", "region": "w", "bucket": "witness"}
        (made.etc / "witness.json").write_text(json.dumps({**place, "access_key": "k", "secret_key": "s"}))
        yield made
        server.shutdown()


def test_a_cluster_that_was_recorded_is_known_to_a_host_that_knows_nothing(layout: Layout) -> None:
    clusters = WitnessClusters(layout)
    assert clusters.known() == () and not clusters.recorded("77")
    clusters.record("77", ROLE)
    assert json.loads(Bucket.objects["clusters/77.json"]) == {"system_identifier": "77", "site": "a", "epoch": 1}
    assert clusters.recorded("77") and not clusters.recorded("78")
    for file in layout.var.iterdir():
        file.unlink()  # as with the disk
    assert clusters.known() == ("clusters/77.json",) and not clusters.recorded("77")


def test_a_standby_that_followed_tells_of_a_cluster_older_than_the_record(layout: Layout) -> None:
    Bucket.objects["followed/b.json"] = b"{}"
    assert WitnessClusters(layout).known() == ("followed/b.json",)


def test_a_host_that_cannot_ask_does_not_take_that_for_no(layout: Layout) -> None:
    (layout.etc / "witness.json").unlink()
    with pytest.raises(Silent):
        WitnessClusters(layout).known()
    with pytest.raises(Silent):
        WitnessClusters(layout).record("77", ROLE)
    assert not WitnessClusters(layout).recorded("77")
