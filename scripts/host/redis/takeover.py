"""What a takeover cost: written down once, when this cache becomes the master, and told the same on every later run of that epoch.

A handover costs nothing as long as it is over before its pause is. A promotion costs what the old master had written and this one never received; that is known
only as far as the old master's last heartbeat reaches, so the number is a lower bound, and "unknown" where nothing can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contract.dataclass import dataclass

from ..frame.files import make_folder, write_atomically
from ..frame.layout import Layout

HANDOVER, PROMOTION, COLD, STARTED = "handover", "promotion", "cold start", "start from own files"


@dataclass(frozen=True)
class LastSeen:
    """Where the old master was by its last heartbeat; what is unknown is None."""

    offset: int | None = None  # bytes of its replication stream
    replication_id: str | None = None
    keys: int | None = None


@dataclass(frozen=True)
class Loss:
    """Bytes of the replication stream that were acknowledged at the old master and never came here. None: unknown, for `why`."""

    bytes: int | None
    why: str | None = None


@dataclass(frozen=True)
class Takeover:
    """The record of one epoch."""

    epoch: int
    way: str  # HANDOVER, PROMOTION, COLD or STARTED
    lost: Loss
    keys: int | None = None  # that it began with
    before: int | None = None  # that the old master had, when it was last heard
    held_ms: float | None = None  # how long writers were held; of a handover

    def facts(self) -> dict[str, Any]:
        """What `converge` tells: it stays the same from run to run."""
        return {
            "epoch": self.epoch,
            "way": self.way,
            "lost_bytes": self.lost.bytes,
            "unknown_because": self.lost.why,
            "keys": self.keys,
            "keys_before": self.before,
        }

    @property
    def fewer(self) -> bool:
        """Whether keys are known to be missing. Those that ran out count too, so nothing is refused for it."""
        return self.keys is not None and self.before is not None and self.keys < self.before

    def counted(self) -> str:
        """How many keys there are, of how many."""
        if self.keys is None:
            return "keys not counted"
        return (
            f"{self.keys} keys"
            if self.before is None
            else f"{self.keys} of the {self.before} keys that the old master had"
        )

    def text(self) -> str:
        """One line for the log."""
        if self.way == HANDOVER and self.lost.bytes == 0:
            return f"handover: nothing lost, writers were held for {self.held_ms or 0:.0f} ms"
        lost = (
            f"unknown ({self.lost.why})"
            if self.lost.bytes is None
            else f"at least {self.lost.bytes} bytes, by the old master's last heartbeat"
        )
        return f"{self.way}: {self.counted()}; replication stream that never came here: {lost}"

    def write(self, layout: Layout) -> None:
        make_folder(layout.var, 0o700)
        write_atomically(_path(layout), (json.dumps(asdict(self), sort_keys=True) + "\n").encode(), 0o600)


def read(layout: Layout, epoch: int) -> Takeover | None:
    """The record of this epoch; None when this cache did not take over in it, or nothing is known of it."""
    try:
        found = json.loads(_path(layout).read_bytes())
        lost = Loss(found["lost"]["bytes"], found["lost"]["why"])
        record = Takeover(
            int(found["epoch"]), str(found["way"]), lost, found.get("keys"), found.get("before"), found["held_ms"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if record.epoch == epoch else None


def loss(info: Mapping[str, str], last: LastSeen) -> Loss:
    """What a promotion cost. `info`: INFO replication of the server just after it.

    A promotion closes the stream that was followed: its id stays as `master_replid2`, good up to `second_repl_offset`.
    """
    own = int(info.get("second_repl_offset", "-1")) - 1
    if own < 0:
        return Loss(None, "this cache followed no stream before its promotion")
    if last.offset is None:
        return Loss(None, "the old master's last heartbeat tells no offset")
    if last.replication_id is not None and last.replication_id != info.get("master_replid2"):
        return Loss(None, "the old master's last heartbeat is of another replication stream than this cache followed")
    return Loss(max(last.offset - own, 0))


def _path(layout: Layout) -> Path:
    return layout.var / "redis-takeover.json"
