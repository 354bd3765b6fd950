"""Keystone's refusals."""

from __future__ import annotations

from lab.cloud.auth import DENIED
from lab.cloud.web import ApiError, Reply

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    501: "Not Implemented",
}
BAD_JSON = (
    "Expecting to find valid JSON in request body. The server could not comply with the request since it is either malformed "
    "or otherwise incorrect. The client is assumed to be in error."
)


def render(error: ApiError) -> Reply:
    title = TITLES.get(error.status, "Internal Server Error")
    return Reply(
        error.status, {"error": {"code": error.status, "message": error.message, "title": title}}, error.headers
    )


def unauthorized(auth_url: str) -> ApiError:
    """One text for every reason: a wrong password must not look different from an unknown user."""
    return ApiError(401, DENIED, "Unauthorized", {"WWW-Authenticate": f'Keystone uri="{auth_url}"'})


def forbidden(action: str) -> ApiError:
    return ApiError(403, f"You are not authorized to perform the requested action: {action}.", "Forbidden")


def missing(name: str) -> ApiError:
    return ApiError(400, f"'{name}' is a required property", "BadRequest")
