"""Whether the keys of hosts to the witness are as narrow as they have to be.

The owner makes their users by hand, and for the hosts the wrong policy works as well as the right one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from contract.buckets import Bucket
from contract.errors import Refused
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import WitnessDown


def judge(keys: Mapping[str, Bucket], witness: Witness, *, first: bool) -> None:
    """A warning for each that is not. `first`: nothing has been built on them yet. Raises Refused then."""
    with ThreadPoolExecutor(max_workers=len(keys) or 1) as together:
        found = dict(zip(keys, together.map(lambda place: _fault(witness, place), keys.values()), strict=True))
    told = [f"the key of {user} {fault}" for user, fault in found.items() if fault]
    if not told:
        return
    text = (
        f"witness: {'; '.join(told)}; wanted keys of users with the policies that `drctl rights witness` prints; a host that is somebody else's could say "
        "which region is active, or its agent is not heard; "
    )
    if first:
        raise Refused(
            f"{text}nothing was changed; correct the users or dr:secrets witness.hosts, and run the same again"
        )
    print(f"WARNING fence: {text}correct the users or dr:secrets witness.hosts (docs/security.md)", file=sys.stderr)


def _fault(witness: Witness, place: Bucket) -> str:
    try:
        return witness.fault_of(place)
    except WitnessDown:  # it says nothing, so nothing is concluded
        return ""
