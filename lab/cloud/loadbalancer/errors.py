"""Octavia's refusals: one function per fault, each returns the `ApiError` to raise; and the form in which they leave."""

from __future__ import annotations

from typing import Any

from lab.cloud.web import ApiError, Reply

NAMES = {
    "loadbalancer": "Load Balancer",
    "listener": "Listener",
    "pool": "Pool",
    "member": "Member",
    "healthmonitor": "Health Monitor",
    "flavor": "Flavor",
}


def render(error: ApiError) -> Reply:
    """`faultcode` is Server from 500 on. A kind "plain" leaves in the form of the framework below Octavia."""
    if error.kind == "plain":
        return Reply(
            error.status, {"code": error.status, "title": "Bad Request", "description": error.message}, error.headers
        )
    side = "Server" if error.status >= 500 else "Client"
    return Reply(error.status, {"faultcode": side, "faultstring": error.message, "debuginfo": None}, error.headers)


def not_found(kind: str, wanted: str, status: int = 404) -> ApiError:
    return ApiError(status, f"{NAMES.get(kind, kind)} {wanted} not found.")


def invalid(field: str, value: Any, reason: str) -> ApiError:
    """`reason`: a sentence of Octavia's, as "Value should be greater or equal to 1"."""
    return ApiError(400, f"Invalid input for field/attribute {field}. Value: '{value}'. {reason}")


def unknown_field(argument: str, field: str) -> ApiError:
    return ApiError(400, f"Unknown attribute for argument {argument}: {field}")


def failure(reason: str) -> ApiError:
    return ApiError(400, f"Validation failure: {reason}")


def not_in_the_lab(what: str) -> ApiError:
    """Octavia can do it, the lab's balancers cannot."""
    return ApiError(501, f"the lab's load balancers have no {what}")


def immutable(kind: str, wanted: str) -> ApiError:
    return ApiError(409, f"{NAMES[kind]} {wanted} is immutable and cannot be updated.")


def invalid_state(status: str, wanted: str) -> ApiError:
    return ApiError(409, f"Invalid state {status} of loadbalancer resource {wanted}")


def over_quota(kind: str) -> ApiError:
    return ApiError(403, f"Quota has been met for resources: {NAMES[kind]}")


def forbidden() -> ApiError:
    return ApiError(403, "Policy does not allow this request to be performed.")


def provider_failed(cause: ApiError) -> ApiError:
    """What Octavia makes of a refusal of Neutron."""
    names = {400: "BadRequestException", 404: "NotFoundException", 409: "ConflictException"}
    return ApiError(
        500, f"Provider 'amphora' reports error: {names.get(cause.status, 'HttpException')}: {cause.status}"
    )
