"""The audit trail in the witness bucket: `audit/%08d.json`."""

from __future__ import annotations

from contract.audit import TRAIL
from scripts.clients.chain_bucket import ChainBucket


class TrailBucket(ChainBucket):
    """The witness, and what is written there of who has done what."""

    chain = TRAIL
