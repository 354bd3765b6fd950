"""What a converge has left on this host for a job of its own: read back in its form, or told as lacking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from contract import fields
from contract.errors import Failed, Usage, say

T = TypeVar("T")


def read_back(
    cls: type[T], path: Path, *, wanted: str, consequence: str, remedy: str, found: str = "none that can be read"
) -> T:
    """Raises Failed, in those words, where there is none or it is of another form."""
    try:
        return fields.read(cls, json.loads(path.read_bytes()), path.name)
    except (OSError, ValueError, Usage):
        raise Failed(
            say(subject=f"file {path}", found=found, wanted=wanted, consequence=consequence, remedy=remedy)
        ) from None
