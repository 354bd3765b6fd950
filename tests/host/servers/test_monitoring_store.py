"""Figures go to a store as well: a real Prometheus that takes remote write, behind a door that asks who comes; and one that refuses, sends away or hangs."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract.monitoring import rules
from contract.monitoring.metrics import METRICS, STORE
from contract.monitoring.rules import Limits
from contract.services.monitoring import RemoteWrite
from scripts.host.host.monitoring import config
from tests.host.servers.monitoring_rig import Rig, until

PROMETHEUS = "/usr/bin/prometheus"
RECEIVER = "127.61.0.201:9190"
PASSWORD = "secret-store-password"
UP = 'up{job="node",host="control-1.a"}'
(RULE,) = rules.groups(Limits())["store"]
# Debian 12's own leaves out every header that is configured; Debian 13's, which hosts have, does not.
TENANT = (
    None
    if "2.42.0+ds" in subprocess.run([PROMETHEUS, "--version"], capture_output=True, text=True, check=True).stdout
    else "team-7"
)
SOON = RULE.expr.replace("< 120", "< 3")  # what the rule asks, for people who wait two minutes


class Store:
    """The door: who shows the password and says whose figures they are is let in to the real one. `mode`: a status, or "hang"."""

    def __init__(self, folder: Path) -> None:
        (folder / "store.yml").write_text("{}")
        self.mode, self.over, self.came = "", threading.Event(), 0
        with (folder / "store.log").open("ab") as log:
            self.receiver = subprocess.Popen(
                [
                    PROMETHEUS, f"--config.file={folder}/store.yml", f"--storage.tsdb.path={folder}/store",
                    f"--web.listen-address={RECEIVER}", "--web.enable-remote-write-receiver",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        store = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                store.came += 1
                if store.mode == "hang":
                    store.over.wait(20)
                    return
                self.send_response(int(store.mode) if store.mode else store.take(self.path, dict(self.headers), body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        threading.Thread(target=self.door.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.door.server_address[1]}/api/v1/write"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        wanted = base64.b64encode(f"shop:{PASSWORD}".encode()).decode()
        if headers.get("Authorization") != f"Basic {wanted}" or headers.get("X-Scope-Orgid") != TENANT:
            return 403
        kept = {name: it for name, it in headers.items() if name.startswith(("Content-", "X-Prom"))}
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{RECEIVER}{path}", body, kept), timeout=5
        ) as answer:
            return int(answer.status)

    def asked(self, expression: str) -> list[dict[str, Any]]:
        url = f"http://{RECEIVER}/api/v1/query?query={urllib.parse.quote(expression)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
        return found

    def close(self) -> None:
        self.over.set()
        self.door.shutdown()
        self.door.server_close()
        self.receiver.kill()
        self.receiver.wait()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("store"))
    try:
        until("the store answers", lambda: made.asked("vector(1)"))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("figures"))
    told = RemoteWrite(url=store.url, user="shop", tenant_header="X-Scope-OrgID", tenant="team-7")
    made.a.watch = replace(made.a.watch, remote_write=told, remote_write_password=PASSWORD)
    try:
        made.a.exporter()
        made.a.prometheus()
        yield made
    finally:
        made.close()


def test_the_store_has_every_figure_under_the_shops_name_and_whose_they_are(rig: Rig, store: Store) -> None:
    wanted = 'up{job="node",host="control-1.a",site="a",seen_from="a",shop="shop.example"} == 1'
    until("it has them", lambda: store.asked(wanted))
    until("the rules' own judgement, too", lambda: store.asked('ALERTS{alertname="Watchdog",shop="shop.example"}'))
    exported = rig.a.exported(config.PROMETHEUS)
    assert {it.name for it in METRICS if it.by == STORE} <= exported
    assert not rig.a.series(RULE.expr)


def test_its_password_stands_in_one_file_and_nowhere_else(rig: Rig, store: Store) -> None:
    until("it was shown", lambda: store.came)
    told = (rig.a.folder / "prometheus.yml").read_text() + rig.a.said("prometheus")
    arguments = Path(f"/proc/{rig.a.running['prometheus'].pid}/cmdline").read_bytes().decode()
    assert PASSWORD not in told + arguments + json.dumps(rig.a.json(config.PROMETHEUS, "/api/v1/status/config"))
    assert (rig.a.folder / config.STORE_SECRET).read_text() == PASSWORD


# 401 last: what was refused for good is told of for ten minutes.
@pytest.mark.parametrize("fault", ["hang", "429", "401"])
def test_a_store_that_takes_nothing_is_told_of_and_costs_nothing_else(rig: Rig, store: Store, fault: str) -> None:
    until("it takes them", lambda: not rig.a.series(SOON))
    began, store.mode = time.time(), fault
    until("somebody is told", lambda: rig.a.series(SOON))
    assert [it["metric"] for it in rig.a.series(SOON)] == [{"host": "control-1.a", "kind": "control", "site": "a"}]
    for living in (UP, 'ALERTS{alertname="Watchdog"}'):
        until("figures and rules go on", partial(rig.a.series, f"time() - timestamp({living}) < 2"), 5)
    store.mode = ""
    store.over.set()
    ended = time.time()
    late = f"time() - timestamp({UP}) < 3"
    until("it takes them again", lambda: store.asked(late))
    if fault != "401":
        until("nobody is told any more", lambda: not rig.a.series(SOON))
        meanwhile = f"count_over_time({UP}[{int((ended - began) * 1000)}ms] @ {ended:.3f})"
        (own,) = rig.a.series(meanwhile)
        assert int(own["value"][1]) >= 1
        until("what waited was not lost", lambda: store.asked(meanwhile)[0]["value"][1] == own["value"][1], 10)
    store.over.clear()
