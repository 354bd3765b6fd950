"""The checks of a request's body that Nova and Cinder share, with the words of their schema errors."""

from __future__ import annotations

import uuid
from typing import Any

from lab.cloud.web import ApiError, Call


def invalid(field: str, value: Any, reason: str) -> ApiError:
    """A value that the schema refuses. `field`: the last part of its path in the body (an index within a list)."""
    return ApiError(400, f"Invalid input for field/attribute {field}. Value: {value}. {reason}", "badRequest")


def document(call: Call, name: str) -> dict[str, Any]:
    """The object under `name` in the request's body; 400 when there is none."""
    if not isinstance(call.body, dict):
        raise ApiError(400, "Malformed request body", "badRequest")
    if name not in call.body:
        raise ApiError(400, f"'{name}' is a required property", "badRequest")
    value = call.body[name]
    if not isinstance(value, dict):
        raise invalid(name, value, f"{value!r} is not of type 'object'")
    return value


def required(field: str, value: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in value:
            raise invalid(field, value, f"'{name}' is a required property")


def only(field: str, value: dict[str, Any], allowed: frozenset[str]) -> None:
    """400 on any key that is not allowed."""
    unknown = [key for key in value if key not in allowed]
    if unknown:
        names = ", ".join(f"'{key}'" for key in unknown)
        verb = "was" if len(unknown) == 1 else "were"
        raise invalid(field, value, f"Additional properties are not allowed ({names} {verb} unexpected)")


def text(field: str, value: Any, *, longest: int = 255, shortest: int = 0) -> str:
    if not isinstance(value, str):
        raise invalid(field, value, f"{value!r} is not of type 'string'")
    if len(value) > longest:
        raise invalid(field, value, f"{value!r} is too long")
    if len(value) < shortest:
        raise invalid(field, value, f"{value!r} should be non-empty" if shortest == 1 else f"{value!r} is too short")
    return value


def whole(field: str, value: Any, *, least: int) -> int:
    """A whole number, also as text: both services take either."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise invalid(field, value, f"{value!r} is not of type 'integer', 'string'")
    if isinstance(value, str) and not value.isdigit():
        raise invalid(field, value, f"{value!r} does not match '^[0-9]+$'")
    if int(value) < least:
        raise invalid(field, value, f"{value} is less than the minimum of {least}")
    return int(value)


def strings(field: str, value: Any, longest: int = 255) -> dict[str, str]:
    """A map of texts to texts: metadata."""
    if not isinstance(value, dict):
        raise invalid(field, value, f"{value!r} is not of type 'object'")
    for key, item in value.items():
        text(key, item, longest=longest)
    return {str(key): str(item) for key, item in value.items()}


def is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False
