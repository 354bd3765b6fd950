"""The `postgres` block of a desired document, and what of it the host remembers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from contract.services import postgres
from contract.services.postgres import Mode

from ..frame.desired import Envelope, Host, read
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


@dataclass(frozen=True, kw_only=True)
class Desired(postgres.Block):
    """The block of the document, with what it needs of the envelope. `own` and `peer` are the two database hosts."""

    envelope: Envelope
    own: Host
    peer: Host

    @property
    def memory(self) -> Memory:
        return Memory(self.version, self.port, self.envelope.site, self.envelope.peer, self.mode, self.degrade_after_s)

    @classmethod
    def read(cls, document: dict[str, Any]) -> Desired:
        """Raises Usage that names every fault."""
        envelope, block = read(document, "postgres", postgres.Block)
        return cls(**vars(block), envelope=envelope, own=envelope.at(envelope.own_key), peer=envelope.at(block.peer_db))
