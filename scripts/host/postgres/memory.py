"""What a host remembers of the `postgres` block."""

from __future__ import annotations

import json

from contract.dataclass import dataclass
from contract.services.commits import Mode

from .layout import PostgresLayout

ASYNC, SYNC, DEGRADE = Mode
DEGRADE_S = 10  # of a host that was converged before there was this key


@dataclass(frozen=True)
class Memory:
    """Not secret; see `PostgresLayout.memory`."""

    version: int
    port: int
    site: str
    peer: str
    mode: str = ASYNC
    degrade_after_s: int = DEGRADE_S

    def text(self) -> str:
        return json.dumps(self.__dict__, sort_keys=True) + "\n"

    @classmethod
    def read(cls, layout: PostgresLayout) -> Memory | None:
        """None on a host that was never converged."""
        try:
            found = json.loads(layout.memory.read_bytes())
            mode, after = str(found.get("mode", ASYNC)), int(found.get("degrade_after_s", DEGRADE_S))
            return cls(int(found["version"]), int(found["port"]), str(found["site"]), str(found["peer"]), mode, after)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
