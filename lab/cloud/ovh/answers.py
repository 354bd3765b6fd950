"""Words that all parts of the API share: empty answers, refusals of object storage, times, signatures."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from lab.cloud.web import ApiError, Reply
from lab.s3.gateway import StorageError
from lab.s3.policy import PolicyError, UnsupportedPolicyError

STORAGE_STATUS = {"exists": 409, "absent": 404, "not empty": 409, "bad name": 400, "down": 503, "refused": 500}


def null() -> Reply:
    """OVHcloud's answer to a call that returns nothing: a JSON null."""
    return Reply(200, text="null", headers={"Content-Type": "application/json"})


def signature(secret: str, consumer_key: str, *, method: str, url: str, body: str, timestamp: str) -> str:
    """`X-Ovh-Signature` of one request; `url` whole, with its query."""
    return (
        "$1$"
        + hashlib.sha1(
            "+".join((secret, consumer_key, method, url, body, timestamp)).encode(), usedforsecurity=False
        ).hexdigest()
    )


def refusal(error: StorageError | PolicyError) -> ApiError:
    """What the API says when object storage refuses."""
    if isinstance(error, UnsupportedPolicyError):
        return ApiError(501, str(error))
    if isinstance(error, PolicyError):
        return ApiError(400, str(error))
    return ApiError(STORAGE_STATUS[error.reason], str(error))


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
