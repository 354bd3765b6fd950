"""The OVHcloud API, signed with application key, secret and consumer key: what a DNS change needs and no more.

The official client takes only its own named endpoints; ours takes a URL, so that the rehearsal cloud can stand in.
Signature: `"$1$" + sha1(secret+consumer+method+url+body+time)` (https://help.ovhcloud.com, "First steps with the OVHcloud APIs").
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from http import HTTPStatus
from typing import Any

from contract.access import Ovh
from contract.errors import Failed
from scripts.clients import http

ANSWER_S, ATTEMPTS, PAUSE_S = 10.0, 5, 0.5
LONGEST_PAUSE_S = 10.0  # whatever the API asks for
NAMED = {
    "ovh-eu": "https://eu.api.ovh.com/1.0",
    "ovh-ca": "https://ca.api.ovh.com/1.0",
    "ovh-us": "https://api.us.ovhcloud.com/1.0",
}


class Answered(Failed):
    """The API answered with a refusal; `status` is HTTP's, `wait_s` what it asks to wait before the next attempt, `own` whether it said a word of its own."""

    def __init__(self, text: str, status: int, wait_s: float | None = None, *, own: bool = False) -> None:
        super().__init__(text)
        self.status, self.wait_s, self._own = status, wait_s, own

    @property
    def gone(self) -> bool:
        """Whether what was asked about is not there. A page that says "not found" is not the API's word."""
        return self._own and self.status == HTTPStatus.NOT_FOUND

    @property
    def passing(self) -> bool:
        """Whether the same again may be answered otherwise."""
        return self.status == HTTPStatus.TOO_MANY_REQUESTS or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class OvhApi:
    """By the keys of an account.

    `answer_s`: for each request; `pause_s`: before the second attempt, doubled before each one after; `all_s`: for all calls together, from now on.
    """

    def __init__(
        self,
        account: Ovh,
        attempts: int = ATTEMPTS,
        *,
        answer_s: float = ANSWER_S,
        pause_s: float = PAUSE_S,
        all_s: float = math.inf,
    ) -> None:
        self._all_s, self._end = all_s, time.monotonic() + all_s
        self._ahead: int | None = None  # the API's clock against this machine's monotonic one
        self._account, self._attempts, self._answer_s, self._pause_s = account, attempts, answer_s, pause_s
        self.endpoint = NAMED.get(account.endpoint, account.endpoint).rstrip("/")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One signed call, repeated on 429, 5xx and lost connections (all calls used here may be repeated). Raises Failed."""
        pause = self._pause_s
        for _ in range(self._attempts - 1):
            wait = None
            try:
                return self._signed(method, path, body)
            except Answered as error:
                if not error.passing:
                    raise
                wait = error.wait_s
            except Failed:
                pass
            time.sleep(max(min(pause if wait is None else wait, LONGEST_PAUSE_S, self._left()), 0.0))
            pause *= 2
        return self._signed(method, path, body)

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _now(self) -> int:
        """The API's time: asked once, and gone on from by a clock that nobody sets. Raises Failed."""
        if self._ahead is None:
            found = self._send("GET", "/auth/time", "", {})
            if not isinstance(found, int) or isinstance(found, bool):
                raise Failed(
                    f"OVHcloud API {self.endpoint}, GET /auth/time: answered JSON that is no time, wanted seconds"
                )
            self._ahead = found - int(time.monotonic())
        return self._ahead + int(time.monotonic())

    def _signed(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """Raises Answered, Failed."""
        now = self._now()
        data = "" if body is None else json.dumps(body)
        keys = (self._account.application_secret, self._account.consumer_key)
        signed = "+".join((*keys, method, self.endpoint + path, data, str(now)))
        headers = {
            "X-Ovh-Application": self._account.application_key,
            "X-Ovh-Consumer": self._account.consumer_key,
            "X-Ovh-Timestamp": str(now),
            "X-Ovh-Signature": "$1$" + hashlib.sha1(signed.encode(), usedforsecurity=False).hexdigest(),
        }
        return self._send(method, path, data, headers)

    def _send(self, method: str, path: str, data: str, headers: dict[str, str]) -> Any:
        """One request. Raises Answered, Failed."""
        asked = f"OVHcloud API {self.endpoint}, {method} {path}"
        if self._left() <= 0:
            raise Failed(
                f"{asked}: was not asked any more, because all calls together took {self._all_s:g} s; see whether the API has an outage"
            )
        try:
            reply = http.ask(
                method,
                self.endpoint + path,
                headers={"Content-Type": "application/json", **headers},
                body=data.encode() or None,
                limit_s=min(self._answer_s, self._left()),
            )
            if reply.ok:
                return reply.document()
        except http.NoAnswer as error:
            raise Failed(f"{asked}: {error}") from None
        said = _said(reply)
        raise Answered(f"{asked}: {reply.refusal}{said}", reply.status, reply.retry_after_s(), own=bool(said))


def _said(reply: http.Reply) -> str:
    """The API's own words for a refusal."""
    try:
        document = reply.document()
    except http.NoAnswer:
        return ""
    said = document.get("message") if isinstance(document, dict) else None
    return f": {http.plain(said)}" if isinstance(said, str) and said else ""
