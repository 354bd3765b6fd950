"""The epoch and the rules about it: who is active, and what a request means. Pure, but for `followed`, which asks the witness.

`failover_region` is a request; the newest epoch at the witness is the fact. `decide` is the table of docs/architecture.md in code.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from contract.epoch import Epoch
from contract.errors import Refused
from contract.hosts import DATABASE, first
from contract.sites import SITES, Role, other
from scripts.clients.witness import Witness

STAYS = "DR_STAYS"  # in the environment of a run, and of the links that it calls: the request that it comes with is none to move


class Action(Enum):
    """What `pulumi up` has to do about the role of its own site."""

    CLAIM_FIRST = "claim epoch 1 and bootstrap the primary side"
    STAY = "is active and stays so"
    FOLLOW = "converge as standby of the active site"
    TAKE_OVER = "fence the active site, claim the next epoch, promote"


def followed(witness: Witness, site: str, newest: Epoch | None) -> int | None:
    """The newest epoch in which `site` was seen following: by its last run's proof, or by its database's own word, where that run did not get so far.

    Raises WitnessDown.
    """
    recorded = witness.followed(site)
    if newest is None or newest.active == site or recorded == newest.epoch:
        return recorded
    beat = witness.heartbeat(site, first(DATABASE))
    streams = (
        beat is not None
        and beat.document.get("role") == Role.STANDBY
        and beat.document.get("epoch") == newest.epoch
        and beat.block("postgres").get("in_recovery") is True
        and beat.block("postgres").get("streaming") is True
    )
    return newest.epoch if streams else recorded


def decide(
    site: str, request: str, newest: Epoch | None, followed: int | None, environment: Mapping[str, str] | None = None
) -> Action:
    """What the stack of `site` does when its `failover_region` is `request`.

    `newest` is the newest epoch at the witness, `followed` the newest epoch in which this site was seen streaming from the active one.
    `environment`: of the run; with STAYS in it nothing is taken over.
    Raises Refused with the sentence for the operator; the caller has changed nothing yet.
    """
    peer = other(site)
    for name, value in (("site", site), ("failover_region", request)):
        if value not in SITES:
            raise Refused(
                f"{name}: found {value!r}, wanted a or b; nothing was changed; run `pulumi config set {name} a` or `... b`"
            )
    if newest is None:
        if request == site:
            return Action.CLAIM_FIRST
        raise Refused(
            f"region {request} has not been brought up: the witness holds no epoch yet, so there is nothing to follow; "
            f"nothing was changed; run `pulumi up -s region-{request}` first"
        )
    if newest.active == site:
        if request == site:
            return Action.STAY
        raise Refused(
            f"region {peer} has not taken over: the witness says that {site} is active (epoch {newest.epoch}); "
            f"nothing was changed; run `pulumi up -s region-{peer}`"
        )
    if request == peer:
        return Action.FOLLOW
    if followed == newest.epoch and STAYS in (environment or {}):
        raise Refused(
            f"failover_region of stack region-{site} is {site}, because region {site} was active when this run was begun; found region {peer} active (epoch "
            f"{newest.epoch}): somebody has moved the shop since, and a deploy, a rotation or an abort moves it nowhere; nothing was changed; see `drctl "
            "status`, and run the same again"
        )
    if followed == newest.epoch:
        return Action.TAKE_OVER
    seen = "no epoch" if followed is None else f"epoch {followed}"
    raise Refused(
        f"failover_region of stack region-{site} is {site}, but region {peer} is active (epoch {newest.epoch}) and region {site} has followed "
        f"{seen}: the config is stale, follow first; nothing was changed; run `pulumi config set failover_region {peer} -s region-{site}` "
        f"and `pulumi up -s region-{site}`; when region {peer} is lost and cannot be followed any more, see `Lost before it was followed` in docs/failover.md"
    )
