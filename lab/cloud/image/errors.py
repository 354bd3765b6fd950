"""Glance's refusals: WebOb's page, as JSON."""

from __future__ import annotations

from lab.cloud.web import ApiError, Reply

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    500: "Internal Server Error",
    501: "Not Implemented",
}
UNVERIFIED = (
    "This server could not verify that you are authorized to access the document you requested. Either you supplied the wrong "
    "credentials (e.g., bad password), or your browser does not understand how to supply the credentials required."
)


def render(error: ApiError) -> Reply:
    title = TITLES.get(error.status, "Error")
    body = {"message": f"{error.message}<br /><br />\n\n\n", "code": f"{error.status} {title}", "title": title}
    return Reply(error.status, body, error.headers)


def not_found(image_id: str, status: int = 404) -> ApiError:
    return ApiError(status, f"No image found with ID {image_id}", "NotFound")
