"""What a sample of a cache says, against a cache of straw; and that two caches that take writes in two regions are found."""

from __future__ import annotations

import itertools
import json
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.rehearsal import sampler
from lab.rehearsal.sampler import Cache, Refused, look
from lab.rehearsal.world import reading_carts
from lab.rehearsal.writers import Span, of_site, overlaps, spans
from scripts.ctl.stacks.secrets import Authority

NAME = "cache-1.a.dr.internal"
ERRORS = (OSError, Refused, ValueError)
ROLES = {
    "master": b"*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n",
    "replica": b"*5\r\n$5\r\nslave\r\n$2\r\nx.\r\n:1\r\n$9\r\nconnected\r\n:7\r\n",
}


class Straw:
    """A cache that answers as `role` and `write` say; None: it does not answer. `asked`: every command but AUTH."""

    def __init__(self, folder: Path) -> None:
        self.role, self.password = "master", "p w"
        self.write: bytes | None = b":0\r\n"
        self.asked: list[tuple[str, ...]] = []
        self.connections = 0
        authority = Authority("test")
        pair = authority.issue([NAME])
        (folder / "pair.pem").write_text(pair["cert"] + pair["key"])
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(folder / "pair.pem")
        straw = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                straw.connections += 1
                while line := self.rfile.readline():
                    words = []
                    for _ in range(int(line[1:])):
                        size = int(self.rfile.readline()[1:])
                        words.append(self.rfile.read(size + 2)[:-2].decode())
                    answer = straw.answer(words)
                    if answer is not None:
                        self.wfile.write(answer)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address, port = self.server.server_address[:2]
        self.settings: dict[str, Any] = {
            "name": NAME, "address": address, "port": port, "ca": authority.certificate_pem, "own": pair, "user": "shop", "password": "p w",
        }  # fmt: skip
        self.carts: dict[str, dict[str, int]] = {}

    def answer(self, words: list[str]) -> bytes | None:
        if words[0] == "AUTH":
            return b"+OK\r\n" if words[1:] == ["shop", self.password] else b"-WRONGPASS no\r\n"
        self.asked.append(tuple(words))
        if words[0] == "ROLE":
            return ROLES[self.role]
        if words[0] == "SCAN":
            # In two steps, and one cart twice, as a server may.
            keys = [f"cart:{token}" for token in self.carts]
            step, cursor = (keys[:2], "17") if words[1] == "0" else (keys[1:], "0")
            return b"*2\r\n" + bulk(cursor) + b"*%d\r\n" % len(step) + b"".join(map(bulk, step))
        if words[0] == "HGETALL":
            flat = [str(word) for pair in self.carts[words[1].removeprefix("cart:")].items() for word in pair]
            return b"*%d\r\n" % len(flat) + b"".join(map(bulk, flat))
        return self.write


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


@pytest.fixture
def straw(tmp_path: Path) -> Iterator[Straw]:
    made = Straw(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def clock() -> Any:
    return itertools.count(1).__next__


@pytest.mark.parametrize(
    ("role", "write", "writer"),
    [
        ("master", b":0\r\n", True),
        ("replica", b":0\r\n", False),
        # A master that lacks its replicas, or is the master no more when the write comes.
        ("master", b"-NOREPLICAS Not enough good replicas to write.\r\n", False),
        ("master", b"-READONLY You can't write against a read only replica.\r\n", False),
    ],
)
def test_a_cache_is_a_writer_when_it_leads_and_takes_a_write(
    straw: Straw, role: str, write: bytes, writer: bool
) -> None:
    straw.role, straw.write = role, write
    cache = Cache(straw.settings)
    for _ in range(2):
        found = look(cache, ERRORS, clock())
        assert (found["writer"], found["timeline"]) == (writer, None)
        assert found["t"] < found["until"]
    cache.drop()
    assert straw.connections == 1
    assert {words for words in straw.asked} <= {("ROLE",), sampler.WRITE}


def test_a_cache_that_holds_its_writers_takes_no_write(straw: Straw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "CACHE_S", 0.2)
    straw.write = None
    cache = Cache(straw.settings)
    assert look(cache, ERRORS, clock())["writer"] is False
    # The answer that comes late is not taken for that of a later question.
    straw.write = b":0\r\n"
    assert look(cache, ERRORS, clock())["writer"] is True
    assert straw.connections == 2
    cache.drop()


def test_a_cache_that_is_not_there_or_knows_another_password_is_no_writer(straw: Straw) -> None:
    assert look(Cache(straw.settings | {"port": 1}), ERRORS, clock())["writer"] is False
    straw.password = "another"
    assert look(Cache(straw.settings), ERRORS, clock())["writer"] is False


def test_the_time_of_a_sample_begins_with_the_question(straw: Straw) -> None:
    cache = Cache(straw.settings)
    times = clock()
    assert [look(cache, ERRORS, times)["t"] for _ in range(2)] == [2, 5], (
        "after the connection was made, the first time"
    )
    cache.drop()


def test_all_carts_are_read_once(straw: Straw) -> None:
    straw.carts = {"one-token": {"1": 2}, "two-token": {"1": 1, "7": 3}, "three-token": {"2": 5}}
    cache = Cache(straw.settings)
    cache.connect()
    assert cache.carts() == straw.carts
    cache.drop()


def test_the_lab_reads_carts_by_a_program_on_stdin(straw: Straw) -> None:
    straw.carts = {"one-token": {"1": 2}}
    program = reading_carts(straw.settings)
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == straw.carts


def test_a_span_of_a_cache_begins_when_it_had_answered() -> None:
    rows = [{"t": 0.0, "until": 0.3, "writer": True}, {"t": 0.4, "until": 0.41, "writer": True}]
    assert spans(rows) == [Span(0.3, 0.4)]
    assert spans(rows[:1]) == [Span(0.3, 0.3)]
    # The other one led until 0.2: whoever was asked at 0.0 and answered at 0.3 may have become the master in between.
    assert overlaps(spans(rows), [Span(-5.0, 0.2)]) == []


def test_two_caches_that_take_writes_in_two_regions_at_one_moment_are_found(straw: Straw, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    other = Straw(tmp_path / "b")
    here, there = Cache(straw.settings), Cache(other.settings)
    told: dict[str, list[dict[str, Any]]] = {"a": [], "b": []}
    times = iter(itertools.count(0, 0.05).__next__, None)
    for roles in (("master", "replica"), ("master", "master"), ("replica", "master")):
        straw.role, other.role = roles
        for _ in range(3):
            told["a"].append(look(here, ERRORS, times.__next__))
            told["b"].append(look(there, ERRORS, times.__next__))
    for cache, stub in ((here, straw), (there, other)):
        cache.drop()
        assert stub.connections == 1
    other.server.shutdown()
    other.server.server_close()
    both = overlaps(of_site([told["a"]]), of_site([told["b"]]))
    assert len(both) == 1
    masters = [json.loads(json.dumps(row))["t"] for row in told["b"][3:6]]
    assert masters[0] <= both[0][0] <= both[0][1] <= masters[2]
    assert overlaps(of_site([told["a"][:3]]), of_site([told["b"][6:]])) == []


def test_whichever_cache_of_a_site_leads_speaks_for_the_site() -> None:
    def rows(*times: float) -> list[dict[str, Any]]:
        return [{"t": time, "until": time, "writer": True} for time in times]

    assert of_site([rows(5.0, 5.1), rows(1.0, 1.1)]) == [Span(1.0, 1.1), Span(5.0, 5.1)]
    assert overlaps(of_site([rows(5.0, 5.1), rows(1.0, 1.1)]), of_site([rows(1.05)])) == [(1.05, 1.05)]


def test_the_sampler_speaks_the_servers_language():
    assert sampler.command("SET", "k", "v") == b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
