"""The epoch and the rules about it: who is active, and what a request means. Pure.

`failover_region` is a request; the newest epoch at the witness is the fact. `decide` is the table of docs/architecture.md in code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from contract.errors import Refused, Usage

SITES = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One term of one active site. Whoever created its object at the witness owns it; nobody overwrites it."""

    epoch: int
    active: str
    previous: str | None
    planned: bool
    checkpoint: dict[str, Any] | None = None  # {"lsn", "timeline"} of the clean shutdown, planned moves only
    fence: dict[str, Any] = field(default_factory=dict)  # {"rung": n, "evidence": {...}}
    loss: dict[str, Any] | None = (
        None  # what an unplanned move has left behind, as far as anybody knows: `scripts.links.loss.Loss`
    )
    claimed_at: str = ""  # RFC 3339, the claimer's clock: for reports only
    claimed_by: str = ""
    reason: str = ""

    def link_output(self, entrance: str | None) -> dict[str, Any]:
        """What the chain's later links are told: the same on every run within the epoch. `entrance`: public address of the active site's shop."""
        return {
            "schema": 1,
            "epoch": self.epoch,
            "active": self.active,
            "previous": self.previous,
            "planned": self.planned,
            "checkpoint": self.checkpoint,
            "fence": {"rung": self.fence.get("rung")},
            "last_seen": {"redis": self.loss["redis"]} if self.loss else None,
            "entrance": entrance,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any], name: str) -> Epoch:
        """From the object at the witness; `name` is its key, for the message."""
        try:
            known = {key: document[key] for key in cls.__dataclass_fields__ if key in document}
            epoch = cls(**known)
        except TypeError as error:
            raise Usage(
                f"witness object {name}: is not an epoch ({error}); nobody can tell which region is active; "
                "look at the bucket's older versions of that object and restore the one that was created first"
            ) from None
        if epoch.active not in SITES:
            raise Usage(
                f"witness object {name}: active is {epoch.active!r}, wanted a or b; restore the object's first version"
            )
        return epoch


class Action(Enum):
    """What `pulumi up` has to do about the role of its own site."""

    CLAIM_FIRST = "claim epoch 1 and bootstrap the primary side"
    STAY = "is active and stays so"
    FOLLOW = "converge as standby of the active site"
    TAKE_OVER = "fence the active site, claim the next epoch, promote"


def other(site: str) -> str:
    """The peer."""
    return "b" if site == "a" else "a"


def decide(site: str, request: str, newest: Epoch | None, followed: int | None) -> Action:
    """What the stack of `site` does when its `failover_region` is `request`.

    `newest` is the newest epoch at the witness, `followed` the newest epoch in which this site was seen streaming from the active one.
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
    if followed == newest.epoch:
        return Action.TAKE_OVER
    seen = "no epoch" if followed is None else f"epoch {followed}"
    raise Refused(
        f"failover_region of stack region-{site} is {site}, but region {peer} is active (epoch {newest.epoch}) and region {site} has followed "
        f"{seen}: the config is stale, follow first; nothing was changed; run `pulumi config set failover_region {peer} -s region-{site}` "
        f"and `pulumi up -s region-{site}`"
    )
