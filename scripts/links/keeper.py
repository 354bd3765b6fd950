"""What the site's keeper asks when somebody destroys the stack: whether the shop lives here.

A destroy runs no program and reads no configuration, so this goes by the document of the last run, and by what is so now: the epoch at the
witness, the clock, and what the name servers say. In doubt it refuses: a destroy can wait. Links of the chain may leave the state beside it; they hold nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from contract.accept import spelled
from contract.epoch import Epoch
from contract.errors import Failed, Refused
from contract.links.keeper import Document
from contract.sites import other
from scripts.clients.nameservers import all_answers
from scripts.clients.trail import Note
from scripts.clients.witness import Witness
from scripts.links.words import judge

NOTED_S = 5.0  # for the entry of the audit trail


def run(told: Document) -> dict[str, Any]:
    """Returns {"schema", "site"} when the stack may go. Raises Refused when it may not, before anything of it is deleted."""
    for sentence in may_go(told):
        print(f"WARNING keeper: {sentence}", file=sys.stderr)
    _nobody_is_sent_there(told)
    why = told.destroy.reason if told.destroy else ""
    note = Note(told.witness, "destroy", told.site, why=why, facts={"step": "the keeper lets it go"})
    if lost := note.lost(NOTED_S):
        print(f"WARNING keeper: {lost}", file=sys.stderr)
    return {"schema": 1, "site": told.site}


def may_go(told: Document) -> Sequence[str]:
    """Returns what is to be told of the operator's word. Raises Refused where the site is active, or nobody can tell, and no word of this hour names it."""
    try:
        witness = Witness(told.witness)
        newest = witness.newest()
        trace = "" if newest else witness.trace()
    except Failed as error:
        raise Refused(
            f"destroy of region {told.site}: the witness does not say which region is active ({error}), wanted its word that this one is not; nothing of "
            "the region was deleted; wait for it and run the same again; where the witness itself is gone for good, see `Taking a site down` in "
            "docs/failover.md"
        ) from None
    judged = judge({"destroy": told.destroy}, newest, section="dr:")
    if judged.counts:
        return judged.said
    warned = "".join(f"; {sentence}" for sentence in judged.said)  # of a word that does not count
    if newest is not None and newest.active == told.site:
        raise Refused(
            f"destroy of region {told.site}: it is active (epoch {newest.epoch}), wanted a standby: the shop would be gone; nothing of the region was "
            f"deleted; move the shop first (`pulumi up -s region-{other(told.site)}`); {_word(told.site, newest)}{warned}"
        )
    if trace:
        raise Refused(
            f"destroy of region {told.site}: the witness lists no epoch, and holds {trace}, which stands there only after one: this region may be active; "
            f"nothing of the region was deleted; see `The witness has lost its epochs` in docs/failover.md; {_word(told.site, newest)}{warned}"
        )
    return judged.said


def _word(site: str, newest: Epoch | None) -> str:
    epoch = newest.epoch if newest else 1
    return (
        f"to end the shop itself set dr:destroy of that stack to {{site: {site}, epoch: {epoch}, at: {spelled()}, reason: ...}} (good for an hour), and "
        f"run `pulumi up -s region-{site}` before the destroy"
    )


def _nobody_is_sent_there(told: Document) -> None:
    """Raises Refused while a name server still sends customers to an address that would be given back to the platform, and to the next who asks."""
    name = f"{told.dns.subdomain}.{told.dns.zone}"
    seen = all_answers(told.dns.servers, name)
    still = sorted(server for server, addresses in seen.items() if told.address in (addresses or ()))
    if still:
        raise Refused(
            f"destroy of region {told.site}: {name} still leads to {told.address}, says {', '.join(still)}; wanted other addresses, or none: the platform "
            f"gives that address to somebody else; nothing of the region was deleted; run `scripts/drctl destroy {told.site}`, which takes it out of the zone"
        )
    silent = sorted(server for server, addresses in seen.items() if addresses is None)
    if silent:
        print(f"WARNING keeper: {', '.join(silent)} did not say where {name} leads; see the zone", file=sys.stderr)
