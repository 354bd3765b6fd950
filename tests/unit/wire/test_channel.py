"""A question ends: with the whole answer, or with an error and in time, whatever the other side does and whenever another thread has enough of it."""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.wire import line
from contract.wire.channel import BODY_MAX, Answer, Channel, NoAnswer
from contract.wire.http1 import Connection
from lab.pairs.postgres import certificates
from tests.unit.wire.servers import LIMIT_S, Scripted, Talk, asked, deaf, drips, holds, over_tls, says, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT_S, SOON_S = 0.25, 10.0  # a limit that is waited for, and when it has surely been kept
LONG_S = 300.0  # a limit that no test waits for


def to(server: Scripted | int, limit_s: float = LIMIT_S, tls: ssl.SSLContext | None = None, name: str = "w") -> Channel:
    return Channel(name, "127.0.0.1", server if isinstance(server, int) else server.port, tls, limit_s)


def get(channel: Channel) -> Answer:
    return channel.request("GET", "/", {})


def fails(channel: Channel, most_s: float = LIMIT_S) -> str:
    """What it ends with, within `most_s`."""
    began = time.monotonic()
    with pytest.raises(NoAnswer) as caught:
        get(channel)
    assert time.monotonic() - began < most_s
    return str(caught.value)


def test_an_answer_is_whole_and_its_connection_kept() -> None:
    with serving(says(OK, b"HTTP/1.1 404 No\r\nX-Y: z\r\nContent-Length: 0\r\n\r\n")) as server:
        channel = to(server)
        assert get(channel) == Answer(200, {"content-length": "2"}, b"ok")
        assert (get(channel).status, server.seen) == (404, 1)


def test_the_name_goes_with_the_request_and_a_body_with_its_length() -> None:
    heads = list[bytes]()

    def talk(sock: socket.socket) -> None:
        for _ in range(3):
            heads.append(asked(sock))
            sock.sendall(OK)

    with serving(talk) as server:
        channel = to(server, name="db-1.b")
        channel.request("PUT", "/k", {}, b"body")
        channel.request("PUT", "/k", {"host": "other:1"})
        channel.request("GET", "/k", {})
    assert heads == [
        b"PUT /k HTTP/1.1\r\nhost: db-1.b\r\ncontent-length: 4\r\n\r\nbody",
        b"PUT /k HTTP/1.1\r\nhost: other:1\r\ncontent-length: 0\r\n\r\n",
        b"GET /k HTTP/1.1\r\nhost: db-1.b\r\n\r\n",
    ]


@pytest.mark.parametrize(
    "closing", [OK.replace(b"OK", b"OK\r\nConnection: close"), OK.replace(b"1.1", b"1.0"), b"HTTP/1.1 200 OK\r\n\r\nok"]
)
def test_a_connection_that_ends_with_its_answer_is_made_anew(closing: bytes) -> None:
    with serving(says(closing)) as server:
        channel = to(server)
        assert [get(channel).body for _ in range(3)] == [b"ok"] * 3
        assert server.seen == 3


def test_one_that_is_to_be_closed_is_used_no_more_although_it_is_open() -> None:
    with serving(says(*[OK.replace(b"OK", b"OK\r\nConnection: close")] * 2)) as server:
        channel = to(server)
        assert [get(channel).body, get(channel).body, server.seen] == [b"ok", b"ok", 2]


def test_one_that_was_closed_meanwhile_is_made_anew() -> None:
    with serving(says(OK)) as server:
        channel = to(server)
        for _ in range(3):
            assert get(channel).body == b"ok"
            time.sleep(0.05)
        assert server.seen == 3


def test_one_that_breaks_under_the_request_is_made_anew_once() -> None:
    def breaks(sock: socket.socket) -> None:
        asked(sock)
        sock.sendall(OK)
        asked(sock)

    with serving(breaks, says(OK), breaks, breaks) as server:
        channel = to(server)
        assert [get(channel).body, get(channel).body, server.seen] == [b"ok", b"ok", 2]
    with serving(breaks, says(b"")) as server:
        channel = to(server)
        get(channel)
        assert "closed before it had answered" in fails(channel)
        assert server.seen == 2


@pytest.mark.parametrize(
    ("answer", "says_so"),
    [
        (b"", "closed before it had answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed before it had answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "closed within the body"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "begins with"),
        (b"\x15\x03\x03\x00\x02\x02\x50\n", "begins with"),
        (b"HTTP/2 200\r\n\r\n", "begins with"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "begins with"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "begins with"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "begins with"),
        (b"HTTP/1.1 200 " + b"O" * 100_000, "without end"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "without end"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n", "headers"),
        (b"HTTP/1.1 100 Go on\r\n\r\n" * 1000, "will answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\nok", "lengths"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_MAX + 1), "bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_MAX + 1), "bytes"),
        (CHUNKED + b"%x\r\n" % (BODY_MAX + 9) + b"x" * (BODY_MAX + 9), "bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "coding"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", "nobody asked for"),
        (CHUNKED + b"-5\r\nabcde", "size"),
        (CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n", "size"),
        (CHUNKED + b"1_0\r\n", "size"),
        (CHUNKED + b"\r\n", "size"),
        (CHUNKED + b"f" * 40 + b"\r\n", "size"),
        (CHUNKED + b"2\r\nokay\r\n0\r\n\r\n", "longer than its size"),
        (CHUNKED + b"5\r\nok", "closed within a chunk"),
        (CHUNKED + b"2\r\nok\r\n", "closed"),
        (CHUNKED + b"2\r\nok\r\n0\r\n" + b"X: y\r\n" * 1000, "headers"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value[:60]),
)
def test_an_answer_that_is_none(answer: bytes, says_so: str) -> None:
    def talk(sock: socket.socket) -> None:
        asked(sock)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        holds(sock)

    with serving(talk) as server:
        assert says_so in fails(to(server))
        assert server.seen == 1


def test_an_address_that_is_silent_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf() as silent, serving(says(OK)) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (silent, server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert get(to(server, 1.0)).body == b"ok"


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Elsewhere"])
def test_nobody_is_sent_elsewhere(status: bytes) -> None:
    with serving(says(OK)) as other:
        there = b"HTTP/1.1 %s\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n" % (status, other.port)
        with serving(says(there)) as server:
            assert get(to(server)).status == int(status[:3])
            assert other.seen == 0


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 45\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("GET", OK),
    ],
)
def test_what_nobody_asked_for_is_no_answer_to_the_next_question(method: str, answer: bytes) -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    with serving(says(answer + forged, forged), says(OK)) as server:
        channel = to(server)
        assert channel.request(method, "/", {}).body in (b"", b"ok")
        assert (get(channel).body, server.seen) == (b"ok", 2)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ssl.SSLContext]:
    """A server's context of db-1.b, and a client's that knows its authority."""
    folder = tmp_path_factory.mktemp("tls")
    made = certificates()["b"]
    for name in ("ca", "cert", "key"):
        Path(folder, name).write_text(made[name])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert", folder / "key")
    return {"server": server, "client": ssl.create_default_context(cafile=str(folder / "ca"))}


NAME = "db-1.b.dr.internal"


def test_the_certificate_must_say_the_name_whatever_the_address(tls: dict[str, ssl.SSLContext]) -> None:
    with serving(over_tls(tls["server"], says(OK, OK))) as server:
        channel = to(server, tls=tls["client"], name=NAME)
        assert [get(channel).body, get(channel).body, server.seen] == [b"ok", b"ok", 1]
        assert "certificate" in fails(to(server, tls=tls["client"], name="db-1.a.dr.internal")).lower()
        assert "certificate" in fails(to(server, tls=ssl.create_default_context(), name=NAME)).lower()


FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize("pieces", [(OK, FORGED), (OK[:-2], b"ok" + FORGED)], ids=["a record of its own", "decrypted"])
def test_what_is_left_over_under_tls_is_no_answer_either(
    tls: dict[str, ssl.SSLContext], pieces: tuple[bytes, bytes]
) -> None:
    def talk(sock: socket.socket) -> None:
        asked(sock)
        for piece in pieces:
            sock.sendall(piece)
        holds(sock)

    with serving(over_tls(tls["server"], talk), over_tls(tls["server"], says(OK))) as server:
        channel = to(server, tls=tls["client"], name=NAME)
        assert get(channel).body == b"ok"
        time.sleep(0.1)
        assert (get(channel).body, server.seen) == (b"ok", 2)


DRIPS: dict[str, Talk] = {
    "silence": holds,
    "a status line": drips(b"HTTP/1.1 200 ", b"O"),
    "headers": drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.1),
    "interim answers": drips(b"", b"HTTP/1.1 100 Go on\r\n\r\n", 0.2),
    "a body by length": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
    "a body to the end": drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "chunks": drips(CHUNKED, b"1\r\nx\r\n"),
    "a trailer": drips(CHUNKED + b"0\r\n", b"X: y\r\n", 0.1),
}


@pytest.mark.parametrize("what", DRIPS)
def test_a_drip_ends_with_the_limit(what: str) -> None:
    with serving(DRIPS[what]) as server:
        assert fails(to(server, SHORT_S), SOON_S) == "timed out"


@pytest.mark.parametrize("what", ["silence", "a body by length"])
def test_a_drip_under_tls_ends_with_the_limit(what: str, tls: dict[str, ssl.SSLContext]) -> None:
    with serving(over_tls(tls["server"], DRIPS[what])) as server:
        assert "timed out" in fails(to(server, SHORT_S, tls["client"], NAME), SOON_S)


def test_no_connection_and_no_handshake_end_with_the_limit(tls: dict[str, ssl.SSLContext]) -> None:
    with deaf() as port:
        assert fails(to(port, SHORT_S), SOON_S) == "timed out"
    with serving(holds) as server:
        assert "timed out" in fails(to(server, SHORT_S, tls["client"], NAME), SOON_S)
    assert "refused" in fails(to(1))


def test_a_second_attempt_has_no_limit_of_its_own() -> None:
    def breaks_late(sock: socket.socket) -> None:
        asked(sock)
        sock.sendall(OK)
        asked(sock)
        time.sleep(0.6)

    with serving(breaks_late, holds) as server:
        channel = to(server, 1.0)
        get(channel)
        assert fails(channel, 1.0 + 0.5) == "timed out"
        assert server.seen == 2


def test_a_moment_to_end_at_bounds_the_whole_and_the_limit_each_wait(tls: dict[str, ssl.SSLContext]) -> None:
    with serving(DRIPS["chunks"]) as server:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="timed out"):
            to(server).request("GET", "/", {}, None, began + 0.5)
        assert 0.5 <= time.monotonic() - began < 2.5
    with serving(holds) as server:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="timed out"):
            to(server, 0.3).request("GET", "/", {}, None, began + LONG_S)
        assert 0.3 <= time.monotonic() - began < 2.3
        with pytest.raises(NoAnswer, match="timed out"):
            to(server).request("GET", "/", {}, None, began)
        assert time.monotonic() - began < 2.5, "a moment that has passed is no time at all"
    with deaf() as port, serving(holds) as server:
        for channel in (to(port, LONG_S), to(server, LONG_S, tls["client"], NAME)):
            began = time.monotonic()
            with pytest.raises(NoAnswer, match="timed out"):
                channel.request("GET", "/", {}, None, began + 0.3)
            assert time.monotonic() - began < 2.3


class Asking:
    """A question in a thread of its own, as the agent's workers ask."""

    def __init__(self, channel: Channel, question: Callable[[], Answer] | None = None) -> None:
        self.channel, self.ended = channel, list[str]()
        self.question = question or (lambda: get(channel))
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        try:
            self.ended.append(str(self.question().status))
        except NoAnswer as error:
            self.ended.append(str(error))

    def aborted(self) -> str:
        """How it ends when it is told to."""
        time.sleep(0.15)
        assert not self.ended
        began = time.monotonic()
        self.channel.abort()
        self.thread.join(LIMIT_S)
        assert self.ended and time.monotonic() - began < 2
        return self.ended[0]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Looks up a name in so many seconds, by a resolver that cannot be called off."""
    real = socket.getaddrinfo

    def takes(seconds: float) -> None:
        def slow(host: str, port: int, *more: int, **named: int) -> object:
            if named.get("flags"):
                raise socket.gaierror(socket.EAI_NONAME, "not a number")
            time.sleep(seconds)
            return real("127.0.0.1", port, **named)

        monkeypatch.setattr(socket, "getaddrinfo", slow)

    yield takes


@pytest.mark.parametrize("what", DRIPS)
def test_it_is_cut_off_whatever_it_reads(what: str) -> None:
    drip = (
        drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x") if what in ("headers", "interim answers", "a trailer") else DRIPS[what]
    )
    with serving(drip) as server:
        assert Asking(to(server, LONG_S)).aborted() == "cut off"


def test_it_is_cut_off_while_it_connects() -> None:
    with deaf() as port:
        assert Asking(to(port, LONG_S)).aborted() == "cut off"


def test_it_is_cut_off_in_the_handshake_and_under_tls(tls: dict[str, ssl.SSLContext]) -> None:
    with serving(holds) as server:
        assert Asking(to(server, LONG_S, tls["client"], NAME)).aborted() == "cut off"
    for what in ("silence", "a body by length", "a body to the end"):
        with serving(over_tls(tls["server"], DRIPS[what])) as server:
            assert Asking(to(server, LONG_S, tls["client"], NAME)).aborted() == "cut off"


def test_it_is_cut_off_while_it_sends() -> None:
    big = bytes(64 << 20)
    with serving(lambda _: time.sleep(LIMIT_S)) as server:
        channel = to(server, LONG_S)
        assert Asking(channel, lambda: channel.request("PUT", "/", {}, big)).aborted() == "cut off"


def test_what_was_cut_before_it_began_does_not_begin() -> None:
    with deaf() as port:
        connection = Connection("127.0.0.1", port, None, connect_s=LONG_S, timeout_s=LONG_S)
        connection.cut()
        with pytest.raises(line.CutError):
            connection.request("GET", "/", {}, None)


def test_it_is_cut_off_while_a_name_is_looked_up(resolver: Callable[[float], None]) -> None:
    resolver(1.5)
    with serving(says(OK)) as server:
        channel = Channel("w.example", "w.example", server.port, None, LONG_S)
        assert Asking(channel).aborted() == "cut off"
        began = time.monotonic()
        assert get(channel).body == b"ok", "what was looked up for one question serves the next"
        assert time.monotonic() - began < 1.5
        assert fails(Channel("w.example", "w.example", server.port, None, 0.3), 2.3) == "timed out"


def test_addresses_that_came_long_ago_serve_nobody(
    resolver: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver(0.3)
    names = line.Names("w.example", 1)

    def enough() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        names.addresses(enough)
    late = names._pending
    assert late is not None and late.ended.wait(LIMIT_S)
    with monkeypatch.context() as patch:
        patch.setattr(line, "FRESH_S", 0.0)
        with pytest.raises(TimeoutError):
            names.addresses(enough)
    late = names._pending
    assert late is not None and late.ended.wait(LIMIT_S)
    assert names.addresses(enough) == late.addresses != []


def test_a_name_that_is_none_is_no_answer() -> None:
    for name in ("no-such-host.invalid", "a..b", "x" * 70):
        assert fails(Channel(name, name, 80, None, LIMIT_S), LIMIT_S + 2)


def test_an_abort_between_two_questions_harms_neither() -> None:
    with serving(says(*[OK] * 3)) as server:
        channel = to(server)
        channel.abort()
        for _ in range(3):
            assert get(channel).body == b"ok"
            channel.abort()
        channel.close()
        channel.abort()
        channel.close()
        assert get(channel).body == b"ok"


def test_a_question_that_was_cut_off_is_not_asked_again() -> None:
    def one(sock: socket.socket) -> None:
        asked(sock)
        sock.sendall(OK)
        holds(sock)

    with serving(one) as server:
        channel = to(server, LONG_S)
        get(channel)
        assert Asking(channel).aborted() == "cut off"
        assert server.seen == 1


def test_aborts_at_any_moment_end_the_question_and_nothing_else() -> None:
    with serving(says(*[OK] * 100_000)) as server:
        channel, over = to(server), threading.Event()

        def abort() -> None:
            while not over.wait(random.random() / 1000):
                channel.abort()

        threads = [threading.Thread(target=abort, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        outcomes = set[str]()
        for _ in range(500):
            try:
                outcomes.add(get(channel).body.decode())
            except NoAnswer as error:
                outcomes.add(str(error))
        over.set()
        for thread in threads:
            thread.join(LIMIT_S)
        assert outcomes <= {"ok", "cut off"}
        assert get(channel).body == b"ok"


def test_a_number_is_not_given_back_while_it_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next socket that gets it may be anybody's."""
    cutting, may_go_on, closed = (threading.Event() for _ in range(3))
    real = socket.socket.shutdown

    def shutdown(sock: socket.socket, how: int) -> None:
        cutting.set()
        may_go_on.wait(LIMIT_S)
        real(sock, how)

    def close() -> None:
        channel.close()
        closed.set()

    with serving(says(OK)) as server:
        channel = to(server)
        channel._connection = made = Connection("127.0.0.1", server.port, None, connect_s=LIMIT_S, timeout_s=LIMIT_S)
        made.connect()
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "shutdown", shutdown)
            threading.Thread(target=channel.abort, daemon=True).start()
            assert cutting.wait(LIMIT_S)
            threading.Thread(target=close, daemon=True).start()
            assert not closed.wait(0.2)
            may_go_on.set()
            assert closed.wait(LIMIT_S)
