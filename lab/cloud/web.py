"""The frame of every API of the lab: a router, JSON in and out, 501 with a log line on what nobody wrote.

A service is a `Service` subclass (or instance) with routes registered by `@service.route("GET", "/v2.0/networks/<id>")`. A handler takes a
`Call` and returns a `Reply` or raises `ApiError`; the service's `render_error` puts errors into that service's own form.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

log = logging.getLogger("lab.api")


class ApiError(Exception):
    """A refusal. `kind` is the service's own name of the fault (a NeutronError type, an OVH class), `message` its text."""

    def __init__(self, status: int, message: str, kind: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.headers = status, message, kind, headers or {}


@dataclass
class Reply:
    """`body` None means no body at all; anything else goes out as JSON. `text` sends a plain one instead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None


@dataclass
class Call:
    """One request. `region`: whose endpoint was asked ("": a global service); `token`: what authentication found."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]  # keys in lower case
    body: Any  # parsed JSON, None when there is none
    raw: bytes
    url: str
    region: str = ""
    token: Any = None
    target: str = ""  # the request line's target byte for byte, for signatures; empty when there was no socket

    def first(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default


Handler = Callable[..., Reply]


class Service:
    """One API at one endpoint. Subclasses set `name`, `authenticate` and `render_error`."""

    name = "service"

    def __init__(self, region: str = "") -> None:
        self.region = region
        self._rules: list[Rule] = []
        self._handlers: dict[str, Handler] = {}
        self._map: Map | None = None
        self._mapping = threading.Lock()  # the first requests come at once, and a rule can be bound to one map only
        self.requests: list[tuple[str, str, int]] = []  # (method, path, status), for tests and `lab status`
        self.fault: Callable[[Call], Reply | None] | None = None  # lab.faults: answers instead of the service, or None
        self.halves = False  # lab.faults: what was asked is done, and the connection ends in the middle of the answer

    def route(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Register a handler; it is called as handler(call, **path_variables)."""

        def register(handler: Handler) -> Handler:
            endpoint = f"{method} {path}"
            self._rules.append(Rule(path, methods=[method], endpoint=endpoint))
            self._handlers[endpoint] = handler
            self._map = None
            return handler

        return register

    def authenticate(self, call: Call) -> Any:
        """What to put into `call.token`; raise ApiError(401, ...) to refuse."""
        return None

    def render_error(self, error: ApiError) -> Reply:
        return Reply(error.status, {"error": {"code": error.status, "message": error.message}}, error.headers)

    def finish(self, call: Call, reply: Reply) -> Reply:
        """A last word on each reply: microversion headers and the like."""
        return reply

    def handle(self, call: Call) -> Reply:
        """The whole way of one request, without a socket: tests use it as it is."""
        try:
            if self.fault is not None and (answer := self.fault(call)) is not None:
                return self._done(call, answer)
            with self._mapping:
                if self._map is None:
                    self._map = Map(self._rules, strict_slashes=False, merge_slashes=False)
            adapter = self._map.bind("lab")
            try:
                endpoint, variables = adapter.match(call.path, method=call.method)
            except (NotFound, MethodNotAllowed):
                log.error("%s %s: 501, the lab does not know %s %s", self.name, self.region, call.method, call.url)
                raise ApiError(
                    501, f"the lab's {self.name} API does not know {call.method} {call.path}", "UnknownToTheLab"
                ) from None
            call.region = self.region
            call.token = self.authenticate(call)
            reply = self._handlers[endpoint](call, **variables)
        except ApiError as error:
            reply = self.render_error(error)
        except Exception:
            log.exception("%s %s: %s %s failed", self.name, self.region, call.method, call.url)
            reply = self.render_error(ApiError(500, "the lab's own fault, see its log", "InternalServerError"))
        return self._done(call, self.finish(call, reply))

    def _done(self, call: Call, reply: Reply) -> Reply:
        self.requests.append((call.method, call.url, reply.status))
        log.info("%s %s: %s %s -> %d", self.name, self.region, call.method, call.url, reply.status)
        return reply

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """The WSGI face."""
        request = Request(environ)
        raw = request.get_data()
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        call = Call(
            method=request.method,
            path=request.path,
            query={key: request.args.getlist(key) for key in request.args},
            headers={key.lower(): value for key, value in request.headers.items()},
            body=body,
            raw=raw,
            url=request.full_path.rstrip("?"),
            target=str(environ.get("RAW_URI", "")),
        )
        try:
            reply = self.handle(call)
        except HTTPException as error:
            return error(environ, start_response)
        data = b"" if reply.body is None else json.dumps(reply.body).encode()
        kind = "application/json"
        if reply.text is not None:
            data, kind = reply.text.encode(), "text/plain; charset=utf-8"
        headers = dict(reply.headers)
        if data:
            headers.setdefault("Content-Type", kind)
        response = Response(data, status=reply.status, headers=headers)
        if self.halves:
            response.headers["Content-Length"] = str(len(data))
            response.response = [data[: len(data) // 2]]
        return response(environ, start_response)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """Services log for themselves."""


class Server:
    """A `Service` on a socket, a thread per connection. Port 0 takes any; `port` tells which."""

    def __init__(self, service: Service, host: str, port: int = 0) -> None:
        self._server = make_server(host, port, service, threaded=True, request_handler=_Quiet)
        self.host, self.port = host, int(self._server.server_port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=f"{service.name}-{service.region}", daemon=True
        )

    def start(self) -> Server:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
