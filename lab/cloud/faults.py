"""The form in which Nova and Cinder refuse: one key that names the class of fault, with code and message below it."""

from __future__ import annotations

from lab.cloud.web import ApiError, Reply

_KEYS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    406: "computeFault",
    409: "conflictingRequest",
    413: "overLimit",
    501: "notImplemented",
}


def reply(error: ApiError, headers: dict[str, str] | None = None, **details: object) -> Reply:
    """The answer; `headers` may be overruled by the error's own, `details` go beside code and message."""
    body = {"code": error.status, "message": error.message, **details}
    return Reply(error.status, {_KEYS.get(error.status, "computeFault"): body}, {**(headers or {}), **error.headers})


def bad_request(message: str) -> ApiError:
    return ApiError(400, message, _KEYS[400])


def not_found(message: str) -> ApiError:
    return ApiError(404, message, _KEYS[404])
