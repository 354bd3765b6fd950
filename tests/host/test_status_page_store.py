"""How the page is written: two writers at once, one that is killed between both objects, a store that refuses, hangs or lies, a clock that is off."""

from __future__ import annotations

import datetime
import io
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contract import fields
from contract.errors import Failed
from contract.monitoring.status_page import DOCUMENT, PAGE, Document, State, View
from contract.services.status_page import StatusPage
from scripts.host.frame import cli
from scripts.host.frame.layout import Layout
from scripts.host.frame.log import Log
from scripts.host.frame.witness import Silent, Witness
from scripts.host.host.monitoring import asking
from scripts.host.host.monitoring.page import html, job, store
from scripts.host.host.monitoring.page.job import Job, Terms
from scripts.host.host.monitoring.page.store import Store
from tests.unit.wire.servers import deaf

ABSENT = b"<Error><Code>NoSuchKey</Code></Error>"


class Kept(ThreadingHTTPServer):
    """A store of one bucket that holds conditions and knows the time. `fault`: asked before each request, answers a status or None; `ahead_s`: its clock."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.fault: Callable[[str, str], int | None] = lambda method, key: None
        self.ahead_s, self.said, self.lock = 0.0, list[str](), threading.Lock()
        self.dated = True
        super().__init__(("127.0.0.1", 0), Answering)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    @property
    def place(self) -> Witness:
        return Witness(f"http://127.0.0.1:{self.server_address[1]}", "de", "page", "access", "secret word")

    @property
    def document(self) -> Document:
        return fields.heard(Document, json.loads(self.objects[DOCUMENT][0]), DOCUMENT, "")

    def etag(self, key: str) -> str:
        return md5(self.objects[key][0]).hexdigest() if key in self.objects else ""


class Answering(BaseHTTPRequestHandler):
    server: Kept
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return None

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.server.ahead_s)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        if self.server.dated:
            self.send_header("Date", self.date_time_string())
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _refused(self, key: str) -> bool:
        signed = datetime.datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
        off = abs(signed.timestamp() - time.time() - self.server.ahead_s) > 900
        status = self.server.fault(self.command, key) or (403 if off else None)
        self.server.said.append(f"{self.command} {key} {status or ''}".strip())
        if status:
            self._answer(status, b"<Error><Code>RequestTimeTooSkewed</Code></Error>")
        return status is not None

    def do_GET(self) -> None:
        key = self.path.rpartition("/")[2]
        if self._refused(key):
            return
        with self.server.lock:
            found, etag = self.server.objects.get(key), self.server.etag(key)
        if found is None:
            self._answer(404, ABSENT)
        else:
            self._answer(200, found[0], ETag=f'"{etag}"')

    def do_PUT(self) -> None:
        key, body = self.path.rpartition("/")[2], self.rfile.read(int(self.headers["content-length"]))
        if self._refused(key):
            return
        with self.server.lock:
            over, etag = self.headers["if-match"], self.server.etag(key)
            well = etag == "" if self.headers["if-none-match"] == "*" else over is not None and over == etag
            if well:
                told = {name.lower(): value for name, value in self.headers.items()}
                self.server.objects[key] = (body, told)
                etag = self.server.etag(key)
        self._answer(200 if well else 412, b"", **({"ETag": f'"{etag}"'} if well else {}))


@pytest.fixture
def kept() -> Iterator[Kept]:
    with closing(Kept()) as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: 0.01)


LOG = io.StringIO()


def one(
    site: str = "a", shop: State = State.WORKS, *, planned: Callable[[int], bool] = lambda _: True, **more: Any
) -> Job:
    """A writer that sees this."""
    terms = Terms(site=site, host="control-1", max_lag_bytes=1, page=StatusPage(bucket="page"))
    LOG.truncate(0)
    return Job(
        terms,
        lambda now: View(at=now, shop=shop, data=State.WORKS, systems=State.WORKS, **more),
        planned,
        Log(LOG, "monitoring page"),
    )


def written(kept: Kept, it: Job, *, public: bool = False) -> bool:
    with Store(kept.place, public=public, log=it.log) as at:
        return it.go(at)[1]


def revision(kept: Kept) -> int:
    found = html.REVISION.search(kept.objects[PAGE][0])
    assert found is not None
    return int(found[1])


def test_both_objects_are_written_and_the_page_says_what_it_is(kept: Kept) -> None:
    assert written(kept, one())
    assert kept.document.shop.state == State.WORKS and kept.document.revision == revision(kept)
    headers = kept.objects[PAGE][1]
    assert headers["content-type"] == "text/html; charset=utf-8" and headers["cache-control"] == "public, max-age=10"
    assert "x-amz-acl" not in headers
    assert kept.objects[DOCUMENT][1]["content-type"] == "application/json"


def test_a_public_page_is_opened_with_each_writing_and_its_document_stays_closed(kept: Kept) -> None:
    for _ in range(2):
        written(kept, one(), public=True)
        assert kept.objects[PAGE][1]["x-amz-acl"] == "public-read"
        assert "x-amz-acl" in kept.objects[PAGE][1]["authorization"], "signed"
    assert "x-amz-acl" not in kept.objects[DOCUMENT][1]
    written(kept, one())
    assert "x-amz-acl" not in kept.objects[PAGE][1]


def test_of_two_that_write_at_once_neither_is_lost(kept: Kept) -> None:
    """Each is held between reading and writing until the other one has read as well."""
    met = threading.Barrier(2)
    firsts = itertools.count()

    def fault(method: str, key: str) -> int | None:
        if method == "PUT" and key == DOCUMENT and next(firsts) < 2:
            met.wait(10)
        return None

    kept.fault = fault
    writers = [
        threading.Thread(target=written, args=(kept, one(site, shop)))
        for site, shop in (("a", State.WORKS), ("b", State.DOWN))
    ]
    for it in writers:
        it.start()
    for it in writers:
        it.join(20)
    assert set(kept.document.views) == {"a", "b"} and kept.document.shop.state == State.IMPAIRED
    assert revision(kept) == kept.document.revision


def test_many_rounds_of_two_writers_end_with_both_and_the_page_never_goes_back(kept: Kept) -> None:
    seen: list[int] = []
    real = kept.fault

    def fault(method: str, key: str) -> int | None:
        if method == "GET" and key == PAGE and PAGE in kept.objects:
            with kept.lock:
                seen.append(revision(kept))
        return real(method, key)

    kept.fault = fault

    def rounds(site: str) -> None:
        for _ in range(15):
            try:
                written(kept, one(site))
            except Failed as error:  # others were first, each time: they have written
                assert "written by others" in str(error)

    writers = [threading.Thread(target=rounds, args=(site,)) for site in "ab"]
    for it in writers:
        it.start()
    for it in writers:
        it.join(60)
    assert set(kept.document.views) == {"a", "b"}
    assert seen == sorted(seen) and revision(kept) <= kept.document.revision


def test_one_that_is_late_with_its_page_puts_none_over_a_newer_one(kept: Kept) -> None:
    late = one("a", State.DOWN)
    with Store(kept.place, public=False, log=late.log) as at:
        made = at.tell(late._make)
        assert written(kept, one("b"))
        newer = kept.objects[PAGE]
        assert not at.show(made, html.page(made, late.terms.page))
    assert kept.objects[PAGE] == newer


def test_a_writer_that_is_killed_between_document_and_page_is_finished_by_the_next(kept: Kept) -> None:
    written(kept, one("a"))
    kept.fault = lambda method, key: 500 if (method, key) == ("PUT", PAGE) else None
    with pytest.raises(Silent, match=r"found HTTP 500 for index\.html"):
        written(kept, one("a", State.DOWN))
    assert kept.document.shop.state == State.DOWN and revision(kept) < kept.document.revision
    assert "Works. The shop answers." in kept.objects[PAGE][0].decode(), "it says until when"
    kept.fault = lambda method, key: None
    written(kept, one("b", State.DOWN))
    assert revision(kept) == kept.document.revision and b"The shop does not answer" in kept.objects[PAGE][0]


def test_incidents_are_at_the_store_and_survive_every_writer(kept: Kept) -> None:
    written(kept, one("a", State.DOWN))
    written(kept, one("b", State.DOWN))
    (it,) = kept.document.incidents.values()
    assert it.state == State.DOWN and b"The shop did not answer." in kept.objects[PAGE][0]


@pytest.mark.parametrize("status", [403, 500, 503, 301])
def test_a_store_that_refuses_is_told_and_nothing_changes(kept: Kept, status: int) -> None:
    written(kept, one())
    before = dict(kept.objects)
    kept.fault = lambda method, key: status if method == "PUT" else None
    with pytest.raises(Silent, match=f"the status page's bucket page at .*found HTTP {status}"):
        written(kept, one(shop=State.DOWN))
    assert kept.objects == before


def test_a_store_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WAIT_S", 0.3)
    monkeypatch.setattr(store, "ALL_S", 0.6)
    began = time.monotonic()
    with deaf() as port, pytest.raises(Silent, match="found no answer"):
        it = one()
        with Store(
            Witness(f"http://127.0.0.1:{port}", "de", "page", "access", "secret"), public=False, log=it.log
        ) as at:
            it.go(at)
    assert time.monotonic() - began < 5


def test_a_store_that_always_has_something_newer_is_told(kept: Kept) -> None:
    kept.fault = lambda method, key: 412 if method == "PUT" else None
    with pytest.raises(Failed, match="written by others 4 times"):
        written(kept, one())
    assert kept.said.count(f"PUT {DOCUMENT} 412") == 4


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b'{"schema":2}', b'{"schema":1,"revision":"x"}', b'{"as_of":1}', b"{" * 3000, b'{"incidents":{"x":{"part":"../"}}}']
)  # fmt: skip
def test_a_document_that_cannot_be_read_is_begun_anew(kept: Kept, body: bytes) -> None:
    kept.objects[DOCUMENT] = (body, {})
    assert written(kept, one())
    assert kept.document.shop.state == State.WORKS and "is lost" in LOG.getvalue()


def test_a_page_of_somebody_elses_is_written_over_and_one_of_the_far_future_too(kept: Kept) -> None:
    for body in (b"<h1>it works", b'<html lang="en" data-revision="999999999999">'):
        kept.objects[PAGE] = (body, {})
        assert written(kept, one())
        assert revision(kept) == kept.document.revision


def test_the_age_is_by_the_stores_clock_and_not_the_writers(kept: Kept) -> None:
    """Two hours off, either way: signed by the right clock the second time."""
    for ahead in (7200.0, -7200.0):
        kept.objects.clear()
        kept.ahead_s = ahead
        for _ in range(2):
            written(kept, one())
            assert abs(kept.document.as_of - time.time() - ahead) < 5


def test_a_store_that_does_not_say_the_time_gets_no_page(kept: Kept) -> None:
    kept.dated = False
    with pytest.raises(Failed, match="an answer without a date"):
        written(kept, one())
    assert kept.objects == {}


def test_whether_a_move_was_planned_is_asked_once_and_again_while_the_witness_is_silent(kept: Kept) -> None:
    asked = list[int]()

    def silent(epoch: int) -> bool:
        asked.append(epoch)
        raise Silent("witness: found no answer")

    def planned(epoch: int) -> bool:
        asked.append(epoch)
        return True

    written(kept, one(epoch=4, planned=silent))
    assert asked == [] and kept.document.moved is not None and kept.document.moved.epoch == 4, (
        "the first it knows of is no move"
    )
    written(kept, one(epoch=5, planned=silent))
    assert asked == [5] and kept.document.moved.epoch == 4
    written(kept, one(epoch=5, planned=planned))
    written(kept, one("b", epoch=5, planned=silent))
    assert asked == [5, 5] and kept.document.moved == replace(kept.document.moved, epoch=5, planned=True)
    assert b"Planned work. No interruption was seen." in kept.objects[PAGE][0]


# --- the verb


def call(root: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> int:
    """As the unit runs it, on a host whose Prometheus does not answer."""
    folder = root / "etc/dr"
    folder.mkdir(parents=True, exist_ok=True)
    terms = Terms(site="a", host="control-1", max_lag_bytes=1, page=StatusPage(bucket="page"))
    (folder / job.TERMS).write_text(json.dumps(fields.write(terms)))
    (folder / job.PLACE).write_text(json.dumps(vars(kept.place)))
    monkeypatch.setattr(asking, "LIMIT_S", 1.0)
    services = {"monitoring": "scripts.host.host.monitoring.verbs"}
    return cli.main(
        ["monitoring", "page"], services, stdin=io.StringIO(), stdout=io.StringIO(), stderr=LOG, layout=Layout(root)
    )


def test_a_writer_that_cannot_ask_its_prometheus_says_not_known(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert call(tmp_path, kept, monkeypatch) == 0
    assert kept.document.shop.state == State.UNKNOWN and b"Works." not in kept.objects[PAGE][0]
    written(kept, one("b"))
    assert call(tmp_path, kept, monkeypatch) == 0
    assert kept.document.shop.state == State.WORKS, "the other region knows"
    assert kept.document.as_of == kept.document.views["b"].at


def test_a_host_without_a_page_says_what_to_do(kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    call(tmp_path, kept, monkeypatch)
    (tmp_path / "etc/dr" / job.TERMS).unlink()
    LOG.truncate(0)
    services = {"monitoring": "scripts.host.host.monitoring.verbs"}
    code = cli.main(
        ["monitoring", "page"], services, stdin=io.StringIO(), stdout=io.StringIO(), stderr=LOG, layout=Layout(tmp_path)
    )
    assert code == 1 and "set dr:monitoring.status_page" in LOG.getvalue()


def test_a_key_is_in_no_message(kept: Kept) -> None:
    kept.fault = lambda method, key: 403
    with pytest.raises(Silent) as error:
        written(kept, one())
    assert "secret" not in str(error.value)
