"""The `postgres` block of a desired document."""

from __future__ import annotations

from typing import Any

from contract.dataclass import dataclass
from contract.services import postgres

from ..frame.desired import Envelope, Host, read
from .memory import Memory


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
