"""JSON over HTTP(S) for the operator's side: one question, one answer, and an end to both (`dial.py`): a fence asks a region that is half dead.

Whatever comes back is a `Reply`, or a `NoAnswer` with one phrase. No redirect is followed: what is sent here are credentials, for this one address.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any, cast

from scripts.clients.dial import Line, NoAnswer, Proxy, reach

__all__ = ["NoAnswer", "Reply", "ask", "place", "plain", "question"]

MOST_BYTES = 16 * 2**20  # of an answer: a thousand servers in every detail are a few


@dataclass(frozen=True)
class Reply:
    """What came back, of whatever status."""

    status: int
    reason: str
    headers: Message
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return 200 <= self.status < 300

    @property
    def refusal(self) -> str:
        """The status as a phrase; of a redirect where it leads."""
        said = f"answered {self.status} {self.reason}".rstrip()
        where = self.headers.get("Location")
        if not 300 <= self.status < 400 or where is None:
            return said
        return f"{said}, which leads to {plain(place(where)) or 'itself'}; nothing was sent there, set the address that is meant"

    def document(self) -> Any:
        """The JSON; None where the body is empty. Raises NoAnswer."""
        if not self.body:
            return None
        packed = self.headers.get("Content-Encoding", "identity")
        if packed != "identity":
            raise NoAnswer(
                f"answered {self.status} in {plain(packed)}, wanted plain JSON; see what changes answers on the way"
            )
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            kind = plain(self.headers.get("Content-Type", "")) or "something unnamed"
            raise NoAnswer(
                f"answered {self.status} with {kind}, wanted JSON; a login page or a proxy may stand between"
            ) from None

    def retry_after_s(self) -> float | None:
        """How long the server asks to wait, from now; None where it says nothing that can be understood."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return float(text)
        try:
            return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
        except (ValueError, TypeError, OverflowError, OSError):
            return None


def plain(text: str) -> str:
    """Somebody else's words, as much of them as fits into a line of ours."""
    return "".join(each if each.isprintable() else " " for each in text)[:200].strip()


def place(url: str) -> str:
    """Host and port of an address, without a name and a password that may stand in it; empty when there are none."""
    try:
        return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def question(method: str, url: str) -> str:
    """For the beginning of a sentence: who was asked for what, without the query."""
    try:
        path = urllib.parse.urlsplit(url).path
    except ValueError:
        path = ""
    return f"{plain(place(url)) or 'at no address'}, {method} {plain(path) or '/'}"


def ask(method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, limit_s: float) -> Reply:
    """One request on a connection of its own. `limit_s`: for all of it, from the name's look-up to the last byte. Raises NoAnswer."""
    end = time.monotonic() + limit_s
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        raise NoAnswer("cannot be asked, because its address is none") from None
    try:
        line, proxy = reach(parts, end)
        with closing(line.sock):
            answer = _sent(line, proxy, method, parts, headers=headers, body=body)
            return _read(answer)
    except TimeoutError:
        raise NoAnswer(f"no answer within {limit_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(f"no connection (its certificate is not accepted: {error.verify_message})") from None
    except OSError as error:
        raise NoAnswer(f"no connection ({error.strerror or type(error).__name__})") from None


def _sent(
    line: Line,
    proxy: Proxy | None,
    method: str,
    parts: urllib.parse.SplitResult,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
) -> http.client.HTTPResponse:
    """The beginning of the answer."""
    host = parts.netloc.rpartition("@")[2]
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    connection = http.client.HTTPConnection(host)
    connection.sock = cast(Any, line)
    sent = {**headers, "Connection": "close", "User-Agent": "shop-dr"}
    if proxy is not None:
        target, sent = f"http://{host}{target}", {**sent, **proxy.headers}
    try:
        connection.request(method, target, body, sent)
    except (http.client.HTTPException, ValueError):  # their texts quote what they refuse, and a header may be a key
        raise NoAnswer(
            "cannot be asked, because the address or a key holds a character that HTTP has no place for; check both in the configuration"
        ) from None
    try:
        return connection.getresponse()
    except http.client.RemoteDisconnected:
        raise NoAnswer("closed the connection without an answer") from None
    except (http.client.HTTPException, ValueError) as error:
        raise NoAnswer(f"answered, but not in HTTP ({type(error).__name__})") from None


def _read(answer: http.client.HTTPResponse) -> Reply:
    """The rest of it. Of a refusal the status counts, whatever becomes of its body."""
    done, content, whole = 200 <= answer.status < 300, b"", True
    try:
        content = answer.read(MOST_BYTES + 1)
        whole = not answer.length
    except (http.client.HTTPException, ValueError):
        whole = False
    except OSError:
        if done:
            raise
    if done and len(content) > MOST_BYTES:
        raise NoAnswer(f"answered {answer.status} with more than {MOST_BYTES} bytes")
    if done and not whole:
        raise NoAnswer(f"answered {answer.status}, and the answer ended early")
    return Reply(answer.status, plain(answer.reason or ""), answer.headers, content)
