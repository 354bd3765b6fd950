"""A storage region that lies: a false front before its gateway that refuses everything, or shows every bucket as empty.

The front listens beside the gateway; the packet filter of the lab's namespace leads new connections to it (`redirection`). What it does not lie
about it passes on byte for byte, so signatures still hold. Its own connections come from `SOURCE`, which is not redirected.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SOURCE = "192.0.2.13"
PORT = 7071
MODES = ("503", "empty")
LISTS = {
    "list-type",
    "versions",
    "prefix",
    "delimiter",
    "max-keys",
    "marker",
    "start-after",
    "continuation-token",
    "encoding-type",
}
HOPS = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
UPSTREAM_S = 30.0


class Liar:
    """The false front of one gateway at `upstream`; listens on `listen`, port 0 takes any. `source`: None connects from anywhere."""

    def __init__(
        self,
        upstream: tuple[str, int],
        listen: tuple[str, int],
        mode: str,
        source: str | None = SOURCE,
        base: type[Handler] | None = None,
    ) -> None:
        handler = type("Front", (base or Handler,), {"upstream": upstream, "mode": mode, "source": source})
        self._server = ThreadingHTTPServer(listen, handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name=f"liar-{upstream[0]}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Handler(BaseHTTPRequestHandler):
    """`mode`: one of MODES, or `honest`: everything is passed on."""

    upstream: tuple[str, int]
    mode: str
    source: str | None

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.mode == "503":
            self._say(503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
        elif self.mode == "empty" and self.command == "GET" and (name := listed(self.path)) is not None:
            self._say(200, empty_list(name, "versions" in parse_qs(urlsplit(self.path).query, keep_blank_values=True)))
        else:
            self._pass_on(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def _say(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _pass_on(self, body: bytes) -> None:
        source = (self.source, 0) if self.source is not None else None
        connection = http.client.HTTPConnection(*self.upstream, timeout=UPSTREAM_S, source_address=source)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for key, value in self.headers.items():
                if key.lower() not in HOPS:
                    connection.putheader(key, value)
            connection.endheaders(body or None)
            reply = connection.getresponse()
            data = reply.read()
        except (OSError, http.client.HTTPException):
            if self.mode == "honest":
                # A dead gateway looks dead: the connection ends without an answer.
                self.close_connection = True
                return
            self._say(502, b"<Error><Code>BadGateway</Code></Error>")
            return
        finally:
            connection.close()
        self.send_response_only(reply.status)
        length = reply.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        for key, value in reply.getheaders():
            if key.lower() not in HOPS | {"content-length"}:
                self.send_header(key, value)
        self.send_header("Content-Length", length or "0")
        for key, value in self.added(reply).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def added(self, reply: http.client.HTTPResponse) -> dict[str, str]:
        """Headers beside those of the gateway's reply."""
        return {}

    def log_message(self, format: str, *arguments: object) -> None:
        """Clients of a liar are not worth a log line each."""


def listed(target: str) -> str | None:
    """The bucket whose objects a GET of `target` would list, None when it asks for something else."""
    parts = urlsplit(target)
    bucket, _, key = parts.path.lstrip("/").partition("/")
    asked = {name for name in parse_qs(parts.query, keep_blank_values=True) if not name.startswith("X-Amz-")}
    return bucket if bucket and not key and asked <= LISTS else None


def empty_list(bucket: str, versions: bool) -> bytes:
    kind = "ListVersionsResult" if versions else "ListBucketResult"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><{kind} xmlns="{NAMESPACE}"><Name>{bucket}</Name><Prefix></Prefix>'
        f"<MaxKeys>1000</MaxKeys><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></{kind}>"
    ).encode()


def redirection(gateways: Iterable[tuple[str, int]], table: str = "lab_liar", front: int = PORT, after: int = 0) -> str:
    """`table` of the lab's own namespace, replaced as a whole: new connections to these gateways go to their fronts on port `front`.

    `after`: a table with a higher number leaves alone what one with a lower number redirected.
    """
    rules = [f"ip daddr {host} tcp dport {port} dnat to {host}:{front}" for host, port in gateways]
    outside = "\n".join(f"    {rule}" for rule in rules)
    inside = "\n".join(f"    ip saddr != {SOURCE} {rule}" for rule in rules)
    return f"""table ip {table}
delete table ip {table}
table ip {table} {{
  chain prerouting {{
    type nat hook prerouting priority {after - 100}; policy accept;
{outside}
  }}
  chain output {{
    type nat hook output priority {after - 100}; policy accept;
{inside}
  }}
}}
"""
