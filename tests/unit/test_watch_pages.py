"""Pages in the forms of their receivers, each until it was taken; one that hangs or refuses is no reason for another not to be told."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from contract.errors import Failed
from scripts.host.frame.wait import until
from scripts.watch import loop, pages
from scripts.watch.pages import Mail, Page, PagerDuty, Slack, Telling, Webhook

PAGE = Page(key="shop lost 1", title="shop: region a is lost", lines=("entrance: silent", "<!channel> & co"))
OVER = Page(key="shop lost 1", title="shop: over", lines=("after 60 s",), urgent=False, over=True)


class Sink:
    """A receiver by HTTP. `status`: what it answers."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[dict[str, Any]]()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(sink.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def sink() -> Iterator[Sink]:
    it = Sink()
    yield it
    it.server.shutdown()
    it.server.server_close()


def test_slack_gets_a_text_in_which_nobody_is_mentioned_by_a_host(sink: Sink) -> None:
    Slack(url=sink.url).send(PAGE)
    assert sink.got == [{"text": "shop: region a is lost\nentrance: silent\n&lt;!channel&gt; &amp; co"}]


def test_pagerduty_gets_an_event_of_version_2_and_its_end_under_the_same_key(sink: Sink) -> None:
    way = PagerDuty(url=sink.url, key="0" * 32, source="shop.example")
    way.send(PAGE)
    way.send(OVER)
    first, last = sink.got
    assert first["event_action"] == "trigger" and first["routing_key"] == "0" * 32
    assert {name: first["payload"][name] for name in ("summary", "source", "severity")} == {
        "summary": "shop: region a is lost",
        "source": "shop.example",
        "severity": "critical",
    }
    assert last == {"routing_key": "0" * 32, "event_action": "resolve", "dedup_key": first["dedup_key"]}


def test_a_webhook_gets_all_of_it(sink: Sink) -> None:
    Webhook(url=sink.url).send(PAGE)
    assert sink.got == [
        {"key": "shop lost 1", "title": PAGE.title, "text": PAGE.text, "urgent": True, "over": False},
    ]


class Post(socketserver.StreamRequestHandler):
    """A mail server of few words."""

    def handle(self) -> None:
        server: Any = self.server
        self.wfile.write(b"220 hello\r\n")
        lines = list[str]()
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text.decode().rstrip())
                self.wfile.write(server.answer)
                server.got.append(lines)
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def post() -> Iterator[Any]:
    server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post)
    server.daemon_threads, server.got, server.answer = True, [], b"250 taken\r\n"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def mail(post: Any, **more: Any) -> Mail:
    told = {"sender": "dr@shop.example", "to": ("ann@shop.example", "eve@shop.example"), "tls": False, **more}
    return Mail(server="127.0.0.1", port=post.server_address[1], **told)


def test_mail_is_one_message_to_everybody(post: Any) -> None:
    mail(post).send(PAGE)
    (lines,) = post.got
    assert "Subject: shop: region a is lost" in lines and "To: ann@shop.example, eve@shop.example" in lines
    assert "entrance: silent" in lines and any(it.startswith("Message-ID: <") for it in lines)


def test_a_mail_server_that_refuses_is_a_sentence_without_its_words(post: Any) -> None:
    post.answer = b"554 no, hunter2 is wrong\r\n"
    with pytest.raises(Failed, match="it answered 554") as error:
        mail(post).send(PAGE)
    assert "hunter2" not in str(error.value)


def test_nothing_is_said_to_a_mail_server_that_speaks_no_tls_where_that_is_wanted(post: Any) -> None:
    with pytest.raises(Failed, match="STARTTLS"):
        mail(post, tls=True, user="dr", password="hunter2").send(PAGE)
    assert post.got == []


class Played:
    """A way that takes nothing while it is `broken`."""

    def __init__(self, name: str) -> None:
        self.name, self.broken, self.got = name, False, list[Page]()

    def send(self, page: Page) -> None:
        if self.broken:
            raise Failed(f"{self.name}: answered 503")
        self.got.append(page)


def test_each_way_is_told_once_and_one_that_refuses_is_tried_again() -> None:
    slack, post = Played("slack"), Played("mail")
    slack.broken = True
    telling = Telling([slack, post])
    telling.tell(PAGE)
    assert telling.deliver() == [f"{PAGE.title}: not told, and tried again (slack: answered 503)"]
    assert telling.waiting == 1 and [it.key for it in post.got] == [PAGE.key]
    slack.broken = False
    assert telling.deliver() == [] and telling.waiting == 0
    assert telling.deliver() == [] and len(slack.got) == len(post.got) == 1


def test_whoever_is_reached_hears_who_was_not() -> None:
    slack, post = Played("slack"), Played("mail")
    slack.broken = True
    telling = Telling([slack, post])
    telling.tell(PAGE)
    telling.deliver()
    assert post.got[0].lines[-1] == "not told that way: slack: answered 503"
    assert PAGE.lines == post.got[0].lines[:-1]


def test_whoever_was_reached_before_hears_it_once() -> None:
    post, slack = Played("mail"), Played("slack")
    slack.broken = True
    telling = Telling([post, slack])
    telling.tell(PAGE)
    for _ in range(3):
        telling.deliver()
    assert [it.lines for it in post.got] == [PAGE.lines, ("not told that way: slack: answered 503",)]
    slack.broken = False
    telling.deliver()
    assert [it.lines for it in slack.got] == [PAGE.lines] and telling.waiting == 0


class Hanging(Played):
    """It takes a page once it is let go."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked, self.go = threading.Event(), threading.Event()

    def send(self, page: Page) -> None:
        self.asked.set()
        assert self.go.wait(10)
        super().send(page)


def test_what_is_told_while_another_page_is_on_its_way_is_not_lost() -> None:
    slow = Hanging("slack")
    telling, lost = Telling([slow]), Page(key="shop lost 2", title="region a is lost", lines=("now",))
    telling.tell(PAGE)
    sending = threading.Thread(target=telling.deliver)
    sending.start()
    assert slow.asked.wait(10)
    telling.tell(lost)
    slow.go.set()
    sending.join(10)
    telling.deliver()
    assert slow.got == [PAGE, lost]


def test_a_receiver_that_hangs_keeps_no_other_from_its_page() -> None:
    slow, post, end = Hanging("slack"), Played("mail"), threading.Event()
    telling = Telling([slow, post])
    telling.tell(PAGE)
    threads = loop.pages(telling, end, lambda _: None)
    assert slow.asked.wait(10) and until(lambda: post.got == [PAGE], 10)
    assert slow.got == []
    slow.go.set()
    end.set()
    for thread in threads:
        thread.join(10)
    assert slow.got == [PAGE]


def test_a_way_that_breaks_in_a_way_of_its_own_is_tried_again() -> None:
    class Odd(Played):
        def send(self, page: Page) -> None:
            if self.broken:
                raise UnicodeError("hunter2")
            super().send(page)

    way = Odd("mail")
    way.broken = True
    telling = Telling([way])
    telling.tell(PAGE)
    assert telling.deliver() == [f"{PAGE.title}: not told, and tried again (mail: UnicodeError)"]
    way.broken = False
    assert telling.deliver() == [] and way.got == [PAGE]


def test_what_is_over_is_not_told_as_if_it_were_not() -> None:
    way = Played("slack")
    way.broken = True
    telling = Telling([way])
    telling.tell(PAGE)
    telling.deliver()
    telling.tell(OVER)
    way.broken = False
    telling.deliver()
    assert [it.over for it in way.got] == [True]


def test_a_receiver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SEND_S", 0.3)
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as silent:
        url = f"http://127.0.0.1:{silent.server_address[1]}/token-in-the-path"
        with pytest.raises(Failed, match="slack: no answer within") as error:
            Slack(url=url).send(PAGE)
    assert "token-in-the-path" not in str(error.value)


@pytest.mark.parametrize("status", [302, 400, 404, 429, 500])
def test_a_refusal_is_no_delivery(sink: Sink, status: int) -> None:
    sink.status = status
    with pytest.raises(Failed, match=f"answered {status}"):
        PagerDuty(url=sink.url, key="0" * 32, source="s").send(PAGE)


def test_no_address_or_key_is_shown_by_a_way() -> None:
    shown = repr(
        [
            Slack(url="https://hooks/T1"),
            Webhook(url="https://x/T2"),
            PagerDuty(url="u", key="T3", source="s"),
            Mail(server="m", port=25, sender="a@b", to=("c@d",), user="u", password="T4"),
        ]
    )
    assert not any(word in shown for word in ("T1", "T2", "T3", "T4"))
