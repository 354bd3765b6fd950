"""One small real call each, and what became of it as a word: `open`, `dropped`, `refused`, `alert ...`, `http 403`, `hba`, `NOPERM`, `s3 AccessDenied` ...

A refusal is told by what it is and not by the absence of an answer: a call that fails for another reason than the one that is wanted fails its row.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import socket
import ssl
import struct
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import conninfo

from lab.rehearsal.sampler import command

CONNECT_S, ANSWER_S = 2.5, 8.0
PROXY_HEADER = b"PROXY TCP4 192.0.2.101 192.0.2.102 40000 443\r\n"


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, PEM."""

    cert: str
    key: str


def tcp(address: str, port: int, source: str | None = None) -> str:
    """A connection alone."""
    try:
        _connected(address, port, source).close()
    except OSError as error:
        return _network(error)
    return "open"


def _connected(address: str, port: int, source: str | None = None) -> socket.socket:
    family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    made = socket.socket(family)
    try:
        made.settimeout(CONNECT_S)
        if source is not None:
            made.bind((source, 0))
        made.connect(where)
        made.settimeout(ANSWER_S)
    except OSError:
        made.close()
        raise
    return made


def _network(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return _alert(error)
    if isinstance(error, TimeoutError):
        return "dropped"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "closed"
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
        return "no route"
    return f"{type(error).__name__} {error.errno}"


def _alert(error: ssl.SSLError) -> str:
    """`alert certificate required` from the other side, `distrust` from ours."""
    reason = error.reason or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return "distrust"
    found = re.fullmatch(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(\w+)", reason)
    if found:
        return f"alert {found[1].lower().replace('_', ' ')}"
    return "closed" if "EOF" in reason else reason.lower().replace("_", " ")


@contextmanager
def files(*texts: str) -> Iterator[list[str]]:
    """The texts as files of nobody else's."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, text in enumerate(texts):
            path = Path(folder, str(number))
            path.touch(0o600)
            path.write_text(text)
            paths.append(str(path))
        yield paths


def context(ca: str | None, pair: Pair | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """`ca` None: nobody is verified, for those who ask what the other side refuses. `version`: this one alone, with ciphers of its time."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if ca is not None:
        made.verify_mode, made.check_hostname = ssl.CERT_REQUIRED, True
        made.load_verify_locations(cadata=ca)
    if pair is not None:
        with files(pair.cert, pair.key) as (cert, key):
            made.load_cert_chain(cert, key)
    if version is not None:
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = made.maximum_version = version
    return made


def tls(
    address: str,
    port: int,
    name: str | None,
    *,
    made: ssl.SSLContext,
    before: bytes = b"",
    say: bytes = b"",
    source: str | None = None,
) -> str:
    """A handshake, and with `say` what is answered. `before`: bytes ahead of it, as a balancer's header."""
    try:
        with _connected(address, port, source) as plain:
            plain.sendall(before)
            if before == POSTGRES_TLS and plain.recv(1) != b"S":
                return "no tls"
            with made.wrap_socket(plain, server_hostname=name) as secured:
                # TLS 1.3: that a certificate is wanted is told behind the handshake.
                secured.sendall(say or b"\r\n")
                return _said(secured) if say else _after(secured)
    except OSError as error:
        return _network(error)


POSTGRES_TLS = struct.pack("!ii", 8, 80877103)


def _after(secured: ssl.SSLSocket) -> str:
    secured.settimeout(1.0)
    try:
        return "open" if secured.recv(1) else "closed"
    except TimeoutError:
        return "open"


def _said(stream: socket.socket) -> str:
    answer = http.client.HTTPResponse(stream)
    try:
        answer.begin()
    except http.client.HTTPException:
        return "closed"
    return f"http {answer.status}"


def request(path: str, host: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A GET as bytes."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def plain(address: str, port: int, say: bytes, source: str | None = None) -> str:
    """HTTP without TLS."""
    try:
        with _connected(address, port, source) as stream:
            stream.sendall(say)
            return _said(stream)
    except OSError as error:
        return _network(error)


def body(address: str, port: int, name: str, made: ssl.SSLContext, say: bytes, source: str | None = None) -> str:
    """The whole answer over TLS, as text; empty where there is none."""
    try:
        with _connected(address, port, source) as stream, made.wrap_socket(stream, server_hostname=name) as secured:
            secured.sendall(say)
            found = b""
            while piece := secured.recv(65536):
                found += piece
            return found.decode(errors="replace")
    except OSError:
        return ""


def sql(told: Mapping[str, str], statement: str = "select 1") -> str:
    """A statement over a connection of its own: `ok`, or what was refused: `hba`, `password`, `certificate`, `no tls`, `sql <state>`."""
    try:
        with psycopg.connect(conninfo.make_conninfo(**told), connect_timeout=4, autocommit=True) as connection:
            connection.execute(statement.encode())
    except psycopg.OperationalError as error:
        if error.sqlstate is not None:
            return f"sql {error.sqlstate}"
        return next((word for pattern, word in _REFUSED if re.search(pattern, str(error))), str(error)[:160])
    except psycopg.Error as error:
        return f"sql {error.sqlstate}"
    return "ok"


_REFUSED = (
    (r"pg_hba\.conf rejects|no pg_hba\.conf entry", "hba"),
    (r"password authentication failed", "password"),
    (r"valid client certificate|certificate required", "certificate"),
    (r"alert unknown ca", "alert unknown ca"),
    (r"protocol version", "alert protocol version"),
    (r"timeout expired|timed out", "dropped"),
    (r"Connection refused", "refused"),
    (r"is not permitted to log in", "no login"),
    (r"must be superuser|permission denied", "permission"),
)


def redis(
    address: str, port: int, made: ssl.SSLContext | None, *lines: tuple[str, ...], source: str | None = None
) -> str:
    """Commands one after the other; the first refusal's word (`NOPERM`), else `ok`; the handshake alone where there are none. `made` None: without TLS."""
    try:
        with _connected(address, port, source) as raw:
            stream = raw if made is None else made.wrap_socket(raw, server_hostname=address)
            with stream:
                for line in lines:
                    stream.sendall(command(*line))
                    first = stream.recv(4096)
                    if not first:
                        return "closed"
                    if first.startswith(b"-"):
                        return first[1:].split()[0].decode(errors="replace")
                # Who speaks at once may not hear that a certificate was wanted.
                return _after(stream) if isinstance(stream, ssl.SSLSocket) and not lines else "ok"
    except OSError as error:
        return _network(error)


def s3(call: Callable[[], Any]) -> str:
    """`ok`, or S3's own code: `s3 AccessDenied`."""
    try:
        call()
    except ClientError as error:
        return f"s3 {error.response['Error']['Code']}"
    except (BotoCoreError, OSError) as error:
        return type(error).__name__
    return "ok"


def api(method: str, url: str, headers: Mapping[str, str], document: Any = None) -> str:
    """`http <status>` of an API."""
    data = None if document is None else json.dumps(document).encode()
    asked = urllib.request.Request(
        url, data=data, headers={**headers, "Content-Type": "application/json"}, method=method
    )
    try:
        with urllib.request.urlopen(asked, timeout=ANSWER_S) as answer:
            return f"http {answer.status}"
    except urllib.error.HTTPError as error:
        return f"http {error.code}"
    except OSError as error:
        return _network(error)


def environment() -> dict[str, str]:
    """Of programs that are started here: nothing of the person's own."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
