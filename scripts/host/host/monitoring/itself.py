"""Which host this is, as `monitoring converge` has left it: for what is run by a timer, or asked, without a document that says so."""

from __future__ import annotations

import json

from contract.errors import Failed, say

from ...frame.files import read_own
from ...frame.layout import Layout

SELF = "monitoring.json"


def itself(layout: Layout, consequence: str) -> tuple[str, str]:
    """Name and site of this host. Raises Failed where monitoring was never put here."""
    path = layout.etc / SELF
    try:
        found = json.loads(read_own(path))
        return str(found["host"]), str(found["site"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Failed(
            say(
                subject=f"file {path}",
                found="none that says which host this is",
                wanted="the one that `monitoring converge` writes",
                consequence=consequence,
                remedy="set dr:monitoring and run pulumi up for this region",
            )
        ) from None
