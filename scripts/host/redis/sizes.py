"""How large the buffers of replication must be for the link between the regions. Pure; sizes in bytes, rates in bytes a second.

Two ends of the same trouble: a backlog that is too small makes every cut of the link a full copy, and a replica's output buffer that is
too small ends a full copy before it is through, for ever again.
"""

from __future__ import annotations

from contract.dataclass import dataclass
from contract.services.redis import UNITS

MB = UNITS["mb"]
LEAST_BACKLOG, LEAST_BUFFER = 16 * MB, 256 * MB


@dataclass(frozen=True)
class Link:
    """What the operator says of the shop and of the link: `write_rate` of the replication stream, the outage to bridge, the link's own rate."""

    write_rate: int
    bridge_s: int
    link_rate: int

    def backlog(self) -> int:
        """Holds what is written while the link is cut for `bridge_s`, so that a replica goes on where it stopped."""
        return _whole(max(LEAST_BACKLOG, self.write_rate * self.bridge_s))

    def replica_buffer(self, maxmemory: int) -> int:
        """Holds what is written while a full copy travels and is loaded at the other end (taken for as long again)."""
        return _whole(max(LEAST_BUFFER, self.backlog() + int(2 * self.copy_s(maxmemory) * self.write_rate)))

    def memory(self, maxmemory: int) -> int:
        """Data and backlog, and the larger of what comes on top: a leader's buffer for a full copy, or a replica's second data set while it loads one."""
        return maxmemory + self.backlog() + max(self.replica_buffer(maxmemory), maxmemory)

    def copy_s(self, maxmemory: int) -> float:
        """Seconds that a full copy travels."""
        return maxmemory / max(self.link_rate, 1)


def _whole(count: int) -> int:
    """Rounded up to whole megabytes."""
    return -(-count // MB) * MB
