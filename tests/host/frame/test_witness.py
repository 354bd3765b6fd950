"""What a witness may do to a host that asks it at boot: hold it up for a bounded time, and be believed in nothing but a whole answer."""

from __future__ import annotations

import email.utils
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from contract.wire.dates import clock_ahead
from lab.pairs.postgres import certificates
from scripts.host.agent.witness import WitnessChannel
from scripts.host.frame import witness as frame_witness
from scripts.host.frame.witness import Active, Silent, Talk, Witness, listed
from tests.unit.wire.servers import LIMIT_S, asked, drips, holds, over_tls, says, serving

NOW = 1_790_000_000.0


def of(port: int, endpoint: str = "http://127.0.0.1:{}") -> Witness:
    return Witness(endpoint.format(port), "de", "witness", "key", "SECRET")


def page(keys: Iterable[str]) -> bytes:
    items = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    body = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{items}</ListBucketResult>'.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


EPOCH = b'HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{"epoch": 7, "active": "b" } '


def test_a_question_takes_one_connection() -> None:
    with serving(says(page(["epochs/00000007.json"]), page([]), EPOCH)) as server:
        assert of(server.port).newest(7) == Active(7, "b")
        assert server.seen == 1


def test_over_https_it_is_the_endpoints_own_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificates()["b"]
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(made[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more, **named: real("127.0.0.1", *more, **named))
    talk = over_tls(context, says(page(["epochs/00000007.json"]), page([]), EPOCH))
    with serving(talk, talk, talk) as server:
        with pytest.raises(Silent, match="certificate verify failed"):
            of(server.port, "https://db-1.b.dr.internal:{}").newest(7)
        monkeypatch.setattr(
            frame_witness, "public_tls", lambda: ssl.create_default_context(cafile=str(tmp_path / "ca"))
        )
        assert of(server.port, "https://db-1.b.dr.internal:{}").newest(7) == Active(7, "b")
        with pytest.raises(Silent, match="ostname mismatch"):
            of(server.port, "https://db-1.a.dr.internal:{}").newest(7)


@pytest.mark.parametrize(
    "talk",
    [
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.1),
        says(*(page([f"epochs/{number:08d}.json"]) for number in range(7, 100_000))),
    ],
    ids=["a slow body", "a slow head", "a listing without end"],
)
def test_no_witness_holds_up_a_boot(monkeypatch: pytest.MonkeyPatch, talk: Callable[[socket.socket], None]) -> None:
    monkeypatch.setattr(frame_witness, "QUESTION_S", 0.7)
    with serving(talk) as server:
        for question in (lambda: of(server.port).newest(7), lambda: of(server.port).has("x")):
            began = time.monotonic()
            try:
                assert question() is False
            except Silent as error:
                assert "timed out" in str(error)
            assert time.monotonic() - began < 0.7 + 2


def test_one_that_says_nothing_is_given_up_before_the_question_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_witness, "WAIT_S", 0.3)
    with serving(holds) as server:
        began = time.monotonic()
        with pytest.raises(Silent, match=r"timed out") as caught:
            of(server.port).newest(7)
        assert time.monotonic() - began < 2.3
        assert "SECRET" not in str(caught.value)
    assert frame_witness.WAIT_S < frame_witness.QUESTION_S < 15, "the guard's unit gives it 30 s, Sentinels take 15"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "HTTP 302 for epochs/"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 0\r\n\r\n", "HTTP 206"),
        (b"HTTP/1.1 204 None\r\n\r\n", "no XML"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", "nobody asked for"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<ListBucketResult/>", "closed within the body"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html><body>Log in</body></html>", "'html'"),
    ],
)
def test_what_is_no_answer_is_silence(answer: bytes, found: str) -> None:
    def talk(sock: socket.socket) -> None:
        asked(sock)
        sock.sendall(answer)

    with serving(talk) as server:
        for question in (lambda: of(server.port).newest(7), lambda: of(server.port).has("epochs/")):
            with pytest.raises(Silent, match=found):
                question()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'"7"',
        b'{"epoch": "x", "active": "b"}',
        b'{"epoch": NaN, "active": "b"}',
        b'{"epoch": 1e999, "active": "b"}',
        b'{"epoch": 7.5, "active": "b"}',
        b'{"epoch": true, "active": "b"}',
        b'{"epoch": 6, "active": "b"}',
        b'{"epoch": 7, "active": "c"}',
        b'{"epoch": 7, "active": ["b"]}',
        b'{"active": "b"}',
        b"<html/>",
        b"\xff",
        b"",
    ],
)
def test_an_object_that_holds_no_epoch_is_silence_for_guard_and_agent(body: bytes) -> None:
    there = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    answers = says(page(["epochs/00000007.json"]), page([]), there)
    with serving(answers, answers) as server:
        with pytest.raises(Silent, match="no epoch in it"):
            of(server.port).newest(7)
        with pytest.raises(Silent, match="no epoch in it"):
            WitnessChannel(of(server.port), LIMIT_S).newest(sure=True)


@pytest.mark.parametrize("shown", [["epochs/00000006.json"], ["epochs/00000007.json", "sites/a.json"], ["a"]])
def test_a_listing_that_is_not_what_was_asked_for_is_silence(shown: list[str]) -> None:
    with serving(says(page(shown))) as server, pytest.raises(Silent, match="wanted a listing in order"):
        of(server.port).newest(7)


GONE = b"<Error><Code>NoSuchKey</Code></Error>"
ELSEWHERE = {
    "a page": b"<html><body>Not found</body></html>",
    "nothing": b"",
    "no bucket": b"<Error><Code>NoSuchBucket</Code></Error>",
    "no XML": b"NoSuchKey",
    "an error within": b"<html><Error><Code>NoSuchKey</Code></Error></html>",
    "two codes": b"<Error><Code>NoSuchKey</Code><Code>AccessDenied</Code></Error>",
}


def answer(status: bytes, body: bytes, *more: bytes) -> bytes:
    head = b"".join(line + b"\r\n" for line in more)
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), head, body)


def test_only_s3_itself_says_that_an_object_is_not_there() -> None:
    with serving(says(answer(b"404 Not Found", b"<e:Error xmlns:e='urn:x'>" + GONE[7:-8] + b"</e:Error>"))) as server:
        assert WitnessChannel(of(server.port), LIMIT_S).get("followed/a.json") is None


@pytest.mark.parametrize("body", ELSEWHERE.values(), ids=ELSEWHERE)
def test_no_other_not_found_keeps_the_known_epoch_in_force(body: bytes) -> None:
    """An agent that took it for "there is no newer epoch" would hold its primary to be the only one."""
    known = page(["epochs/00000007.json"]), page([]), answer(b"200 OK", b'{"epoch": 7, "active": "b"}')
    with serving(says(*known, answer(b"404 Not Found", body))) as server:
        channel = WitnessChannel(of(server.port), LIMIT_S)
        assert channel.newest(sure=True) is not None
        with pytest.raises(Silent, match=r"HTTP 404 for epochs/00000008\.json"):
            channel.newest(sure=False)


def test_a_yes_to_a_heartbeat_counts_where_s3_says_it() -> None:
    """A lease is renewed by it: a login page says yes to everything."""
    with serving(says(answer(b"200 OK", b"", b'ETag: "1"'))) as server:
        WitnessChannel(of(server.port), LIMIT_S).put("heartbeats/a/db-1.json", {})
    with serving(says(answer(b"200 OK", b"<html/>"))) as server, pytest.raises(Silent, match="without an ETag"):
        WitnessChannel(of(server.port), LIMIT_S).put("heartbeats/a/db-1.json", {})


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b"NaN", b"<html/>", b""])
def test_an_object_that_cannot_be_read_is_none(body: bytes) -> None:
    with serving(says(answer(b"200 OK", body))) as server:
        assert WitnessChannel(of(server.port), LIMIT_S).get("heartbeats/a/db-1.json") is None


@pytest.mark.parametrize("endpoint", ["", "s3.example", "ftp://s3.example", "http://", "http://s3:port", "http://[::1"])
def test_an_endpoint_that_is_none_is_silence(endpoint: str) -> None:
    with pytest.raises(Silent, match=r"no URL.*pulumi up"):
        of(0, endpoint).newest(1)


def test_the_keys_of_a_listing() -> None:
    for namespace in ("", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ' xmlns="urn:other"'):
        text = (
            f"<?xml version='1.0'?><ListBucketResult{namespace}><Name>w</Name><Prefix/><Key>no</Key>"
            "<Contents><Key>b</Key><Size>1</Size><Owner><Key>no</Key></Owner></Contents>"
            "<Contents><Size>1</Size><Key>a&amp;&#246;<!-- c -->z</Key></Contents><Contents><Key/></Contents>"
            "<CommonPrefixes><Prefix>no</Prefix></CommonPrefixes></ListBucketResult>"
        )
        assert listed(text.encode()) == ["a&\u00f6z", "b"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"<ListBucketResult>",
        b"<ListBucketResult/>x",
        b"<Error><Code>AccessDenied</Code></Error>",
        b"<x:ListBucketResult/>",
        b"<?xml version='1.0' encoding='none'?><ListBucketResult/>",
        b"<!DOCTYPE a [<!ENTITY a 'a'>]><ListBucketResult><Contents><Key>&a;</Key></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>\xff</Key></Contents></ListBucketResult>",
    ],
)
def test_what_is_no_listing_is_no_empty_one(text: bytes) -> None:
    with pytest.raises(Silent, match="wanted a listing"):
        listed(text)


def test_how_far_the_witnesss_clock_is_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    for ahead, taken in ((0, 0.0), (50, 0.0), (-50, 0.0), (3600, 3600.0), (-3600, -3600.0)):
        assert clock_ahead(email.utils.formatdate(NOW + ahead, usegmt=True)) == taken
    assert clock_ahead(None) is clock_ahead("now") is clock_ahead("") is None


def test_it_is_signed_by_the_witnesss_clock_from_its_first_answer_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = list[bytes]()

    def talk(sock: socket.socket) -> None:
        for status in (b"200", b"200", b"403", b"403"):
            head = asked(sock)
            stamps.append(head.split(b"x-amz-date: ")[1][:16])
            date = email.utils.formatdate(NOW + 3600, usegmt=True).encode() if status == b"200" else b"soon"
            sock.sendall(b"HTTP/1.1 %s So\r\nDate: %s\r\nContent-Length: 0\r\n\r\n" % (status, date))

    with serving(talk) as server, Talk(of(server.port), LIMIT_S) as witness:
        monkeypatch.setattr(time, "time", lambda: NOW)
        for _ in range(4):
            witness.ask("GET", "k", {})
    began, later = (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW + ahead)).encode() for ahead in (0, 3600))
    assert stamps == [began, later, later, later], "an answer without a date changes nothing"
