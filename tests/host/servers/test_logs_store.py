"""Journals go to a store as well, with what hosts run: systemd-journal-upload, HAProxy with the hosts' certificates; and a store that answers as
VictoriaLogs 1.52 does at /insert/journald/upload, or refuses, hangs, is gone.
"""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest

from contract.documents import Host
from contract.services.logs import Forward
from scripts.ctl.stacks.secrets import Authority
from scripts.host.host.logs import store
from tests.host.servers.monitoring_rig import until
from tests.host.servers.test_logs import OTHERS, PORT, Rig, hold

NAME, ANOTHER = "logs.example", "another.example"
DOOR, NAMES = ("127.62.0.132", 19_444), ("127.62.0.132", 19_553)
PASSWORD = "secret-journals-word"
FORWARD = Forward(url=f"https://{NAME}:{DOOR[1]}/insert/journald", user="shop", password=PASSWORD, tenant="12:3")
REFUSED = "<b>a page of the store's</b>"
MANY = 3000


class Store:
    """The door of a store over TLS. `mode`: a status, or "hang". `got`: what was taken, with its headers."""

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self.mode, self.over, self.came = "", threading.Event(), 0
        self.got: list[tuple[dict[str, str], bytes]] = []
        authority = Authority("the store's own")
        self.ca = authority.certificate_pem
        own = authority.issue([name])
        (folder / "door.pem").write_text(own["cert"] + own["key"])
        door = self

        class Door(BaseHTTPRequestHandler):
            protocol_version, timeout = "HTTP/1.1", 20

            def do_POST(self) -> None:
                door.came += 1
                if door.mode == "hang":
                    door.over.wait(20)
                    return
                status = int(door.mode) if door.mode else door.judge(self.path, self.headers)
                if status == 200:
                    body = chunks(self.rfile) if self.headers["Transfer-Encoding"] == "chunked" else b""
                    door.got.append(({name.lower(): it for name, it in self.headers.items()}, body))
                else:
                    self.close_connection = True
                self.send_response(status)
                said = REFUSED if status != 200 else ""
                self.send_header("Content-Length", str(len(said)))
                self.send_header("Accept-Encoding", "zstd")
                self.end_headers()
                self.wfile.write(said.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.door = ThreadingHTTPServer(DOOR, Door)
        self.door.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "door.pem")
        context.set_alpn_protocols(["h2", "http/1.1"])  # as an entrance does that speaks both
        self.door.socket = context.wrap_socket(self.door.socket, server_side=True)
        threading.Thread(target=self.door.serve_forever, daemon=True).start()

    @staticmethod
    def judge(path: str, headers: Any) -> int:
        if headers["Authorization"] != f"Basic {base64.b64encode(f'shop:{PASSWORD}'.encode()).decode()}":
            return 401
        if path != "/insert/journald/upload" or headers["Content-Type"] != "application/vnd.fdo.journal":
            return 400
        return 200

    def lines(self, key: str) -> list[str]:
        """Messages that came under the name of that host."""
        named = [body for headers, body in self.got if headers.get("vl-extra-fields") == f"dr_host={key}"]
        return [
            it.removeprefix("MESSAGE=") for it in b"\n".join(named).decode().split("\n") if it.startswith("MESSAGE=")
        ]

    def close(self) -> None:
        self.over.set()
        self.door.shutdown()
        self.door.server_close()


def chunks(stream: Any) -> bytes:
    """Of a body of which nobody has said how long it is."""
    found = b""
    while size := int(stream.readline(), 16):
        found += stream.read(size)
        stream.readline()
    stream.readline()
    return found


class Names(socketserver.UDPServer):
    """A name server that says of any name that the store is there."""

    def __init__(self) -> None:
        super().__init__(NAMES, Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Answer(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        question = dns.message.from_wire(self.rfile.read())
        answer = dns.message.make_response(question)
        answer.answer.append(dns.rrset.from_text(question.question[0].name, 1, "IN", "A", DOOR[0]))
        self.wfile.write(answer.to_wire())


class Leading(Rig):
    """A control host that leads to a store, beside hosts of its own region."""

    address, forward = "127.62.0.133", FORWARD

    def entrance(self) -> None:
        if not (self.folder / "store.cfg").exists():
            self.lead(self.forward)
        self.start("leads", ["haproxy", "-db", "-f", str(self.folder / "store.cfg")])

    def lead(self, forward: Forward) -> None:
        own = {key: Host(name=it.name, vrack=it.vrack, front=self.address) for key, it in OTHERS.items()}
        text = store.leads(
            f"{self.address}:{PORT}",
            own.items(),
            forward,
            files=str(self.folder / "files"),
            ca=str(self.folder / "store-ca.pem"),
            asks=f"nameserver it {NAMES[0]}:{NAMES[1]}",
        )
        assert PASSWORD not in text
        (self.folder / "files/store.secret").write_text(store.secret(forward))
        (self.folder / "store.cfg").write_text(text)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Store]:
    it = Store(tmp_path)
    try:
        yield it
    finally:
        it.close()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, door: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leading]:
    names, folder = Names(), tmp_path_factory.mktemp("s")
    (folder / "store-ca.pem").write_text(door.ca)
    monkeypatch.setattr(Leading, "forward", Forward(**{**vars(FORWARD), "ca": door.ca}))
    it = Leading(folder, monkeypatch)
    try:
        until("the way is there", lambda: it.asked("db-1.a"))
        door.got.clear()
        yield it
    finally:
        it.close()
        names.close()


def test_the_store_has_each_line_under_the_name_in_the_certificate_with_the_password_that_hosts_do_not_know(
    rig: Leading, door: Store
) -> None:
    rig.says("db-1.a", "one", "two")
    rig.says("app-1.a", *(f"line {number} {'x' * 900}" for number in range(MANY)))
    rig.sends("db-1.a")
    rig.sends("app-1.a")
    until("all of it is there", lambda: len(door.lines("app-1.a")) == MANY and rig.known("app-1.a"))
    until("of the other one, too", lambda: door.lines("db-1.a") == ["one", "two"])
    headers, _ = door.got[0]
    assert (headers["accountid"], headers["projectid"], headers["host"]) == ("12", "3", f"{NAME}:{DOOR[1]}")
    assert headers["vl-stream-fields"] == "dr_host,_SYSTEMD_UNIT"


def test_a_host_that_holds_all_the_connections_it_gets_holds_up_no_other(rig: Leading) -> None:
    with ExitStack() as held:
        hold(rig, held, "127.62.0.142")
        assert rig.asked("app-1.a", source="127.62.0.143", limit_s=2) == 200


def test_a_host_says_neither_for_whom_it_speaks_nor_how_it_is_read_and_who_is_none_says_nothing(
    rig: Leading, door: Store
) -> None:
    said = {
        "VL-Extra-Fields": "dr_host=app-1.a",
        "VL-Ignore-Fields": "MESSAGE",
        "AccountID": "7",
        "Authorization": "Basic b3RoZXI=",
        "X-Forwarded-For": "192.0.2.1",
    }
    status = rig.asked("db-1.a", "/upload?extra_fields=dr_host=app-1.a", said)
    (headers, _) = door.got[-1]
    assert status == 200 and headers["vl-extra-fields"] == "dr_host=db-1.a" and headers["accountid"] == "12"
    assert not {"vl-ignore-fields", "x-forwarded-for"} & set(headers)
    before = door.came
    rig.certify("db-1.b", "db-1.b.dr.internal")
    assert rig.asked("db-1.b") == 403, "of the other region"
    assert rig.asked("db-1.a", "/insert/jsonline") == 403, "nothing but uploads"
    with pytest.raises(OSError, match=r"(?i)certificate required|reset|closed"):
        rig.asked(None)
    assert door.came == before


def test_a_store_that_refuses_ends_the_upload_says_its_number_alone_and_gets_all_of_it_later(
    rig: Leading, door: Store
) -> None:
    rig.says("db-1.a", "one")
    for door.mode in ("401", "307", "503"):
        rig.sends("db-1.a")
        assert rig.running.pop("sends-db-1.a").wait(20) == 1, "the unit takes this for no failure"
        said = (rig.folder / "sends-db-1.a.log").read_text()
        assert f"the store answered {door.mode}" in said and REFUSED not in said and PASSWORD not in said
    door.mode = ""
    rig.sends("db-1.a")
    until("it is there", lambda: door.lines("db-1.a") == ["one"])


def test_a_store_that_is_gone_or_another_is_shown_no_password(
    rig: Leading, door: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    door.close()
    rig.says("db-1.a", "one")
    rig.sends("db-1.a")
    assert rig.running.pop("sends-db-1.a").wait(30) == 1
    other = Store(tmp_path_factory.mktemp("o"), ANOTHER)
    try:
        assert rig.asked("db-1.a") == 503 and other.came == 0, "of a CA that is not the store's"
        (rig.folder / "store-ca.pem").write_text(other.ca)
        rig.stop("leads")
        rig.entrance()
        until("the way is there", lambda: rig.asked("db-1.a") == 503)
        assert other.came == 0, "of another name"
    finally:
        other.close()


def test_a_store_that_hangs_holds_up_nothing_for_good(rig: Leading, door: Store) -> None:
    text = (rig.folder / "store.cfg").read_text()
    assert "timeout server 2m" in text
    (rig.folder / "store.cfg").write_text(text.replace("timeout server 2m", "timeout server 1s"))
    rig.stop("leads")
    rig.entrance()
    until("the way is there", lambda: rig.asked("db-1.a"))
    door.mode = "hang"
    rig.says("db-1.a", "one")
    rig.sends("db-1.a")
    assert rig.running.pop("sends-db-1.a").wait(20) == 1


def test_a_name_that_is_unknown_is_no_reason_not_to_begin(rig: Leading, door: Store) -> None:
    rig.stop("leads")
    text = (rig.folder / "store.cfg").read_text()
    (rig.folder / "store.cfg").write_text(text.replace(f"{NAMES[0]}:{NAMES[1]}", f"{NAMES[0]}:1"))
    came = door.came
    rig.entrance()
    until("it runs", lambda: rig.asked("db-1.a") == 503)
    assert door.came == came
    rig.says("db-1.a", "one")
    rig.sends("db-1.a")
    assert rig.running.pop("sends-db-1.a").wait(30) == 1, "it is tried again later"
