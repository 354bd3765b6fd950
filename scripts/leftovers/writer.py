"""May a database of this site be at work? What the witness says of it, for those who would take a volume from a server."""

from __future__ import annotations

from contract.buckets import Bucket
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import WitnessDown


def may_write(site: str, witness: Bucket) -> str | None:
    """The reason; None when the newest epoch names no site, or the other one."""
    try:
        newest = Witness(witness).newest()
    except WitnessDown as error:
        return f"nobody can say whether a database is writing to it ({error})"
    if newest is None or newest.active != site:
        return None
    return f"region {site} is active (epoch {newest.epoch}), so a database may be writing to it"
