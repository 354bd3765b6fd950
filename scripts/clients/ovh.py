"""The OVHcloud API, signed with application key, secret and consumer key: what a DNS change needs and no more.

The official client takes only its own named endpoints; ours takes a URL, so that the rehearsal cloud can stand in.
Signature: `"$1$" + sha1(secret+consumer+method+url+body+time)` (https://help.ovhcloud.com, "First steps with the OVHcloud APIs").
"""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from contract.errors import Failed

ANSWER_S, ATTEMPTS, PAUSE_S = 10, 5, 0.5
NAMED = {
    "ovh-eu": "https://eu.api.ovh.com/1.0",
    "ovh-ca": "https://ca.api.ovh.com/1.0",
    "ovh-us": "https://api.us.ovhcloud.com/1.0",
}


class Answered(Failed):
    """The API answered with a refusal; `status` is HTTP's."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class OvhApi:
    """`document`: {"endpoint": name or URL, "application_key", "application_secret", "consumer_key"}."""

    def __init__(self, document: dict[str, str], attempts: int = ATTEMPTS) -> None:
        self._document, self._attempts = document, attempts
        self.endpoint = NAMED.get(document["endpoint"], document["endpoint"]).rstrip("/")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One signed call, repeated on 429, 5xx and lost connections (all calls used here may be repeated). Raises Failed."""
        for attempt in range(self._attempts):
            try:
                return self._send(method, path, body)
            except urllib.error.HTTPError as error:
                text = error.read().decode(errors="replace")
                try:
                    said = json.loads(text).get("message", "")
                except (ValueError, AttributeError):
                    said = ""
                failure: Failed = Answered(
                    f"OVHcloud API {self.endpoint}, {method} {path}: answered {error.code} {said}".rstrip(), error.code
                )
                if error.code != 429 and error.code < 500:
                    raise failure from None
                wait = float(error.headers.get("Retry-After") or PAUSE_S * 2**attempt)
            except (OSError, ValueError) as error:
                failure = Failed(
                    f"OVHcloud API {self.endpoint}: no usable answer within {ANSWER_S} s ({getattr(error, 'reason', error)})"
                )
                wait = PAUSE_S * 2**attempt
            if attempt + 1 < self._attempts:
                time.sleep(min(wait, 10.0))
        raise failure

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        url, data = self.endpoint + path, "" if body is None else json.dumps(body)
        with urllib.request.urlopen(self.endpoint + "/auth/time", timeout=ANSWER_S) as answer:  # noqa: S310 - the operator's config
            now = int(answer.read())
        parts = (self._document["application_secret"], self._document["consumer_key"], method, url, data, str(now))
        signature = hashlib.sha1("+".join(parts).encode(), usedforsecurity=False).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Ovh-Application": self._document["application_key"],
            "X-Ovh-Consumer": self._document["consumer_key"],
            "X-Ovh-Timestamp": str(now),
            "X-Ovh-Signature": "$1$" + signature,
        }
        request = urllib.request.Request(url, data=data.encode() or None, headers=headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310
            text = answer.read()
            return json.loads(text) if text else None
