"""What the program asks before it declares anything: may this stack do what its config requests?

A refusal stops preview and update alike, with nothing changed. A witness that is down alone stops nothing: without a change of role
the run needs no witness, and with one the fence link refuses by itself.
"""

from __future__ import annotations

import logging

from contract.buckets import Bucket
from scripts.clients.witness import Witness, WitnessDown
from scripts.links.agreement import Side, agree
from scripts.links.epochs import decide

log = logging.getLogger("dr.preflight")


def check(side: Side, request: str, place: Bucket) -> None:
    """Raises `contract.errors.DrError` with one sentence when the request must be refused."""
    try:
        witness = Witness(place)
        newest = witness.newest()
        action = decide(side.site, request, newest, witness.followed(side.site))
        warning = agree(side, newest, action, witness)
    except WitnessDown as error:
        warning = str(error)
    if warning:
        log.warning("%s", warning)
