"""What the program asks before it declares anything: may this stack do what its config requests?

A refusal stops preview and update alike, with nothing changed. A witness that is down alone stops nothing: without a change of role
the run needs no witness, and with one the fence link refuses by itself.
"""

from __future__ import annotations

import logging

from scripts.clients.witness import Witness, WitnessDown
from scripts.links.epochs import decide

log = logging.getLogger("dr.preflight")


def check(site: str, request: str, witness: dict[str, str]) -> None:
    """Raises `contract.errors.DrError` with one sentence when the request must be refused."""
    try:
        bucket = Witness(witness)
        decide(site, request, bucket.newest(), bucket.followed(site))
    except WitnessDown as error:
        log.warning("%s", error)
