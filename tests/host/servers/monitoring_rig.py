"""Two control hosts' worth of monitoring on loopback, each at an address of its own, and receivers that look at what they are sent."""

from __future__ import annotations

import json
import shutil
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from contract.documents import Host
from contract.services.monitoring import Email, Watch
from scripts.ctl.stacks.secrets import Authority
from scripts.host.host.monitoring import config
from scripts.host.host.monitoring.config import Place

PATIENCE_S = 60.0
ADDRESSES = {"control-1.a": "127.61.0.31", "control-1.b": "127.61.0.131"}
HOSTS = {key: Host(name=f"{key}.dr.internal", vrack=address, front=address) for key, address in ADDRESSES.items()}
# As quick as the servers can be: what is configured for hosts waits for people.
HURRY = {"group_wait": "1s", "group_interval": "2s"}
GOSSIP = ("--cluster.peer-timeout=3s", "--cluster.pushpull-interval=1s", "--cluster.probe-interval=200ms", "--cluster.probe-timeout=100ms")  # fmt: skip


def until(what: str, ask: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What `ask` answers first that counts. Fails with what it said last."""
    end, last = time.monotonic() + patience_s, None
    while time.monotonic() < end:
        try:
            last = ask()
        except (OSError, ValueError, KeyError) as error:
            last = error
        else:
            if last:
                return last
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {patience_s:g} s, last {last!r}")


class Sink:
    """HTTP receivers by path, and a mail server. `faults`: what was not of the form that a receiver takes."""

    def __init__(self) -> None:
        self.got: dict[str, list[Any]] = {"/slack": [], "/pager": [], "/hook": [], "/alive": [], "mail": []}
        self.faults: list[str] = []
        # By way, what its receiver answers instead, until it is taken out: a status, or "hangs".
        self.ill: dict[str, int | str] = {}
        sink = self

        class Web(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ill = sink.held(self.path)
                code = int(ill) if ill else sink.take(self.path, self.headers.get("Content-Type", ""), body)
                self.send_response(code)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        class Mail(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if ill := sink.held("mail"):
                    self.say(f"{ill} not now")
                    return
                self.say("220 sink ready")
                told: dict[str, Any] = {"to": []}
                while line := self.rfile.readline().decode().strip():
                    word = line.upper()
                    if word.startswith("RCPT TO:"):
                        told["to"].append(line[8:].split(">")[0].lstrip("< "))
                    if word == "DATA":
                        self.say("354 go on")
                        lines = []
                        while (part := self.rfile.readline()) not in (b".\r\n", b""):
                            lines.append(part.decode())
                        told["text"] = "".join(lines)
                        sink.got["mail"].append(told)
                        told = {"to": []}
                    self.say("221 bye" if word == "QUIT" else "250 ok")
                    if word == "QUIT":
                        return

            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self.web = ThreadingHTTPServer(("127.0.0.1", 0), Web)
        self.mail = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
        self.mail.daemon_threads = True
        for server in (self.web, self.mail):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def held(self, way: str) -> int | str | None:
        """What is answered instead; one that hangs answers once it is well, to nobody any more."""
        while self.ill.get(way) == "hangs":
            time.sleep(0.05)
        return self.ill.get(way)

    def take(self, path: str, kind: str, body: bytes) -> int:
        """As the API at that path would: 400 for what it does not take."""
        document = json.loads(body)
        wrong = {"/slack": _slack, "/pager": _pager, "/hook": _hook, "/alive": _hook}[path](kind, document)
        if wrong:
            self.faults.append(f"{path}: {wrong}")
            return 400
        self.got[path].append(document)
        return 202 if path == "/pager" else 200

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.web.server_address[1]}{path}"

    def watch(self, **more: Any) -> Watch:
        """All ways of telling, to this."""
        email = Email(
            to=("oncall@shop.example",), sender="alerts@shop.example", tls=False,
            server=f"127.0.0.1:{self.mail.server_address[1]}",
        )  # fmt: skip
        return Watch(
            shop_host="shop.example", max_lag_bytes=16 * 2**20, max_lag_s=30, email=email, slack=self.url("/slack"),
            pagerduty="a" * 32, pagerduty_url=self.url("/pager"), webhook=self.url("/hook"), watchdog=self.url("/alive"), **more,
        )  # fmt: skip

    def close(self) -> None:
        self.ill.clear()
        for server in (self.web, self.mail):
            server.shutdown()
            server.server_close()


def _slack(kind: str, it: Any) -> str:
    parts = it.get("attachments") or [{}]
    if kind != "application/json" or not (parts[0].get("title") and parts[0].get("text")):
        return f"no message with a title and a text: {it}"
    return ""


def _pager(kind: str, it: Any) -> str:
    if (
        it.get("event_action") not in ("trigger", "resolve")
        or len(it.get("routing_key", "")) != 32
        or not it.get("dedup_key")
    ):
        return f"no event of v2: {it}"
    payload = it.get("payload") or {}
    if it["event_action"] == "trigger" and not (
        payload.get("summary") and payload.get("source") and payload.get("severity") == "critical"
    ):
        return f"an event without its payload: {it}"
    return ""


def _hook(kind: str, it: Any) -> str:
    return "" if it.get("version") == "4" and it.get("alerts") else f"nothing of Alertmanager's: {it}"


@dataclass
class Control:
    """One control host: its files, and its servers as they would be started there. `prefix`: words before each of their commands."""

    site: str
    folder: Path
    watch: Watch
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=lambda: HOSTS)
    prefix: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        return Place(self.site, "control-1", self.hosts, str(self.folder))

    @property
    def address(self) -> str:
        return self.place.own.vrack

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        (self.folder / name).write_text(config.text(document))

    def start(self, name: str, arguments: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen([*self.prefix, *arguments], stdout=log, stderr=log, cwd=self.folder)

    def stop(self, name: str) -> None:
        self.running[name].kill()
        self.running.pop(name).wait()

    def alertmanager(self) -> None:
        document = config.alertmanager(self.watch)
        document["route"] |= HURRY
        for route in document["route"]["routes"]:
            route.update(HURRY | ({"repeat_interval": "1s"} if route["receiver"] == "watchdog" else {}))
        self.write("alertmanager.yml", document)
        self.write("gossip.yml", config.gossip(self.place))
        self.start("alertmanager", [*config.alertmanager_arguments(self.place, str(self.folder / "alerts")), *GOSSIP])

    def exporter(self) -> None:
        figures = self.folder / "figures"
        figures.mkdir(exist_ok=True)
        self.start("node", config.node_arguments(self.place, str(figures)))

    def prometheus(self, *more: str, hurried: Collection[str] = ()) -> None:
        """And the prober. `more`: arguments; `hurried`: alerts that wait for three looks here, and no longer."""
        document = config.prometheus(self.place, self.watch)
        document["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        for store in document.get("remote_write", ()):
            store["remote_timeout"] = "1s"
            store["queue_config"] |= {"max_backoff": "1s", "batch_send_deadline": "1s"}
        if self.watch.store_secret is not None:
            (self.folder / config.STORE_SECRET).write_text(self.watch.store_secret)
        self.write("prometheus.yml", document)
        rules = config.alert_rules(self.watch)
        for rule in (rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] in hurried):
            rule["for"] = "3s"
        self.write("rules.yml", rules)
        self.write("blackbox.yml", config.blackbox(self.place, self.watch))
        self.start("blackbox", config.blackbox_arguments(self.place))
        arguments = config.prometheus_arguments(self.place, self.watch, str(self.folder / "data"))
        self.start("prometheus", [*arguments, *more])

    # --- asked as the other control host would

    def ask(self, port: int, path: str, body: Any = None, *, named: bool = True) -> bytes:
        """`named`: with a certificate."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if named:
            context.load_cert_chain(self.folder / "host.crt", self.folder / "host.key")
        told = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(
            f"https://{self.address}:{port}{path}", data=told, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=5, context=context) as answer:
            return bytes(answer.read())

    def json(self, port: int, path: str) -> Any:
        return json.loads(self.ask(port, path))

    def series(self, expression: str) -> list[dict[str, Any]]:
        """What its Prometheus says of an expression now."""
        found: list[dict[str, Any]] = self.json(
            config.PROMETHEUS, f"/api/v1/query?query={urllib.parse.quote(expression)}"
        )["data"]["result"]
        return found

    def exported(self, port: int) -> set[str]:
        """Names of the metrics of one of its servers."""
        lines = self.ask(port, "/metrics").decode().splitlines()
        return {line.split("{")[0].split(" ")[0] for line in lines if line and not line.startswith("#")}

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        for name in list(self.running):
            self.stop(name)


def certify(folder: Path, authority: Authority, host: Host) -> None:
    """What a host proves itself with, as `host converge` lays it down."""
    own = authority.issue([host.name, host.vrack])
    for name, text in (("ca.pem", authority.certificate_pem), ("host.crt", own["cert"]), ("host.key", own["key"])):
        (folder / name).write_text(text)


class Rig:
    """Both, with certificates of one CA and one set of receivers."""

    def __init__(self, folder: Path) -> None:
        self.sink, self.authority = Sink(), Authority("shop hosts")
        self.controls: dict[str, Control] = {}
        for key, host in HOSTS.items():
            site = key[-1]
            made = folder / site
            made.mkdir(exist_ok=True)
            certify(made, self.authority, host)
            control = self.controls[site] = Control(site, made, self.sink.watch())
            control.write("web.yml", config.web(control.place))
        self.a, self.b = self.controls["a"], self.controls["b"]
        self.folder = folder

    def together(self) -> None:
        """Both Alertmanagers, until they know each other."""
        for control in (self.a, self.b):
            if "alertmanager" not in control.running:
                control.alertmanager()
        for control in (self.a, self.b):
            until("the two hear each other", partial(self.agreed, control))

    def agreed(self, control: Control) -> bool:
        """That there are two, and that they have settled."""
        found = control.json(config.ALERTS, "/api/v2/status")["cluster"]
        return found["status"] == "ready" and len(found.get("peers") or ()) == 2

    def close(self) -> None:
        for control in self.controls.values():
            control.close()
        self.sink.close()
        shutil.rmtree(self.folder, ignore_errors=True)
