"""JSON over HTTP(S) for the operator's side: one question, one answer, and an end to both (`dial.py`): a fence asks a region that is half dead.

Whatever comes back is a `Reply`, or a `NoAnswer` with one phrase. No redirect is followed: what is sent here are credentials, for this one address.
"""

from __future__ import annotations

import re
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import closing
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

from contract.dataclass import dataclass
from contract.wire import document
from contract.wire.channel import NoAnswer
from contract.wire.http1 import ProtocolError, Response
from scripts.clients.dial import way

__all__ = ["NoAnswer", "Reply", "ask", "place", "plain", "question"]

MOST_BYTES = 16 * 2**20  # of an answer: a thousand servers in every detail are a few
SENDABLE, WORDS = re.compile(r"[!-~]+"), re.compile(r"[ -~]*")


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
            return document.parse(self.body)
        except ValueError:
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
    return "".join(each if each.isprintable() else " " for each in text[:800])[:200].strip()


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


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    limit_s: float,
    wait_s: float | None = None,
    most: int | None = None,
) -> Reply:
    """One request on a connection of its own. `headers`: `host`, where it is one of them, in lower case.

    `limit_s`: for all of it, from the name's look-up to the last byte; `wait_s`: for each wait in it, where that is to be less; `most`: bytes of the
    answer. Raises NoAnswer.
    """
    end, wait_s = time.monotonic() + limit_s, min(wait_s or limit_s, limit_s)
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        raise NoAnswer("cannot be asked, because its address is none") from None
    there = way(parts)
    sent = {**headers, "Connection": "close", "User-Agent": "shop-dr", **there.headers}
    if "host" not in headers:
        sent = {"Host": parts.netloc.rpartition("@")[2], **sent}
    if body is not None or method in ("POST", "PUT"):
        sent["Content-Length"] = str(len(body or b""))
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    if not SENDABLE.fullmatch(target) or not all(map(WORDS.fullmatch, sent.values())):
        raise NoAnswer(
            "cannot be asked, because the address or a key holds a character that HTTP has no place for; check both in the configuration"
        )
    try:
        with closing(there.connection(wait_s)) as connection:
            return _reply(connection.request(method, there.before + target, sent, body, until=end), most or MOST_BYTES)
    except TimeoutError:
        raise NoAnswer(f"no answer within {limit_s if time.monotonic() >= end else wait_s:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise NoAnswer(f"no connection (its certificate is not accepted: {error.verify_message})") from None
    except OSError as error:
        raise NoAnswer(f"no connection ({error.strerror})" if error.strerror else str(error)) from None
    except ProtocolError as error:
        raise NoAnswer(f"answered, but not in HTTP ({error})") from None
    except ValueError:
        raise NoAnswer("cannot be asked, because its host is no name that could be looked up") from None


def _reply(response: Response, most: int) -> Reply:
    """With its body. Of a refusal the status counts, whatever becomes of that."""
    content = b""
    try:
        content = response.whole(most)
    except (OSError, ProtocolError) as error:
        if 200 <= response.status < 300:
            if isinstance(error, TimeoutError):
                raise
            raise NoAnswer(f"answered {response.status}, and the answer cannot be used ({error.args[-1]})") from None
    headers = Message()
    for name, value in response.headers.items():
        headers[name] = value
    return Reply(response.status, plain(response.reason.decode("latin-1")), headers, content)
