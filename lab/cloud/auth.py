"""What all OpenStack services share: the token in front, the 401, the rate limit, the lock around each handler."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from lab.cloud.state import Cloud, Token
from lab.cloud.web import ApiError, Call, Handler, Reply, Service

DENIED = "The request you have made requires authentication."


class OpenStackService(Service):
    """One OpenStack API in one region. Subclasses set `name` (its service type), `open_paths` and `render_fault`.

    Handlers run under `cloud.lock` unless registered with `locked=False`, and find a `Token` in `call.token`.
    """

    open_paths: frozenset[str] = frozenset()  # exact paths that need no token: version documents

    def __init__(self, cloud: Cloud, region: str = "") -> None:
        super().__init__(region)
        self.cloud = cloud
        self._allowance, self._refilled = 0.0, 0.0

    @property
    def root(self) -> str:
        """The service's own URL without a path, for links in answers."""
        return self.cloud.settings(self.region).endpoints[self.name].rstrip("/")

    def route(self, method: str, path: str, locked: bool = True) -> Callable[[Handler], Handler]:
        register = super().route(method, path)

        def wrap(handler: Handler) -> Handler:
            @functools.wraps(handler)
            def guarded(call: Call, **variables: Any) -> Reply:
                with self.cloud.lock:
                    return handler(call, **variables)

            register(guarded if locked else handler)
            return handler

        return wrap

    def authenticate(self, call: Call) -> Token | None:
        self._count()
        if call.path in self.open_paths:
            return None
        with self.cloud.lock:
            token = self.cloud.tokens.get(call.headers.get("x-auth-token", ""))
        if token is None or token.expired or token.project_id is None:
            raise ApiError(
                401, DENIED, "Unauthorized", {"WWW-Authenticate": f'Keystone uri="{self.cloud.config.auth_url}"'}
            )
        return token

    def render_error(self, error: ApiError) -> Reply:
        if error.status == 401:
            return self.render_unauthorized(error)
        if error.status == 429:
            return Reply(
                429, {"error": {"code": 429, "title": "Too Many Requests", "message": error.message}}, error.headers
            )
        return self.render_fault(error)

    def render_unauthorized(self, error: ApiError) -> Reply:
        """The middleware's own 401, which comes before the service sees anything."""
        return Reply(401, {"error": {"code": 401, "title": "Unauthorized", "message": error.message}}, error.headers)

    def render_fault(self, error: ApiError) -> Reply:
        """Any other refusal, in the service's own form."""
        return super().render_error(error)

    def _count(self) -> None:
        """One request against the rate limit (a bucket that holds one second's worth)."""
        limit = self.cloud.config.rate_limits.get(self.name)
        if limit is None:
            return
        with self.cloud.lock:
            moment = time.monotonic()
            self._allowance = min(max(limit, 1.0), self._allowance + (moment - self._refilled) * limit)
            self._refilled = moment
            if self._allowance < 1:
                raise ApiError(429, f"more than {limit:g} requests per second", "OverLimit", {"Retry-After": "1"})
            self._allowance -= 1
