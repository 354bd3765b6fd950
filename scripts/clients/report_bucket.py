"""Records in the witness bucket: `reports/%08d.json`."""

from __future__ import annotations

from contract.report import RECORDS
from scripts.clients.chain_bucket import ChainBucket


class ReportBucket(ChainBucket):
    """The witness, and what came of each move, drill, deploy and rotation."""

    chain = RECORDS
