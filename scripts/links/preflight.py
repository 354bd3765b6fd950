"""What the program asks before it declares anything: may this stack do what its config requests?

A refusal stops preview and update alike, with nothing changed. A witness that is down alone stops nothing: without a change of role
the run needs no witness, and with one the fence link refuses by itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from contract.accept import Destroy, Word
from contract.buckets import Bucket
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import Failed
from contract.heartbeat import Heartbeat
from contract.hosts import DATABASE, first
from contract.sites import Role
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.links import certificates
from scripts.links.agreement import Side, agree
from scripts.links.epochs import Action, decide, followed
from scripts.links.words import judge

log = logging.getLogger("dr.preflight")
_UNLOCKED = (
    "dr:witness: its bucket has no object lock, wanted one in compliance mode for some days; whoever holds a key to it can rewrite for good which region is "
    "active; a bucket has a lock from its creation on: docs/restore.md, what a stolen key can do"
)
FRESH_S = 60.0  # a heartbeat that says how its host is now


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the program declares by. Both are empty where the witness is silent: nothing depends on them but a repair."""

    mends: int = 0  # moves away from this site that were begun in the epoch in force, and neither finished nor taken back: added to `dr:repair`
    servers: dict[str, str]  # ids of the own servers by name, as the last run has left them
    destroy: Destroy | None = None  # the operator's word for it, where it counts
    epoch: int | None = None  # in force
    first: bool = False  # the witness says that there has been none yet
    words: Sequence[str] = ()  # names of the operator's words that count
    takes_over: bool = False


def check(
    side: Side,
    request: str,
    place: Bucket,
    words: Mapping[str, Word | None] | None = None,
    destroy: Destroy | None = None,
    *,
    runs: bool = False,
) -> Told:
    """`words` and `destroy`: the operator's, each of which is told; `runs`: what is said is gone by, not looked at alone.

    Raises `contract.errors.DrError` with one sentence when the request must be refused.
    """
    warnings, told = [certificates.warning(side.certificates)], Told(servers={})
    try:
        witness = Witness(place)
        newest = witness.newest()
        judged = judge(words or {}, newest)
        warnings += judged.said
        let = judge({"destroy": destroy}, newest, section="dr:")
        warnings += let.said
        side = replace(side, word=judged.counts.get("configuration"))
        action = decide(side.site, request, newest, followed(witness, side.site, newest), os.environ)
        warnings.append(agree(side, newest, action, witness))
        own = newest if newest is not None and newest.active == side.site else None
        told = Told(
            mends=_mends(witness, own, runs) if own else 0,
            servers=witness.servers(side.site),
            destroy=destroy if let.counts else None,
            epoch=newest.epoch if newest else None,
            first=newest is None,
            words=(*judged.counts, *let.counts),
            takes_over=action is Action.TAKE_OVER,
        )
        if own and not told.mends:
            warnings.append(_fenced(own, _last_word(witness, side.site)))
            warnings.append(_unlocked(witness, request == side.site))
    except WitnessDown as error:
        warnings.append(str(error))
        warnings += [
            f"dr:accept.{name}: IS SET, and the witness does not say whether it counts"
            for name, it in (words or {}).items()
            if it
        ]
        if destroy:
            warnings.append("dr:destroy: IS SET, and the witness does not say whether it counts: protection stays")
    for warning in filter(None, warnings):
        log.warning("%s", warning)
    return told


def _mends(witness: Witness, own: Epoch, runs: bool) -> int:
    """Where the witness takes no note of it, what it says counts all the same: a database that a move has stopped is not left so."""
    if runs:
        with suppress(WitnessDown):
            return witness.mend(own)
    return witness.unsettled(own)


def _unlocked(witness: Witness, stays: bool) -> str:
    """A warning alone, and of a run that moves nothing: nobody who waits for a move waits for this."""
    try:
        found = witness.locked() if stays else None
    except Failed:
        return ""
    return "" if found is not False else _UNLOCKED


def _last_word(witness: Witness, site: str) -> Heartbeat | None:
    """For a warning alone: what cannot be read is no reason to refuse a run."""
    try:
        return witness.heartbeat(site, first(DATABASE))
    except Failed:
        return None


def _fenced(newest: Epoch, beat: Heartbeat | None) -> str:
    """A warning when the database of the active site was stopped for a move that nobody goes on with."""
    if beat is None or beat.age_s > FRESH_S or beat.document.get("role") != Role.FENCED:
        return ""
    host = f"{first(DATABASE)}.{newest.active}"
    return (
        f"{host}: was stopped for a move, and region {newest.active} is active (epoch {newest.epoch}), so the shop cannot write; "
        f"run `pulumi config set dr:repair <number> -s region-{newest.active}` with another number than now and `pulumi up -s region-{newest.active}`, "
        "which starts it"
    )
