"""Cinder's refusals."""

from __future__ import annotations

from lab.cloud.faults import bad_request, not_found, reply
from lab.cloud.web import ApiError, Reply

__all__ = ["bad_request", "not_found"]

NOT_DELETABLE = (
    "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be "
    "migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer."
)
MALFORMED = "The server could not comply with the request since it is either malformed or otherwise incorrect."


def render(error: ApiError) -> Reply:
    return reply(error, retryAfter="0") if error.status == 413 else reply(error)


def unknown_volume(volume_id: str) -> ApiError:
    return not_found(f"Volume {volume_id} could not be found.")


def gigabytes_exceeded(wanted: int, limit: int, used: int) -> ApiError:
    text = (
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "
        f"Requested {wanted}G, quota is {limit}G and {used}G has been consumed."
    )
    return ApiError(413, text, "overLimit", {"Retry-After": "0"})


def volumes_exceeded(limit: int) -> ApiError:
    text = f"VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'."
    return ApiError(413, text, "overLimit", {"Retry-After": "0"})
