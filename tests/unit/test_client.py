"""The client against a shop of straw: what counts as a promise, how it insists, how it connects, how losses are found."""

import http.server
import json
import socket
import ssl
import threading
import time

import dns.message
import dns.rrset
import pytest

from lab.client import client as client_module
from lab.client import connect
from lab.client.client import Client
from lab.client.connect import race
from lab.client.ledger import compare, first_ack_after, longest_gap, read
from scripts.ctl.stacks.secrets import Authority

NAME = "www.shop.example"


class Straw(http.server.BaseHTTPRequestHandler):
    """Refuses the first `refuse` orders with 503, then acknowledges; remembers every key it was asked for."""

    protocol_version = "HTTP/1.1"
    refuse, keys, lock = 0, list[str | None](), threading.Lock()
    broken: dict[str, bytes] = {}  # own address -> body of the 503 that it answers to everything

    def do_GET(self):
        self._answer(200, [{"id": 1}])

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        if self.path != "/orders":
            return self._answer(200, {})
        with Straw.lock:
            Straw.keys.append(self.headers["Idempotency-Key"])
            if Straw.refuse:
                Straw.refuse -= 1
                return self._answer(503, {"error": "no writer"})
        return self._answer(201, {"idempotency_key": self.headers["Idempotency-Key"], "site": "a"})

    def _answer(self, status, body):
        data = json.dumps(body).encode()
        page = Straw.broken.get(self.connection.getsockname()[0])
        if page is not None:
            status, data = 503, page
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        """Silent."""


@pytest.fixture
def shop(tmp_path, request):
    """The shop on 127.0.0.1; with the parameter "two" on 127.0.0.2 as well."""
    authority = Authority("test")
    pair = authority.issue([NAME])
    (tmp_path / "ca.pem").write_text(authority.certificate_pem)
    (tmp_path / "pair.pem").write_text(pair["cert"] + pair["key"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "pair.pem")
    servers = []

    def serve(address, port=0):
        server = http.server.ThreadingHTTPServer((address, port), Straw)
        server.daemon_threads = True
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    Straw.refuse, Straw.keys = 0, []
    port = serve("127.0.0.1")
    if getattr(request, "param", "one") == "two":
        serve("127.0.0.2", port)
    yield port
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def resolver():
    """Answers every name with `addresses`; returns (where, addresses)."""
    addresses = ["127.0.0.1"]
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                data, peer = bound.recvfrom(512)
            except OSError:
                return
            query = dns.message.from_wire(data)
            reply = dns.message.make_response(query)
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *addresses))
            bound.sendto(reply.to_wire(), peer)

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{bound.getsockname()[1]}", addresses
    bound.close()


def until(condition, limit_s=10.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def run_client(tmp_path, port, where, orders):
    client = Client(f"https://{NAME}:{port}", where, tmp_path / "ca.pem", tmp_path / "ledger", rate=50, connections=2)
    client.start()
    until(lambda: client.acknowledged >= orders)
    client.stop()
    return client, read(tmp_path / "ledger")


def test_every_acknowledgement_is_counted_and_written_down(tmp_path, shop, resolver):
    client, events = run_client(tmp_path, shop, resolver[0], 30)
    acks = [event for event in events if event["event"] == "ack"]
    assert len(acks) == client.acknowledged >= 30
    assert {event["site"] for event in acks} == {"a"}
    assert {event["address"] for event in acks} == {"127.0.0.1"}


def test_newcomers_come_all_the_time_and_ask_the_resolver_themselves(tmp_path, shop, resolver, monkeypatch):
    monkeypatch.setattr(client_module, "NEWCOMER_S", 0.02)
    asked = []
    really = connect.Resolver.addresses

    def addresses(self, name):
        asked.append(id(self))
        return really(self, name)

    monkeypatch.setattr(connect.Resolver, "addresses", addresses)
    client, events = run_client(tmp_path, shop, resolver[0], 30)
    assert len({event["key"] for event in events if event["event"] == "ack"}) == client.acknowledged >= 30
    assert len(set(asked)) > 3


def test_a_refused_order_is_asked_for_again_by_the_same_key(tmp_path, shop, resolver):
    Straw.refuse = 3
    _, events = run_client(tmp_path, shop, resolver[0], 4)
    refused = {event["key"] for event in events if event["event"] == "fail"}
    acknowledged = {event["key"] for event in events if event["event"] == "ack"}
    assert refused
    assert refused <= acknowledged
    assert all(Straw.keys.count(key) >= 2 for key in refused)


def test_a_dead_first_address_costs_a_head_start_and_no_time_out(tmp_path, shop, resolver):
    resolver[1][:] = ["127.0.0.2", "127.0.0.1"]  # nothing listens on the first: refused at once
    _, events = run_client(tmp_path, shop, resolver[0], 3)
    assert {event["address"] for event in events if event["event"] == "ack"} == {"127.0.0.1"}


def test_the_second_address_is_tried_while_the_first_is_still_silent():
    silent = socket.socket()
    silent.bind(("127.0.0.3", 0))
    silent.listen(0)
    port = silent.getsockname()[1]
    fill = [socket.socket() for _ in range(4)]  # a full backlog: further handshakes get no answer
    for each in fill:
        each.setblocking(False)
        each.connect_ex(("127.0.0.3", port))
    alive = socket.create_server(("127.0.0.4", port))
    found, address = race(["127.0.0.3", "127.0.0.4"], port)
    assert address == "127.0.0.4"
    for each in (found, alive, silent, *fill):
        each.close()


def test_no_address_at_all_is_an_error_that_names_each():
    with pytest.raises(OSError, match=r"127\.0\.0\.5.*127\.0\.0\.6"):
        race(["127.0.0.5", "127.0.0.6"], 9)


def event(kind, key, mono):
    return {"event": kind, "key": key, "mono": mono, "at": mono}


def test_the_comparison_finds_what_was_lost_and_what_stands_twice():
    told = [("attempt", "k1"), ("ack", "k1"), ("attempt", "k2"), ("ack", "k2"), ("attempt", "k3"), ("fail", "k3")]
    events = [event(kind, key, mono) for mono, (kind, key) in enumerate(told)]
    found = compare(events, [{"idempotency_key": "k1"}, {"idempotency_key": "k1"}, {"idempotency_key": "k3"}])
    assert [ack["key"] for ack in found.lost] == ["k2"]
    assert found.duplicated == ["k1"]
    assert (found.acknowledged, found.unacknowledged_but_present, found.failed_attempts) == (2, 1, 1)


def test_silence_counts_also_at_the_bounds():
    events = [event("ack", str(mono), mono) for mono in (1.0, 1.5, 9.0, 9.2)] + [event("attempt", "x", 5.0)]
    assert longest_gap(events) == 7.5
    assert longest_gap(events, since=2.0) == 7.0  # the outage was under way already
    assert longest_gap(events, since=9.1, until=100.0) == pytest.approx(90.8)  # and this one still is
    assert longest_gap([], since=1.0, until=5.0) == 4.0
    assert first_ack_after(events, 1.5) == 9.0
    assert first_ack_after(events, 10) is None


@pytest.mark.parametrize("shop", ["two"], indirect=True)
@pytest.mark.parametrize("body", [b'{"error": "no writer"}', b"<html>503</html>"])
def test_a_site_that_answers_503_is_left_for_one_that_serves(tmp_path, shop, resolver, body, monkeypatch):
    monkeypatch.setattr(Straw, "broken", {"127.0.0.1": body})
    resolver[1][:] = ["127.0.0.1", "127.0.0.2"]
    shuffled = {"turn": 0}
    really = connect.Resolver.addresses

    def rotating(self, name):  # as a resolver hands out two addresses: in turn
        shuffled["turn"] += 1
        found = really(self, name)
        return found if shuffled["turn"] % 2 else found[::-1]

    monkeypatch.setattr(connect.Resolver, "addresses", rotating)
    _, events = run_client(tmp_path, shop, resolver[0], 5)
    assert {event["address"] for event in events if event["event"] == "ack"} == {"127.0.0.2"}


def test_half_a_line_is_not_an_event(tmp_path):
    (tmp_path / "ledger").write_text('{"event": "ack", "key": "a"}\n{"event": "a')
    assert read(tmp_path / "ledger") == [{"event": "ack", "key": "a"}]
