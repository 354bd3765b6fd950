"""JSON of somebody else's, read so that whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
import math
from typing import Any


def parse(body: bytes | str) -> Any:
    """Raises ValueError for what is no JSON, and for what only Python takes for some: NaN, infinities, what nests too deep for it."""
    try:
        return json.loads(body, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deep") from None


def mapping(body: bytes | str) -> dict[str, Any]:
    """Raises ValueError for anything but an object."""
    found = parse(body)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def whole(value: object, low: int) -> int:
    """A whole number of at least `low`, spelled as one. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"no whole number from {low} on")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number("one without an end")
