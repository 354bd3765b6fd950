"""The page for customers, made of what a real Prometheus says and written to a real S3 store by a key of its own."""

from __future__ import annotations

import io
import shutil
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract.documents import Host
from contract.errors import Failed
from contract.monitoring.status_page import PAGE, Document, State, View
from contract.services.status_page import StatusPage
from lab.pairs import loopback
from lab.pairs.loopback import free_port
from scripts.ctl.stacks.secrets import Authority
from scripts.host.frame.files import write_atomically
from scripts.host.frame.log import Log
from scripts.host.frame.witness import Witness
from scripts.host.host.monitoring import asking, config
from scripts.host.host.monitoring.config import Place
from scripts.host.host.monitoring.page import seen
from scripts.host.host.monitoring.page.job import Job, Terms
from scripts.host.host.monitoring.page.store import Store
from tests.host.servers.monitoring_rig import Control, Sink, certify, until
from tests.lab.ovh.test_page_rights import BUCKET, made

ADDRESSES = {"control-1.a": 32, "db-1.a": 12, "control-1.b": 132, "db-1.b": 112}
HOSTS = {
    key: Host(name=f"{key}.dr.internal", vrack=f"127.61.0.{octet}", front=f"127.61.0.{octet}")
    for key, octet in ADDRESSES.items()
}
W, P, D, U = State.WORKS, State.IMPAIRED, State.DOWN, State.UNKNOWN


class Machine(Control):
    """Any host of them."""

    name, shop, prober = "control-1", 0, ""

    @property
    def place(self) -> Place:
        return Place(self.site, self.name, HOSTS, str(self.folder))

    def write(self, name: str, document: Any) -> None:
        """The shop is asked at a port of this machine's, by a prober at one that is free."""
        for job in document.get("scrape_configs", ()) if name == "prometheus.yml" else ():
            if job["job_name"].startswith("probe-"):
                job["params"]["target"] = [f"https://127.0.0.1:{self.shop}/"]
                job["static_configs"][0]["targets"] = [self.prober]
        super().write(name, document)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        super().start(name, [it.replace(config.PROBER, self.prober) for it in arguments])

    def tells(self, *lines: str) -> None:
        """Its figures, read now."""
        told = [f"dr_host_survey_timestamp_seconds {time.time():.0f}", *lines]
        write_atomically(self.folder / "figures" / "all.prom", "".join(f"{it}\n" for it in told).encode(), 0o644)


class Shop(ThreadingHTTPServer):
    """Whoever comes is served."""

    def __init__(self, port: int, folder: Path, authority: Authority) -> None:
        certify(folder, authority, Host(name="shop.example", vrack="127.0.0.1", front="127.0.0.1"))
        super().__init__(("127.0.0.1", port), Serving)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "host.crt", folder / "host.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class Serving(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


class Bench:
    """Two regions of two hosts, of which region a's control host looks at all, and a store."""

    def __init__(self, folder: Path, cleaning: ExitStack) -> None:
        storage = cleaning.enter_context(loopback.storage(folder / "s3", ("de",)))
        storage.create_bucket("de", BUCKET)
        self.root, keys = storage.client("de"), made(storage, BUCKET, public=True)
        self.place = Witness(storage.endpoint("de"), "de", BUCKET, **keys)
        self.authority, sink = Authority("shop hosts"), Sink()
        cleaning.callback(sink.close)
        self.folder, self.port = folder, free_port()
        self.machines = {key: self._machine(key, sink) for key in HOSTS}
        for machine in self.machines.values():
            cleaning.callback(machine.close)
            machine.exporter()
        self.control = self.machines["control-1.a"]
        self.control.prometheus()

    def _machine(self, key: str, sink: Sink) -> Machine:
        folder = self.folder / key
        folder.mkdir()
        certify(folder, self.authority, HOSTS[key])
        watch = sink.watch(entrance="127.0.0.1", shop_ca=self.authority.certificate_pem)
        machine = Machine(key[-1], folder, watch)
        machine.name, machine.shop = key.partition(".")[0], self.port
        machine.prober = f"127.0.0.1:{free_port()}"
        machine.write("web.yml", config.web(machine.place))
        (folder / "shop-ca.pem").write_text(self.authority.certificate_pem)
        return machine

    def databases(self, *, streaming: int) -> None:
        """Region a takes writes."""
        for site in "ab":
            first = site == "a"
            self.machines[f"db-1.{site}"].tells(
                f"dr_postgres_in_recovery {int(not first)}", "dr_postgres_up 1", f"dr_postgres_streaming {streaming}",
                "dr_postgres_replication_lag_bytes 0", "dr_role_epoch 3",
                f'dr_role{{role="primary"}} {int(first)}', f'dr_role{{role="standby"}} {int(not first)}',
            )  # fmt: skip

    def anew(self) -> None:
        """A Prometheus that knows nothing of before: a shop that has failed within the minute is none that works."""
        self.control.stop("blackbox")
        shutil.rmtree(self.control.folder / "data")
        self.control.prometheus()

    def written(self) -> Document:
        """One run of the job in region a, as it looks now."""

        def look(now: int) -> View:
            try:
                with asking.Prometheus(self.control.address, config.PROMETHEUS, self.control.folder) as prometheus:
                    return seen.view(seen.figures(prometheus.now, 1000), now)
            except Failed:
                return View(at=now)

        terms = Terms(site="a", host="control-1", max_lag_bytes=1000, page=StatusPage(bucket=BUCKET, public=True))
        log = Log(io.StringIO(), "monitoring page")
        with Store(self.place, public=True, log=log) as store:
            return Job(terms, look, lambda _: False, log).go(store)[0]

    def becomes(self, *states: State, alarms: bool = True) -> Document:
        """The page's word, once it is this. `alarms`: whether it may say meanwhile that something is wrong."""

        def so() -> Document | None:
            it = self.written()
            told = (it.shop.state, it.data.state, it.systems.state)
            assert alarms or not {P, D} & set(told), told
            if told != states:
                raise ValueError(str(told))
            return it

        found: Document = until(f"the page says {states}", so)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as cleaning:
        yield Bench(tmp_path, cleaning)


def test_the_page_says_what_prometheus_sees_and_not_known_once_it_sees_nothing(bench: Bench) -> None:
    assert [it for it in (bench.written(),) if W in (it.shop.state, it.data.state, it.systems.state)] == []
    bench.databases(streaming=0)
    found = bench.becomes(D, P, W)
    assert found.serving == "a" and found.moved is not None and found.moved.epoch == 3
    bench.control.stop("prometheus")
    bench.becomes(U, U, U)
    bench.databases(streaming=1)
    shop = Shop(bench.port, bench.folder, bench.authority)
    bench.anew()
    bench.becomes(W, W, W, alarms=False)
    for key in ("control-1.b", "db-1.b"):
        bench.machines[key].stop("node")
    bench.becomes(W, W, P)
    shop.shutdown()
    shop.server_close()
    page = bench.root.get_object(Bucket=BUCKET, Key=PAGE)
    assert page["ContentType"] == "text/html; charset=utf-8" and page["CacheControl"] == "public, max-age=10"
    text = page["Body"].read().decode()
    assert "The shop works, parts behind it do not" in text and "The shop did not answer." in text
