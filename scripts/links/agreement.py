"""Both regions run with one configuration: before a move that is a condition, else a warning.

Each run of the fence link leaves digests of the shared keys at the witness. A stack that runs with other ones than its peer's last run is told
which keys differ: after a move the shop would run with settings that nobody has seen at work, or hosts of both sites would no longer fit together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from contract.accept import Word, asked
from contract.agreement import ROLLED, differing, older
from contract.dataclass import dataclass
from contract.epoch import Epoch
from contract.errors import Failed, Refused
from contract.links.fence import Document
from contract.sites import other
from scripts.clients.witness import Witness
from scripts.clients.witness_bucket import WitnessDown
from scripts.links.epochs import Action


@dataclass(frozen=True, kw_only=True)
class Side:
    """What this run is configured with."""

    site: str
    digests: Mapping[str, str]  # of the shared keys
    word: Word | None  # the operator's, to move although the other region ran last with others
    certificates: Mapping[str, str] = field(default_factory=dict)  # ends, by place in `dr:secrets`
    since: Mapping[str, str] = field(default_factory=dict)  # days since which its secrets are in use, by kind


def agree(side: Side, newest: Epoch | None, action: Action, witness: Witness) -> str:
    """A warning; empty where both agree, or nobody knows. Raises Refused before a move, and before any run with older secrets than the site's last one had,
    unless the operator's word is for the epoch in force.
    """
    return "; ".join(filter(None, (_renewed(side, newest, witness), _alike(side, newest, action, witness))))


def _renewed(side: Side, newest: Epoch | None, witness: Witness) -> str:
    """Another checkout's set is from before a rotation: what opens nothing any more would be good again, and hosts of both regions refuse each other."""
    word = side.word
    try:
        last = witness.configuration(side.site)
    except WitnessDown:
        raise
    except Failed:  # what cannot be read bars no run
        last = None
    kinds = older(side.since, last.since) if last else []
    if not kinds or last is None or newest is None:
        return ""
    shown = ", ".join(
        f"{kind} of {side.since[kind]} where the last run had that of {last.since[kind]}" for kind in kinds
    )
    text = f"dr:secrets of region {side.site}: found {shown}, wanted the set with which the region ran last, or a newer one"
    if word is not None and word.epoch == newest.epoch:
        return f"{text}; accepted: {word.reason}"
    raise Refused(
        f"{text}; what was renewed would be good again, and hosts of the two regions would refuse each other; nothing was changed; take the stack files of "
        f"whoever has renewed it; or, where the older set is meant, set {asked('configuration', newest.epoch)} and run the same again"
    )


def _alike(side: Side, newest: Epoch | None, action: Action, witness: Witness) -> str:
    """Of what both regions share."""
    site, word, peer = side.site, side.word, other(side.site)
    theirs = witness.configuration(peer)
    keys = differing(side.digests, theirs.keys) if theirs else []
    if not keys:
        return ""
    if ROLLED.issuperset(keys):
        return (
            f"release of region {site}: is another than region {peer} ran with last, wanted one in both once a deploy has ended; both go on with what they "
            f"have; `drctl deploy` brings region {peer} to it, too, and `drctl rollback` takes it back"
        )
    shown = ", ".join(f"dr:{key}" for key in keys[:12]) + (f" and {len(keys) - 12} more" if len(keys) > 12 else "")
    text = f"configuration of region {site}: differs in {shown} from what region {peer} ran with last, wanted the same in both"
    if action is not Action.TAKE_OVER:
        return (
            f"{text}; no move is possible until they agree; run `pulumi up -s region-{peer}` with the configuration of now, and keep what both share "
            "in Pulumi.yaml alone"
        )
    assert newest is not None  # decide() takes over from somebody
    if word is not None and word.epoch == newest.epoch:
        return f"{text}; accepted: {word.reason}"
    stale = f" (dr:accept.configuration is for epoch {word.epoch})" if word else ""
    raise Refused(
        f"{text}{stale}; the shop would run on with settings that region {peer} never had; nothing was changed; take the change back, or run "
        f"`pulumi up -s region-{peer}` with it first; or, when region {peer} is lost, set {asked('configuration', newest.epoch)} and run the same again"
    )


def leave(told: Document, witness: Witness) -> None:
    """For the next run of either."""
    if told.configuration:
        witness.record_configuration(told.site, told.configuration, told.since)
